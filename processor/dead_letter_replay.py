"""``telltale dead-letter replay``: dead letters back to where they came from, exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import TypeVar

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from processor import kafka
from processor.dead_letter_progress import Progress, Scan, decode, encode
from processor.dead_letters import Letter, Wanted, letter, original
from processor.names import Topics
from processor.records import Outgoing
from processor.records import TopicPartition as Place
from processor.restore import REQUEST_TIMEOUT
from processor.settings import Settings
from processor.tools import ToolError, admin_client, places_of, read
from processor.topics import partition_counts

BATCH_RECORDS = 500
BATCH_BYTES = 16 * 2**20
RETRY_SECONDS = 60.0

T = TypeVar("T")


@dataclass
class Replayed:
    """What became of the dead letters: reason and topic → how many; why others stay."""

    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    stay: Counter[str] = field(default_factory=Counter)


@dataclass
class Batch:
    """What the next transaction sends."""

    outputs: list[Outgoing] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    touched: set[Place] = field(default_factory=set)
    size: int = 0

    @property
    def full(self) -> bool:
        return len(self.outputs) >= BATCH_RECORDS or self.size >= BATCH_BYTES

    def add(self, out: Outgoing, found: Letter) -> None:
        self.outputs.append(out)
        self.counts[found.reason, found.topic] += 1
        self.touched.add((found.record.topic, found.record.partition))
        self.size += out.size


def group_of(settings: Settings) -> str:
    """The consumer group that remembers what was sent back; the transactional id as well."""
    return f"{settings.application}-dead-letter-replay"


def progress_of(settings: Settings, places: list[TopicPartition]) -> dict[Place, Progress]:
    """How far each partition of the dead letters was worked through."""
    consumer = _group_consumer(settings)
    try:
        return _committed(consumer, places)
    finally:
        consumer.close()


def letters(settings: Settings, wanted: Wanted) -> Iterator[tuple[Letter, bool]]:
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


def replay(settings: Settings, wanted: Wanted, *, dry_run: bool) -> Replayed:
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
    counts = partition_counts(admin, [*topics.kinds(), topics.accepted])
    consumer = _group_consumer(settings)
    producer = None
    try:
        if not dry_run:
            producer = Producer(kafka.transactional_producer(settings, group_of(settings)))
            _patiently(producer.init_transactions)
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
            if isinstance(back, Outgoing):
                scan.settle(record.offset)
                batch.add(back, found)
            else:
                scan.leave(record.offset)
                done.stay[back or "not asked for"] += 1
            if batch.full:
                _flush(producer, consumer, batch, scans, done)
                batch = Batch()
        _flush(producer, consumer, batch, scans, done)
        return done
    finally:
        consumer.close()


def _flush(
    producer: Producer | None,
    consumer: Consumer,
    batch: Batch,
    scans: Mapping[Place, Scan],
    done: Replayed,
) -> None:
    """Send a batch with the progress of its partitions; without a producer only count it."""
    if producer is not None and batch.outputs:
        offsets = []
        for topic, partition in sorted(batch.touched):
            progress = scans[topic, partition].progress()
            metadata = encode(progress.left)
            offsets.append(TopicPartition(topic, partition, progress.position, metadata))
        try:
            _commit(producer, consumer, batch.outputs, offsets)
        except KafkaException as error:
            raise ToolError(
                f"{sum(done.sent.values())} were sent back, the next {len(batch.outputs)} were "
                f"not: {error.args[0].str()}; run it again"
            ) from None
    done.sent.update(batch.counts)


def _commit(
    producer: Producer,
    consumer: Consumer,
    outputs: list[Outgoing],
    offsets: list[TopicPartition],
) -> None:
    producer.begin_transaction()
    try:
        for out in outputs:
            producer.produce(
                out.topic,
                value=out.value,
                key=out.key,
                partition=out.partition,
                headers=out.headers,
            )
            producer.poll(0)
        group = consumer.consumer_group_metadata()
        _patiently(lambda: producer.send_offsets_to_transaction(offsets, group))
        _patiently(producer.commit_transaction)
    except KafkaException as error:
        if error.args[0].txn_requires_abort():
            _patiently(producer.abort_transaction)
        raise


def _patiently(call: Callable[[], T]) -> T:
    """Call, and repeat the identical call while its error is retriable."""
    deadline = monotonic() + RETRY_SECONDS
    while True:
        try:
            return call()
        except KafkaException as error:
            if not error.args[0].retriable() or monotonic() > deadline:
                raise


def _group_consumer(settings: Settings) -> Consumer:
    return Consumer(kafka.reader(settings) | {"group.id": group_of(settings)})


def _committed(consumer: Consumer, places: list[TopicPartition]) -> dict[Place, Progress]:
    return {
        (found.topic, found.partition): decode(found.offset, found.metadata)
        for found in consumer.committed(places, timeout=REQUEST_TIMEOUT)
    }
