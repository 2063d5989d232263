"""`commands` on the wire: what operators ask of the scorer."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.base import EpochMs, Record


class CommandName(StrEnum):
    """What can be asked for."""

    FORGET = "forget"
    RETRAIN = "retrain"
    ROLLBACK = "rollback"
    SUPPRESS = "suppress"
    RESUME = "resume"
    TRAIN = "train"
    ADOPT = "adopt"
    HOLD = "hold"


class Command(Record):
    """One request about one profile, sent to every partition."""

    command_id: str = Field(description="Names the request; receipts carry it.")
    command: CommandName = Field(
        strict=False,
        description="forget the profile, retrain it, roll back to an earlier version, suppress "
        "its anomalies for a time, resume, train on the samples that are there, adopt a new "
        "normal, or hold it.",
    )
    profile_id: str = Field(description="Which profile it is about.")
    kind: str | None = Field(default=None, description="Kind of telemetry; null for all.")
    version: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="For rollback: the version to go back to; null: the one before."
    )
    until: EpochMs | None = Field(
        default=None,
        description="For suppress and hold: the end, epoch milliseconds; null: without end.",
    )
    reason: str | None = Field(default=None, description="Why, in the operator's words.")
    issued_at: EpochMs = Field(description="When it was sent, epoch milliseconds.")
