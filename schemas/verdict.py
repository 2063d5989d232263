"""`anomalies` on the wire: the verdict on one telemetry record."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.base import EpochMs, Number, Record

Status = Literal["learning", "scored", "abstained"]
Severity = Literal["none", "low", "medium", "high", "critical"]
Regime = Literal["usual", "shifted"]
Share = Annotated[Number, Field(ge=0, le=1)]


class Reason(Record):
    """What one feature had to do with an anomaly."""

    feature: str = Field(description="Name of the feature.")
    value: Number | None = Field(description="Its value in the record; null where absent.")
    typical: Annotated[list[Number | None], Field(min_length=2, max_length=2)] = Field(
        description="Low and high end of what the profile usually shows, in the feature's unit."
    )
    contribution: Number = Field(description="Its share in the abnormality; larger is more.")
    text: str | None = Field(
        default=None,
        description="What is wrong, in words; of detectors that judge points in their order.",
    )


class SampleVerdict(Record):
    """An anomalous sample of a record that holds several."""

    index: Annotated[int, Field(ge=0)] = Field(description="Place in the record, from 0.")
    score: Share = Field(description="0–1, higher is more abnormal.")
    decision: Number = Field(description="Below 0 is an anomaly.")


class Verdict(Record):
    """What the scorer says about one valid telemetry record."""

    verdict_id: str = Field(
        description="<topic>-<partition>-<offset> of the telemetry record; tells duplicates apart."
    )
    profile_id: str = Field(description="Whose telemetry it is.")
    kind: str = Field(description="Kind of telemetry.")
    status: Status = Field(
        description="learning: not yet enough samples; scored; abstained: no usable evidence."
    )
    anomaly: bool = Field(description="Whether the record is abnormal; false unless scored.")
    score: Share | None = Field(default=None, description="0–1, higher is more abnormal.")
    decision: Number | None = Field(
        default=None, description="Distance to the threshold; below 0 exactly for an anomaly."
    )
    p_value: Share | None = Field(
        default=None,
        description="Share of the profile's own normal samples at least as abnormal.",
    )
    severity: Severity = Field(
        default="none", description="How grave the anomaly is; none exactly without one."
    )
    model_version: int | None = Field(default=None, description="Version of the model that judged.")
    generation: int | None = Field(
        default=None, description="Telemetry offset of the first sample of this learning."
    )
    samples_seen: Annotated[int, Field(ge=0)] = Field(
        description="Usable samples so far, with this record's; once learnt, those of version 1."
    )
    samples_needed: Annotated[int, Field(ge=0)] = Field(
        description="Samples that training needs; once learnt, those of version 1."
    )
    reasons: list[Reason] = Field(
        default=[], description="For an anomaly, the features behind it, the largest first."
    )
    samples: list[SampleVerdict] = Field(
        default=[], description="Anomalous samples of a record of several, at most 100."
    )
    samples_omitted: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Anomalous samples beyond the 100 listed."
    )
    rule_severity: Severity | None = Field(
        default=None,
        description="Severity by fixed rule, whatever was learnt; of kinds that have one.",
    )
    suppressed: bool = Field(
        default=False, description="Whether the profile was in a maintenance window."
    )
    regime: Regime | None = Field(
        default=None,
        description="shifted while the profile's records are abnormal in one and the same way; "
        "null while learning.",
    )
    late: bool = Field(
        default=False, description="Whether the record was old when it was judged: history."
    )
    source: str | None = Field(
        default=None,
        description="<topic>-<partition>-<offset> of the record that ingest made the telemetry of.",
    )
    observed_at: EpochMs = Field(description="When it was observed, epoch milliseconds.")
    scored_at: EpochMs = Field(description="When it was judged, epoch milliseconds.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.anomaly and self.status != "scored":
            raise ValueError(f"should not be an anomaly with status {self.status}")
        if self.anomaly != (self.decision is not None and self.decision < 0):
            raise ValueError(
                f"should have a decision below 0 exactly for an anomaly, but anomaly is "
                f"{self.anomaly} and decision is {self.decision}"
            )
        if self.anomaly == (self.severity == "none"):
            raise ValueError(
                f"should have severity none exactly without an anomaly, but anomaly is "
                f"{self.anomaly} and severity is {self.severity}"
            )
        return self
