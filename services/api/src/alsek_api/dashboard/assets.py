"""The files that pages load: named by their content, so that browsers keep them for good and still never an old one."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from alsek_api.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

FOLDER: Final = Path(__file__).parent / "static"

_KINDS: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file.

    Attributes:
        body: What it holds.
        kind: Its media type.
        mark: Changes whenever the body does.
    """

    body: bytes
    kind: str
    mark: str


class Assets:
    """All files of the dashboard, read once: what is not among them does not exist, whatever its path says."""

    def __init__(self) -> None:
        self._found = {
            path.relative_to(FOLDER).as_posix(): _read(path)
            for path in sorted(FOLDER.rglob("*"))
            if path.suffix in _KINDS and path.is_file()
        }

    def url(self, name: str) -> str:
        """Give the address of a file; empty where it is missing, as in a working copy that could not reach npm."""
        asset = self._found.get(name)
        return "" if asset is None else f"/static/{name}?v={asset.mark}"

    def serve(self, request: Request, name: str) -> Response:
        """Answer with a file.

        Raises:
            Problem: 404.
        """
        asset = self._found.get(name)
        if asset is None:
            raise Problem(404, "There is no such file.", kind="not-found")
        is_named = request.query_params.get("v") == asset.mark
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable" if is_named else "no-cache",
            "ETag": f'"{asset.mark}"',
        }
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(asset.body, media_type=asset.kind, headers=headers)


def _read(path: Path) -> Asset:
    body = path.read_bytes()
    return Asset(body, _KINDS[path.suffix], sha256(body).hexdigest()[:12])
