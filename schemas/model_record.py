"""`models` and `candidates` on the wire: a trained version of a profile's model."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field

from schemas.base import EpochMs, Record
from schemas.verdict import Share

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]

KNOWN_TRIGGERS: Final = ("cold-start", "samples", "age", "drift", "shift", "command", "rollback")


class HistoryEntry(Record):
    """An earlier version, kept so that a rollback can be checked."""

    version: Annotated[int, Field(ge=1)] = Field(description="Its version.")
    artifact: str = Field(description="Its artefact, relative to the model directory.")
    sha256: Digest = Field(description="SHA-256 of the artefact, in hex.")
    decision_offset: float | None = Field(description="Its threshold on the detector's score.")
    trained_at: EpochMs = Field(description="When it was trained, epoch milliseconds.")


class ModelRecord(Record):
    """One version of a profile's model; on `candidates` it has no version yet."""

    profile_id: str = Field(description="Whose model it is.")
    kind: str = Field(description="Kind of telemetry.")
    partition: Count | None = Field(
        default=None, description="Partition of the profile's telemetry; part of the file's name."
    )
    generation: int = Field(description="Telemetry offset of the first sample of this learning.")
    version: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="1, 2, …, assigned by the scorer; null for a candidate."
    )
    base_version: int | None = Field(
        default=None, description="The version that a candidate was trained from, else null."
    )
    detector: str = Field(description="Name of the detector.")
    artifact: str = Field(description="Artefact, relative to the model directory.")
    sha256: Digest = Field(description="SHA-256 of the artefact, in hex.")
    features: list[str] = Field(description="Names of the features in the vector's order.")
    trained_on: Count = Field(description="Samples it was trained on.")
    learned: Count = Field(description="Samples that version 1 was trained on.")
    pool_count: Count = Field(
        default=0, description="Accepted samples of this generation at the time of training."
    )
    alert_budget: Share = Field(description="Share of normal records that may be called abnormal.")
    decision_offset: float | None = Field(
        default=None, description="Threshold on the detector's score at that budget."
    )
    trigger: str = Field(description=f"Why it was trained: {', '.join(KNOWN_TRIGGERS)}.")
    trained_at: EpochMs = Field(description="When it was trained, epoch milliseconds.")
    source_offset: int | None = Field(
        default=None, description="Offset of the last telemetry record it was trained on."
    )
    history: list[HistoryEntry] = Field(
        default=[], description="The versions before it, the last 5, newest first."
    )
    provenance: dict[str, Any] | None = Field(
        default=None, description="Where the training samples came from."
    )
    figures: dict[str, Any] | None = Field(
        default=None, description="What the gate measured on the candidate."
    )
