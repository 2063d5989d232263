"""Consuming: messages of the client as plain records, and the errors that come instead of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from operator import itemgetter
from time import monotonic
from typing import Any

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from models.errors import Unavailable
from processor.kafka import config as kafka
from processor.record_batch import RecordBatch
from processor.records import UNREADABLE_HEADERS, ConsumerRecord, Headers, Partition, Position
from processor.settings import Settings

REQUEST_TIMEOUT = 5.0


REACH_SECONDS = 5.0


RECORDS = 10_000


class Behind(Unavailable):
    """What was announced cannot be read to its end now."""


class Follower:
    """Follows partitions from given offsets on, by a consumer of its own."""

    def __init__(self, settings: Settings, positions: list[Position]) -> None:
        self._settings = settings
        self._admin: AdminClient | None = None
        self._at = {(topic, partition): offset for topic, partition, offset in positions}
        self._consumer = Consumer(kafka.reader_config(settings))
        self._consumer.assign([TopicPartition(*position) for position in positions])

    def poll(self) -> Sequence[ConsumerRecord]:
        """What has come since, without waiting."""
        return self._taken(self._consumer.consume(RECORDS, 0.0))

    def reach(self, place: Partition) -> Iterator[ConsumerRecord]:
        """What has come since, up to the end that a partition has now.

        The end is that of uncommitted reads: a transaction shows in one topic before it does in
        another, so what it announced may be open still while its samples are read.
        """
        end = self._end(place)
        deadline = monotonic() + REACH_SECONDS
        while self._at[place] < end:
            left = deadline - monotonic()
            if left <= 0:
                raise Behind(
                    f"{place[0]} [{place[1]}] is read to offset {self._at[place]} of {end}: a "
                    "transaction may be open there"
                )
            first = self._consumer.consume(1, min(left, 0.1))
            if first:
                yield from self._taken(first + self._consumer.consume(RECORDS, 0.0))

    def close(self) -> None:
        self._consumer.close()

    def _taken(self, messages: list[Message]) -> Sequence[ConsumerRecord]:
        """Records of messages; how far each partition is read is noted."""
        found, told = split_errors(messages)
        for place, offset in found.last_offsets().items():
            self._at[place] = max(offset + 1, self._at[place])
        for message, error in told:
            if error.code() == KafkaError._PARTITION_EOF:
                place = (message.topic() or "", message.partition() or 0)
                self._at[place] = max(message.offset() or 0, self._at[place])
        return found

    def _end(self, place: Partition) -> int:
        if self._admin is None:
            self._admin = AdminClient(kafka.base(self._settings))
        try:
            return latest_offsets(self._admin, [TopicPartition(*place)])[place]
        except KafkaException as error:
            # A client from before a restart of the broker may go on like this for a minute.
            self._admin = None
            if not is_transient(error.args[0]):
                raise
            raise Behind(f"{place[0]} [{place[1]}]: {error.args[0].str()}") from error


# Errors that no waiting mends; whatever else a broker says while it comes and goes, passes.
PERMANENT_ERRORS = frozenset(
    (
        KafkaError._AUTHENTICATION,
        KafkaError._INVALID_ARG,
        KafkaError._FATAL,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.UNSUPPORTED_VERSION,
    )
)


def is_transient(error: KafkaError) -> bool:
    """Whether an error may pass by itself."""
    return not error.fatal() and error.code() not in PERMANENT_ERRORS


def split_errors(
    messages: Sequence[Message],
) -> tuple[RecordBatch, list[tuple[Message, KafkaError]]]:
    """Records as plain values, and what came instead of one, with the error that it tells."""
    if not messages:
        return RecordBatch.of(()), []
    errors = list(map(Message.error, messages))
    if not any(errors):
        return to_record_batch(messages), []
    told = [(m, error) for m, error in zip(messages, errors, strict=True) if error is not None]
    return to_record_batch(list(compress(messages, [error is None for error in errors]))), told


def to_record_batch(messages: Sequence[Message]) -> RecordBatch:
    """Polled messages as plain values; of many, without Python's loop."""
    count = len(messages)
    headers = headers_of(messages)
    return RecordBatch(
        list(map(Message.topic, messages)),
        np.fromiter(map(Message.partition, messages), np.int64, count),
        np.fromiter(map(Message.offset, messages), np.int64, count),
        list(map(Message.key, messages)),
        list(map(Message.value, messages)),
        headers,
        np.fromiter(map(itemgetter(1), map(Message.timestamp, messages)), np.int64, count),
    )


def headers_of(messages: Sequence[Message]) -> list[Headers]:
    """The headers of each message, ``UNREADABLE_HEADERS`` if the client raises.

    confluent-kafka raises SystemError if a name is not UTF-8. Asked once more, that message gives a
    tuple with a null pointer (2.12 to 2.16), which ends the process: each is asked once.
    """
    found: list[Any] = []
    left = iter(messages)
    while len(found) < len(messages):
        try:
            # What came before the message that raises stays, and ``left`` goes on behind it.
            found.extend(map(Message.headers, left))
        except Exception:
            found.append(UNREADABLE_HEADERS)
    return [tuple(each or ()) for each in found] if any(found) else [()] * len(found)


def latest_offsets(
    admin: AdminClient, places: Iterable[TopicPartition]
) -> dict[tuple[str, int], int]:
    """End offset of each partition as a reader of uncommitted records sees it."""
    return _offsets(admin, places, OffsetSpec.latest())


def earliest_offsets(
    admin: AdminClient, places: Iterable[TopicPartition]
) -> dict[tuple[str, int], int]:
    """First offset of each partition."""
    return _offsets(admin, places, OffsetSpec.earliest())


def _offsets(
    admin: AdminClient, places: Iterable[TopicPartition], spec: OffsetSpec
) -> dict[tuple[str, int], int]:
    asked = {TopicPartition(p.topic, p.partition): spec for p in places}
    if not asked:
        return {}
    futures = admin.list_offsets(asked, request_timeout=REQUEST_TIMEOUT)
    deadline = monotonic() + REQUEST_TIMEOUT
    try:
        return {
            (place.topic, place.partition): future.result(max(0.0, deadline - monotonic())).offset
            for place, future in futures.items()
        }
    except TimeoutError:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None
