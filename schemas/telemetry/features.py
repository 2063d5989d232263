"""`telemetry.features` on the wire: a vector that the producer made itself."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Discriminator, Field, Tag

from schemas.base import ARRAY_TAG, MAX_ID_BYTES, OBJECT_TAG, Number, Telemetry, names_fault


def _form(values: Any) -> str:
    return ARRAY_TAG if type(values) is list else OBJECT_TAG


def _named(values: dict[str, Any]) -> dict[str, Any]:
    fault = names_fault(values)
    if fault is not None:
        raise ValueError(
            f"should have names of 1 to {MAX_ID_BYTES} bytes without control characters; {fault}"
        )
    return values


NamedValues = Annotated[
    dict[str, Number | None],
    # The first wrong value ends the check: a thousand errors would take longer than the record.
    Field(fail_fast=True),
    AfterValidator(_named),
    Field(
        json_schema_extra={
            "propertyNames": {
                "minLength": 1,
                "maxLength": MAX_ID_BYTES,
                "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$",
            }
        }
    ),
]
BareValues = Annotated[list[Number | None], Field(fail_fast=True)]


class FeaturesTelemetry(Telemetry):
    """One sample as named values or as a bare array; null is absent evidence."""

    summary: ClassVar[str] = "Vectors that producers made themselves."

    values: Annotated[
        Annotated[NamedValues, Tag(OBJECT_TAG)] | Annotated[BareValues, Tag(ARRAY_TAG)],
        Discriminator(_form),
    ] = Field(
        description="Name to number or null, or an array of numbers and nulls. A name has 1 to "
        "256 bytes of UTF-8 and no control characters. The profile's "
        "first accepted record fixes names and order."
    )
