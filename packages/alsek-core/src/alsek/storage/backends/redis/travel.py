"""How a backend gets into another process: as a description in plain data, never with its sockets."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import msgspec

from alsek.exceptions import MissingExtraError, SerializationError

#: In front of descriptions that hold objects only dill can pack.
_DILL: Final = b"dill:"

#: Types that JSON brings back as they were.
_PLAIN: Final = (str, int, float, bool, type(None))


def pack(backend_class: type, settings: dict[str, Any]) -> bytes:
    """Pack the description of a backend.

    JSON, unless a class of the user's own cannot be found by its name, or an object has to travel; then dill.

    Args:
        backend_class: Whose `from_settings` will take the settings.
        settings: Plain data and classes.

    Raises:
        MissingExtraError: dill is needed and not installed.
        SerializationError: Not even dill can pack it.
    """
    described = {"backend": backend_class, "settings": settings}
    try:
        return msgspec.json.encode(_plain(described))
    except TypeError as error:
        try:
            import dill
        except ImportError:
            raise MissingExtraError(
                f"this backend needs dill to travel ({error}): python -m pip install 'alsek-core[dill]'", extra="dill"
            ) from error
        try:
            return _DILL + bytes(dill.dumps(described))
        except Exception as failure:
            raise SerializationError(f"this backend cannot travel: {failure}", reason=str(failure)) from failure


def unpack(packed: bytes) -> dict[str, Any]:
    """Unpack what `pack` packed: `{"backend": class, "settings": {…}}`. Only for data you trust."""
    if packed.startswith(_DILL):
        import dill

        loaded: dict[str, Any] = dill.loads(packed.removeprefix(_DILL))  # noqa: S301 - our own parent made it
        return loaded
    restored: dict[str, Any] = _restored(msgspec.json.decode(packed))
    return restored


def _plain(value: Any) -> Any:
    if isinstance(value, type):
        return {"class": _path_of(value)}
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, _PLAIN):
        return value
    raise TypeError(f"{type(value).__qualname__} is no plain data")


def _restored(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"class"} and isinstance(value["class"], str):
            return _found(value["class"])
        return {name: _restored(part) for name, part in value.items()}
    return [_restored(part) for part in value] if isinstance(value, list) else value


def _path_of(cls: type) -> str:
    path = f"{cls.__module__}:{cls.__qualname__}"
    # Another process has another `__main__`.
    if cls.__module__ == "__main__" or "<locals>" in path or _found(path) is not cls:
        raise TypeError(f"{path} cannot be imported")
    return path


def _found(path: str) -> Any:
    module, _, name = path.partition(":")
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found
