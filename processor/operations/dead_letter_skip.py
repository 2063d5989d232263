"""``telltale dead-letter skip``: past records that no client can read, exactly once and recorded.

The role that reads the partition may run meanwhile: it goes on behind the offset committed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from processor.kafka import config as kafka
from processor.kafka.acls import tool_id
from processor.kafka.admin import partition_counts
from processor.kafka.consuming import REQUEST_TIMEOUT, earliest_offsets, latest_offsets
from processor.kafka.reading import ToolError, admin_client
from processor.records import ProducerRecord
from processor.settings import Settings
from processor.stream.transaction import Aborted, Fatal, OutcomeUnknown, Transactions
from processor.topics import Topics

ANSWER_SECONDS = 15.0


@dataclass(frozen=True)
class Skipped:
    """The offsets that were skipped, ``last`` included, and what the client says of them."""

    first: int
    last: int
    error: str


def role_group(settings: Settings, topic: str) -> str:
    """The consumer group that reads an input.

    Raises:
        ToolError: no role reads this topic in a group.
    """
    topics = Topics(settings.topic_prefix)
    if topic in topics.configs() and topic not in topics.inputs():
        known = ", ".join(topics.inputs())
        raise ToolError(f"{topic}: expected one of {known}, or a topic that ingest reads")
    role = "retrainer" if topic == topics.accepted else "scorer"
    role = role if topic in topics.inputs() else "ingest"
    return f"{settings.application}-{role}"


def skip(settings: Settings, topic: str, partition: int, offset: int) -> Skipped:
    """Commit the offset behind a batch that cannot be read, together with a dead letter.

    Args:
        offset: where the role stands still, as its log and ``/health/ready`` say.

    Raises:
        ToolError: the group is not there, the record can be read, or the commit failed; nothing was
            changed then.
        KafkaException: the broker did not answer.
    """
    group, admin = role_group(settings, topic), admin_client(settings)
    place = TopicPartition(topic, partition)
    first, end = earliest_offsets(admin, [place]), latest_offsets(admin, [place])
    consumer = Consumer(kafka.reader_config(settings) | {"group.id": group})
    try:
        committed = consumer.committed([place], timeout=REQUEST_TIMEOUT)[0].offset
        start = max(committed, first[topic, partition])
        found = _first(consumer, topic, partition, start)
        where = f"{topic} [{partition}]"
        if not isinstance(found, KafkaError):
            raise ToolError(f"{where}: the next record, at offset {found}, can be read")
        if not start <= offset < end[topic, partition] or (
            offset > start and not _unreadable(consumer, topic, partition, offset)
        ):
            raise ToolError(
                f"{where}: expected offset {start}, where the group {group} stands, got {offset}"
            )
        behind = _behind(consumer, topic, partition, offset, end[topic, partition])
        skipped = Skipped(start, behind - 1, found.str())
        letters = Topics(settings.topic_prefix).dead_letter
        # A source may have more partitions than the dead letters.
        count = partition_counts(admin, [letters]).get(letters, partition + 1)
        _commit(settings, TopicPartition(topic, partition), partition % count, skipped, consumer)
        return skipped
    finally:
        consumer.close()


def _behind(consumer: Consumer, topic: str, partition: int, offset: int, end: int) -> int:
    """The first offset from which on the partition can be read again, at most its end."""
    stuck, step = offset, 1
    while stuck + step < end and _unreadable(consumer, topic, partition, stuck + step):
        stuck, step = stuck + step, step * 2
    readable = min(stuck + step, end)
    while readable - stuck > 1:
        middle = (stuck + readable) // 2
        if _unreadable(consumer, topic, partition, middle):
            stuck = middle
        else:
            readable = middle
    return readable


def _unreadable(consumer: Consumer, topic: str, partition: int, offset: int) -> bool:
    return isinstance(_first(consumer, topic, partition, offset), KafkaError)


def _first(consumer: Consumer, topic: str, partition: int, offset: int) -> int | KafkaError:
    """The offset of the first record, or of the end, from an offset on; or the error there.

    Raises:
        ToolError: neither came.
    """
    consumer.assign([TopicPartition(topic, partition, offset)])
    deadline = monotonic() + ANSWER_SECONDS
    while monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is None:
            continue
        error, at = message.error(), message.offset()
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            return at or 0
        if at is not None and at >= 0:
            return error
        if error.fatal():
            raise KafkaException(error)
    raise ToolError(f"{topic} [{partition}]: nothing came from offset {offset} on")


def _commit(
    settings: Settings, place: TopicPartition, letters: int, skipped: Skipped, consumer: Consumer
) -> None:
    """Write the dead letter and the offset behind it in one transaction.

    Args:
        letters: partition of the dead letter.
    """
    topic, partition = place.topic, place.partition
    detail = f"offsets {skipped.first} to {skipped.last} cannot be read: {skipped.error}"
    headers: list[tuple[str, bytes | None]] = [
        ("telltale.reason", b"skipped"),
        ("telltale.detail", detail.encode()),
        ("telltale.topic", topic.encode()),
        ("telltale.partition", str(partition).encode()),
        ("telltale.offset", str(skipped.first).encode()),
        ("telltale.truncated", b"unknown"),
    ]
    topics = Topics(settings.topic_prefix)
    letter = ProducerRecord(topics.dead_letter, None, None, letters, headers=headers)
    name = tool_id(topics, settings.application, "skip")
    transactions = Transactions(kafka.transactional_producer(settings, name), lambda: None)
    try:
        transactions.start()
        offsets = {(topic, partition): skipped.last + 1}
        transactions.commit([letter], offsets, consumer.consumer_group_metadata())
    except (Aborted, OutcomeUnknown, Fatal) as error:
        raise ToolError(f"not skipped: {error}; run it again") from None
