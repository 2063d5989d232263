"""`accepted-normal` on the wire: samples held to be normal, and the scorer's marks among them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.base import EpochMs, Number, Record
from schemas.verdict import Share

MarkName = Literal["forget", "retrain", "rollback"]


class AcceptedSample(Record):
    """The vectors of one record that was scored and is no anomaly, or that an analyst accepted."""

    profile_id: str = Field(description="Whose samples they are.")
    kind: str = Field(description="Kind of telemetry.")
    generation: int = Field(description="Telemetry offset of the first sample of this learning.")
    model_version: int | None = Field(
        default=None, description="Version of the model that judged the record."
    )
    features: list[str] = Field(description="Names of the columns of vectors.")
    vectors: list[list[Number | None]] = Field(
        description="One row a sample, one column a feature; null is absent evidence."
    )
    p_values: list[Share | None] = Field(
        default=[],
        description="One a row: share of the profile's normal samples at least as abnormal.",
    )
    since_anomaly: int | None = Field(
        default=None,
        ge=0,
        description="Records since the profile's last anomaly; null when unknown.",
    )
    observed_at: EpochMs = Field(description="When it was observed, epoch milliseconds.")
    source: Literal["scorer", "analyst"] = Field(
        default="scorer", description="Who holds the record to be normal."
    )
    verdict_id: str = Field(description="<topic>-<partition>-<offset> of the telemetry record.")
    times: list[Number] = Field(
        default=[],
        description="One a row: when the sample was taken, in the record's own unit; "
        "of kinds whose samples have times.",
    )

    @model_validator(mode="after")
    def _rectangular(self) -> Self:
        for index, row in enumerate(self.vectors):
            if len(row) != len(self.features):
                raise ValueError(
                    f"should have rows of {len(self.features)} values, one a feature, but "
                    f"vectors[{index}] has {len(row)}"
                )
        if self.p_values and len(self.p_values) != len(self.vectors):
            raise ValueError(
                f"should have one p-value a row, but has {len(self.p_values)} for "
                f"{len(self.vectors)} rows"
            )
        if self.times and len(self.times) != len(self.vectors):
            raise ValueError(
                f"should have one time a row, but has {len(self.times)} for "
                f"{len(self.vectors)} rows"
            )
        return self


class Mark(Record):
    """A word of the scorer to the retrainer, in order with the accepted samples.

    The header ``telltale.proof`` says that a ``retrain`` or ``rollback`` is the scorer's; a
    ``forget`` is held against ``models``.
    """

    mark: MarkName = Field(
        description="forget: drop the pool and older generations; retrain: train on the pool now; "
        "rollback: empty the pool."
    )
    profile_id: str = Field(description="Which profile it is for.")
    kind: str = Field(description="Kind of telemetry.")
    generation: int = Field(description="The generation in force when the mark was written.")
    trigger: Literal["command", "drift"] = Field(
        default="command", description="For retrain: who asks for it."
    )
    version: int | None = Field(
        default=None,
        description="For retrain: the version in force; for rollback: the one that it announced.",
    )
    command_id: str | None = Field(
        default=None,
        description="The command behind the mark; for drift one of its own. Obeyed once.",
    )
