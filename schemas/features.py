"""`telemetry.features` on the wire: a vector that the producer made itself."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from schemas.base import ARRAY_TAG, OBJECT_TAG, Number, Telemetry


def _form(values: Any) -> str:
    return ARRAY_TAG if type(values) is list else OBJECT_TAG


# The first wrong value ends the check: a thousand errors would take longer than the record.
NamedValues = Annotated[dict[str, Number | None], Field(fail_fast=True)]
BareValues = Annotated[list[Number | None], Field(fail_fast=True)]


class FeaturesTelemetry(Telemetry):
    """One sample as named values or as a bare array; null is absent evidence."""

    values: Annotated[
        Annotated[NamedValues, Tag(OBJECT_TAG)] | Annotated[BareValues, Tag(ARRAY_TAG)],
        Discriminator(_form),
    ] = Field(
        description="Name to number or null, or an array of numbers and nulls. The profile's "
        "first accepted record fixes names and order."
    )
