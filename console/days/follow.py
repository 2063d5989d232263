"""A thread that counts days: it reads `anomalies` and `accepted-normal` from offsets of its own.

It stays behind the projection, which is never kept waiting, and writes seldom: a profile and day
is one row, however many verdicts came between two flushes.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, thread_time
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from sqlalchemy.exc import DBAPIError

from console.days.edges import new_edges
from console.days.features import FeatureSums
from console.days.flush import Moved, Taken, flush, held_offsets
from console.days.sums import ProfileSums
from console.live.events import Place
from console.live.state import LiveState, now_ms
from console.store.database import Database
from processor.kafka import config as kafka
from processor.kafka.reading import ToolError, admin_client, places_of, poll
from processor.record_batch import RecordBatch
from processor.settings import Settings
from processor.topics import Topics

RECORDS = 2000
POLL_SECONDS = 0.1
GATHER_SECONDS = 0.5
RETRY_SECONDS = 10.0
TAKEN_SECONDS = 30.0
"""Between tries if another replica counts."""

FLUSH_SECONDS = 5.0
FLUSH_SHARE = 10
"""Flushes take a tenth of a processor's time at most."""

MOST_RECORDS = 100_000
"""That are counted and not yet written."""

FAR_BEHIND, GIVE_WAY_SECONDS = 20_000, 0.2
"""Records by which the projection is behind if this thread gives way to it, and for how long."""

FETCHED = {"queued.max.messages.kbytes": 8192}


@dataclass
class Pending:
    """What was counted of a partition since its last flush.

    Attributes:
        known: hashes of the profiles that were forgotten before, and when.
        since: time of the oldest record.
    """

    sums: ProfileSums | FeatureSums
    begin: int
    end: int
    known: dict[str, int]
    since: int


class FollowDays:
    """Counts days until it is told to stop; only what writes the store runs it.

    Args:
        ready: whether the projection has caught up.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        state: LiveState,
        log: Any,
        ready: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._topics = Topics(settings.topic_prefix)
        self._database = database
        self._state = state
        self._log = log
        self._ready = ready
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="days", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """Stop; False if it has not ended in time. What was not written is counted again."""
        self._stopping.set()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        # What was forgotten is known once the projection has caught up.
        while not self._ready() and not self._stopping.wait(POLL_SECONDS):
            pass
        while not self._stopping.is_set():
            seconds = RETRY_SECONDS
            try:
                self._count()
            except Moved as why:
                self._log.info("days", detail=str(why))
                seconds = TAKEN_SECONDS if isinstance(why, Taken) else 1.0
            except (KafkaException, ToolError, DBAPIError) as error:
                self._log.warning("days", detail=str(error).splitlines()[0])
            except Exception:
                # Verdicts go on; what is counted by day waits.
                self._log.error("days", exc_info=True)
            # Replicas that lost to one another do not come back together.
            self._stopping.wait(seconds * random.uniform(0.5, 1.5))  # noqa: S311

    def _count(self) -> None:
        topics = (self._topics.anomalies, self._topics.accepted)
        places = places_of(admin_client(self._settings), list(topics))
        held = held_offsets(self._database, topics)
        offsets = {(p.topic, p.partition): held.get((p.topic, p.partition), 0) for p in places}
        consumer = Consumer(kafka.reader_config(self._settings) | FETCHED)
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
        pending: dict[Place, Pending] = {}
        due = monotonic() + FLUSH_SECONDS
        while not self._stopping.is_set():
            if self._state.lag.get(self._topics.anomalies, 0) > FAR_BEHIND:
                self._stopping.wait(GIVE_WAY_SECONDS)
            # Nobody waits for days: many records together cost little more than one.
            found, _ = poll(consumer, RECORDS, GATHER_SECONDS)
            records = RecordBatch.of(found)
            for place in records.places() if records else ():
                self._take(place, records, offsets, pending)
            many = sum(each.sums.records for each in pending.values()) > MOST_RECORDS
            if pending and (many or monotonic() >= due):
                begin = thread_time()
                for place in sorted(pending):
                    self._flush(place, pending.pop(place))
                due = monotonic() + max(FLUSH_SECONDS, (thread_time() - begin) * FLUSH_SHARE)

    def _take(
        self,
        place: Place,
        records: RecordBatch,
        offsets: dict[Place, int],
        pending: dict[Place, Pending],
    ) -> None:
        topic, partition = place
        here = records.partitions == partition
        if len(set(records.topics)) > 1:
            here &= [name == topic for name in records.topics]
        own = records.filter(here & (records.offsets >= offsets[place]))
        if not own:
            return
        found = pending.get(place)
        if found is None:
            made = ProfileSums() if topic == self._topics.anomalies else FeatureSums()
            known = dict(self._state.profiles.forgotten)
            at = offsets[place]
            found = pending[place] = Pending(made, at, at, known, now_ms())
        found.since = min(found.since, int(own.timestamps.min()))

        def gone(kind: str, profile_id: str, at: int) -> bool:
            return self._state.profiles.is_forgotten(kind, partition, profile_id, at)

        if isinstance(found.sums, ProfileSums):
            found.sums.add(own, self._topics, gone)
        else:
            found.sums.add(own, gone)
        found.end = offsets[place] = int(own.offsets[-1]) + 1

    def _flush(self, place: Place, pending: Pending) -> None:
        sums = pending.sums
        edges = {}
        if isinstance(sums, FeatureSums):
            edges = new_edges(self._database, self._settings, place[1], sums)
        flush(
            self._database,
            place,
            pending.begin,
            pending.end,
            sums,
            lifecycle=self._topics.lifecycle,
            known=pending.known,
            since=pending.since,
            key=self._state.profiles.key,
            edges=edges,
            now=now_ms(),
        )
