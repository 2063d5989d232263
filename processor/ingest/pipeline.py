"""The way of a batch through ingest: source records → telemetry, dead letters, counters.

Pure but for asking for schemas: the same counters, batch and sources give the same Step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from processor.dead_letter import dead_letter
from processor.ingest import rates
from processor.ingest.formats.decoding import Decode
from processor.ingest.formats.schema import SchemaMissing, SchemaPending, Undecodable
from processor.ingest.formats.unwrap import NoData
from processor.ingest.kinds import Unmappable
from processor.ingest.mapping import Mapper, Observation
from processor.ingest.rates import CounterKey, Counters
from processor.records import (
    INVALID_HEADERS,
    UNREADABLE_HEADERS,
    ConsumerRecord,
    DeadLetter,
    HeaderList,
    Partition,
    ProducerRecord,
    outgoing,
)
from processor.settings import Limits
from processor.stream.step import Step
from processor.topics import Topics
from processor.trace_context import SOURCE, traceparent

UNEXPECTED = "unexpected:"
"""What the detail of a dead letter begins with that is our own mistake."""

CounterDelta = dict[CounterKey, Counters | None]
"""The counters of profiles that a Step changes; None clears them."""

Telemetry = tuple[str, bytes, bytes, int]
"""A record to be written: topic, value, key, partition."""


class Input(NamedTuple):
    """A source that is ready to be read: how its values are decoded, and mapped."""

    decode: Decode
    mapper: Mapper
    topic: str
    """Of the telemetry that it becomes."""


@dataclass(frozen=True)
class IngestContext:
    """What a Step depends on besides counters and batch.

    Attributes:
        inputs: the sources of each topic that is read.
        partitions: of Telltale's topics.
    """

    topics: Topics
    limits: Limits
    partitions: int
    inputs: Mapping[str, Sequence[Input]]


class _Mapped(NamedTuple):
    """What a record comes to, once it is certain that all of it can be written.

    Attributes:
        staged: counters as they are after the record.
        counts: of each source how many observations it wrote.
    """

    written: list[Telemetry]
    staged: CounterDelta
    counts: list[tuple[str, int]]


def compute(
    known: Mapping[CounterKey, Counters],
    batch: Sequence[ConsumerRecord],
    context: IngestContext,
    expired: Iterable[CounterKey] = (),
    now: int = 0,
) -> Step[CounterDelta]:
    """The Step of a batch of source records.

    A record whose schema is not known yet is left for the next Step, with all that follow it on
    its partition; the other partitions go on.

    Args:
        known: counters before the batch; they are not changed.
        expired: profiles that are silent for too long: their counters are cleared, unless the batch
            brings them back.
        now: epoch milliseconds; profiles of the batch were heard then.
    """
    step: Step[CounterDelta] = Step({})
    held: set[Partition] = set()
    left: list[ConsumerRecord] = []
    outcomes: Counter[tuple[str, str]] = Counter()
    written: Counter[str] = Counter()
    for record in batch:
        place = (record.topic, record.partition)
        if held and place in held:
            left.append(record)
            continue
        try:
            mapped = _mapped(record, known, step.delta, context, now)
        except SchemaPending:
            held.add(place)
            left.append(record)
            continue
        except _Dead as dead:
            step.consume(record)
            _reject(step, record, dead, context)
            continue
        step.offsets[place] = record.offset + 1
        if mapped.written:
            headers = _headers(record)
            for topic, value, key, partition in mapped.written:
                out = outgoing((topic, value, key, partition, None, None, 0, headers))
                step.outputs.append(out)
        if mapped.staged:
            step.delta.update(mapped.staged)
        for name, count in mapped.counts:
            outcomes[name, "mapped" if count else "filtered"] += 1
            written[name] += count
    for labels, count in outcomes.items():
        step.count("ingest_records", *labels, by=count)
    for name, count in (+written).items():
        step.count("ingest_observations", name, by=count)
    for silent in expired:
        step.delta.setdefault(silent, None)
    topic = context.topics.ingest_counters
    step.outputs += [
        rates.counters_record(topic, context.partitions, key, counters)
        for key, counters in step.delta.items()
    ]
    step.unprocessed = left
    return step


class _Dead(Exception):
    """A record that becomes a dead letter, and the source that says so."""

    def __init__(self, source: str, letter: DeadLetter) -> None:
        super().__init__(letter.detail)
        self.source = source
        self.letter = letter


def _mapped(
    record: ConsumerRecord,
    known: Mapping[CounterKey, Counters],
    delta: CounterDelta,
    context: IngestContext,
    now: int,
) -> _Mapped:
    """What a record comes to by all sources of its topic: all of them or none.

    Raises:
        SchemaPending: a schema is not known yet.
        _Dead: one source cannot map it.
    """
    mapped = _Mapped([], {}, [])
    for source in context.inputs[record.topic]:
        name = source.mapper.source.name
        before = len(mapped.written)
        try:
            if record.headers is UNREADABLE_HEADERS:
                raise _Dead(name, INVALID_HEADERS)
            for observation in observations(record, source, context.limits):
                if source.mapper.source.rate:
                    observation = _with_rates(
                        record, observation, source, known, delta, mapped.staged, now
                    )
                    if not observation.fields["values"]:
                        continue
                mapped.written.append(_telemetry(observation, source, context.limits))
        except NoData:
            pass
        except (SchemaPending, _Dead):
            raise
        except Exception as error:
            raise _Dead(name, _letter(error)) from None
        mapped.counts.append((name, len(mapped.written) - before))
    return mapped


def _letter(error: Exception) -> DeadLetter:
    """Why a record cannot be mapped."""
    if isinstance(error, Unmappable):
        return error.letter
    if isinstance(error, Undecodable):
        return DeadLetter("undecodable", f"value: {error}")
    if isinstance(error, SchemaMissing):
        return DeadLetter("schema_unavailable", f"value: {error}")
    # No record ends the role, whatever it holds; the fuzzing takes this for a failure.
    return DeadLetter("unmapped", f"{UNEXPECTED} {type(error).__name__}: {str(error)[:200]}")


def _telemetry(observation: Observation, source: Input, limits: Limits) -> Telemetry:
    """The record of an observation."""
    fields = observation.fields
    fields["observed_at"] = observation.at
    try:
        value = orjson.dumps(fields)
    except TypeError as error:
        # Bytes in a window, or an integer of more than 64 bits.
        raise Unmappable(f"{source.mapper.source.kind}: {error}") from None
    if len(value) > limits.record_bytes:
        detail = f"{len(value)} bytes as telemetry, expected at most {limits.record_bytes}"
        raise Unmappable(detail, "too_large")
    return source.topic, value, observation.key, observation.partition


def observations(record: ConsumerRecord, source: Input, limits: Limits) -> list[Observation]:
    """The observations of a record by one source.

    Raises:
        NoData: it holds no data.
        Undecodable, SchemaMissing, SchemaPending: of its value.
        Unmappable: of its mapping.
    """
    value = record.value
    if value is None:
        raise NoData
    if len(value) > limits.record_bytes:
        detail = f"value: {len(value)} bytes, expected at most {limits.record_bytes}"
        raise Unmappable(detail, "too_large")
    return source.mapper.observations(record, source.decode(record))


def _with_rates(
    record: ConsumerRecord,
    observation: Observation,
    source: Input,
    known: Mapping[CounterKey, Counters],
    delta: CounterDelta,
    staged: CounterDelta,
    now: int,
) -> Observation:
    """The observation with its counters as rates; what they are now is staged."""
    name = source.mapper.source.name
    key = (name, record.topic, record.partition, observation.profile)
    before = staged.get(key) or delta.get(key) or known.get(key)
    last = {} if before is None else dict(before.last)
    values = dict(observation.fields["values"])
    for counter in source.mapper.source.rate:
        value = values.pop(counter, None)
        if value is None:
            continue
        rate, kept = rates.increase(last, counter, observation.at, value, record.timestamp)
        if rate is not None:
            values[counter] = rate
        if kept:
            last[counter] = (observation.at, value)
    if last:
        staged[key] = Counters(record.offset, last, now)
    return observation._replace(fields={"values": values})


def _headers(record: ConsumerRecord) -> HeaderList:
    """Where a telemetry record comes from, and the trace that it belongs to."""
    place = (SOURCE, f"{record.topic}-{record.partition}-{record.offset}".encode())
    return [place, *traceparent(record.headers)] if record.headers else [place]


def _reject(step: Step[Any], record: ConsumerRecord, dead: _Dead, context: IngestContext) -> None:
    """Send a record to the dead letters, on its own partition modulo the topic's count."""
    step.count("ingest_records", dead.source, "dead")
    step.count("dead_letters", dead.letter.reason)
    letter: ProducerRecord = dead_letter(record, dead.letter, context.topics.dead_letter)
    step.outputs.append(letter._replace(partition=record.partition % context.partitions))
