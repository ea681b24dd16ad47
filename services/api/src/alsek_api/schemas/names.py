"""The parts that many requests share: names, ids, numbers with their bounds."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from alsek.defaults import MAX_DURATION_MS, MAX_PRIORITY

#: Narrower than what the core allows: nothing that means something in a key, a pattern, a URL or a metric.
NAME: Final = r"^[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}$"

#: What the core makes is a UUIDv7; programs may have chosen ids of their own.
UUID: Final = r"^[A-Za-z0-9_\-]{1,128}$"

Name = Annotated[str, Field(pattern=NAME)]
Uuid = Annotated[str, Field(pattern=UUID, examples=["01a20e33-e5d4-7cda-aebb-441508951d5b"])]
Milliseconds = Annotated[int, Field(ge=0, le=MAX_DURATION_MS)]
SomeMilliseconds = Annotated[int, Field(ge=1, le=MAX_DURATION_MS)]
Priority = Annotated[int, Field(ge=0, le=MAX_PRIORITY)]


class Closed(BaseModel):
    """Something that a client sends: unknown fields are mistakes, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Told(BaseModel):
    """Something that the service answers; made of our own data, so it is not checked again."""

    @classmethod
    def of(cls, **fields: Any) -> dict[str, Any]:
        """Give the fields as they are sent; the type is their description."""
        return fields


class ProblemView(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="`urn:alsek:problem:<kind>`, or `about:blank`.")
    title: str = Field(description="The status in words.")
    status: int
    detail: str = Field(description="What is the matter, and what to do about it.")
    request_id: str = Field(default="", description="As in the header X-Request-ID, and in the log of the service.")
    errors: list[dict[str, Any]] = Field(default_factory=list, description="Each wrong value: `pointer` and `detail`.")
