"""The partitions of a process: rebalances, restore at assignment, and where reading goes on."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Iterable
from time import monotonic
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from processor import kafka
from processor.fetching import Fetching
from processor.offsets import starting_offsets, topic_partitions
from processor.records import TopicPartition as Place
from processor.restore import Restore, ends, passes, uncollected
from processor.role import Role
from processor.settings import Settings

COMMITTED_SECONDS = 1.0
RESTORE_POLL_SECONDS = 0.1


class Assignment:
    """What this process holds of the group's partitions, and how far each input was answered.

    Nothing is fetched before the state is restored: the group's assignment is only noted in the
    callback, and taken with explicit offsets once the changelogs were read to their end.

    Attributes:
        partitions: partition numbers held, the same of every input; None outside the group.
        group: the consumer's metadata of the membership that gave them, for the transactions of
            what is computed under it; None before the first.
        positions: next offset to be answered of each input that is held; empty until restored.
        ends: offset at which each input was last seen to end.
        waiting: why no telemetry is read now, or None.
        restore_seconds: how long the last restore took.
        restore_remaining: offsets of the changelogs that a restore under way has yet to pass.
        epoch: goes up whenever the state is let go of.
        lost: whether partitions were lost, rather than revoked, since this was last set to False.
    """

    def __init__(self, consumer: Consumer, role: Role, settings: Settings, log: Any) -> None:
        self.partitions: tuple[int, ...] | None = None
        self.group: object = None
        self.positions: dict[Place, int] = {}
        self.ends: dict[Place, int] = {}
        self.waiting: str | None = "joining the group"
        self.restore_seconds = 0.0
        self.restore_remaining = 0
        self.epoch = 0
        self.lost = False
        self._consumer = consumer
        self._admin: AdminClient
        self._role = role
        self._settings = settings
        self._log = log
        self._restore: Restore | None = None
        self._loaded = self._checked = False
        self._began = 0.0
        self._urgent: dict[Place, int] = {}
        self._fetching = Fetching(())
        self._held: set[Place] = set()
        self._broken: BaseException | None = None

    @property
    def restoring(self) -> bool:
        """Whether partitions are held whose state is not there yet."""
        return bool(self.partitions) and not self.positions

    def subscribe(self) -> None:
        """Join the group."""
        self._consumer.subscribe(
            list(self._role.inputs),
            on_assign=self._guarded(self._on_assign),
            on_revoke=self._guarded(self._on_revoke),
            on_lost=self._guarded(self._on_lost),
        )

    def check(self) -> None:
        """Raise what went wrong inside a callback, where it cannot be raised."""
        if self._broken is not None:
            raise self._broken

    def advance(self) -> bool:
        """Go on with a restore, some records at a time; whether records can be answered.

        Raises:
            LostOffsets: committed offsets or unread records are gone, and the policy is to stop.
            UnfitStore: most announced models are gone, and the policy is to stop.
            ArtifactUnavailable: the model store does not answer; to be called again.
            KafkaException: an error that does not pass by itself.
        """
        if self.partitions is None:
            return False
        if self.restoring:
            try:
                self._continue()
            except KafkaException as error:
                reason = error.args[0]
                if not passes(reason):
                    raise
                self.waiting = f"restoring: {reason.str()}"
                self._refresh()
        if not self.partitions:
            # More processes than partitions: a spare one is ready.
            self.waiting = None
        return bool(self.positions)

    def read(self, places: Iterable[Place]) -> None:
        """Note which partitions had records in a poll; before the ends that came with them."""
        self._fetching.read(places, monotonic())

    def ended(self, place: Place, offset: int) -> None:
        """Note that an input was read to its end."""
        self.ends[place] = offset
        self._fetching.ended(place)

    def tend(self) -> None:
        """Have idle inputs fetched only now and then while another is busy."""
        pause, resume = self._fetching.change(monotonic())
        self._fetch_only(pause, set(resume) - self._held)

    def hold(self, places: set[Place]) -> None:
        """Fetch nothing more of partitions of which polled records still wait, only of others.

        So polling goes on, which keeps the place in the group, and what waits does not grow.
        """
        if places != self._held:
            before, self._held = self._held, places
            self._fetch_only(places - before, before - places)

    def _fetch_only(self, pause: Collection[Place], resume: Collection[Place]) -> None:
        if resume:
            self._consumer.resume(topic_partitions(resume))
        if pause:
            self._consumer.pause(topic_partitions(pause))

    def passed(self) -> dict[Place, int]:
        """Ends beyond the next offset to be answered, where all that was polled is answered.

        Between the two are control records, and records of transactions that were aborted.
        """
        held = self.positions
        return {place: end for place, end in self.ends.items() if end > held.get(place, end)}

    def answered(self, offsets: dict[Place, int]) -> None:
        """Note how far a committed Step went."""
        self.positions |= offsets
        self.urgent_read()

    def follow_committed(self, places: Iterable[Place]) -> dict[Place, int]:
        """Go on at the committed offsets of some partitions, if another process moved them ahead.

        Returns:
            Those that were, with where they go on.

        Raises:
            KafkaException: the broker did not answer.
        """
        asked = topic_partitions(places)
        moved = {
            (found.topic, found.partition): found.offset
            for found in self._consumer.committed(asked, timeout=COMMITTED_SECONDS)
            if found.offset > self.positions[found.topic, found.partition]
        }
        self.positions |= moved
        for (topic, partition), offset in moved.items():
            self._consumer.seek(TopicPartition(topic, partition, offset))
        return moved

    def urgent_read(self) -> None:
        """Once commands were read to the end that they had, fetch everything."""
        if not self._urgent:
            return
        for place, end in list(self._urgent.items()):
            if max(self.positions[place], self.ends.get(place, 0)) >= end:
                del self._urgent[place]
        if not self._urgent:
            self.fetch()

    def fetch(self) -> None:
        """Fetch from the positions on; commands alone until they were read to their end."""
        wanted = self._urgent or self.positions
        self._begin(wanted)
        self._consumer.assign([TopicPartition(t, p, self.positions[t, p]) for t, p in wanted])
        self.waiting = "reading commands" if self._urgent else None

    def restore(self) -> None:
        """Take state and offsets from the broker, again or for the first time."""
        self._clear()
        self._refresh()
        self._consumer.assign([])
        self._began = monotonic()
        self.waiting = "restoring"

    def close(self) -> None:
        """Let go of a restore under way."""
        if self._restore is not None:
            self._restore.close()
            self._restore = None
        self.restore_remaining = 0

    def _guarded(self, callback: Callable[[list[Any]], None]) -> Callable[[Any, list[Any]], None]:
        def call(_: Any, places: list[Any]) -> None:
            try:
                callback(places)
            except BaseException as error:
                self._broken = error

        return call

    def _on_assign(self, places: list[Any]) -> None:
        held = {t: {p.partition for p in places if p.topic == t} for t in self._role.inputs}
        common = set.intersection(*held.values())
        odd = sorted(set.union(*held.values()) - common)
        if odd:
            self._log.error("partitions_apart", partitions=odd, topics=list(self._role.inputs))
        self.partitions = tuple(sorted(common))
        self.group = self._consumer.consumer_group_metadata()
        self._log.info("assigned", partitions=self.partitions)
        self.restore()
        if odd:
            self.waiting = f"partitions {odd} are not assigned of every topic alike"

    def _on_revoke(self, places: list[Any]) -> None:
        self._log.info("revoked", partitions=sorted({p.partition for p in places}))
        self._leave()

    def _on_lost(self, places: list[Any]) -> None:
        self._log.warning("lost", partitions=sorted({p.partition for p in places}))
        self.lost = True
        self._leave()

    def _begin(self, places: Iterable[Place]) -> None:
        """Forget how far the assignment at hand was read: another is to be taken, or none."""
        # librdkafka keeps a partition paused beyond its assignment.
        self._consumer.resume(topic_partitions({*self._fetching.paused, *self._held}))
        self._held = set()
        self._fetching = Fetching(places)
        # What was polled and dropped is polled again: an end is one only behind it.
        self.ends = {}

    def _leave(self) -> None:
        self._clear()
        self.partitions = None
        self._consumer.unassign()
        self.waiting = "rebalancing"

    def _refresh(self) -> None:
        """Have an admin client that knows the brokers as they are now.

        One from before a restart keeps asking with a leader's epoch that is past.
        """
        self._admin = AdminClient(kafka.base(self._settings))

    def _clear(self) -> None:
        self.close()
        self.epoch += 1
        self.positions = {}
        self._begin(())
        self._urgent = {}
        self._loaded = self._checked = False
        self._role.drop()
        gc.unfreeze()

    def _continue(self) -> None:
        """One turn of the restore: offsets stable, changelogs read, offsets checked."""
        partitions = self.partitions or ()
        if self._restore is None:
            # Offsets that answer are stable: no transaction of an earlier life is pending.
            places = [TopicPartition(t, p) for t in self._role.inputs for p in partitions]
            self._consumer.committed(places, timeout=COMMITTED_SECONDS)
            reader = kafka.reader(self._settings)
            self._restore = Restore(reader, self._admin, self._role.changelogs, partitions)
            self.restore_remaining = self._restore.remaining
        if not self._restore.done:
            with uncollected():
                for record in self._restore.poll(RESTORE_POLL_SECONDS):
                    self._role.load(record)
            self.restore_remaining = self._restore.remaining
            self.waiting = f"restoring: {self._restore.progress}"
            return
        if not self._loaded:
            with uncollected():
                self._role.restored(partitions)
            self._loaded = True
        if not self._checked:
            self._role.check_models()
            self._checked = True
        positions = starting_offsets(
            self._consumer,
            self._admin,
            [(t, p) for t in self._role.inputs for p in partitions],
            self._role.newest(),
            self._settings.lost_offsets,
            self._log,
        )
        urgent = [TopicPartition(t, p) for t in self._role.urgent for p in partitions]
        self._urgent = {
            place: end for place, end in ends(self._admin, urgent).items() if end > positions[place]
        }
        self.positions = positions
        self.restore_seconds = monotonic() - self._began
        read = self._restore.read
        self.close()
        # Profiles stay: the collector need not look at each of them again and again.
        gc.collect()
        gc.freeze()
        self._log.info("restored", records=read, seconds=round(self.restore_seconds, 3))
        self.fetch()
