"""Whether a function asks for the message that it is run for."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, get_type_hints

from alsek.core.message import Message

if TYPE_CHECKING:
    from collections.abc import Callable


def wants_message(function: Callable[..., Any]) -> bool:
    """Tell whether a function has a parameter `message`, not annotated or annotated as a `Message`."""
    parameter = inspect.signature(function).parameters.get("message")
    if parameter is None or parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        return False
    try:
        annotation = get_type_hints(function).get("message", parameter.annotation)
    except (NameError, TypeError):
        annotation = parameter.annotation
    return annotation in (parameter.empty, Message, "Message", Message | None)
