"""`lifecycle` on the wire: what happened to a profile's model."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field

from schemas.base import EpochMs, Record

KNOWN_EVENTS: Final = (
    "trained",
    "training_failed",
    "refused",
    "adopted",
    "drifting",
    "rolled_back",
    "forgotten",
    "suppressed",
    "resumed",
    "shifted",
    "shift_ended",
    "held",
    "features_changed",
    "looks_like_counter",
    "command_rejected",
)


class LifecycleEvent(Record):
    """One thing that happened to a profile, for consoles and audit."""

    event: str = Field(
        description="What happened; more may come beside the known ones.",
        examples=list(KNOWN_EVENTS),
    )
    profile_id: str = Field(description="Which profile it happened to.")
    kind: str | None = Field(default=None, description="Kind of telemetry.")
    generation: int | None = Field(
        default=None, description="Telemetry offset of the first sample of this learning."
    )
    version: int | None = Field(default=None, description="Version of the model concerned.")
    command_id: str | None = Field(default=None, description="The command that it answers.")
    role: Literal["scorer", "retrainer", "console"] | None = Field(
        default=None, description="Who says so."
    )
    detail: str | None = Field(default=None, description="A sentence for people.")
    figures: dict[str, Any] | None = Field(default=None, description="Measured values behind it.")
    at: EpochMs = Field(description="When it happened, epoch milliseconds.")
