"""What a key that is limited to queues and tasks gets to see; everything else is answered as if it were not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alsek_api.auth.guard import service_of
from alsek_api.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

    from alsek.tools.inspector import MessageInfo, QueueInfo
    from alsek_api.auth.keys import Principal
    from alsek_api.dashboard.access import Viewer


async def queues_of(request: Request, who: Viewer) -> list[QueueInfo]:
    """Give the queues that somebody may see, by name."""
    service = service_of(request)
    return [queue for queue in await service.ask(service.inspector.queues) if who.principal.sees(queue.name)]


def check_sees(principal: Principal, queue: str, task: str = "", *, whole: bool = False) -> None:
    """Refuse what a key is not good for.

    Args:
        principal: Whose key.
        queue: Which queue.
        task: Which task in it.
        whole: The whole queue is meant, so a limit to tasks is in the way.

    Raises:
        Problem: 404: as if there were no such queue; 403: only a part of it is theirs.
    """
    if not principal.sees(queue, task):
        raise Problem(404, "There is nothing of that name, or your key does not see it.", kind="not-found")
    if whole and principal.tasks:
        raise Problem(403, "This key is limited to some tasks, and this would touch the whole queue. Nothing was done.",
                      kind="forbidden")  # fmt: skip


async def message_of(request: Request, who: Viewer, uuid: str) -> MessageInfo:
    """Give a message that somebody may see.

    Raises:
        Problem: 404.
        MessageDoesNotExistsError: It never was, or ended a while ago.
    """
    service = service_of(request)
    info: MessageInfo = await service.ask(service.inspector.message, uuid)
    if who.principal.is_limited and not (info.queue and who.principal.sees(info.queue, info.task)):
        raise Problem(404, f"There is no message {uuid}, or your key does not see it.", kind="no-such-message")
    return info
