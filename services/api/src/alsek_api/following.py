"""Following messages by push: the result as soon as it is there, the status as it changes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import msgspec

from alsek.core.envelope import open_error
from alsek.storage.backends.redis.values import read_results, take_results
from alsek_api.lookup import ENDED, Known, read_status
from alsek_api.problems import Problem
from alsek_api.streams import event_text

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from alsek.storage.backends.redis.async_hub import AsyncSubscription
    from alsek_api.auth.keys import Principal
    from alsek_api.service import Service

_ENDS = {"F": "failed", "x": "failed", "V": "revoked", "E": "expired"}
_WAITS = {"r": "ready", "d": "delayed", "l": "running"}
_STATE_OF_STATUS = {
    "SUBMITTED": "ready", "RUNNING": "running", "RETRYING": "delayed", "FAILED": "failed", "SUCCEEDED": "succeeded",
    "EXPIRED": "expired",
}  # fmt: skip


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
        deadline = asyncio.get_running_loop().time() + wait_s
        with service.streams.slot(principal), service.hub.listen(self._endings(known)) as told:
            while ending.status == 202:
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0 or await told.next(left) is None:
                    break
                if known.state == "waiting":  # the message before it may have failed
                    known = await service.ask(service.lookup.find, uuid, principal)
                ending = await self._ending(known, name)
        return ending

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
        while not told.closed:
            news = await told.next(service.settings.heartbeat_s)
            if news is None:
                if not told.closed:
                    yield b""
                continue
            if news.channel in statuses:
                fields = self._of_status(known.uuid, *read_status(news.payload))
            else:
                fields = await service.ask(self._now, known.uuid, principal)
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
        if _STATE_OF_STATUS.get(status) == known.state:
            return self._of_status(uuid, status, details)
        return {"uuid": uuid, "state": known.state, "details": None}

    @staticmethod
    def _of_status(uuid: str, status: str, details: Any) -> dict[str, Any]:
        return {"uuid": uuid, "state": _STATE_OF_STATUS.get(status, "unknown"), "details": details}

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
            reason = (known.info.reason if known.info is not None else "") if outcome.state == "x" else ""
            body = {
                "uuid": uuid,
                "state": reason if reason in ("revoked", "expired") else state,
                "result": None,
                "stored_at": None,
                "error": None if error is None else error.as_dict(),
            }
            return Ending(200, msgspec.json.encode(body))
        if outcome.state in _WAITS:
            return Ending(202, msgspec.json.encode({"uuid": uuid, "state": _WAITS[outcome.state]}))
        if known.state == "waiting":
            return Ending(202, msgspec.json.encode({"uuid": uuid, "state": "waiting"}))
        raise Problem(
            410, f"The result of {uuid} is no longer kept, was fetched by a program, or its task keeps none; or it is "
            "a callback of a message that did not succeed.", kind="result-gone",
            state=known.state if known.has_ended else "succeeded",
        )  # fmt: skip


def id_of(fields: dict[str, Any]) -> str:
    """Give the id of an event: the same for the same news, so that a client that comes back hears only what is new."""
    return f"{fields['state']}-{crc32(msgspec.json.encode(fields)):08x}"
