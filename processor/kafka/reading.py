"""What the operators' commands share: their error, clients, and reads that come to an end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from time import monotonic

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.kafka import authorization
from processor.kafka import config as kafka
from processor.kafka.acls import Permission
from processor.kafka.admin import partition_counts
from processor.kafka.consuming import earliest_offsets, is_transient, latest_offsets, split_errors
from processor.records import ConsumerRecord, Partition
from processor.settings import Settings

SILENCE_SECONDS = 30.0
STUCK_SECONDS = 20.0
"""An error at one offset that lasts so long does not pass by itself."""

ANSWER_SECONDS = (1.0, 2.0, 7.0)


class ToolError(Exception):
    """Why a command cannot do what it was asked: one sentence for people."""


def admin_client(settings: Settings) -> AdminClient:
    """A client for questions to the broker, which has answered it once.

    Raises:
        ToolError: the broker did not let it in.
        KafkaException: the broker did not answer.
    """
    admin = authorization.Admin(settings)
    for seconds in ANSWER_SECONDS:
        try:
            admin.client.list_topics(timeout=seconds)
            break
        except KafkaException:
            refusal = admin.refusal()
            if refusal is not None:
                raise ToolError(refusal) from None
            if seconds == ANSWER_SECONDS[-1]:
                raise
    return admin.client


def places_of(admin: AdminClient, topics: Sequence[str]) -> list[TopicPartition]:
    """All partitions of topics.

    Raises:
        ToolError: a topic is missing, or hidden from this user.
        KafkaException: the broker did not answer.
    """
    counts = partition_counts(admin, list(topics))
    missing = [name for name in topics if name not in counts]
    hidden = authorization.missing_permissions(
        admin, [Permission("Describe", "Topic", name) for name in missing]
    )
    if hidden:
        raise ToolError(authorization.describe_missing(hidden))
    if missing:
        raise ToolError(f"topics missing: {', '.join(missing)} (telltale topics create)")
    return [TopicPartition(name, number) for name in topics for number in range(counts[name])]


def reader(settings: Settings, starts: Mapping[Partition, int]) -> Consumer:
    """A consumer of committed records from these offsets on; it commits nothing."""
    consumer = Consumer(kafka.reader_config(settings))
    consumer.assign([TopicPartition(topic, part, at) for (topic, part), at in starts.items()])
    return consumer


class Patience:
    """Ends a wait for a record that the client cannot read, such as a batch that unpacks to GB.

    librdkafka fetches the same offset again and again, and tells the same error each time.
    """

    def __init__(self) -> None:
        self._since: dict[Partition, tuple[int, float]] = {}

    def note(self, place: Partition, offset: int, why: str, now: float) -> None:
        """Take an error that came in place of the record at an offset.

        Raises:
            ToolError: it has lasted for ``STUCK_SECONDS``.
        """
        known, since = self._since.get(place, (offset, now))
        self._since[place] = (offset, since if known == offset else now)
        if now - self._since[place][1] >= STUCK_SECONDS:
            topic, partition = place
            raise ToolError(
                f"{topic} [{partition}] offset {offset}: cannot be read for "
                f"{STUCK_SECONDS:.0f} s: {why}"
            )

    def passed(self, places: Iterable[Partition]) -> None:
        """Take note that records of these partitions, or their ends, were read."""
        for place in places:
            self._since.pop(place, None)


def poll(
    consumer: Consumer, records: int, timeout: float, patience: Patience | None = None
) -> tuple[Sequence[ConsumerRecord], list[Partition]]:
    """Some more records, and the partitions at whose end the consumer has arrived.

    Raises:
        ToolError: ``patience`` has run out over what cannot be read.
        KafkaException: an error that does not pass by itself.
    """
    found, told = split_errors(consumer.consume(records, timeout))
    at_end: list[Partition] = []
    stuck: list[tuple[Partition, int, str]] = []
    for message, error in told:
        place, offset = (message.topic(), message.partition()), message.offset()
        if error.code() == KafkaError._PARTITION_EOF:
            at_end.append(place)
        elif not is_transient(error) and error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
            # A reader is in no group, and needs no permission on the one that it must name.
            raise KafkaException(error)
        elif offset is not None and offset >= 0:
            stuck.append((place, offset, error.str()))
    if patience is not None:
        patience.passed([*found.last_offsets(), *at_end])
        for place, offset, why in stuck:
            patience.note(place, offset, why, monotonic())
    return found, at_end


def read(
    settings: Settings,
    admin: AdminClient,
    places: Iterable[TopicPartition],
    *,
    last: int | None = None,
    since: Mapping[Partition, int] | None = None,
) -> Iterator[ConsumerRecord]:
    """The committed records that partitions hold now, each partition in its order.

    Args:
        last: offsets before each partition's end to begin at; all of it where None.
        since: the offset of a partition to begin at, where it is to be another.

    Raises:
        ToolError: the broker fell silent before the end, or the client cannot read a record.
        KafkaException: the broker did not answer, or refused.
    """
    chosen = list(places)
    first, until = earliest_offsets(admin, chosen), latest_offsets(admin, chosen)
    wanted = dict(since or {})
    starts = {
        place: max(first[place], wanted.get(place, 0 if last is None else end - last))
        for place, end in until.items()
    }
    left = {place for place, end in until.items() if end > starts[place]}
    if not left:
        return
    consumer = reader(settings, {place: starts[place] for place in left})
    patience = Patience()
    try:
        heard = monotonic()
        while left:
            records, at_end = poll(consumer, 10_000, 0.1, patience)
            if records or at_end:
                heard = monotonic()
            elif monotonic() - heard > SILENCE_SECONDS:
                where = ", ".join(f"{topic} [{number}]" for topic, number in sorted(left))
                raise ToolError(f"no records for {SILENCE_SECONDS:.0f} s, still to read: {where}")
            for record in records:
                place = (record.topic, record.partition)
                if record.offset < until[place]:
                    yield record
                if record.offset + 1 >= until[place]:
                    left.discard(place)
            # The last record of a partition may be a control record, which is never delivered.
            left.difference_update(at_end)
    finally:
        consumer.close()


def record_at(settings: Settings, place: Partition, offset: int) -> ConsumerRecord:
    """The record of that offset.

    Raises:
        ToolError: there is none, or no longer.
    """
    topic, number = place
    told = f"{topic} [{number}] offset {offset}"
    admin = admin_client(settings)
    held = [p for p in places_of(admin, [topic]) if p.partition == number]
    if not held:
        raise ToolError(f"{told}: the topic has no such partition")
    asked = [TopicPartition(topic, number)]
    first, end = earliest_offsets(admin, asked)[place], latest_offsets(admin, asked)[place]
    if not first <= offset < end:
        raise ToolError(f"{told}: the partition holds {first} to {end - 1}; it may have aged out")
    consumer = reader(settings, {place: offset})
    deadline = monotonic() + SILENCE_SECONDS
    try:
        while monotonic() < deadline:
            records, at_end = poll(consumer, 1, 0.2)
            if records and records[0].offset == offset:
                return records[0]
            if records or at_end:
                raise ToolError(f"{told}: no record there")
    finally:
        consumer.close()
    raise ToolError(f"{told}: no answer for {SILENCE_SECONDS:.0f} s")


def records_at(
    settings: Settings, place: Partition, offsets: Sequence[int]
) -> list[ConsumerRecord]:
    """The records of these offsets that are still there, in their order."""
    wanted = set(offsets)
    found: list[ConsumerRecord] = []
    if not wanted:
        return found
    topic, number = place
    admin = admin_client(settings)
    for record in read(
        settings, admin, [TopicPartition(topic, number)], since={place: min(wanted)}
    ):
        if record.offset in wanted:
            found.append(record)
        if record.offset >= max(wanted):
            break
    return found
