"""`telemetry.series` on the wire: points of a metric."""

from __future__ import annotations

from operator import length_hint, lt
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, FailFast, Field, Strict, model_validator

from schemas.base import Number, Telemetry


def _strictly_increasing(timestamps: Any) -> Any:
    """Times as they were given, before their types are looked at.

    Raises:
        ValueError: a whole number does not come after the one before it.
    """
    if type(timestamps) is not list:
        return timestamps
    later = iter(timestamps)
    next(later, None)
    try:
        if all(map(lt, timestamps, later)):
            return timestamps
    except TypeError:
        return timestamps
    # The iterator stands behind the first that is early: nothing is looked at twice.
    index = len(timestamps) - length_hint(later) - 1
    before, early = timestamps[index - 1 : index + 1]
    if type(before) is int and type(early) is int:
        raise ValueError(
            f"should be strictly increasing, but index {index} ({early}) does not "
            f"come after index {index - 1} ({before})"
        )
    return timestamps


class SeriesTelemetry(Telemetry):
    """Points of one metric, in the order of time; each point is a sample."""

    summary: ClassVar[str] = "Points of metrics."

    timestamps: Annotated[
        list[Annotated[int, Strict()]], FailFast(), BeforeValidator(_strictly_increasing)
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
