"""What becomes of a fire that comes late, or while the last one still runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from alsek.core.rules import check_ms
from alsek.exceptions import ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

Misfire = Literal["skip", "once", "all"]
Overlap = Literal["allow", "skip", "queue_one"]

#: An instant that is due counts as on time so long: longer than another scheduler takes to lead (a lease of 10 s).
ON_TIME_MS: Final = 15_000

#: `all` never submits more than so many missed messages at once.
MOST_CAUGHT_UP: Final = 100


@dataclass(frozen=True, slots=True)
class FirePolicy:
    """How a schedule takes irregularities.

    Attributes:
        misfire: When several instants have passed since the last look: `once` fires the last of them; `all` fires each
            of them, the latest 100; `skip` fires the last one only if it has just passed.
        grace_ms: An instant that has been missed for longer gets no message (`once` and `all`).
        overlap: While the last message still waits or runs: `allow` submits another one, `skip` drops the fire,
            `queue_one` keeps one fire until the message has ended, and drops further ones.

    Raises:
        ValidationError: There is no such policy, or the grace is no time.
    """

    misfire: Misfire = "once"
    grace_ms: int = 3_600_000
    overlap: Overlap = "allow"

    def __post_init__(self) -> None:
        for name, allowed in (("misfire", get_args(Misfire)), ("overlap", get_args(Overlap))):
            if getattr(self, name) not in allowed:
                raise ValidationError(f"the {name} policy is one of {', '.join(allowed)}: {getattr(self, name)!r}")
        check_ms(self.grace_ms, "grace")

    @property
    def lateness_ms(self) -> int:
        """How late an instant may be and still get its message."""
        return ON_TIME_MS if self.misfire == "skip" else max(self.grace_ms, ON_TIME_MS)

    @property
    def most(self) -> int:
        """How many of the instants that have passed get a message."""
        return MOST_CAUGHT_UP if self.misfire == "all" else 1

    def data(self) -> dict[str, Any]:
        """Describe the policy as plain data."""
        return {"misfire": self.misfire, "grace_ms": self.grace_ms, "overlap": self.overlap}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> FirePolicy:
        """Make the policy that plain data describes; what it leaves out is as usual.

        Raises:
            ValidationError: It describes none.
        """
        unknown = data.keys() - {"misfire", "grace_ms", "overlap"}
        if unknown:
            raise ValidationError(f"a policy has misfire, grace_ms and overlap; not {', '.join(sorted(unknown))}")
        return cls(**data)
