"""`telemetry.drowsiness` on the wire: what an eye tracker says about a driver."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import ConfigDict, FailFast, Field, Strict, model_validator, with_config
from typing_extensions import TypedDict

from schemas.base import STRICT, Number, Telemetry

EyeAspectRatio = Annotated[Number, Field(ge=0, le=1)]
Duration = Annotated[Number, Field(ge=0)]
Flag = Annotated[bool, Strict()]

_EAR = "Eye aspect ratio, 0 (closed) to 1."
_DROWSY = "Whether the tracker holds the driver to be drowsy."
_DURATION = "How long the state has lasted, in milliseconds."


@with_config(STRICT)
class DrowsinessEvent(TypedDict):
    """One observation of the eyes."""

    ear_value: Annotated[EyeAspectRatio, Field(description=_EAR)]
    is_drowsy: Annotated[Flag, Field(description=_DROWSY)]
    duration_ms: Annotated[Duration, Field(description=_DURATION)]


class DrowsinessTelemetry(Telemetry):
    """One observation of the eyes, or `events` with several; each is a sample."""

    summary: ClassVar[str] = "What eye trackers say about drivers."

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["ear_value", "is_drowsy", "duration_ms"]},
                {"required": ["events"]},
            ]
        }
    )

    ear_value: EyeAspectRatio | None = Field(default=None, description=_EAR)
    is_drowsy: Flag | None = Field(default=None, description=_DROWSY)
    duration_ms: Duration | None = Field(default=None, description=_DURATION)
    events: Annotated[list[DrowsinessEvent] | None, FailFast()] = Field(
        default=None, description="Observations in the order of time, instead of a single one."
    )

    @model_validator(mode="after")
    def _one_event_or_several(self) -> Self:
        own = (self.ear_value, self.is_drowsy, self.duration_ms)
        given = sum(value is not None for value in own)
        if self.events is not None and given:
            raise ValueError("should have either events or an event's own fields, not both")
        if self.events is None and given < len(own):
            raise ValueError(
                "should have ear_value, is_drowsy and duration_ms, or events with several of them"
            )
        return self

    def observations(self) -> list[DrowsinessEvent]:
        """The events of the record, one where it is a single observation."""
        if self.events is not None:
            return self.events
        if self.ear_value is None or self.is_drowsy is None or self.duration_ms is None:
            return []
        return [
            DrowsinessEvent(
                ear_value=self.ear_value, is_drowsy=self.is_drowsy, duration_ms=self.duration_ms
            )
        ]
