"""The file of `telltale ingest`: which topics are read, and how their records become telemetry."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

NAME: Final = r"^[A-Za-z0-9._-]{1,100}$"

Format = Literal["json", "avro", "protobuf", "json-schema"]
Wrapper = Literal["cloudevents", "connect", "debezium"]
TimeUnit = Literal["s", "ms", "us", "ns", "rfc3339"]
SourceKind = Literal["features", "series", "drowsiness", "behavior"]
Path = Annotated[str, Field(min_length=1, max_length=2000)]
"""A JMESPath expression; a plain dotted path is one."""

Name = Annotated[str, StringConstraints(pattern=NAME)]
ALL: Final = "*"
"""In the place of a feature's name: every numeric member of an object."""

FIELDS: Final = {
    "features": ("values",),
    "series": ("value",),
    "drowsiness": ("ear_value", "is_drowsy", "duration_ms"),
    "behavior": ("window",),
}
"""Fields of a source that a kind needs; those of other kinds are refused."""


class _Part(BaseModel):
    """A part of the file: unknown fields are errors, since a wrong name would map nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Time(_Part):
    """Where the time of an observation stands."""

    path: Path = Field(description="JMESPath of the time: a number, a numeric string, or RFC 3339.")
    unit: TimeUnit = Field(default="ms", description="Unit of the time.")


class Source(_Part):
    """One topic, or all topics that match, and how a record becomes observations."""

    name: Name = Field(description="Label of metrics; unique in the file.")
    topic: Annotated[str, Field(min_length=1, max_length=1000)] = Field(
        description="Name of a topic, or a regular expression that begins with ^."
    )
    preset: Name | None = Field(
        default=None, description="Fills in the fields that are not given (ingest presets)."
    )
    format: Format = Field(default="json", description="What the bytes of a value are.")
    schema_file: str | None = Field(
        default=None,
        alias="schema",
        description="Schema of the values without a registry; relative to the file.",
    )
    message: str | None = Field(
        default=None, description="Protobuf with a local schema: the message; without it the first."
    )
    unwrap: list[Wrapper] = Field(
        default=[], description="What is around the data, outermost first."
    )
    each: Path | None = Field(
        default=None, description="JMESPath of an array: each of its elements is an observation."
    )
    where: Path | None = Field(
        default=None, description="JMESPath: observations for which it is not true are left out."
    )
    kind: SourceKind | None = Field(default=None, description="Kind of telemetry that is written.")
    profile_id: Path | None = Field(
        default=None,
        description="Text with JMESPath in braces; {key}, {topic}, {partition} and {header:NAME} "
        "are those of the record.",
    )
    observed_at: Time | None = Field(
        default=None, description="Time of the observation; absent: the record's timestamp."
    )
    values: dict[str, Path] | None = Field(
        default=None,
        description='features: name to JMESPath; "*" takes every numeric member of an object.',
    )
    value: Path | None = Field(default=None, description="series: JMESPath of the point's value.")
    ear_value: Path | None = Field(default=None, description="drowsiness: eye aspect ratio, 0–1.")
    is_drowsy: Path | None = Field(default=None, description="drowsiness: a boolean.")
    duration_ms: Path | None = Field(default=None, description="drowsiness: milliseconds.")
    window: Path | None = Field(
        default=None, description="behavior: JMESPath of an object in the shape of the contract."
    )
    coerce: bool = Field(
        default=False, description="Numeric strings are numbers, booleans are 0 and 1."
    )
    rate: list[str] = Field(
        default=[], description="Features that only grow: their increase a second is taken."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind is None or self.profile_id is None:
            missing = "kind" if self.kind is None else "profile_id"
            raise ValueError(f"should have {missing}, or a preset that has it")
        if any(getattr(self, name) is None for name in FIELDS[self.kind]):
            raise ValueError(f"should have {', '.join(FIELDS[self.kind])}, as kind is {self.kind}")
        others = (name for kind, names in FIELDS.items() if kind != self.kind for name in names)
        given = next((name for name in others if getattr(self, name) is not None), None)
        if given is not None:
            raise ValueError(f"should not have {given}, as kind is {self.kind}")
        if self.rate and self.kind != "features":
            raise ValueError(f"should not have rate, as kind is {self.kind}")
        if self.values == {}:
            raise ValueError("should have at least one path in values")
        unknown = [name for name in self.rate if name not in (self.values or {})]
        if unknown and ALL not in (self.values or {}):
            raise ValueError(f"should have in rate only names of values, but has {unknown[0]!r}")
        if self.schema_file is not None and self.format == "json":
            raise ValueError("should have a schema only with avro, protobuf or json-schema")
        return self


class Sources(_Part):
    """The file of `telltale ingest`."""

    schema_registry: str | None = Field(
        default=None,
        description="Properties file of the registry's client: url, credentials, TLS; relative to "
        "this file.",
    )
    sources: Annotated[list[Source], Field(min_length=1)] = Field(description="What is read.")
