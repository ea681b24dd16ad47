"""Stores the messages of a bulk request: piece by piece, so that nobody else waits long meanwhile."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import msgspec
from pydantic import ValidationError as Unlike

from alsek.core.bulk import PATIENCE_S
from alsek.exceptions import AlsekError, BackendError
from alsek_api.alike import Alike, Made
from alsek_api.incoming import problem_of
from alsek_api.problems import Problem, of_alsek, pointer, problem_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alsek.storage.keys import Keys
    from alsek_api.auth.keys import Principal
    from alsek_api.incoming import Incoming

#: Messages made and sent before others get their turn: some milliseconds of work.
_PIECE: Final = 250


class Batch:
    """One bulk request.

    Args:
        incoming: Builds messages.
        principal: Who asks.
    """

    def __init__(self, incoming: Incoming, principal: Principal) -> None:
        self.uuid_of: Callable[[int | None], str] = incoming.new_uuid
        #: Whether Redis did not answer for some of them.
        self.broken = False
        self._incoming = incoming
        self._alike = Alike(incoming, principal)
        self._outcomes: list[Any] = []

    async def store(self, items: Sequence[Any], *, again: bool = False) -> bytes:
        """Store the messages, each or not at all.

        Args:
            items: An object for each message, or the problem that stands in its place.
            again: An earlier attempt may have stored some of them.

        Returns:
            The outcomes, as they are sent.

        Raises:
            AlsekError: Redis does not answer, and nothing was stored.
        """
        self._outcomes = [None] * len(items)
        errors: list[AlsekError] = []
        running: list[asyncio.Task[None]] = []
        for start in range(0, len(items), _PIECE):
            groups = self._prepare(items, start)
            running += [
                asyncio.create_task(self._send(where, members, again, errors)) for where, members in groups.items()
            ]
            await asyncio.sleep(0)
            if len(running) > 4:
                await asyncio.gather(*running)
                running.clear()
        await asyncio.gather(*running)
        accepted = sum(outcome["status"] == 202 for outcome in self._outcomes)
        if errors and not accepted:
            raise errors[0]
        self.broken = bool(errors)
        body = {"accepted": accepted, "rejected": len(items) - accepted, "outcomes": self._outcomes}
        return msgspec.json.encode(body)

    def _prepare(self, items: Sequence[Any], start: int) -> dict[tuple[int, str], list[tuple[int, Made]]]:
        groups: dict[tuple[int, str], list[tuple[int, Made]]] = {}
        make, partition_of = self._alike.make, self._incoming.partition_of
        for position in range(start, min(start + _PIECE, len(items))):
            item = items[position]
            try:
                if isinstance(item, Problem):
                    raise item
                made = make(item, self.uuid_of)
            except Unlike as error:
                self._refuse(position, _unlike(error))
            except (Problem, AlsekError) as error:
                self._refuse(position, problem_of(error))
            else:
                where = (partition_of(made.arrival.uuid), made.queue)
                groups.setdefault(where, []).append((position, made))
        return groups

    async def _send(
        self,
        where: tuple[int, str],
        members: Sequence[tuple[int, Made]],
        again: bool,
        errors: list[AlsekError],
    ) -> None:
        call = self._incoming.verbs.submit(*where, [made.arrival for _, made in members])
        try:
            await self._incoming.link.execute(call, patience=PATIENCE_S, again=again)
        except BackendError as error:
            errors.append(error)
            problem = of_alsek(error)
            for position, _ in members:
                self._refuse(position, problem)
            return
        for position, made in members:
            # A uuid of ours that is there already was stored by the first attempt.
            outcome: dict[str, Any] = {"status": 202, "uuid": made.arrival.uuid}
            if made.warnings:
                outcome["warnings"] = made.warnings
            self._outcomes[position] = outcome

    def _refuse(self, position: int, problem: Problem) -> None:
        self._outcomes[position] = {"status": problem.status_code, "problem": problem_fields(problem)}


def derived_uuids(seed: str, keys: Keys) -> Callable[[int | None], str]:
    """Give uuids that follow from a seed: the same ones in the same order, whenever it is asked.

    Args:
        seed: A UUIDv7; its time is theirs.
        keys: Tells the partitions.
    """
    numbers = iter(range(1 << 62))

    def give(partition: int | None) -> str:
        while True:
            noise = sha256(f"{seed} {next(numbers)}".encode()).hexdigest()
            variant = "89ab"[int(noise[3], 16) & 3]
            uuid = f"{seed[:13]}-7{noise[:3]}-{variant}{noise[4:7]}-{noise[7:19]}"
            if partition is None or keys.partition(uuid) == partition:
                return uuid

    return give


def _unlike(error: Unlike) -> Problem:
    found = [{"pointer": pointer(("body", *one["loc"])), "detail": one["msg"]} for one in error.errors()[:5]]
    return Problem(422, f"{found[0]['pointer']}: {found[0]['detail']}", kind="invalid", errors=found)
