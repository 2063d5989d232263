"""The job type `send`: rows of a data set as telemetry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from confluent_kafka import KafkaError, Producer
from pydantic import BaseModel, ConfigDict
from sqlalchemy import select

from console.jobs.context import Context, JobError
from console.lab.blobs import Blobs
from console.lab.tables import datasets
from console.store import tables as t
from processor.kafka import config
from processor.topics import Topics
from schemas.base import id_fault

BATCH = 500
FLUSH_SECONDS = 20.0
OWN = frozenset(("observed_at", "kind"))


class SendConfig(BaseModel):
    """What is sent."""

    model_config = ConfigDict(extra="forbid")

    dataset_id: str
    kind: str
    profile_id: str | None = None


def run(context: Context) -> dict[str, Any]:
    """Send every row; rows that are no telemetry are counted and left out.

    Raises:
        JobError: the data set is gone, or the broker does not take it.
    """
    from console.lab.data.tables import batches

    wanted = SendConfig(**context.config)
    topic = Topics(context.kafka.topic_prefix).telemetry(wanted.kind)
    with context.database.read() as connection:
        row = connection.execute(select(datasets).where(datasets.c.id == wanted.dataset_id)).first()
    if row is None:
        raise JobError("dataset_id: the data set was deleted")
    places = _partitions(context, wanted.kind)
    producer = Producer(config.plain_producer(context.kafka))
    sent = skipped = 0
    wrong: list[str] = []

    def told(error: KafkaError | None, _: Any) -> None:
        if error is not None:
            wrong.append(error.str())

    name, _, packed = row.format.partition(".")
    with Blobs(context.settings.data_dir).open(row.path) as file:
        for batch in batches(file, name, packed=bool(packed)):
            for key, value in records_of(batch.to_pylist(), row.profile_column, row.target, wanted):
                if id_fault(key) is not None or not key.startswith(context.owner.profile_prefix):
                    skipped += 1
                    continue
                while True:
                    try:
                        producer.produce(
                            topic,
                            key=key.encode(),
                            value=orjson.dumps(value),
                            partition=places.get(key, -1),
                            on_delivery=told,
                        )
                        break
                    except BufferError:
                        producer.poll(0.5)
                        context.check()
                sent += 1
            producer.poll(0)
            if wrong:
                raise JobError(f"the broker did not take a record: {wrong[0]}")
            context.keep(sent=sent, skipped=skipped)
            context.report(records=sent, progress=min(1.0, (sent + skipped) / row.rows))
    if producer.flush(FLUSH_SECONDS) or wrong:
        raise JobError(f"the broker did not take all: {wrong[0] if wrong else 'no answer in time'}")
    return {"sent": sent, "skipped": skipped, "topic": topic}


def _partitions(context: Context, kind: str) -> dict[str, int]:
    """Where known profiles live: their records go there, whatever the partitioner says."""
    held = t.profiles.c
    query = select(held.profile_id, held.partition).where(held.kind == kind)
    with context.database.read() as connection:
        rows = connection.execute(query).all()
    found: dict[str, int] = {}
    twice = set()
    for row in rows:
        if row.profile_id in found:
            twice.add(row.profile_id)
        found[row.profile_id] = row.partition
    return {name: number for name, number in found.items() if name not in twice}


def records_of(
    rows: list[Mapping[str, Any]], column: str | None, target: str | None, wanted: SendConfig
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Key and value of each row."""
    for row in rows:
        key = wanted.profile_id if column is None else row.get(column)
        fields = {
            name: value
            for name, value in row.items()
            if name not in (column, target) and value is not None
        }
        if wanted.kind != "features" or "values" in fields:
            # Lists within JSON Lines were kept as text.
            fields = {name: _opened(value) for name, value in fields.items()}
            yield str(key), fields
            continue
        own = {name: value for name, value in fields.items() if name in OWN}
        numbers = {
            name: float(value)
            for name, value in fields.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and name not in OWN
        }
        yield str(key), own | {"values": numbers}


def _opened(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value
