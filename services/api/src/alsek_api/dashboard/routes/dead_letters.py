"""Dead letters: what ended badly, and what becomes of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from alsek.logging import get_logger
from alsek.tools.explanation import REASONS
from alsek.tools.inspector import Page
from alsek_api.auth.guard import service_of
from alsek_api.dashboard.access import Deed, Viewer, doing, viewer
from alsek_api.dashboard.page import PageRoute, done, pages_of
from alsek_api.dashboard.seeing import check_sees, queues_of
from alsek_api.dashboard.wording import number
from alsek_api.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

log = get_logger("alsek.api")

router = APIRouter(route_class=PageRoute, include_in_schema=False)

#: Letters on a page.
_A_PAGE = 50

#: How long a browser waits for many letters, seconds; then the rest goes on behind the page, which shows how far it is.
_PATIENCE_S = 5.0


@router.get("/dead-letters")
async def letters(
    request: Request,
    who: Annotated[Viewer, Depends(viewer)],
    queue: Annotated[str, Query(max_length=200)] = "",
    task: Annotated[str, Query(max_length=200)] = "",
    reason: Annotated[str, Query(max_length=30)] = "",
    cursor: Annotated[str, Query(max_length=500)] = "",
) -> Response:
    """Show the dead letters of a queue."""
    queues = await queues_of(request, who)
    task = task.strip()
    reason = reason if reason in REASONS else ""
    if not queue and queues:
        fullest = max(queues, key=lambda one: one.dead)
        queue = fullest.name if fullest.dead else ""
    page = Page([], None)
    if queue:
        check_sees(who.principal, queue)
        service = service_of(request)
        page = await service.ask(
            service.inspector.messages, queue, "dead", task=task or None, limit=_A_PAGE, cursor=cursor or None
        )
    shown = [info for info in page.messages if who.principal.sees(queue, info.task) and reason in ("", info.reason)]
    facts = {"queue": queue, "task": task, "reason": reason}
    return await pages_of(request).show(
        request, "dead_letters", queues=queues, queue=queue, task=task, reason=reason, reasons=sorted(REASONS),
        letters=shown, dead=next((one.dead for one in queues if one.name == queue), 0),
        following=_link(facts, page.cursor) if page.cursor else "", beginning=_link(facts, None) if cursor else "",
    )  # fmt: skip


@router.post("/dead-letters/replay")
async def replay_many(deed: Annotated[Deed, doing("operate")]) -> Response:
    """Give many dead letters a new life."""
    return await _many(deed, deed.service.inspector.replay_all, "Replayed")


@router.post("/dead-letters/purge")
async def purge_many(deed: Annotated[Deed, doing("operate")]) -> Response:
    """Delete many dead letters for good; the name of the queue, typed in, is the confirmation."""
    if deed.form.text("confirm", 200) != deed.form.text("queue", 200):
        raise Problem(422, "Type the name of the queue to confirm. Nothing was purged.", kind="not-confirmed")
    return await _many(deed, deed.service.inspector.purge_all, "Purged")


async def _many(deed: Deed, act: Callable[..., Any], words: str) -> Response:
    queue, task, reason = (deed.form.text(name, 200) for name in ("queue", "task", "reason"))
    if not queue:
        raise Problem(422, "Say of which queue.", kind="invalid")
    check_sees(deed.principal, queue, task, whole=not task)
    deed.tell(queue=queue, task=task, reason=reason)

    def all_of_them() -> int:
        return sum(1 for _ in act(queue, task=task or None, reason=reason or None))

    async def carried_out() -> int:
        count: int = await deed.service.ask(all_of_them)
        deed.tell(count=count)
        log.info("dead_letters.done", queue=queue, task=task, reason=reason, count=count, did=words.lower())
        return count

    work = asyncio.create_task(carried_out())
    finished, _ = await asyncio.wait([work], timeout=_PATIENCE_S)
    if finished:
        count = work.result()
        text = f"{words} {number(count)} dead letter{'' if count == 1 else 's'} of {queue}."
        return await done(deed.request, text, deed.back("/dead-letters"), kind="good" if count else "warn")
    unfinished: set[asyncio.Task[int]] = deed.request.app.state.unfinished
    unfinished.add(work)
    work.add_done_callback(unfinished.discard)
    text = "There are many: it goes on behind this page, which shows how few are left."
    return await done(deed.request, text, deed.back("/dead-letters"))


def _link(facts: dict[str, str], cursor: str | None) -> str:
    return f"/dead-letters?{urlencode({k: v for k, v in {**facts, 'cursor': cursor or ''}.items() if v})}"
