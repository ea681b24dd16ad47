"""The dashboard as a browser without scripts sees it: pages, forms, cookies."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

import httpx

from alsek import task
from alsek.tools.inspector import Inspector

if TYPE_CHECKING:
    from api_stage import Running, Stage

    from alsek import Message


class Visitor:
    """Somebody with a browser that runs no scripts.

    Args:
        running: The service.
        token: Of an API key, shown at the log-in; empty: none is shown.
    """

    def __init__(self, running: Running, token: str = "") -> None:
        self.client = httpx.Client(base_url=running.url, timeout=30, headers={"Sec-Fetch-Site": "same-origin"})
        if token:
            answer = self.client.post("/login", data={"key": token, "next": "/"})
            assert answer.status_code == 303, answer.text

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(path, **options)

    def page(self, path: str) -> str:
        """Give a page that has to be there."""
        answer = self.client.get(path, follow_redirects=True)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {visible(answer.text)[-500:]}"
        return answer.text

    def forms(self, path: str) -> dict[str, dict[str, str]]:
        """Give the changing forms of a page: what they send by themselves, by where they send it."""
        return forms_in(self.page(path))

    def send(self, path: str, action: str, **filled: str) -> str:
        """Fill and send a form of a page as a browser would, and give the page that comes then."""
        fields = self.forms(path)
        assert action in fields, f"no form to {action} on {path}, only {list(fields)}"
        answer = self.client.post(action, data=fields[action] | filled, follow_redirects=True)
        assert answer.status_code == 200, f"{action}: {answer.status_code} {visible(answer.text)[-500:]}"
        return visible(answer.text)

    def token(self) -> str:
        """Give the token that the forms of this session carry."""
        match = re.search(r'name="token" value="([0-9a-f]{64})"', self.page("/"))
        assert match is not None
        return match[1]

    def close(self) -> None:
        self.client.close()


class Site:
    """A service with one key of each kind.

    Args:
        stage: Where it is started.
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.keys = {scope: stage.key(scope) for scope in ("read", "admin")}
        self.keys["operate"] = stage.key("read", "operate")
        self.keys["enqueue"] = stage.key("read", "enqueue")
        self.keys["blind"] = stage.key("enqueue", "operate")
        self.keys["mail"] = stage.key("read", "operate", queues=["mail*"])
        self.running = stage.serve()
        self._shop_is_open = False
        self._visitors: list[Visitor] = []

    def open_shop(self) -> None:
        """See to it that a worker with the tasks of the shop is online."""
        if not self._shop_is_open:
            self.stage.worker("shop_tasks")
            self._shop_is_open = True

    def visitor(self, kind: str = "admin") -> Visitor:
        """Give somebody who has logged in with a key of that kind."""
        visitor = Visitor(self.running, self.keys[kind])
        self._visitors.append(visitor)
        return visitor

    @property
    def inspector(self) -> Inspector:
        return Inspector(self.stage.broker)

    def submit(self, queue: str, *args: object, name: str = "add_up", **options: int) -> Message:
        """Submit a message that nobody runs, unless it is one of the shop's: every test keeps to a queue of its own."""
        return self.submit_to(self.stage, queue, *args, name=name, **options)

    @staticmethod
    def submit_to(stage: Stage, queue: str, *args: object, name: str = "add_up", **options: int) -> Message:
        """Submit a message on a stage."""

        def function(*args: object) -> None:
            """Stand for a task of a worker."""

        return task(stage.broker, name=name, queue=queue)(function).generate(args=args, **options)

    def kill(self, queue: str, *args: object, name: str = "add_up") -> Message:
        """Make a dead letter."""
        message = self.submit(queue, *args, name=name)
        self.inspector.revoke(message.uuid)
        return message

    def close(self) -> None:
        for visitor in self._visitors:
            visitor.close()


def visible(page: str) -> str:
    """Give the text of a page as a person reads it."""
    text = re.sub(r"<(style|script)\b.*?</\1>", " ", page, flags=re.DOTALL)
    text = text.replace("<wbr>", "")
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", text)).replace("\u202f", " ")).strip()


def forms_in(page: str) -> dict[str, dict[str, str]]:
    """Give the forms of a page that change something."""
    found = {}
    for attributes, body in re.findall(r"<form\b([^>]*)>(.*?)</form>", page, flags=re.DOTALL):
        if 'method="post"' in attributes:
            action = re.search(r'action="([^"]*)"', attributes)
            assert action is not None
            fields = {}
            for tag in re.findall(r"<input\b[^>]*>", body):
                name, value = (re.search(rf'\b{what}="([^"]*)"', tag) for what in ("name", "value"))
                if name is not None and (not re.search('"(checkbox|radio)"', tag) or " checked" in tag):
                    fields[name[1]] = html.unescape(value[1]) if value is not None else ""
            for name, text in re.findall(
                r'<textarea\b[^>]*name="([^"]*)"[^>]*>(.*?)</textarea>', body, flags=re.DOTALL
            ):
                fields[name] = html.unescape(text)
            for name, options in re.findall(r'<select\b[^>]*name="([^"]*)"[^>]*>(.*?)</select>', body, flags=re.DOTALL):
                chosen = re.search(r'value="([^"]*)" selected', options) or re.search(r'value="([^"]*)"', options)
                fields[name] = html.unescape(chosen[1]) if chosen is not None else ""
            found[html.unescape(action[1])] = fields
    return found
