"""Restore: compacted topics read to their end at assignment, by a consumer of its own."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import compress
from operator import itemgetter
from time import monotonic
from typing import Any, Protocol

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from models.errors import Unavailable
from processor import kafka
from processor.batch import Batch
from processor.records import UNREADABLE_HEADERS, Headers, Incoming
from processor.records import TopicPartition as Place
from processor.settings import Settings

REQUEST_TIMEOUT = 5.0
REACH_SECONDS = 5.0
RECORDS = 10_000


@contextmanager
def uncollected() -> Iterator[None]:
    """Have the collector of cycles leave alone what is made inside, now and later.

    State is in no cycle and lives long: walking it again and again, as it grows, would take most of
    a restore.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class Restore:
    """Reads partitions to the end that they had when the restore began.

    The end is that of uncommitted reads: what a transaction still open has written is waited for.
    """

    def __init__(
        self,
        config: Mapping[str, object],
        admin: AdminClient,
        topics: Iterable[str],
        partitions: Iterable[int],
    ) -> None:
        places = [TopicPartition(topic, p) for topic in topics for p in partitions]
        self._ends = ends(admin, places)
        self._at: dict[tuple[str, int], int] = {}
        self._consumer = Consumer(dict(config))
        starts = beginnings(admin, places)
        self._at |= starts
        self._left = {place for place, end in self._ends.items() if end > starts[place]}
        self._offsets = self.remaining
        self._consumer.assign([TopicPartition(t, p, starts[t, p]) for t, p in self._left])
        self.read = 0

    @property
    def done(self) -> bool:
        return not self._left

    @property
    def remaining(self) -> int:
        """Offsets still to be passed; compaction has emptied many of them."""
        return sum(self._ends[place] - self._at[place] for place in self._left)

    @property
    def progress(self) -> str:
        """How far it has come, told so that it changes ten times at most."""
        passed = 1.0 if not self._offsets else 1 - self.remaining / self._offsets
        return f"{int(passed * 10) * 10} % of {self._offsets} offsets read"

    def poll(self, timeout: float) -> Sequence[Incoming]:
        """Some more records; an empty list is no sign of the end, ``done`` is.

        Raises:
            KafkaException: the broker reports an error that does not pass by itself.
        """
        if self.done:
            return []
        found, told = received(self._consumer.consume(RECORDS, timeout))
        self.read += len(found)
        for place, offset in found.lasts().items():
            self._passed(place, offset + 1)
        for message, error in told:
            if error.code() == KafkaError._PARTITION_EOF:
                place = (message.topic() or "", message.partition() or 0)
                self._passed(place, message.offset() or 0)
            # It is in no group, and needs no permission on the one that it must name.
            elif not passes(error) and error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
                raise KafkaException(error)
        return found

    def _passed(self, place: tuple[str, int], offset: int) -> None:
        """All records before an offset were read."""
        self._at[place] = max(offset, self._at[place])
        if offset >= self._ends[place]:
            self._left.discard(place)

    def close(self) -> None:
        self._consumer.close()


Position = tuple[str, int, int]
"""Topic, partition and the offset to begin at."""


class Behind(Unavailable):
    """What was announced cannot be read to its end now."""


class Following(Protocol):
    """Gives the records that were appended to partitions since the last look."""

    def poll(self) -> Sequence[Incoming]:
        """The records since, at most some of them."""

    def reach(self, place: Place) -> Iterable[Incoming]:
        """The records that have come since, up to the end that a partition has now, or further.

        Raises:
            Behind: that takes too long.
        """

    def close(self) -> None:
        """Stop following."""


class Follower:
    """Follows partitions from given offsets on, by a consumer of its own."""

    def __init__(self, settings: Settings, positions: list[Position]) -> None:
        self._settings = settings
        self._admin: AdminClient | None = None
        self._at = {(topic, partition): offset for topic, partition, offset in positions}
        self._consumer = Consumer(kafka.reader(settings))
        self._consumer.assign([TopicPartition(*position) for position in positions])

    def poll(self) -> Sequence[Incoming]:
        """What has come since, without waiting."""
        return self._taken(self._consumer.consume(RECORDS, 0.0))

    def reach(self, place: Place) -> Iterator[Incoming]:
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

    def _taken(self, messages: list[Message]) -> Sequence[Incoming]:
        """Records of messages; how far each partition is read is noted."""
        found, told = received(messages)
        for place, offset in found.lasts().items():
            self._at[place] = max(offset + 1, self._at[place])
        for message, error in told:
            if error.code() == KafkaError._PARTITION_EOF:
                place = (message.topic() or "", message.partition() or 0)
                self._at[place] = max(message.offset() or 0, self._at[place])
        return found

    def _end(self, place: Place) -> int:
        if self._admin is None:
            self._admin = AdminClient(kafka.base(self._settings))
        try:
            return ends(self._admin, [TopicPartition(*place)])[place]
        except KafkaException as error:
            # A client from before a restart of the broker may go on like this for a minute.
            self._admin = None
            if not passes(error.args[0]):
                raise
            raise Behind(f"{place[0]} [{place[1]}]: {error.args[0].str()}") from error


# Errors that no waiting mends; whatever else a broker says while it comes and goes, passes.
LASTING = frozenset(
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


def passes(error: KafkaError) -> bool:
    """Whether an error may pass by itself."""
    return not error.fatal() and error.code() not in LASTING


def received(messages: Sequence[Message]) -> tuple[Batch, list[tuple[Message, KafkaError]]]:
    """Records as plain values, and what came instead of one, with the error that it tells."""
    errors = list(map(Message.error, messages))
    if not any(errors):
        return polled(messages), []
    told = [(m, error) for m, error in zip(messages, errors, strict=True) if error is not None]
    return polled(list(compress(messages, [error is None for error in errors]))), told


def polled(messages: Sequence[Message]) -> Batch:
    """Polled messages as plain values; of many, without Python's loop."""
    count = len(messages)
    headers = headers_of(messages)
    return Batch(
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


def ends(admin: AdminClient, places: Iterable[TopicPartition]) -> dict[tuple[str, int], int]:
    """End offset of each partition as a reader of uncommitted records sees it."""
    return _offsets(admin, places, OffsetSpec.latest())


def beginnings(admin: AdminClient, places: Iterable[TopicPartition]) -> dict[tuple[str, int], int]:
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
