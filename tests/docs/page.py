"""A documentation page as the runner sees it: code blocks with the directives that stand above them.

A directive is an HTML comment on the lines right above a code block, invisible to the reader:

    <!-- file: my_tasks.py -->            write the block to this file instead of executing it
    <!-- skip: reason -->                 do not execute; the reason is required
    <!-- run: background until "text" --> a shell command that goes on until the page ends; wait for the text first
    <!-- before: import math -->          Python executed first, in the page's session
    <!-- output -->                       the block shows what was just printed; lines of `...` stand for anything
    <!-- fails: text -->                  the block ends with an error whose text contains this
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

EXECUTED = ("python", "shell")
DIRECTIVES = {"file", "skip", "run", "before", "output", "fails"}

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,}) *(?P<language>[\w+-]*)")
_DIRECTIVE = re.compile(r"^\s*<!--\s*(?P<name>[a-z]+)(?::\s*(?P<value>.*?))?\s*-->\s*$")
_BACKGROUND = re.compile(r'^background until "(?P<text>.+)"$')


class DirectiveError(ValueError):
    """A directive of a page cannot be understood."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page."""

    page: str
    line: int
    language: str
    code: str
    directives: dict[str, str] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """The place of the block's first line of code, as editors understand it."""
        return f"{self.page}:{self.line}"

    @property
    def action(self) -> Literal["write", "background", "compare", "python", "shell", "nothing"]:
        """What the runner does with this block."""
        if "skip" in self.directives:
            return "nothing"
        if "file" in self.directives:
            return "write"
        if "output" in self.directives:
            return "compare"
        if "run" in self.directives:
            return "background"
        if self.language in EXECUTED:
            return "python" if self.language == "python" else "shell"
        return "nothing"

    @property
    def awaited(self) -> str:
        """The text that a background command prints once it is ready."""
        match = _BACKGROUND.match(self.directives["run"])
        if match is None or self.language != "shell":
            raise DirectiveError(f'{self.where}: expected a shell block and <!-- run: background until "text" -->')
        return match["text"]


def read_page(path: Path, name: str) -> list[Block]:
    """Find the code blocks of a Markdown page, in order."""
    return parse_page(path.read_text(encoding="utf-8"), name)


def parse_page(text: str, name: str) -> list[Block]:
    """Find the code blocks of a Markdown text, in order."""
    blocks: list[Block] = []
    directives: dict[str, str] = {}
    lines = enumerate(text.splitlines(), start=1)
    for number, line in lines:
        if (directive := _DIRECTIVE.match(line)) and directive["name"] in DIRECTIVES:
            directives[directive["name"]] = _judged(directive, f"{name}:{number}")
        elif fence := _FENCE.match(line):
            code = []
            for _, inner in lines:
                if inner.strip() == fence["fence"]:
                    break
                code.append(inner.removeprefix(fence["indent"]))
            blocks.append(Block(name, number + 1, fence["language"], "\n".join(code) + "\n", directives))
            directives = {}
        elif line.strip():
            if directives:
                raise DirectiveError(f"{name}:{number}: a directive above stands on no code block")
            if directive and not line.strip().startswith("<!-- "):
                raise DirectiveError(f"{name}:{number}: unknown directive")
    return blocks


def _judged(directive: re.Match[str], where: str) -> str:
    value = directive["value"] or ""
    if not value and directive["name"] != "output":
        raise DirectiveError(f"{where}: {directive['name']} needs a value; a skip needs its reason")
    return value
