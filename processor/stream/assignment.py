"""The partitions of a process: rebalances, restore at assignment, and where reading goes on."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.kafka import config as kafka
from processor.kafka import topic_identity
from processor.kafka.acls import permissions
from processor.kafka.consuming import is_transient, latest_offsets
from processor.kafka.topic_identity import Described
from processor.offsets.partitions import Parts
from processor.offsets.starting_offsets import LostOffsets, Start, topic_partitions
from processor.records import Partition
from processor.settings import Settings
from processor.stream.idle_partitions import Fetching
from processor.stream.restore import COMMITTED_SECONDS, Restoration
from processor.stream.role import Role
from processor.topics import Topics


class Assignment:
    """What this process holds of the group's partitions, and how far each input was answered.

    Nothing is fetched before the state is restored: the group's assignment is only noted in the
    callback, and taken with explicit offsets once the changelogs were read to their end.

    Attributes:
        partitions: partition numbers held, the same of every input as a rule; None outside the
            group. They are what is restored of the changelogs.
        places: the partitions of the inputs that are read.
        unread: partitions that the group gave and nobody reads, as another topic lacks them.
        apart: why, and what to do; None if there are none.
        topics: what the topics of the role were when the partitions were taken.
        notes: what is committed beside the offsets of each input that is held.
        restated: positions to be committed as they are, since another offset or note is committed:
            an idle partition would be met like that again at the next start.
        group: the consumer's metadata of the membership that gave them, for the transactions of
            what is computed under it; None before the first.
        positions: next offset to be answered of each input that is held; empty until restored.
        fetching: what is fetched, and where each input was last seen to end.
        waiting: why no telemetry is read now, or None.
        restore_seconds: how long the last restore took.
        restore_remaining: offsets of the changelogs that a restore under way has yet to pass.
        epoch: goes up whenever the state is dropped.
        lost: whether partitions were lost, rather than revoked, since this was last set to False.
    """

    def __init__(self, consumer: Consumer, role: Role, settings: Settings, log: Any) -> None:
        self.partitions: tuple[int, ...] | None = None
        self.places: tuple[Partition, ...] = ()
        self.group: object = None
        self.unread: tuple[Partition, ...] = ()
        self.apart: str | None = None
        self.topics: dict[str, Described] = {}
        self.notes: dict[Partition, str] = {}
        self.restated: dict[Partition, int] = {}
        self.positions: dict[Partition, int] = {}
        self.fetching = Fetching(consumer)
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
        names = Topics(settings.topic_prefix)
        needed = permissions(names, settings.application, role.inputs)[role.name]
        self._own = {p.name for p in needed if p.resource == "Topic" and p.name in names.configs()}
        self._topics = names
        self._given: dict[str, set[int]] = {}
        self._described = False
        self._restoration: Restoration | None = None
        self._began = 0.0
        self._urgent: dict[Partition, int] = {}
        self._broken: BaseException | None = None

    @property
    def names(self) -> list[str]:
        """The topics of the role: Telltale's own, and those that the group gave."""
        return sorted(self._own.union(self._given))

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
        """Raise an error of a callback, which cannot raise it itself."""
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
        if self.restoring or not self._described:
            try:
                self._continue()
            except KafkaException as error:
                reason = error.args[0]
                if not is_transient(reason):
                    raise
                self.waiting = f"restoring: {reason.str()}"
                self._refresh()
        if not self.partitions:
            # More processes than partitions: a spare one is ready.
            self.waiting = None
        return bool(self.positions)

    def committable_end_offsets(self) -> dict[Partition, int]:
        """End offsets beyond the next offset to be answered, if all that was polled is answered.

        Between the two are control records, and records of transactions that were aborted.
        """
        held = self.positions
        return {
            place: end for place, end in self.fetching.ends.items() if end > held.get(place, end)
        }

    def mark_answered(self, offsets: dict[Partition, int]) -> None:
        """Note how far a committed Step went."""
        self.positions |= offsets
        if self.restated:
            self.restated = {p: at for p, at in self.restated.items() if p not in offsets}
        self.finish_priority_inputs()

    def follow_committed(self, places: Iterable[Partition]) -> dict[Partition, int]:
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

    def finish_priority_inputs(self) -> None:
        """Fetch all inputs, once the priority inputs were read to the end that they had."""
        if not self._urgent:
            return
        for place, end in list(self._urgent.items()):
            if max(self.positions[place], self.fetching.ends.get(place, 0)) >= end:
                del self._urgent[place]
        if not self._urgent:
            self.fetch()

    def fetch(self) -> None:
        """Fetch from the positions on; commands alone until they were read to their end."""
        wanted = self._urgent or self.positions
        self.fetching.begin(wanted)
        self._consumer.assign([TopicPartition(t, p, self.positions[t, p]) for t, p in wanted])
        self.waiting = "reading commands" if self._urgent else None

    def restore(self) -> None:
        """Take state and offsets from the broker, again or for the first time."""
        self._clear()
        self._refresh()
        self._consumer.assign([])
        self._divide(self._role.divide(self._given, {}))
        self._began = monotonic()
        self.waiting = "restoring"

    def close(self) -> None:
        """Stop a restore under way."""
        if self._restoration is not None:
            self._restoration.close()
            self._restoration = None
        self.restore_remaining = 0

    def heard(self, topics: dict[str, Described]) -> None:
        """Compare the topics with what they were; takes partitions again that can be answered now.

        Raises:
            LostOffsets: an input or a changelog is another topic than the one that is read.
        """
        for name in (*self._given, *self._role.changelogs):
            before, now = self.topics.get(name), topics.get(name)
            if before is not None and now is not None and topic_identity.anew(before.id, now.id):
                raise LostOffsets(
                    f"{name} was deleted and recreated while it was in use (its id was {before.id} "
                    f"and is {now.id}): start again, and the start says what is lost"
                )
        if not self._described or self.partitions is None:
            return
        divided = self._role.divide(self._given, self._counts(self.topics | topics))
        if divided.common != self.partitions:
            self._log.info("partitions_changed", partitions=divided.common)
            self.restore()
        elif divided.why != self.apart:
            self._divide(divided)

    def _guarded(self, callback: Callable[[list[Any]], None]) -> Callable[[Any, list[Any]], None]:
        def call(_: Any, places: list[Any]) -> None:
            try:
                callback(places)
            except BaseException as error:
                self._broken = error

        return call

    def _on_assign(self, places: list[Any]) -> None:
        self._given = {t: set() for t in self._role.inputs if not t.startswith("^")}
        for place in places:
            self._given.setdefault(place.topic, set()).add(place.partition)
        self.group = self._consumer.consumer_group_metadata()
        self.restore()
        self._log.info("assigned", partitions=self.partitions)

    def _on_revoke(self, places: list[Any]) -> None:
        self._log.info("revoked", partitions=sorted({p.partition for p in places}))
        self._unassign()

    def _on_lost(self, places: list[Any]) -> None:
        self._log.warning("lost", partitions=sorted({p.partition for p in places}))
        self.lost = True
        self._unassign()

    def _unassign(self) -> None:
        self._clear()
        self.partitions = None
        self.unread, self.apart, self.places = (), None, ()
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
        self.fetching.begin(())
        self._urgent = {}
        self.notes = {}
        self.restated = {}
        self._described = False
        self._role.drop()
        gc.unfreeze()

    def _divide(self, divided: Parts) -> None:
        """Take note of what is read of what was given, and of what is not."""
        self.partitions, self.unread, self.apart, self.places = divided

    def _counts(self, topics: Mapping[str, Described]) -> dict[str, int]:
        return {name: topics[name].partitions if name in topics else 0 for name in self.names}

    def _describe(self) -> None:
        """Ask which topics these are, and how many partitions all of them have."""
        self.topics = topic_identity.described(self._admin, self.names)
        self._divide(self._role.divide(self._given, self._counts(self.topics)))
        self._described = True
        if self.apart is not None:
            self._log.error("partitions_apart", reason=self.apart, partitions=self.partitions)

    def _continue(self) -> None:
        """One turn of the restore."""
        if not self._described:
            self._describe()
        if not self.partitions:
            return
        if self._restoration is None:
            self._restoration = Restoration(
                self._consumer,
                self._role,
                self._settings,
                self.topics,
                self.partitions,
                self.places,
                self._log,
            )
        start = self._restoration.advance(self._admin)
        self.waiting = self._restoration.waiting
        self.restore_remaining = self._restoration.remaining
        if start is not None:
            self._begin_reading(start, self._restoration.read)

    def _begin_reading(self, start: Start, read: int) -> None:
        """Fetch from where the restored state ends.

        Args:
            read: records of the changelogs that were read.
        """
        urgent = [
            TopicPartition(t, p) for t in self._role.priority_inputs for p in self.partitions or ()
        ]
        self._urgent = {
            place: end
            for place, end in latest_offsets(self._admin, urgent).items()
            if end > start.positions[place]
        }
        self.positions, self.notes = start.positions, start.notes
        self.restated = {place: self.positions[place] for place in start.restated}
        self.restore_seconds = monotonic() - self._began
        self.close()
        # Profiles stay: the collector need not look at each of them again and again.
        gc.collect()
        gc.freeze()
        self._log.info("restored", records=read, seconds=round(self.restore_seconds, 3))
        self.fetch()
