"""`telemetry.series` on the wire: points of a metric."""

from __future__ import annotations

from itertools import islice
from operator import lt
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, FailFast, Field, Strict, model_validator

from schemas.base import Number, Telemetry


def _strictly_increasing(timestamps: list[int]) -> list[int]:
    later = islice(timestamps, 1, None)
    if not all(map(lt, timestamps, later)):
        index = next(i for i in range(1, len(timestamps)) if timestamps[i] <= timestamps[i - 1])
        raise ValueError(
            f"should be strictly increasing, but index {index} ({timestamps[index]}) does not "
            f"come after index {index - 1} ({timestamps[index - 1]})"
        )
    return timestamps


class SeriesTelemetry(Telemetry):
    """Points of one metric, in the order of time; each point is a sample."""

    summary: ClassVar[str] = "Points of metrics."

    timestamps: Annotated[
        list[Annotated[int, Strict()]], FailFast(), AfterValidator(_strictly_increasing)
    ] = Field(description="Times of the points, strictly increasing, in any one unit.")
    values: Annotated[list[Number], FailFast()] = Field(
        description="Values of the points, as many as timestamps, in the metric's own unit."
    )

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        if len(self.timestamps) != len(self.values):
            raise ValueError(
                f"should have as many values as timestamps, but has {len(self.values)} values "
                f"and {len(self.timestamps)} timestamps"
            )
        return self
