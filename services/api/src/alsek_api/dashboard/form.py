"""What a browser's form sends: read with bounds, without multipart, because no form of ours carries files."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from alsek_api.problems import Problem

#: Longest form, bytes: arguments typed by hand are far below.
LONGEST: Final = 262_144

#: Most fields of a form.
MOST_FIELDS: Final = 500


class Form(dict[str, str]):
    """The fields of a form; of a repeated one the last."""

    def text(self, name: str, most: int = 1_000) -> str:
        """Give a field without the space around it; empty where it was not sent.

        Raises:
            Problem: 422: it is too long.
        """
        value = self.get(name, "").strip()
        if len(value) > most:
            raise Problem(422, f"{name} may have {most:,} characters at most.", kind="invalid")
        return value

    def whole(self, name: str, least: int, most: int) -> int | None:
        """Give a field as a whole number within bounds; `None` where it is empty.

        Raises:
            Problem: 422: it is none, or out of its bounds.
        """
        value = self.text(name, 30)
        if not value:
            return None
        try:
            found = int(value)
        except ValueError:
            found = None
        if found is None or not least <= found <= most:
            raise Problem(422, f"{name} has to be a whole number from {least:,} to {most:,}.", kind="invalid")
        return found


async def read_form(request: Request) -> Form:
    """Read the form of a request.

    Raises:
        Problem: 413: too much; 415: not what a plain form sends; 422: not readable.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded" and (kind or await request.body()):
        raise Problem(415, "Send a form as application/x-www-form-urlencoded.", kind="unsupported-media-type")
    if not kind:
        return Form()
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST:
            raise Problem(413, f"A form may have {LONGEST:,} bytes at most.", kind="payload-too-large")
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, encoding="utf-8", errors="strict"
        )
    except ValueError:
        raise Problem(422, "This form cannot be read.", kind="invalid") from None
    return Form(pairs)
