"""Builders for tests of ingest: sources, records, and what a batch comes to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import yaml

from processor.dead_letter import letter
from processor.ingest.formats.decoding import Decode, decoder
from processor.ingest.formats.schema import Registry
from processor.ingest.mapping import Mapper
from processor.ingest.pipeline import CounterDelta, IngestContext, Input, compute
from processor.ingest.placing import Placing
from processor.ingest.presets import preset
from processor.records import ConsumerRecord, Headers
from processor.settings import Limits
from processor.stream.step import Step
from processor.topics import Topics
from schemas.sources import Source

NOW = 1_700_000_000_000
LIMITS = Limits(1_000_000, 1000, 10_000)
TOPICS = Topics()
DATA = Path(__file__).parents[2] / "data" / "ingest"


def source(text: str = "", **fields: Any) -> Source:
    """A source of YAML, with fields that every one has."""
    given = {"name": "hosts", "topic": "in", **(yaml.safe_load(text) or {}), **fields}
    base = preset(given["preset"]) if "preset" in given else {}
    return Source.model_validate({**base, **given})


def record(
    value: Any,
    *,
    key: bytes | None = None,
    offset: int = 0,
    partition: int = 0,
    timestamp: int = NOW,
    headers: Headers = (),
    topic: str = "in",
) -> ConsumerRecord:
    """A source record; bytes and None are taken as they are, all else becomes JSON."""
    raw = value if value is None or isinstance(value, bytes) else orjson.dumps(value)
    return ConsumerRecord(topic, partition, offset, key, raw, headers, timestamp)


def context(
    *sources: Source,
    partitions: int = 4,
    limits: Limits = LIMITS,
    registry: Registry | None = None,
    directory: Path = DATA,
) -> IngestContext:
    placing = Placing(partitions)
    inputs: dict[str, list[Input]] = {}
    for one in sources:
        schema = None if one.schema_file is None else directory / one.schema_file
        decode: Decode = decoder(one.format, schema, registry, one.message)
        held = Input(decode, Mapper(one, limits, placing), TOPICS.telemetry(one.kind or ""))
        inputs.setdefault(one.topic, []).append(held)
    return IngestContext(TOPICS, limits, partitions, inputs)


class Came(NamedTuple):
    """What a batch came to.

    Attributes:
        telemetry: key and value of each record, in order.
        dead: reason and detail of each dead letter.
    """

    telemetry: list[tuple[str, Any]]
    dead: list[tuple[str, str]]
    outcomes: Mapping[str, int]
    step: Step[CounterDelta]


def came(
    batch: Iterable[ConsumerRecord],
    *sources: Source,
    known: CounterDelta | None = None,
    **more: Any,
) -> Came:
    """What records come to by sources."""
    return of(compute(known or {}, list(batch), context(*sources, **more)))


def of(step: Step[CounterDelta]) -> Came:
    """What is in a Step."""
    telemetry, dead = [], []
    for out in step.outputs:
        if out.topic == TOPICS.dead_letter:
            raw = ConsumerRecord(out.topic, 0, 0, out.key, out.value, tuple(out.headers or ()), 0)
            found = letter(raw)
            dead.append((found.reason, found.detail))
        elif out.topic != TOPICS.ingest_counters:
            telemetry.append(((out.key or b"").decode(), orjson.loads(out.value or b"")))
    outcomes: dict[str, int] = {}
    for (name, labels), count in step.counts.items():
        if name == "ingest_records":
            outcomes[labels[1]] = outcomes.get(labels[1], 0) + count
    return Came(telemetry, dead, outcomes, step)
