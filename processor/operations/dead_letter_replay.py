"""``telltale dead-letter replay``: dead letters back to where they came from, exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from confluent_kafka import Consumer, TopicPartition

from processor.dead_letter import Letter, letter, original
from processor.kafka import config as kafka
from processor.kafka.acls import tool_id
from processor.kafka.admin import partition_counts
from processor.kafka.consuming import REQUEST_TIMEOUT
from processor.kafka.reading import ToolError, admin_client, places_of, read
from processor.operations.dead_letter_list import DeadLetterFilter
from processor.operations.dead_letter_progress import (
    Progress,
    Scan,
    decode_progress,
    encode_progress,
)
from processor.records import Partition, ProducerRecord
from processor.settings import Settings
from processor.stream.transaction import Aborted, Fatal, OutcomeUnknown, Transactions
from processor.topics import Topics

BATCH_RECORDS = 500
BATCH_BYTES = 16 * 2**20


@dataclass
class Replayed:
    """What became of the dead letters: reason and topic → how many; why others stay."""

    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    stay: Counter[str] = field(default_factory=Counter)


@dataclass
class Batch:
    """What the next transaction sends."""

    outputs: list[ProducerRecord] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    touched: set[Partition] = field(default_factory=set)
    size: int = 0

    @property
    def full(self) -> bool:
        return len(self.outputs) >= BATCH_RECORDS or self.size >= BATCH_BYTES

    def add(self, out: ProducerRecord, found: Letter) -> None:
        self.outputs.append(out)
        self.counts[found.reason, found.topic] += 1
        self.touched.add((found.record.topic, found.record.partition))
        self.size += out.size


def replay_group(settings: Settings) -> str:
    """The consumer group that remembers what was sent back."""
    return f"{settings.application}-dead-letter-replay"


def progress_of(settings: Settings, places: list[TopicPartition]) -> dict[Partition, Progress]:
    """How far each partition of the dead letters was worked through."""
    consumer = _group_consumer(settings)
    try:
        return _committed(consumer, places)
    finally:
        consumer.close()


def letters(settings: Settings, wanted: DeadLetterFilter) -> Iterator[tuple[Letter, bool]]:
    """The dead letters that are wanted, each with whether it waits to be sent back.

    Raises:
        ToolError: the topic is missing, or the broker fell silent.
    """
    topics = Topics(settings.topic_prefix)
    admin = admin_client(settings)
    places = places_of(admin, [topics.dead_letter])
    progress = progress_of(settings, places)
    for record in read(settings, admin, places):
        found = letter(record)
        if wanted(found):
            yield found, progress[record.topic, record.partition].waits(record.offset)


def replay(settings: Settings, wanted: DeadLetterFilter, *, dry_run: bool) -> Replayed:
    """Send back the wanted dead letters that wait, up to the end of now.

    Records and progress are committed in one transaction, so a second run, or one that follows a
    crash, sends nothing twice; a second one at the same time fences the first.

    Raises:
        ToolError: the topic is missing, or a transaction failed: what was not told as sent waits.
        KafkaException: the broker did not answer at the start.
    """
    topics = Topics(settings.topic_prefix)
    admin = admin_client(settings)
    places = places_of(admin, [topics.dead_letter])
    counts = partition_counts(admin)
    consumer = _group_consumer(settings)
    name = tool_id(topics, settings.application, "replay")
    config = kafka.transactional_producer(settings, name)
    transactions = None if dry_run else Transactions(config, lambda: None)
    try:
        before = _committed(consumer, places)
        since = {place: progress.start for place, progress in before.items()}
        scans = {place: Scan.over(progress) for place, progress in before.items()}
        done, batch = Replayed(), Batch()
        for record in read(settings, admin, places, since=since):
            place = (record.topic, record.partition)
            scan, found = scans[place], letter(record)
            if not scan.before.waits(record.offset):
                scan.settle(record.offset)
                continue
            back = original(found, topics, counts) if wanted(found) else None
            if isinstance(back, ProducerRecord):
                scan.settle(record.offset)
                batch.add(back, found)
            else:
                scan.leave(record.offset)
                done.stay[back or "not asked for"] += 1
            if batch.full:
                _flush(transactions, consumer, batch, scans, done)
                batch = Batch()
        _flush(transactions, consumer, batch, scans, done)
        return done
    finally:
        consumer.close()


def _flush(
    transactions: Transactions | None,
    consumer: Consumer,
    batch: Batch,
    scans: Mapping[Partition, Scan],
    done: Replayed,
) -> None:
    """Send a batch with the progress of its partitions; in a dry run only count it."""
    if transactions is not None and batch.outputs:
        progress = {place: scans[place].progress() for place in sorted(batch.touched)}
        offsets = {place: each.position for place, each in progress.items()}
        notes = {place: encode_progress(each.left) for place, each in progress.items()}
        try:
            transactions.start()
            group = consumer.consumer_group_metadata()
            transactions.commit(batch.outputs, offsets, group, notes=notes)
        except (Aborted, OutcomeUnknown, Fatal) as error:
            raise ToolError(
                f"{sum(done.sent.values())} were sent back, the next {len(batch.outputs)} were "
                f"not, or are unknown: {error}; run it again"
            ) from None
    done.sent.update(batch.counts)


def _group_consumer(settings: Settings) -> Consumer:
    return Consumer(kafka.reader_config(settings) | {"group.id": replay_group(settings)})


def _committed(consumer: Consumer, places: list[TopicPartition]) -> dict[Partition, Progress]:
    return {
        (found.topic, found.partition): decode_progress(found.offset, found.metadata)
        for found in consumer.committed(places, timeout=REQUEST_TIMEOUT)
    }
