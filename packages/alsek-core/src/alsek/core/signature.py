"""Checks a call against the function's signature where it is made, so that a wrong one never reaches a worker."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from alsek.exceptions import WrongArgumentsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class CallCheck:
    """What one function takes; found out once, so that a right call costs next to nothing.

    Args:
        name: Of the task.
        function: What is called.
        injected: Parameters that the worker fills when the caller does not.
    """

    def __init__(self, name: str, function: Callable[..., Any], injected: frozenset[str] = frozenset()) -> None:
        self._name = name
        self._injected = injected
        self._signature: inspect.Signature | None
        try:
            self._signature = inspect.signature(function)
        except (TypeError, ValueError):  # some builtins do not tell
            self._signature = None
        parameters = list(self._signature.parameters.values()) if self._signature is not None else []
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        needed = [p.name not in injected and p.default is p.empty for p in positional]
        #: A call without keywords is right with so many arguments.
        self._fewest = len(needed) - needed[::-1].index(True) if any(needed) else 0
        self._most = len(positional)
        # What could clash with an argument by position, or is needed by name, is left to the full check.
        self._plain = self._signature is None or not any(
            p.kind is p.VAR_POSITIONAL or (p.kind is p.KEYWORD_ONLY and p.default is p.empty and p.name not in injected)
            for p in parameters
        )
        if self._signature is None:
            self._most = 1_000_000
        elif injected & {p.name for p in positional}:
            self._most = min(i for i, p in enumerate(positional) if p.name in injected)

    def __call__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Refuse a call that the function could not be called with.

        Raises:
            WrongArgumentsError: It could not; the text names the parameter, and shows the signature.
        """
        if self._plain and not kwargs and self._fewest <= len(args) <= self._most:
            return
        signature = self._signature
        if signature is None:
            return
        try:
            bound = signature.bind_partial(*args, **kwargs) if self._injected else signature.bind(*args, **kwargs)
        except TypeError as error:
            raise self._wrong(str(error)) from None
        for name, parameter in signature.parameters.items() if self._injected else ():
            variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            given = name in bound.arguments or name in self._injected
            if not given and not variable and parameter.default is parameter.empty:
                raise self._wrong(f"missing a required argument: '{name}'")

    def normal(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Give a right call in the one form that all calls with the same meaning have."""
        if self._signature is None:
            return tuple(args), dict(sorted(kwargs.items()))
        bound = self._signature.bind_partial(*args, **kwargs)
        bound.apply_defaults()
        for name in self._injected - kwargs.keys():
            bound.arguments.pop(name, None)
        return bound.args, dict(sorted(bound.kwargs.items()))

    def _wrong(self, why: str) -> WrongArgumentsError:
        # Postponed annotations are texts: shown as they were written.
        shown = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(self._signature))
        return WrongArgumentsError(f"{self._name}{shown}: {why}", task_name=self._name)
