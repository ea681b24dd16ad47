"""Lists of messages, one message, and what can be done to one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import RedirectResponse, Response

from alsek.defaults import MAX_PRIORITY
from alsek.exceptions import MessageDoesNotExistsError
from alsek.tools.inspector import STATES, MessageInfo, Page
from alsek_api.auth.guard import service_of
from alsek_api.dashboard.access import Deed, Viewer, doing, viewer
from alsek_api.dashboard.page import PageRoute, done, pages_of, segment
from alsek_api.dashboard.seeing import check_sees, message_of, queues_of
from alsek_api.lookup import Known
from alsek_api.problems import Problem
from alsek_api.service import Service

router = APIRouter(route_class=PageRoute, include_in_schema=False)

#: Messages on a page.
_A_PAGE = 50

#: What an ended message would be called; such a state has no list.
_NOTHING = Page([], None)


@router.get("/messages")
async def some_messages(
    request: Request,
    who: Annotated[Viewer, Depends(viewer)],
    queue: Annotated[str, Query(max_length=200)] = "",
    state: Annotated[str, Query(max_length=20)] = "",
    task: Annotated[str, Query(max_length=200)] = "",
    cursor: Annotated[str, Query(max_length=500)] = "",
    search: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Show the messages of a queue in one state; or find one by its id."""
    if search.strip():
        return RedirectResponse(f"/messages/{segment(search.strip())}", 303)
    queues = await queues_of(request, who)
    known = {one.name: one for one in queues}
    if state not in STATES:
        state = next(
            (s for s in ("running", "ready", "delayed", "dead") if any(getattr(q, s) for q in queues)), "ready"
        )
    if not queue and queues:
        queue = max(queues, key=lambda one: getattr(one, state)).name
    page = _NOTHING
    if queue:
        check_sees(who.principal, queue)
        service = service_of(request)
        page = await service.ask(
            service.inspector.messages, queue, state, task=task.strip() or None, limit=_A_PAGE, cursor=cursor or None
        )
    shown = [info for info in page.messages if who.principal.sees(queue, info.task)]
    return await pages_of(request).show(
        request, "messages", queues=queues, queue=queue, info=known.get(queue), state=state, states=STATES,
        task=task.strip(), messages=shown, following=_link(queue, state, task, page.cursor) if page.cursor else "",
        beginning=_link(queue, state, task, None) if cursor else "", link=_link,
    )  # fmt: skip


@router.get("/messages/{uuid}")
async def one_message(request: Request, uuid: str, who: Annotated[Viewer, Depends(viewer)]) -> Response:
    """Show everything about one message."""
    if len(uuid) > 200:
        raise Problem(404, "No message has such an id.", kind="no-such-message")
    service = service_of(request)
    known: Known = await service.ask(service.lookup.find, uuid, who.principal)
    info = known.info or MessageInfo(uuid, known.state)
    if not info.task:
        info = replace(info, task=known.task, queue=known.queue)
    return await pages_of(request).show(
        request, "message", message=info, why=await _why(service, known), result=await _result(service, known, who)
    )


async def _why(service: Service, known: Known) -> str:
    """Say in one sentence how a message stands."""
    if known.info is not None:
        with suppress(MessageDoesNotExistsError):
            sentence: str = await service.ask(service.inspector.explain, known.uuid)
            return sentence
    if known.state == "waiting":
        return "It is a callback, and waits for the message before it to succeed."
    return "It has ended; more is not remembered of it."


async def _result(service: Service, known: Known, who: Viewer) -> dict[str, Any] | None:
    """Give what a task returned, if it is kept and can be read; reading takes nothing away."""
    if not known.has_ended or known.state == "dead":
        return None
    try:
        ending = await service.following.result(known.uuid, who.principal, 0)
    except Problem:
        return None
    body = msgspec.json.decode(ending.body)
    return {"value": body["result"]} if body.get("stored_at") is not None else None


@router.post("/messages/{uuid}/revoke")
async def revoke(uuid: str, deed: Annotated[Deed, doing("operate")]) -> Response:
    """End a message."""
    before = await message_of(deed.request, deed.viewer, uuid)
    await deed.service.ask(deed.service.inspector.revoke, uuid)
    deed.tell(queue=before.queue, task=before.task, uuids=[uuid])
    words = "was running: its worker is told to stop it" if before.state == "running" else "will never run"
    return await done(deed.request, f"Revoked. It {words}.", deed.back(f"/messages/{segment(uuid)}"))


@router.post("/messages/{uuid}/run-now")
async def run_now(uuid: str, deed: Annotated[Deed, doing("operate")]) -> Response:
    """Make a delayed message ready."""
    before = await message_of(deed.request, deed.viewer, uuid)
    await deed.service.ask(deed.service.inspector.run_now, uuid)
    deed.tell(queue=before.queue, task=before.task, uuids=[uuid])
    return await done(deed.request, "It is ready now.", deed.back(f"/messages/{segment(uuid)}"))


@router.post("/messages/{uuid}/priority")
async def reprioritize(uuid: str, deed: Annotated[Deed, doing("operate")]) -> Response:
    """Give a waiting message another place in its line."""
    before = await message_of(deed.request, deed.viewer, uuid)
    priority = deed.form.whole("priority", 0, MAX_PRIORITY)
    if priority is None:
        raise Problem(422, "Say which priority: a whole number, lower runs sooner.", kind="invalid")
    await deed.service.ask(deed.service.inspector.reprioritize, uuid, priority)
    deed.tell(queue=before.queue, task=before.task, uuids=[uuid])
    return await done(deed.request, f"Its priority is {priority} now.", deed.back(f"/messages/{segment(uuid)}"))


@router.post("/messages/{uuid}/replay")
async def replay(uuid: str, deed: Annotated[Deed, doing("operate")]) -> Response:
    """Give a dead letter a new life."""
    before = await message_of(deed.request, deed.viewer, uuid)
    await deed.service.ask(deed.service.inspector.replay, uuid)
    deed.tell(queue=before.queue, task=before.task, uuids=[uuid])
    return await done(deed.request, "Replayed: it waits to be run anew.", deed.back(f"/messages/{segment(uuid)}"))


@router.post("/messages/{uuid}/purge")
async def purge(uuid: str, deed: Annotated[Deed, doing("operate")]) -> Response:
    """Delete a dead letter for good."""
    before = await message_of(deed.request, deed.viewer, uuid)
    await deed.service.ask(deed.service.inspector.purge, uuid)
    deed.tell(queue=before.queue, task=before.task, uuids=[uuid])
    return await done(deed.request, "Purged: it is gone for good.", deed.back("/dead-letters"))


def _link(queue: str, state: str, task: str, cursor: str | None) -> str:
    facts = {"queue": queue, "state": state, "task": task, "cursor": cursor or ""}
    return f"/messages?{urlencode({name: value for name, value in facts.items() if value})}"
