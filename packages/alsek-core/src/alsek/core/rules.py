"""What a message may hold, checked where a value enters; each refusal names the value and the rule."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from alsek.defaults import MAX_DURATION_MS, MAX_NAME_LENGTH, MAX_PRIORITY, MAX_UUID_LENGTH
from alsek.exceptions import ValidationError
from alsek.types import SUPPORTED_MECHANISMS, SupportedMechanismType

if TYPE_CHECKING:
    from alsek.core.backoff import BackoffSettingsType

#: Meaning something in keys, in glob patterns, or between the two.
_FORBIDDEN_IN_NAMES = re.compile(r"[ {}*?\[\]\\:]")


def check_name(value: Any, what: str) -> str:
    """Return the name of a task or queue, which becomes part of keys.

    Raises:
        ValidationError: Not a text, empty, too long, or with characters that keys cannot have.
    """
    if value.__class__ is str and value.isidentifier() and len(value) <= MAX_NAME_LENGTH:
        return value  # nearly all are: spares the pattern
    if not isinstance(value, str):
        raise ValidationError(f"The {what} must be a text, not {_kind(value)}: {value!r}")
    if not 0 < len(value) <= MAX_NAME_LENGTH:
        raise ValidationError(f"The {what} must have 1 to {MAX_NAME_LENGTH} characters, not {len(value)}")
    if not value.isprintable() or _FORBIDDEN_IN_NAMES.search(value):
        raise ValidationError(
            f"The {what} {value!r} may not contain whitespace, control characters, or any of {{ }} * ? [ ] \\ :"
        )
    return str.__str__(value)


def check_uuid(value: Any, what: str = "uuid") -> str:
    """Return the id of a message.

    Raises:
        ValidationError: Not a text, empty, too long, or with whitespace or control characters.
    """
    if not isinstance(value, str):
        raise ValidationError(f"The {what} must be a text, not {_kind(value)}: {value!r}")
    if not 0 < len(value) <= MAX_UUID_LENGTH:
        raise ValidationError(f"The {what} must have 1 to {MAX_UUID_LENGTH} characters, not {len(value)}")
    if not value.isprintable() or " " in value:  # the only whitespace that counts as printable
        raise ValidationError(f"The {what} {value!r} may not contain whitespace or control characters")
    return str.__str__(value)


def check_priority(value: Any) -> int:
    """Return the priority; 0 is the most urgent.

    Raises:
        ValidationError: Not a whole number from 0 to `MAX_PRIORITY`.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_PRIORITY:
        raise ValidationError(f"The priority must be a whole number from 0 (most urgent) to {MAX_PRIORITY}: {value!r}")
    return int(value)


def check_count(value: Any, what: str) -> int:
    """Return a number of things.

    Raises:
        ValidationError: Not a whole number, or negative.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise ValidationError(f"The {what} must be a whole number ≥ 0: {value!r}")
    return int(value)


def check_ms(value: Any, what: str, least: int = 0) -> int:
    """Return a duration or a time in whole milliseconds. `2e3` is taken, `0.5` is not.

    Raises:
        ValidationError: Not a whole number, below `least`, or beyond a hundred years.
    """
    if value.__class__ is int and least <= value <= MAX_DURATION_MS:
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_DURATION_MS:
        raise ValidationError(f"The {what} must be a whole number of milliseconds ≥ {least}: {value!r}")
    return int(value)


def check_args(value: Any) -> tuple[Any, ...]:
    """Return the positional arguments of a task.

    Raises:
        ValidationError: Not a list or tuple, nor anything else that gives one value after the other.
    """
    if value.__class__ in (tuple, list):
        return tuple(value)
    if isinstance(value, (str, bytes, bytearray, Mapping)) or not isinstance(value, Iterable):
        raise ValidationError(f"The args must be a list or tuple, not {_kind(value)}: {value!r:.200}")
    return tuple(value)


def check_mapping(value: Any, what: str) -> dict[str, Any]:
    """Return a dict whose keys are texts.

    Raises:
        ValidationError: Not a dict, or one of its keys is no text.
    """
    if not isinstance(value, (dict, Mapping)):
        raise ValidationError(f"The {what} must be a dict, not {_kind(value)}: {value!r:.200}")
    for key in value:
        if not isinstance(key, str):
            raise ValidationError(f"The keys of {what} must be texts, not {_kind(key)}: {key!r:.200}")
    return value if isinstance(value, dict) else dict(value)


def check_mechanism(value: Any) -> SupportedMechanismType:
    """Return the mechanism.

    Raises:
        ValidationError: Neither process, nor thread, nor async.
    """
    for mechanism in SUPPORTED_MECHANISMS:
        if value == mechanism:
            return mechanism
    raise ValidationError(f"The mechanism must be one of {', '.join(SUPPORTED_MECHANISMS)}: {value!r}")


def check_backoff(value: Any) -> BackoffSettingsType:
    """Return the settings of a backoff; whether it exists shows where it is rebuilt.

    Raises:
        ValidationError: Not of the form that `Backoff.settings` has.
    """
    if isinstance(value, dict) and len(value) == 2:
        algorithm, parameters = value.get("algorithm"), value.get("parameters")
        if isinstance(algorithm, str) and isinstance(parameters, dict):
            # A copy: one task may give the same settings to all its messages.
            return {"algorithm": algorithm, "parameters": parameters.copy()}
    raise ValidationError(f"The backoff_settings must be the settings of a backoff: {value!r:.200}")


def check_callback(value: Any) -> dict[str, Any]:
    """Return the data of the message that follows.

    Raises:
        ValidationError: Not the `data` of a message.
    """
    data = check_mapping(value, "callback_message_data")
    if "task_name" not in data or "uuid" not in data:
        raise ValidationError("The callback_message_data must be the data of a message, with task_name and uuid")
    return data


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def check_exceptions(value: Any, name: str) -> tuple[type[BaseException], ...]:
    """Give classes of exceptions as a tuple.

    Raises:
        ValidationError: Something else is among them.
    """
    classes = value if isinstance(value, tuple | list | set | frozenset) else (value,)
    for cls in classes:
        if not (isinstance(cls, type) and issubclass(cls, BaseException)):
            raise ValidationError(f"{name} takes classes of exceptions, such as ({name}=(ConnectionError,)): {cls!r}")
    return tuple(classes)
