"""`alsek fsck`."""
from __future__ import annotations
def fsck() -> None:
    """Check that what stands in Redis is whole."""
