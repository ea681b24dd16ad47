"""How long to wait before a failed message is tried again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from random import randint
from typing import Any, Final, TypedDict

from alsek.defaults import MAX_DURATION_MS
from alsek.exceptions import ValidationError

#: Any power reaches any ceiling by then; higher ones of whole numbers only take memory, and time.
_MOST_INCIDENTS: Final = 10_000


class BackoffSettingsType(TypedDict):
    """What a message carries of its backoff: enough to rebuild it in another process."""

    algorithm: str
    parameters: dict[str, Any]


class Backoff(ABC):
    """Time to wait as a function of the number of failures so far.

    Subclasses override `formula`. A subclass with parameters of its own keeps each as an attribute of the same name.

    Args:
        floor: Wait at least this long (ms); None for no bound.
        ceiling: Wait at most this long (ms); None for no bound.
        zero_override: Do not wait at all while nothing has failed.
        jitter: Draw the time evenly from the floor (or 0) up to what the formula gives, so that what failed together is
            not tried again together (full jitter: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    """

    def __init__(
        self,
        floor: int | None = 60_000,
        ceiling: int | None = 3_600_000,
        zero_override: bool = True,
        jitter: bool = False,
    ) -> None:
        if floor is not None and ceiling is not None and floor > ceiling:
            raise ValidationError(f"The floor of a backoff ({floor} ms) lies above its ceiling ({ceiling} ms)")
        self.floor = floor
        self.ceiling = ceiling
        self.zero_override = zero_override
        self.jitter = jitter

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.parameters.items())})"

    @property
    def parameters(self) -> dict[str, Any]:
        """What to pass to the constructor for an equal backoff."""
        names = _parameter_names(type(self))
        # Upstream's workers do not know jitter, and a message that has none need not carry it.
        return {name: getattr(self, name) for name in names if name != "jitter" or self.jitter}

    @property
    def settings(self) -> BackoffSettingsType:
        """What `settings2backoff` rebuilds this backoff from."""
        return {"algorithm": type(self).__name__, "parameters": self.parameters}

    @abstractmethod
    def formula(self, incidents: int) -> int:
        """Return the time to wait in ms, before floor and ceiling are applied."""

    def get(self, incidents: int) -> int:
        """Return the time to wait in ms after so many failures."""
        if self.zero_override and incidents == 0:
            return 0
        try:
            duration = self.formula(incidents)
        except OverflowError:
            # A formula on floats leaves their range after some hundred failures.
            duration = MAX_DURATION_MS
        if self.floor is not None:
            duration = max(self.floor, duration)
        if self.ceiling is not None:
            duration = min(self.ceiling, duration)
        duration = int(min(max(duration, 0), MAX_DURATION_MS))
        if self.jitter:
            duration = randint(min(self.floor or 0, duration), duration)  # noqa: S311  (spread, not secrecy)
        return duration


class ConstantBackoff(Backoff):
    """Always wait the same time.

    Args:
        constant: Time to wait (ms).
        **kwargs: Parameters of `Backoff`.
    """

    def __init__(self, constant: int = 60_000, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.constant = constant

    def formula(self, incidents: int) -> int:  # noqa: ARG002 - constant
        """Return `constant`."""
        return self.constant


class LinearBackoff(Backoff):
    """Wait longer by the same step each time.

    Args:
        factor: The step (ms).
        **kwargs: Parameters of `Backoff`.
    """

    def __init__(self, factor: int = 30_000, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def formula(self, incidents: int) -> int:
        """Return `factor * incidents`."""
        return self.factor * incidents


class ExponentialBackoff(Backoff):
    """Multiply the time to wait each time.

    Args:
        base: What it is multiplied by.
        factor: Time that `base ** incidents` is multiplied with (ms).
        **kwargs: Parameters of `Backoff`.
    """

    def __init__(self, base: int = 4, factor: int = 10_000, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.base = base
        self.factor = factor

    def formula(self, incidents: int) -> int:
        """Return `factor * base ** incidents`."""
        return int(self.factor * self.base ** min(incidents, _MOST_INCIDENTS))


def settings2backoff(settings: BackoffSettingsType) -> Backoff:
    """Rebuild a backoff from its `settings`.

    Only classes that derive from `Backoff`, at whatever depth, and are imported already are found; of two with one
    name, the one defined last.

    Raises:
        KeyError: No such class is known here.
    """
    known = {cls.__name__: cls for cls in _descendants(Backoff)}  # type: ignore[type-abstract] # listed, not called
    try:
        algorithm = known[settings["algorithm"]]
    except KeyError:
        raise KeyError(
            f"Unknown backoff algorithm '{settings['algorithm']}': import the module that defines it"
        ) from None
    return algorithm(**settings["parameters"])


def _descendants(cls: type[Backoff]) -> list[type[Backoff]]:
    found: list[type[Backoff]] = []
    for child in cls.__subclasses__():
        found += [child, *_descendants(child)]
    return found


def _parameter_names(cls: type) -> list[str]:
    """Names that the constructors from `cls` up to `Backoff` take, own ones first."""
    names: dict[str, None] = {}
    for owner in cls.__mro__:
        code = getattr(owner.__dict__.get("__init__"), "__code__", None)
        if code is not None:
            arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            names.update(dict.fromkeys(arguments[1:]))
    return list(names)
