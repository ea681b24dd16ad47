"""What a consumer looks at: all queues, some of them, or some tasks of some queues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alsek.core.rules import check_name
from alsek.exceptions import ValidationError
from alsek.storage.backends.redis.verbs import Interest

Subset = Sequence[str] | Mapping[str, Sequence[str]] | None


def interests_of(subset: Sequence[str] | Mapping[str, Sequence[str]]) -> list[Interest]:
    """Give the queues of a subset, the preferred first, each with the tasks it is narrowed to.

    Raises:
        ValidationError: It is no list of queue names, or names one twice.
    """
    if isinstance(subset, str):
        raise ValidationError(f"subset has to be a list of queue names, not one text: [{subset!r}]")
    names = list(subset)
    for name in names:
        check_name(name, "queue")
    if len(set(names)) != len(names):
        raise ValidationError(f"a queue is named twice: {', '.join(names)}")
    if isinstance(subset, Mapping):
        return [Interest(queue, tuple(tasks)) for queue, tasks in subset.items()]
    return [Interest(queue) for queue in names]
