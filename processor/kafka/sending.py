"""Sending a few records from a command, and waiting until the broker has them all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from confluent_kafka import KafkaError, Producer

from processor.kafka import config as kafka
from processor.records import ProducerRecord
from processor.settings import Settings

FLUSH_SECONDS: Final = 30.0


def send_records(settings: Settings, records: Iterable[ProducerRecord]) -> str | None:
    """Send records, outside of any transaction.

    Returns:
        Why the broker did not take all of them; None if it did.
    """
    failed: list[str] = []

    def on_delivery(error: KafkaError | None, _: object) -> None:
        if error is not None:
            failed.append(error.str())

    producer = Producer(kafka.plain_producer(settings))
    for record in records:
        producer.produce(
            record.topic,
            value=record.value,
            key=record.key,
            partition=record.partition,
            headers=record.headers or [],
            on_delivery=on_delivery,
        )
        producer.poll(0)
    left = producer.flush(FLUSH_SECONDS)
    if failed:
        return failed[0]
    return f"no answer within {FLUSH_SECONDS:.0f} s" if left else None
