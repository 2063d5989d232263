"""`labels` and `attributes` on the wire: what people say of verdicts and of profiles."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, RootModel

from schemas.base import EpochMs, Record

LabelName = Literal["anomaly", "normal", "unsure"]
LabelSource = Literal["analyst", "truth", "import", "audit"]
AttributeValue = Annotated[str, Field(max_length=1000)] | bool | int | float


class Label(Record):
    """What somebody says of a verdict; the key is <kind>:<profile_id>:<verdict_id>."""

    label: LabelName = Field(description="Whether the record was really abnormal.")
    source: LabelSource = Field(
        default="analyst",
        description="Who says so: analyst, a truth file, an import, or the audit queue.",
    )
    weight: float | None = Field(
        default=None,
        description="1 divided by the chance that the verdict had of being labelled; null if that "
        "chance is not known.",
    )
    note: str | None = Field(default=None, description="Why, in the analyst's words.")
    by: str = Field(description="Id of the user who said so.")
    at: EpochMs = Field(description="When it was said, epoch milliseconds.")
    accepted: bool = Field(
        default=False, description="Whether the record was made a sample of normal by it."
    )


class Attributes(RootModel[dict[str, AttributeValue]]):
    """What is known of a profile beside its telemetry: name to value, such as site to Graz.

    The key is <kind>:<profile_id>. Each record holds all of them; a tombstone means none.
    """

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False)
