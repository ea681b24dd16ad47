"""Following messages by push: the result as soon as it is there, the status as it changes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zlib import crc32

import msgspec

from alsek.core.envelope import open_error
from alsek.exceptions import BackendUnavailableError
from alsek.storage.backends.redis.values import read_results, take_results
from alsek_api.auth.keys import ANONYMOUS
from alsek_api.lookup import ENDED, STATE_OF_LETTER, STATE_OF_STATUS, Known, read_status
from alsek_api.problems import Problem
from alsek_api.streams import event_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from alsek.storage.backends.redis.async_subscriber import AsyncSubscription
    from alsek.storage.backends.redis.listener import Event
    from alsek_api.auth.keys import Principal
    from alsek_api.service import Service

_ENDS = {"F": "failed", "x": "failed", "V": "revoked", "E": "expired"}

#: Pause between two looks while Redis is away, seconds.
_AGAIN_S: Final = 0.5


class Ending(NamedTuple):
    """What is known of a result: the status of the answer, and its body."""

    status: int
    body: bytes


class Following:
    """Waits for messages, through the one subscription of the service.

    Args:
        service: Everything.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._keys = service.broker.keys

    async def result(self, uuid: str, principal: Principal, wait_s: float) -> Ending:
        """Give how a message ended, after waiting for that.

        Raises:
            Problem: 404: there is none; 410: its result is no longer kept; 429: too many wait.
        """
        service = self._service
        known: Known = await service.ask(service.lookup.find, uuid, principal)
        name = await service.ask(service.lookup.result_name, known)
        ending = await self._ending(known, name)
        if ending.status != 202 or not wait_s:
            return ending
        deadline = time.monotonic() + wait_s
        blind = False
        with service.streams.slot(principal):
            async with service.broker.redis.async_subscriber.open(self._endings(known)) as told:
                while ending.status == 202 and time.monotonic() < deadline:
                    news = await _hear(told, min(deadline, time.monotonic() + _AGAIN_S) if blind else deadline)
                    if told.closed or (news is None and not blind):
                        break
                    try:
                        if known.state == "waiting":  # the message before it may have failed
                            known = await service.ask(service.lookup.find, uuid, principal)
                        ending = await self._ending(known, name)
                        blind = False
                    except BackendUnavailableError:  # it may be back before the time is over
                        blind = True
        return ending

    async def find(self, uuid: str, principal: Principal) -> Known:
        """Find a message to be followed; its state is told by `events`.

        Raises:
            Problem: 404: there is none, or the key does not see it.
        """
        lookup = self._service.lookup
        try:
            known = await lookup.glimpse(uuid, principal)
        except BackendUnavailableError:  # the patient way
            known = None
        found: Known = known or await self._service.ask(lookup.find, uuid, principal)
        return found

    def channels(self, known: Known) -> tuple[str, ...]:
        """Give where the changes of a message are told."""
        return (*self._statuses(known), *self._endings(known))

    async def events(
        self, known: Known, principal: Principal, last_id: str, told: AsyncSubscription
    ) -> AsyncIterator[bytes]:
        """Give the state of a message now, unless a client has that already, and each change until it ends.

        Args:
            known: The message.
            principal: Who listens.
            last_id: What a client that comes back has seen.
            told: Subscribed to `channels`.
        """
        service, statuses = self._service, self._statuses(known)
        blind = False
        while not told.closed:
            pause_s = _AGAIN_S if blind else service.settings.heartbeat_s
            news = await _hear(told, time.monotonic() + pause_s)
            if news is None and not blind:
                if not told.closed:
                    yield b""
                continue
            status, details = "", None
            if news is not None and news.channel in statuses and not blind:
                status, details = read_status(news.payload)
            if status and status != "FAILED":  # a revoked message is told as failed: its record knows
                fields = self._of_status(known.uuid, status, details)
            else:
                try:
                    fields = await self._look(known, principal)
                except BackendUnavailableError:  # whoever listens goes on when it is back, and hears what was missed
                    blind = True
                    yield b""
                    continue
                except Problem:  # it has been forgotten meanwhile: who comes back is told so
                    return
                blind = False
            event_id = id_of(fields)
            if event_id != last_id:
                last_id = event_id
                yield event_text("status", msgspec.json.encode(fields), event_id)
            if fields["state"] in ENDED:
                return

    @staticmethod
    def _statuses(known: Known) -> tuple[str, ...]:
        return (f"channel:{known.queue}:{known.task}:{known.uuid}",) if known.queue else ()

    def _endings(self, known: Known) -> list[str]:
        """Where the end of a message is told, and of those that it waits for: if one fails, it never runs."""
        return [self._keys.done_channel(uuid) for uuid in (known.uuid, *known.ahead)]

    async def _look(self, known: Known, principal: Principal) -> dict[str, Any]:
        now = await self._service.lookup.now(known)
        if now is not None:
            return {"uuid": known.uuid, "state": now[0], "details": now[1]}
        fields: dict[str, Any] = await self._service.ask(self._now, known.uuid, principal)
        return fields

    def _now(self, uuid: str, principal: Principal) -> dict[str, Any]:
        lookup = self._service.lookup
        known = lookup.find(uuid, principal)
        status, details = lookup.status(known)
        if known.has_ended:
            state = "failed" if known.state == "dead" else known.state
            reason = known.info.reason if known.info is not None else ""
            return {
                "uuid": uuid,
                "state": {"revoked": "revoked", "expired": "expired"}.get(reason, state),
                "details": None,
            }
        if STATE_OF_STATUS.get(status) == known.state:
            return self._of_status(uuid, status, details)
        return {"uuid": uuid, "state": known.state, "details": None}

    @staticmethod
    def _of_status(uuid: str, status: str, details: Any) -> dict[str, Any]:
        return {"uuid": uuid, "state": STATE_OF_STATUS.get(status, "unknown"), "details": details}

    async def _ending(self, known: Known, name: str) -> Ending:
        uuid = known.uuid
        call = take_results(self._keys.tag_of(uuid), [(uuid, name)], "look")
        (outcome,) = read_results(await self._service.broker.redis.async_link.execute(call, patience=1.0))
        if outcome.text is not None:
            stored_at, _, text = outcome.text.partition(b":")
            try:
                result = msgspec.json.decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise Problem(
                    409, f"The result of {uuid} is no JSON: its workers use another serializer.", kind="not-json"
                ) from None
            body = {"uuid": uuid, "state": "succeeded", "result": result, "stored_at": int(stored_at), "error": None}
            return Ending(200, msgspec.json.encode(body))
        if outcome.state in _ENDS:
            error = open_error(outcome.error)
            state = _ENDS[outcome.state]
            reason = ""
            if outcome.state == "x":  # it may have died since we looked
                now = await self._service.ask(self._service.lookup.find, uuid, ANONYMOUS)
                reason = now.info.reason if now.info is not None else ""
            body = {
                "uuid": uuid,
                "state": reason if reason in ("revoked", "expired") else state,
                "result": None,
                "stored_at": None,
                "error": None if error is None else error.as_dict(),
            }
            return Ending(200, msgspec.json.encode(body))
        if outcome.state in STATE_OF_LETTER:
            return Ending(202, msgspec.json.encode({"uuid": uuid, "state": STATE_OF_LETTER[outcome.state]}))
        if known.state == "waiting":
            return Ending(202, msgspec.json.encode({"uuid": uuid, "state": "waiting"}))
        raise Problem(
            410, f"The result of {uuid} is no longer kept, was fetched by a program, or its task keeps none; or it is "
            "a callback of a message that did not succeed.", kind="result-gone",
            state=known.state if known.has_ended else "succeeded",
        )  # fmt: skip


async def _hear(told: AsyncSubscription, deadline: float) -> Event | None:
    """Wait for an event; `None` also while Redis is away: the next one tells to look."""
    try:
        return await told.next(deadline)
    except BackendUnavailableError:
        return None


def id_of(fields: dict[str, Any]) -> str:
    """Give the id of an event: the same for the same news, so that a client that comes back hears only what is new."""
    return f"{fields['state']}-{crc32(msgspec.json.encode(fields)):08x}"
