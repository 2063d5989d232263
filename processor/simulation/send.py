"""``telltale simulate``: simulated records to the telemetry topics, and the truth to a file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

import orjson
from confluent_kafka import KafkaError, Producer

from processor.kafka.sending import FLUSH_SECONDS
from processor.operations.produce import ProduceReport, RateLimiter, deliver
from processor.simulation.simulator import Simulated
from processor.topics import Topics

OnTruth = Callable[[Simulated, str, int, int], None]


def send(
    producer: Producer,
    topics: Topics,
    records: Iterable[Simulated],
    stopping: threading.Event,
    on_truth: OnTruth,
    *,
    rate: float | None = None,
    seconds: float | None = None,
) -> ProduceReport:
    """Send records until they end, the time is up, or ``stopping`` is set.

    Args:
        on_truth: told of each record that the broker took: record, topic, partition, offset.
        rate: records a second; as fast as they go where None.
        seconds: how long, at most.
    """
    sent, began, pace = ProduceReport(), monotonic(), RateLimiter(rate)
    for record in records:
        pace.wait(stopping.wait)
        late = seconds is not None and monotonic() - began > seconds
        if late or stopping.is_set():
            break
        sent.records += 1
        deliver(
            producer,
            topics.telemetry(record.kind),
            record.profile_id.encode(),
            orjson.dumps(record.value),
            _told(sent, record, on_truth),
        )
    sent.undelivered += producer.flush(FLUSH_SECONDS)
    if sent.undelivered and not sent.reason:
        sent.reason = f"no answer within {FLUSH_SECONDS:.0f} s"
    sent.seconds = monotonic() - began
    return sent


def _told(
    sent: ProduceReport, record: Simulated, on_truth: OnTruth
) -> Callable[[KafkaError | None, Any], None]:
    def told(error: KafkaError | None, message: Any) -> None:
        sent.on_delivery(error, message)
        if error is None:
            on_truth(record, message.topic(), message.partition(), message.offset())

    return told


def truth_line(record: Simulated, topic: str, partition: int, offset: int) -> bytes:
    """A line of the truth file: what is known of a record, and the id of its verdict."""
    place = {"topic": topic, "partition": partition, "offset": offset}
    verdict_id = f"{topic}-{partition}-{offset}"
    return orjson.dumps(record.truth() | place | {"verdict_id": verdict_id}) + b"\n"
