"""The telemetry that a verdict is about, and its profile's other records of that time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from time import monotonic
from typing import Any

import orjson
from confluent_kafka import KafkaException

from console.problems import Problem
from console.services import Services
from processor.kafka.reading import Patience, ToolError, poll, reader
from processor.records import ConsumerRecord
from processor.topics import Topics

WINDOW_MS = 600_000
SPAN = 5000
"""Offsets that are read on each side at most, of all profiles of the partition."""

SECONDS = 6.0
MOST = 200
"""Neighbours that are shown on each side."""

MOST_TEXT = 20_000


@dataclass(frozen=True)
class Around:
    """What was read.

    Attributes:
        records: of the profile, in their order.
        offset: of the record that the verdict is about.
        there: whether that one was still there.
        whole: whether all of the time was read.
    """

    records: list[ConsumerRecord]
    offset: int
    there: bool
    whole: bool


def around(console: Services, verdict: Any) -> Around:
    """The records of a profile ten minutes before and after that of a verdict.

    Args:
        verdict: its row in the store.

    Raises:
        Problem: 410, Kafka does not hold them any more; 503, the broker does not answer.
    """
    topic = Topics(console.kafka.topic_prefix).telemetry(verdict.kind)
    offset = int(verdict.verdict_id.rpartition("-")[2])
    place = (topic, verdict.partition)
    try:
        return _read(console, place, offset, verdict.profile_id.encode())
    except KafkaException as error:
        raise Problem(
            503, "broker_unavailable", error.args[0].str(), headers={"Retry-After": "2"}
        ) from None
    except ToolError as error:
        raise Problem(503, "broker_unavailable", str(error)) from None


def _read(console: Services, place: tuple[str, int], offset: int, key: bytes) -> Around:
    consumer = reader(console.kafka, {place: max(0, offset - SPAN)})
    before: deque[ConsumerRecord] = deque(maxlen=MOST + 1)
    after: list[ConsumerRecord] = []
    target: ConsumerRecord | None = None
    patience, deadline, whole = Patience(), monotonic() + SECONDS, False
    cut = offset > SPAN
    try:
        while monotonic() < deadline and not whole:
            found, at_end = poll(consumer, 2000, 0.2, patience)
            for record in found:
                if record.offset > offset and (target is None or _late(record, target)):
                    whole = True
                    break
                if record.offset > offset + SPAN or len(after) > MOST:
                    return _made(before, target, after, offset, whole=False)
                if record.key != key:
                    continue
                if record.offset < offset:
                    before.append(record)
                elif record.offset == offset:
                    target = record
                else:
                    after.append(record)
            whole = whole or bool(at_end)
    finally:
        consumer.close()
    if target is None and not whole:
        raise Problem(
            503,
            "broker_unavailable",
            f"the broker did not send the record within {SECONDS:.0f} s",
            headers={"Retry-After": "2"},
        )
    return _made(before, target, after, offset, whole=whole and not (cut and len(before) > MOST))


def _late(record: ConsumerRecord, target: ConsumerRecord) -> bool:
    return record.timestamp > target.timestamp + WINDOW_MS


def _made(
    before: deque[ConsumerRecord],
    target: ConsumerRecord | None,
    after: list[ConsumerRecord],
    offset: int,
    *,
    whole: bool,
) -> Around:
    if target is None:
        return Around([], offset, there=False, whole=whole)
    near = [r for r in before if r.timestamp >= target.timestamp - WINDOW_MS]
    records = [*near[-MOST:], target, *after[:MOST]]
    return Around(records, offset, there=True, whole=whole and len(near) <= MOST)


def readable(value: bytes | None) -> str:
    """A value as text: JSON in lines where it is JSON, cut where it is long."""
    if value is None:
        return "(no value)"
    try:
        text = orjson.dumps(orjson.loads(value), option=orjson.OPT_INDENT_2).decode()
    except ValueError:
        text = value.decode("utf-8", "replace")
    return (
        text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}\n… ({len(value):,} bytes in all)"
    )


def in_short(value: bytes | None, most: int = 160) -> str:
    """The beginning of a value, in one line."""
    text = (value or b"").decode("utf-8", "replace")
    return text if len(text) <= most else f"{text[:most]}…"
