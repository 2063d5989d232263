"""Restore: compacted topics read to their end at assignment, by a consumer of its own."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.kafka import config as kafka
from processor.kafka.consuming import (
    RECORDS,
    earliest_offsets,
    is_transient,
    latest_offsets,
    split_errors,
)
from processor.kafka.topic_identity import Described
from processor.offsets.last_answers import Answered as LastAnswers
from processor.offsets.partitions import listed
from processor.offsets.starting_offsets import (
    Found,
    Start,
    find_offsets,
    starting_offsets,
    topic_partitions,
)
from processor.records import ConsumerRecord, Partition
from processor.settings import Settings
from processor.stream.role import Role
from processor.topics import Topics

POLL_SECONDS = 0.1
COMMITTED_SECONDS = 1.0
STUCK_SECONDS = 15.0
WHY_STUCK = (
    "a transaction may be open there, which the broker aborts after its time-out; one that stays "
    "can be found and aborted with kafka-transactions.sh find-hanging"
)


@contextmanager
def gc_paused() -> Iterator[None]:
    """Exclude objects made inside from garbage collection of cycles, now and later.

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
        self._ends = latest_offsets(admin, places)
        self._at: dict[tuple[str, int], int] = {}
        self._consumer = Consumer(dict(config))
        starts = earliest_offsets(admin, places)
        self._at |= starts
        self._left = {place for place, end in self._ends.items() if end > starts[place]}
        self._offsets = self.remaining
        self._consumer.assign([TopicPartition(t, p, starts[t, p]) for t, p in self._left])
        self.read = 0
        self._moved = monotonic()

    @property
    def done(self) -> bool:
        return not self._left

    @property
    def remaining(self) -> int:
        """Offsets still to be passed; compaction has emptied many of them."""
        return sum(self._ends[place] - self._at[place] for place in self._left)

    @property
    def progress(self) -> str:
        """Progress in steps of a tenth at least, for logs."""
        passed = 1.0 if not self._offsets else 1 - self.remaining / self._offsets
        told = f"{int(passed * 10) * 10} % of {self._offsets} offsets read"
        if monotonic() - self._moved < STUCK_SECONDS:
            return told
        topic, partition = min(self._left)
        at, end = self._at[topic, partition], self._ends[topic, partition]
        return f"{told}; {topic} [{partition}] stands at {at} of {end}: {WHY_STUCK}"

    def poll(self, timeout: float) -> Sequence[ConsumerRecord]:
        """Some more records; an empty list is no sign of the end, ``done`` is.

        Raises:
            KafkaException: the broker reports an error that does not pass by itself.
        """
        if self.done:
            return []
        found, told = split_errors(self._consumer.consume(RECORDS, timeout))
        self.read += len(found)
        for place, offset in found.last_offsets().items():
            self._passed(place, offset + 1)
        for message, error in told:
            if error.code() == KafkaError._PARTITION_EOF:
                place = (message.topic() or "", message.partition() or 0)
                self._passed(place, message.offset() or 0)
            # It is in no group, and needs no permission on the one that it must name.
            elif not is_transient(error) and error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
                raise KafkaException(error)
        return found

    def _passed(self, place: tuple[str, int], offset: int) -> None:
        """All records before an offset were read."""
        if offset > self._at[place]:
            self._at[place] = offset
            self._moved = monotonic()
        if offset >= self._ends[place]:
            self._left.discard(place)

    def close(self) -> None:
        self._consumer.close()


class Restoration:
    """A role's state and offsets taken from the broker, some records at a time.

    Attributes:
        remaining: offsets of the changelogs that are still to be passed.
        waiting: what is done now.
        read: records of the changelogs that were read.
    """

    def __init__(
        self,
        consumer: Consumer,
        role: Role,
        settings: Settings,
        topics: Mapping[str, Described],
        partitions: Collection[int],
        places: Collection[Partition],
        log: Any,
    ) -> None:
        self.remaining = self.read = 0
        self.waiting = "restoring"
        self._consumer = consumer
        self._role = role
        self._settings = settings
        self._topics = topics
        self._partitions = partitions
        self._log = log
        self._places = list(places)
        self._reading: Restore | None = None
        self._loaded = self._checked = False
        self._found: dict[Partition, Found] = {}
        self._answered: LastAnswers | None = None

    def advance(self, admin: AdminClient) -> Start | None:
        """Go on: offsets stable, changelogs read, offsets checked; where reading begins, at last.

        Raises:
            LostOffsets: committed offsets or unread records are gone, and the policy is to stop.
            UnfitStore: most announced models are gone, and the policy is to stop.
            ArtifactUnavailable: the model store does not answer; to be called again.
            KafkaException: to be called again if the error is transient.
        """
        if not self._read_changelogs(admin):
            return None
        if not self._loaded:
            with gc_paused():
                self._role.restored(self._partitions)
            self._loaded = True
        if not self._checked:
            self._role.check_models()
            self._checked = True
        if self._answered is None:
            self._found = find_offsets(self._consumer, admin, self._places)
            self._answered = self._look_back(admin)
        if not self._answered.done:
            self._answered.poll(POLL_SECONDS)
            self.waiting = "looking for the records that were answered last"
            return None
        start = starting_offsets(
            self._found,
            self._role.restored_offsets(),
            self._answered.newest,
            self._role.changelogs,
            self._topics,
            self._settings.lost_offsets,
            self._log,
        )
        for why in self._answered.unchecked:
            self._log.warning("offsets_unchecked", reason=why)
        return start

    def close(self) -> None:
        """Close the consumers."""
        if self._reading is not None:
            self._reading.close()
        if self._answered is not None:
            self._answered.close()

    def _read_changelogs(self, admin: AdminClient) -> bool:
        """Read some more; whether all were read to their end."""
        if self._reading is None:
            # Offsets that answer are stable: no transaction of an earlier life is pending.
            self._consumer.committed(topic_partitions(self._places), timeout=COMMITTED_SECONDS)
            reader = kafka.reader_config(self._settings)
            self._reading = Restore(reader, admin, self._role.changelogs, self._partitions)
        if self._reading.done:
            return True
        with gc_paused():
            for record in self._reading.poll(POLL_SECONDS):
                self._role.load(record)
        self.remaining, self.read = self._reading.remaining, self._reading.read
        self.waiting = f"restoring: {self._reading.progress}"
        return False

    def _look_back(self, admin: AdminClient) -> LastAnswers:
        """Look for what was answered of telemetry whose committed offset carries no note of ours.

        It was moved by hand, or an earlier version committed it, or nobody has so far.
        """
        names = Topics(self._settings.topic_prefix)
        telemetry = names.kinds()
        unsure = {place: at.last for place, at in self._found.items() if at.unsure}
        others = [place for place in unsure if place[0] not in telemetry]
        moved = [place for place in others if self._found[place].committed >= 0]
        if moved:
            self._log.warning(
                "offsets_of_another_hand",
                reason="committed by hand, or by an earlier version, with records behind them",
                partitions=listed(moved),
            )
        asked = {place: end for place, end in unsure.items() if place[0] in telemetry}
        return LastAnswers(kafka.reader_config(self._settings), admin, names, asked)
