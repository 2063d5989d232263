"""The loop that both roles turn: poll → Step → transaction → apply, with restore at assignment.

The consumer is never polled while a transaction is open, so rebalance callbacks never meet one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic, time_ns
from typing import Any, Protocol
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from processor import kafka
from processor.http import Health
from processor.metrics import Metrics
from processor.offsets import LostOffsets, starting_offsets
from processor.records import Incoming
from processor.records import TopicPartition as Place
from processor.restore import TRANSIENT, Restore, ends, incoming
from processor.settings import Settings
from processor.step import Step
from processor.topics import check_counts
from processor.transaction import Aborted, Fatal, Lost, Transactions

POLL_SECONDS = 0.02
WAIT_SECONDS = 1.0
PROBE_SECONDS = 5.0
ABORTS_IN_A_ROW = 5


class Role(Protocol):
    """What differs between the scorer and the retrainer."""

    @property
    def name(self) -> str:
        """``scorer`` or ``retrainer``."""

    @property
    def inputs(self) -> Sequence[str]:
        """Topics of the consumer group."""

    @property
    def urgent(self) -> Sequence[str]:
        """Those of the inputs that are read to their end before the others are read at all."""

    @property
    def changelogs(self) -> Sequence[str]:
        """Compacted topics that hold the state."""

    def load(self, record: Incoming) -> None:
        """Take a record of a changelog."""

    def restored(self, partitions: Iterable[int]) -> None:
        """Turn what was loaded into state: all changelogs of these partitions were read."""

    def newest(self) -> dict[Place, int]:
        """The newest offset of each input that the restored state came from."""

    def compute(self, batch: Sequence[Incoming], now: int) -> Step[Any]:
        """The Step of a batch, its artefacts written."""

    def apply(self, step: Step[Any]) -> None:
        """Take over the delta of a committed Step."""

    def drop(self) -> None:
        """Forget all state."""

    def idle(self, now: int) -> Step[Any] | None:
        """The Step of work that no record brings, or None."""

    def observe(self) -> None:
        """Set the gauges of the role."""

    def close(self) -> None:
        """Let go of what the role holds."""


@dataclass
class Assignment:
    """The partitions of this process and how far each input was answered."""

    partitions: tuple[int, ...]
    positions: dict[Place, int]


class Worker:
    """One role's loop; ``run`` returns the process's exit code."""

    def __init__(self, role: Role, settings: Settings, metrics: Metrics, log: Any) -> None:
        self.health = Health()
        self._role = role
        self._settings = settings
        self._metrics = metrics
        self._log = log
        self._stopping = threading.Event()
        self._admin = AdminClient(kafka.base(settings))
        self._consumer = Consumer(
            kafka.group_consumer(settings, f"{settings.application}-{role.name}")
        )
        slot = settings.slot or uuid4().hex
        self._transactions = Transactions(
            kafka.transactional_producer(settings, f"{settings.application}-{role.name}-{slot}"),
            self._turned,
        )
        self._assigned: Assignment | None = None
        self._restore: Restore | None = None
        self._restore_began = 0.0
        self._urgent_ends: dict[Place, int] = {}
        self._rest: Sequence[Incoming] = ()
        self._aborts = 0
        self._probe: Any = None
        self._probed = 0.0
        self._broken: BaseException | None = None

    def stop(self) -> None:
        """Have the loop end after the Step at hand."""
        self._stopping.set()

    def run(self) -> int:
        """Turn until stopped; 0 then, 1 after an error without remedy."""
        try:
            self._start()
            while not self._stopping.is_set():
                self._turn()
        except (Fatal, LostOffsets) as error:
            return self._end(str(error))
        except KafkaException as error:
            return self._end(error.args[0].str())
        except Exception as error:
            self._log.exception("crashed")
            return self._end(f"{type(error).__name__}: {error}")
        finally:
            self._close()
        self._log.info("stopped")
        return 0

    def _end(self, reason: str) -> int:
        self.health.fatal = reason
        self._log.error("ended", reason=reason)
        return 1

    def _close(self) -> None:
        self._role.close()
        if self._restore is not None:
            self._restore.close()
        self._transactions.discard()
        self._consumer.close()

    def _turned(self) -> None:
        self.health.turned = monotonic()

    def _wait(self, why: str) -> None:
        """Say why nothing can be done now, and let a moment pass."""
        if self.health.waiting != why:
            self._log.warning("waiting", reason=why)
        self.health.waiting = why
        self._turned()
        self._stopping.wait(WAIT_SECONDS)

    # Start ----------------------------------------------------------------------------------

    def _start(self) -> None:
        names = [*self._role.inputs, *self._role.changelogs]
        while not self._stopping.is_set():
            try:
                wrong = check_counts(self._admin, names)
            except KafkaException as error:
                self._wait(f"the broker does not answer: {error.args[0].str()}")
                continue
            if wrong is not None:
                raise Fatal(wrong)
            if self._ensure_producer():
                break
        self._consumer.subscribe(
            list(self._role.inputs),
            on_assign=self._guarded(self._on_assign),
            on_revoke=self._guarded(self._on_revoke),
            on_lost=self._guarded(self._on_lost),
        )
        self.health.waiting = "joining the group"

    def _ensure_producer(self) -> bool:
        try:
            self._transactions.start()
        except Lost as error:
            self._wait(f"the broker does not answer: {error}")
            return False
        return True

    # Rebalance ------------------------------------------------------------------------------

    def _guarded(self, callback: Callable[[list[Any]], None]) -> Callable[[Any, list[Any]], None]:
        def call(_: Any, places: list[Any]) -> None:
            try:
                callback(places)
            except BaseException as error:
                self._broken = error

        return call

    def _on_assign(self, places: list[Any]) -> None:
        # Nothing is fetched before the restore is over: the assignment proper comes after it.
        self._consumer.assign([])
        held = {t: {p.partition for p in places if p.topic == t} for t in self._role.inputs}
        common = set.intersection(*held.values())
        odd = sorted(set.union(*held.values()) - common)
        if odd:
            self._log.error("partitions_apart", partitions=odd, topics=list(self._role.inputs))
        self._assigned = Assignment(tuple(sorted(common)), {})
        self._log.info("assigned", partitions=self._assigned.partitions)
        self._begin_restore()

    def _on_revoke(self, places: list[Any]) -> None:
        self._log.info("revoked", partitions=sorted({p.partition for p in places}))
        self._forget()

    def _on_lost(self, places: list[Any]) -> None:
        self._log.warning("lost", partitions=sorted({p.partition for p in places}))
        self._forget()

    def _forget(self) -> None:
        self._assigned = None
        self._rest = ()
        self._role.drop()
        if self._restore is not None:
            self._restore.close()
            self._restore = None
        self._consumer.unassign()
        self.health.waiting = "rebalancing"

    # Restore --------------------------------------------------------------------------------

    def _begin_restore(self) -> None:
        self._role.drop()
        self._rest = ()
        self._restore_began = monotonic()
        if self._restore is not None:
            self._restore.close()
            self._restore = None
        self._consumer.assign([])
        self.health.waiting = "restoring"

    def _continue_restore(self, assigned: Assignment) -> None:
        """Read some more of the changelogs; at their end, take the committed offsets and go."""
        try:
            if self._restore is None:
                # Offsets that answer are stable: no transaction of an earlier life is pending.
                places = [
                    TopicPartition(t, p) for t in self._role.inputs for p in assigned.partitions
                ]
                self._consumer.committed(places, timeout=WAIT_SECONDS)
                self._restore = Restore(
                    kafka.reader(self._settings),
                    self._admin,
                    self._role.changelogs,
                    assigned.partitions,
                )
            for record in self._restore.poll(0.1):
                self._role.load(record)
            if not self._restore.done:
                self.health.waiting = f"restoring: {self._restore.read} records read"
                return
            self._role.restored(assigned.partitions)
            assigned.positions = starting_offsets(
                self._consumer,
                self._admin,
                [(t, p) for t in self._role.inputs for p in assigned.partitions],
                self._role.newest(),
                self._settings.lost_offsets,
                self._log,
            )
            urgent = [(t, p) for t in self._role.urgent for p in assigned.partitions]
            self._urgent_ends = {
                place: end
                for place, end in ends(
                    self._admin, [TopicPartition(t, p) for t, p in urgent]
                ).items()
                if end > assigned.positions[place]
            }
        except KafkaException as error:
            reason = error.args[0]
            if not (reason.retriable() or reason.code() in TRANSIENT):
                raise
            self._wait(f"restoring: {reason.str()}")
            return
        read = self._restore.read
        self._restore.close()
        self._restore = None
        seconds = monotonic() - self._restore_began
        self._metrics.restore_seconds.labels(self._role.name).set(seconds)
        self._log.info("restored", records=read, seconds=round(seconds, 3))
        self._fetch(assigned)

    def _fetch(self, assigned: Assignment) -> None:
        """Fetch from the positions on; commands alone until they were read to their end."""
        wanted = self._urgent_ends or assigned.positions
        self._consumer.assign([TopicPartition(t, p, assigned.positions[t, p]) for t, p in wanted])
        self.health.waiting = "reading commands" if self._urgent_ends else None

    # The way of a batch ---------------------------------------------------------------------

    def _turn(self) -> None:
        self._turned()
        self._probe_broker()
        if not self._ensure_producer():
            return
        restoring = self._assigned is not None and not self._assigned.positions
        records = self._rest or self._poll(0.0 if restoring else POLL_SECONDS)
        self._rest = ()
        if self._broken is not None:
            raise self._broken
        assigned = self._assigned
        if assigned is None:
            return
        if not assigned.partitions:
            self.health.waiting = None
        elif not assigned.positions:
            self._continue_restore(assigned)
        elif records:
            self._process(assigned, records)
        else:
            step = self._role.idle(time_ns() // 1_000_000)
            if step is not None:
                self._commit(assigned, step)
            self._role.observe()

    def _poll(self, timeout: float) -> list[Incoming]:
        found = []
        for message in self._consumer.consume(self._settings.batch_records, timeout):
            error = message.error()
            if error is None:
                found.append(incoming(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                self._at_end(message.topic(), message.partition(), message.offset())
            elif error.fatal() or error.code() == KafkaError._AUTO_OFFSET_RESET:
                raise Fatal(f"{message.topic()} [{message.partition()}]: {error.str()}")
            elif not (error.retriable() or error.code() in TRANSIENT):
                self._log.warning("consumer", error=error.str())
        assigned = self._assigned
        if assigned is None:
            return []
        known = assigned.positions
        return [r for r in found if known.get((r.topic, r.partition), r.offset + 1) <= r.offset]

    def _at_end(self, topic: str, partition: int, offset: int) -> None:
        self._metrics.consumer_lag.labels(self._role.name, topic, str(partition)).set(0)
        self._urgent_read((topic, partition), offset)

    def _urgent_read(self, place: Place, offset: int) -> None:
        """Note how far an urgent input was read; once all are at their end, fetch everything."""
        if self._urgent_ends.get(place, offset + 1) <= offset:
            del self._urgent_ends[place]
            if not self._urgent_ends and self._assigned is not None:
                self._fetch(self._assigned)

    def _process(self, assigned: Assignment, records: Sequence[Incoming]) -> None:
        began = monotonic()
        step = self._role.compute(records, time_ns() // 1_000_000)
        if self._commit(assigned, step):
            self._rest = step.rest
            self._metrics.batch_seconds.labels(self._role.name).observe(monotonic() - began)
            for place, offset in step.offsets.items():
                self._urgent_read(place, offset)
            self._measure_lag(step)

    def _commit(self, assigned: Assignment, step: Step[Any]) -> bool:
        """Commit a Step and apply it; False where it was dropped."""
        count = self._metrics.counters["transactions"].labels
        try:
            if step.outputs or step.offsets:
                self._transactions.commit(step.outputs, step.offsets, self._consumer)
        except Aborted as error:
            self._aborts += 1
            count(self._role.name, "aborted").inc()
            self._log.warning("aborted", reason=str(error), in_a_row=self._aborts)
            if self._aborts < ABORTS_IN_A_ROW:
                self._fetch(assigned)
                return False
            self._anew()
            return False
        except Lost as error:
            count(self._role.name, "lost").inc()
            self._log.warning("transaction_lost", reason=str(error))
            self._anew()
            return False
        self._aborts = 0
        count(self._role.name, "committed").inc()
        self.health.broker_seen = monotonic()
        assigned.positions |= step.offsets
        self._role.apply(step)
        self._metrics.count(self._role.name, step.counts)
        now = time_ns() // 1_000_000
        self._metrics.observe_latencies(self._role.name, step.timestamps, now)
        return True

    def _anew(self) -> None:
        """Make a new producer, and take state and offsets from the broker again."""
        self._aborts = 0
        self._transactions.discard()
        if self._assigned is not None:
            self._assigned.positions = {}
            self._begin_restore()

    # Health and gauges ----------------------------------------------------------------------

    def _measure_lag(self, step: Step[Any]) -> None:
        for (topic, partition), position in step.offsets.items():
            try:
                _, high = self._consumer.get_watermark_offsets(
                    TopicPartition(topic, partition), cached=True
                )
            except KafkaException:
                continue
            gauge = self._metrics.consumer_lag.labels(self._role.name, topic, str(partition))
            gauge.set(max(0, high - position))
        self._role.observe()

    def _probe_broker(self) -> None:
        """Ask the broker something small every few seconds, without waiting for the answer."""
        if self._probe is not None and self._probe.done():
            if self._probe.exception() is None:
                self.health.broker_seen = monotonic()
            self._probe = None
        if self._probe is None and monotonic() - self._probed > PROBE_SECONDS:
            self._probed = monotonic()
            place = TopicPartition(self._role.inputs[0], 0)
            asked = self._admin.list_offsets(
                {place: OffsetSpec.latest()}, request_timeout=PROBE_SECONDS
            )
            self._probe = asked[place]
        self._metrics.ready.labels(self._role.name).set(0 if self.health.ready() else 1)
