"""Closed vocabulary that every floor may use: the mechanisms, the sentinel, the shape of a recorded exception."""

from __future__ import annotations

from importlib import import_module
from typing import Literal, NamedTuple, TypeAlias

SupportedMechanismType: TypeAlias = Literal["process", "thread", "async"]

#: How a task can be executed.
SUPPORTED_MECHANISMS: tuple[SupportedMechanismType, ...] = ("process", "thread", "async")


class Empty:
    """Stand for "no value": pass the class, or an instance, as `default=` to have `KeyError` raised."""


class ExceptionDetails(NamedTuple):
    """What is kept of an exception once its process is gone: three texts."""

    name: str
    """Dotted path of the class; bare for builtins."""
    text: str | None = None
    """`str(error)`."""
    traceback: str | None = None
    """The formatted traceback."""

    def as_dict(self) -> dict[str, str | None]:
        """Return the three texts by name."""
        return self._asdict()

    def as_exception(self, strict: bool = True) -> BaseException:
        """Rebuild the exception.

        This imports the module that the recorded name points to, so call it only on records you trust.

        Args:
            strict: Raise if the class cannot be found; otherwise fall back to a plain `Exception`.

        Returns:
            An exception with the recorded text; its constructor is skipped where one text does not satisfy it.

        Raises:
            ImportError: The name leads to no exception class (only with `strict`).
        """
        try:
            cls = _import_exception(self.name)
        except ImportError:
            if strict:
                raise
            return Exception(f"{self.name}: {self.text}")
        arguments = () if self.text is None else (self.text,)
        try:
            return cls(*arguments)
        except Exception:  # noqa: BLE001 - a foreign constructor may want other arguments, and raise anything
            return cls.__new__(cls, *arguments)


def _import_exception(name: str) -> type[BaseException]:
    """Find an exception class by the dotted path that `get_exception_name` gave it."""
    parts = name.split(".") if "." in name else ["builtins", name]
    for split in range(len(parts) - 1, 0, -1):
        try:
            found: object = import_module(".".join(parts[:split]))
        except Exception:  # noqa: BLE001, S112 - a module may raise anything while it is imported
            continue
        for part in parts[split:]:
            found = getattr(found, part, None)
        if isinstance(found, type) and issubclass(found, BaseException):
            return found
    raise ImportError(f"'{name}' is not the name of an importable exception class")
