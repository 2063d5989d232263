"""Two threads: one reads the topics into memory, one writes what was read into the store."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from sqlalchemy.exc import DBAPIError

from console.days.follow import FollowDays
from console.live.events import Item, Place
from console.live.reading import take, warm_up
from console.live.receipts import Receipts
from console.live.state import LiveState, counts_of, now_ms
from console.store.database import Database
from console.store.projection import Batch, StoreBehind, project
from console.store.retention import clean
from processor.kafka import config as kafka
from processor.kafka.reading import ToolError, admin_client, places_of, poll
from processor.record_batch import RecordBatch
from processor.records import ConsumerRecord
from processor.settings import Settings
from processor.topics import Topics

RECORDS = 2500
JOINED_RECORDS = 10_000
BATCHES_AHEAD = 4
"""So far may reading be ahead of writing; beyond, it waits."""

GATHER_SECONDS = 0.1
"""A transaction costs as much for one record as for hundreds: those of this time share one."""

FETCHED = {"queued.max.messages.kbytes": 16_384}
"""So much may wait in the client: a verdict takes five times its bytes once it is read."""

POLL_SECONDS = 0.05
RETRY_SECONDS = 1.0
BROKER_SECONDS = 5.0
CLEAN_SECONDS = 600.0
TELL_SECONDS = 5.0
DAY_MS = 86_400_000


@dataclass
class Says:
    """What the threads say of themselves; why something does not work, or None."""

    kafka: str | None = "starting"
    store: str | None = None
    projection: str | None = "starting"
    fatal: str | None = None
    written_at: float = field(default_factory=monotonic)


class Follow:
    """Follows the topics from the offsets in the store on, until it is told to stop.

    Without ``writes``, only memory is kept: another process keeps the store.

    Every replica reads all partitions, for its own memory. In the store, the first one that has
    read a record writes it.
    """

    def __init__(
        self,
        kafka_settings: Settings,
        database: Database,
        state: LiveState,
        *,
        receipts: Receipts | None,
        writes: bool = True,
        one_in: int,
        retention_days: float,
        log: Any,
        failed: Callable[[], None],
    ) -> None:
        self._kafka = kafka_settings
        self._topics = Topics(kafka_settings.topic_prefix)
        self._database = database
        self._state = state
        self._receipts = receipts
        self._writes = writes
        self._one_in = one_in
        self._retention_ms = int(retention_days * DAY_MS)
        self._log = log
        self._failed = failed
        self._batches: queue.Queue[Batch] = queue.Queue(BATCHES_AHEAD)
        self._unsent: Batch | None = None
        self._stopping = threading.Event()
        self._caught_up = False
        self.says = Says()
        self._days = FollowDays(kafka_settings, database, state, log, lambda: self._caught_up)
        self._threads = [
            threading.Thread(target=self._guarded, args=(run,), name=name, daemon=True)
            for name, run in (("read", self._read), ("write", self._write))
            if writes or run == self._read
        ]

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that are followed."""
        names = self._topics
        said = (names.labels, names.attributes)
        return (names.anomalies, names.lifecycle, names.models, names.dead_letter, *said)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()
        if self._writes:
            self._days.start()

    def stop(self, seconds: float) -> bool:
        """Stop both threads; False if one has not ended in time."""
        self._stopping.set()
        deadline = monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - monotonic()))
        if self._writes and not self._days.stop(max(0.0, deadline - monotonic())):
            return False
        return not any(thread.is_alive() for thread in self._threads)

    def _guarded(self, run: Callable[[], None]) -> None:
        try:
            run()
        except Exception as error:
            self.says.fatal = type(error).__name__
            self._log.error("failed", exc_info=True)
            self._stopping.set()
            self._failed()

    def _read(self) -> None:
        warm_up()
        while not self._stopping.is_set():
            try:
                places = places_of(admin_client(self._kafka), list(self.topics))
                break
            except (KafkaException, ToolError) as error:
                self._tell_kafka(str(error))
                self._stopping.wait(RETRY_SECONDS)
        else:
            return
        self._tell_kafka(None)
        held = self._state.offsets
        offsets = {(p.topic, p.partition): held.get((p.topic, p.partition), 0) for p in places}
        consumer = Consumer(kafka.reader_config(self._kafka) | FETCHED)
        consumer.assign(
            [
                TopicPartition(topic, number, held.get((topic, number), OFFSET_BEGINNING))
                for topic, number in offsets
            ]
        )
        try:
            self._turn(consumer, offsets)
        finally:
            consumer.close()

    def _turn(self, consumer: Consumer, offsets: dict[Place, int]) -> None:
        ended: set[Place] = set()
        looked = 0.0
        while not self._stopping.is_set():
            try:
                # For many, the client waits until it has all of them or the time is over.
                first, at_end = poll(consumer, 1, POLL_SECONDS)
                more, at_end_too = poll(consumer, RECORDS, 0.0)
            except KafkaException as error:
                self._tell_kafka(error.args[0].str())
                self._stopping.wait(RETRY_SECONDS)
                continue
            records = RecordBatch.joined(first, more)
            ended.update(at_end, at_end_too)
            if len(ended) == len(offsets) and not self._caught_up:
                self._caught_up = True
                self.says.projection = None
            if records:
                self._take(records, offsets)
            self._hand_on()
            if not self._writes:
                self.says.written_at = monotonic()
            if monotonic() - looked > BROKER_SECONDS:
                self._look(consumer, offsets)
                looked = monotonic()

    def _take(self, records: Sequence[ConsumerRecord], offsets: dict[Place, int]) -> None:
        taken = take(RecordBatch.of(records), offsets, self._state, self._topics, self._one_in)
        if taken is None or not self._writes:
            return
        batch = Batch(taken.items, taken.begins, taken.ends, taken.normals)
        self._unsent = batch if self._unsent is None else self._unsent.joined(batch)

    def _hand_on(self) -> None:
        """Give the writing thread what was read; few records do not wait for it, but for more."""
        while (batch := self._unsent) is not None and not self._stopping.is_set():
            few = len(batch) < RECORDS
            try:
                self._batches.put(batch, timeout=0.0 if few else 0.2)
                self._unsent = None
            except queue.Full:
                if few:
                    return

    def _look(self, consumer: Consumer, offsets: dict[Place, int]) -> None:
        """How far reading is behind, and whether the broker answers."""
        lag: dict[str, int] = dict.fromkeys(self.topics, 0)
        try:
            for topic, number in offsets:
                place = TopicPartition(topic, number)
                _, high = consumer.get_watermark_offsets(place, cached=True)
                # What is left at the end may be a control record, which nobody is given.
                at = consumer.position([place])[0].offset
                lag[topic] += max(0, high - at) if at >= 0 and high >= 0 else 0
            consumer.list_topics(self._topics.anomalies, timeout=1.0)
            self._tell_kafka(None)
        except KafkaException as error:
            self._tell_kafka(error.args[0].str())
        self._state.lag = lag

    def _tell_kafka(self, why: str | None) -> None:
        if why != self.says.kafka:
            self._log.info("broker", detail=why or "answers")
        self.says.kafka = why

    def _write(self) -> None:
        cleaned = told = monotonic()
        written = 0.0
        while not (self._stopping.is_set() and self._batches.empty()):
            try:
                batch = self._batches.get(timeout=0.2)
            except queue.Empty:
                self.says.written_at = monotonic()
                if monotonic() - told > TELL_SECONDS:
                    told = monotonic()
                    self._try(lambda: self._tell(()))
                if monotonic() - cleaned > CLEAN_SECONDS:
                    cleaned = monotonic()
                    self._try(lambda: clean(self._database, now_ms(), self._retention_ms))
                continue
            batch = self._gathered(batch, written + GATHER_SECONDS)
            while not self._try(lambda found=batch: self._project(found)):  # type: ignore[misc]
                if self._stopping.wait(RETRY_SECONDS):
                    return
            self.says.written_at = written = monotonic()

    def _gathered(self, batch: Batch, until: float) -> Batch:
        """A batch and those behind it; few records wait for more until a time is over."""
        while len(batch) < JOINED_RECORDS:
            left = until - monotonic() if len(batch) < RECORDS else 0.0
            try:
                batch = batch.joined(self._batches.get(timeout=max(0.0, left)))
            except queue.Empty:
                break
        return batch

    def _project(self, batch: Batch) -> None:
        counts, shared = project(
            self._database, batch, self._state.profiles, self._one_in, now_ms()
        )
        if any(key.event == "forgotten" for key in counts.events):
            self._database.truncate_log()
            self._tell(batch.items)
        if shared:
            with self._database.read() as connection:
                self._state.totals.replace(counts_of(connection))
        else:
            self._state.totals.add(counts)

    def _tell(self, items: Iterable[Item]) -> None:
        if self._receipts is not None:
            self._receipts.tell(items)

    def _try(self, run: Callable[[], None]) -> bool:
        """Whether it could be done; a store that is away, or busy, may be back later."""
        try:
            run()
        except DBAPIError as error:
            if not (error.connection_invalidated or _passes(error)):
                raise
            told = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else "?"
            if self.says.store is None:
                self._log.warning("store", detail=told)
            self.says.store = type(error.orig).__name__
            return False
        if self.says.store is not None:
            self._log.info("store", detail="answers")
        self.says.store = None
        return True


def _passes(error: DBAPIError) -> bool:
    name = type(error.orig).__name__
    text = str(error.orig)
    return name == "OperationalError" and not ("no such" in text or "syntax" in text)


__all__ = ["Follow", "Says", "StoreBehind"]
