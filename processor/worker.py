"""The loop that both roles turn: poll → Step → transaction → apply.

The consumer is never polled while a transaction is open, so rebalance callbacks never meet one.
Under load the next Step is computed while the broker ends the transaction of the one before: its
records are polled before that begins, and where it comes to nothing, both Steps are dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic, time_ns
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from models.artifacts import ArtifactUnavailable
from models.errors import Unavailable
from processor import access, kafka
from processor.access import Admin
from processor.assignment import Assignment
from processor.batch import Batch
from processor.http import BROKER_SECONDS, Health
from processor.metrics import Metrics
from processor.names import Topics
from processor.offsets import LostOffsets
from processor.owner import Owner, UnfitStore
from processor.permissions import permissions
from processor.records import Incoming
from processor.records import TopicPartition as Place
from processor.restore import passes, received
from processor.role import Role
from processor.settings import Settings
from processor.shown import named
from processor.step import Step
from processor.topics import check_counts, check_inputs, check_sizes
from processor.transaction import Aborted, Fatal, Lost, Transactions
from processor.unreadable import Unreadable
from processor.watch import Watch

POLL_SECONDS = 0.02
FILLED_FROM = 0.2
"""A batch that holds this share of the most is filled: there are more where these came from."""

WAIT_SECONDS = 1.0
ABORTS_IN_A_ROW = 5
JOIN_MARGIN_SECONDS = 30.0
LOOK_SECONDS = 2.0
"""Between two looks for an offset that was committed behind what cannot be read."""

SETTLE_SECONDS = 5.0
"""Between two looks for control records that the committed offsets have yet to pass."""


@dataclass
class Ready:
    """A Step that is computed.

    Attributes:
        began: when its records were polled, in seconds of the monotonic clock.
        epoch: of the assignment that it was computed under.
        undo: takes its delta out of the state again, where that was put there ahead of the commit.
    """

    step: Step[Any]
    began: float
    epoch: int
    undo: Callable[[], None] | None = None

    def take_back(self) -> None:
        if self.undo is not None:
            self.undo()


class Worker:
    """One role's loop; ``run`` returns the process's exit code."""

    def __init__(self, role: Role, settings: Settings, metrics: Metrics, log: Any) -> None:
        self.health = Health(live_seconds=longest_turn(settings))
        self._role = role
        self._settings = settings
        self._metrics = metrics
        ready = metrics.ready.labels(role.name)
        ready.set_function(lambda: 0.0 if self.health.ready() else 1.0)
        self._log = log
        self._stopping = threading.Event()
        self._needed = permissions(Topics(settings.topic_prefix), settings.application)[role.name]
        self._admin = Admin(settings)
        self._consumer = Consumer(
            kafka.group_consumer(settings, f"{settings.application}-{role.name}")
        )
        slot = settings.slot or uuid4().hex
        self._transactions = Transactions(
            kafka.transactional_producer(
                settings, f"{settings.application}-{role.name}-{settings.topic_prefix}{slot}"
            ),
            self._turned,
        )
        self._assignment = Assignment(self._consumer, role, settings, log)
        self._watch = Watch(self._consumer, settings, role, self._assignment, self.health, metrics)
        self._unreadable = Unreadable(log)
        self._looked = monotonic()
        self._rest: Sequence[Incoming] = ()
        self._ready: Ready | None = None
        self._aborts = 0
        self._settled = monotonic()
        self._outside = monotonic()
        # A member that is in the middle of a long batch may hold up a rebalance that long.
        self._patience = settings.max_poll_interval_ms / 1000 + JOIN_MARGIN_SECONDS
        self._unavailable: str | None = None
        self._complaint = ""
        self._admitted = False

    def stop(self) -> None:
        """Have the loop end after the Step at hand."""
        self._stopping.set()

    def run(self) -> int:
        """Turn until stopped; 0 then, 1 after an error without remedy."""
        try:
            self._start()
            while not self._stopping.is_set():
                self._turn()
            if self._ready is not None:
                self._commit(self._ready)
        except (Fatal, LostOffsets, UnfitStore) as error:
            return self._end(str(error))
        except KafkaException as error:
            return self._end(access.explain(self._admin.client, error.args[0], self._needed))
        except Exception as error:
            self._log.exception("crashed")
            # Its text may hold a profile's id: the log's traceback has it, health does not.
            return self._end(f"{type(error).__name__}, see the traceback in the log")
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
        self._assignment.close()
        self._transactions.discard()
        self._consumer.close()

    def _start(self) -> None:
        """Wait for the broker, check the topics, end what an earlier life left open, join."""
        topics = Topics(self._settings.topic_prefix)
        names = sorted({p.name for p in self._needed if p.resource == "Topic"})
        written = {p.name for p in self._needed if p.resource == "Topic" and p.operation == "Write"}
        while not self._stopping.is_set():
            try:
                lacking = access.refused(self._admin.client, self._needed)
                wrong = check_counts(self._admin.client, names)
                wrong = wrong or check_sizes(self._admin.client, topics, written)
                # What follows cannot be asked of a topic that is missing.
                if lacking or wrong is not None:
                    raise Fatal(access.sentence(lacking) if lacking else str(wrong))
                loose = check_inputs(self._admin.client, topics, self._role.inputs)
                owner = access.installation(self._admin.client, self._settings, topics.models)
            except KafkaException as error:
                if not passes(error.args[0]):
                    raise
                self._wait(self._admin.why(error))
                continue
            # Before the producer: one of another installation's is not to be fenced by mistake.
            if self._may_use_store(owner) and self._has_producer():
                for sentence in () if self._settings.compressed_inputs else loose:
                    self._log.warning("compressed_input", reason=sentence)
                break
        self._assignment.subscribe()

    def _may_use_store(self, owner: Owner) -> bool:
        """Whether the model store answers, and is no other installation's."""
        try:
            directory = self._role.admit(owner)
        except ArtifactUnavailable as error:
            self._wait(f"the model directory does not answer: {error}")
            return False
        if not self._admitted:
            self._log.info("model_directory", directory=directory)
            self._admitted = True
        return True

    def _turn(self) -> None:
        """Poll, and answer what the last Step left over and what was polled."""
        self._turned()
        if not self._has_producer():
            return
        epoch, busy = self._assignment.epoch, self._ready is not None or bool(self._rest)
        polled = self._poll(0.0 if self._assignment.restoring or busy else POLL_SECONDS)
        records = Batch.joined(self._rest if self._assignment.epoch == epoch else (), polled)
        self._rest = ()
        self._assignment.check()
        if self._ready is not None and self._ready.epoch != self._assignment.epoch:
            self._ready = None
        if self._assignment.lost:
            # The group's coordinator may be another by now, and a producer may not notice.
            self._assignment.lost = False
            self._transactions.discard()
            return
        if self._advanced() and self._restated():
            self._answer(records)
            self._assignment.hold(Batch.of(self._rest).places())
            self._assignment.urgent_read()
            self._assignment.tend()
            self._settle()
        self._pass_skipped()
        unreadable = self._unreadable.reason(monotonic())
        self._say(
            self._assignment.waiting or self._assignment.apart or self._unavailable or unreadable
        )
        self._watch.look(self._unanswered())
        self._check_place()

    def _advanced(self) -> bool:
        """Go on with a restore; whether records can be answered."""
        try:
            return self._assignment.advance()
        except ArtifactUnavailable as error:
            self._assignment.waiting = f"the model directory does not answer: {error}"
            self._wait(self._assignment.waiting)
            return False

    def _answer(self, records: Sequence[Incoming]) -> None:
        """Compute the Step of what was polled, and commit what is ready."""
        ready, self._ready = self._ready, None
        found: list[Ready | Unavailable] = []

        def compute() -> None:
            found.extend(self._computed(records))

        if ready is None:
            compute()
        elif not self._commit(ready, compute if records else None):
            return
        for one in found:
            if isinstance(one, Unavailable):
                # Read again rather than kept: whoever is not polled holds up the whole group.
                self._assignment.fetch()
                self._unavailable = named(str(one))
                if isinstance(one, ArtifactUnavailable):
                    self._unavailable = f"the model directory does not answer: {self._unavailable}"
                self._wait(self._unavailable)
                continue
            if records:
                self._unavailable = None
            # Only under load: what is polled then would wait for two transactions.
            if len(records) >= self._settings.batch_records * FILLED_FROM:
                one.undo = self._role.ahead(one.step)
            if one.undo is not None:
                self._ready = one
            elif self._commit(one):
                self._rest = one.step.rest

    def _restated(self) -> bool:
        """Commit where reading begins, before anything is answered; False if that failed."""
        offsets = dict(self._assignment.restated)
        if not offsets:
            return True
        return self._commit(Ready(Step(offsets=offsets), monotonic(), self._assignment.epoch))

    def _settle(self) -> None:
        """Now and then commit the ends that were told, where all that was polled is answered.

        Behind the last record of a transaction are control records. Once retention has deleted
        them, an offset before them would count as one of records that were never read.
        """
        if monotonic() - self._settled < SETTLE_SECONDS or self._unanswered():
            return
        self._settled = monotonic()
        passed = self._assignment.passed()
        if passed:
            self._commit(Ready(Step(offsets=passed), self._settled, self._assignment.epoch))

    def _computed(self, records: Sequence[Incoming]) -> Iterator[Ready | Unavailable]:
        """The Step of what was polled, if there is anything to do; or why it cannot be made."""
        began, now = monotonic(), time_ns() // 1_000_000
        try:
            step = self._role.compute(records, now) if records else self._role.idle(now)
        except Unavailable as error:
            yield error
            return
        if step is not None:
            yield Ready(step, began, self._assignment.epoch)

    def _unanswered(self) -> set[Place]:
        ready = self._ready.step.offsets.keys() if self._ready is not None else ()
        return {*ready, *Batch.of(self._rest).places()}

    def _pass_skipped(self) -> None:
        """Go on behind what cannot be read, once ``dead-letter skip`` has committed that offset."""
        now = monotonic()
        self._unreadable.keep(self._assignment.positions)
        stops = self._unreadable.lasting(now)
        gauge = self._metrics.unreadable_partitions.labels(self._role.name)
        gauge.set(len(stops))
        if not stops or now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        try:
            passed = self._assignment.follow_committed(stops)
        except KafkaException as error:
            if not passes(error.args[0]):
                raise
            return
        for (topic, partition), offset in passed.items():
            self._log.warning("skipped", topic=topic, partition=partition, begins_at=offset)
        self._unreadable.passed(passed)

    def _check_place(self) -> None:
        """End where the group gives no place for long, though the broker answers.

        librdkafka (2.16) may never join again where the coordinator moved away, or was fenced,
        between its request to join and the answer; polling goes on as if nothing were wrong.
        """
        now = monotonic()
        held = self._assignment.partitions is not None
        answers = now - self.health.broker_seen <= BROKER_SECONDS
        self._outside = outside_since(self._outside, now, held=held, answers=answers)
        if now - self._outside > self._patience:
            raise Fatal(
                f"the group gave no place for {self._patience:.0f} s; the broker answers"
                + self._complaint
            )

    def _poll(self, timeout: float) -> Sequence[Incoming]:
        found, told = received(self._messages(timeout))
        firsts = found.firsts()
        self._assignment.read(firsts)
        self._unreadable.passed(firsts)
        for message, error in told:
            self._note(message, error)
        # What is computed and not committed is not to be answered again where it is read again.
        ready = {} if self._ready is None else self._ready.step.offsets
        until = self._assignment.positions | ready
        # The first record of each partition tells, for offsets go up.
        if all(until.get(place, offset + 1) <= offset for place, offset in firsts.items()):
            return found
        return [
            record
            for record in found
            if until.get((record.topic, record.partition), record.offset + 1) <= record.offset
        ]

    def _note(self, message: Message, error: KafkaError) -> None:
        """Take note of what came instead of a record."""
        if error.code() == KafkaError._PARTITION_EOF:
            place = (message.topic(), message.partition())
            self._assignment.ended(place, message.offset())
            self._unreadable.passed([place])
        elif access.denied(error):
            raise KafkaException(error)
        elif not passes(error) or error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise Fatal(f"{message.topic()} [{message.partition()}]: {error.str()}")
        else:
            offset = message.offset()
            if offset is not None and offset >= 0:
                place = (message.topic(), message.partition())
                self._unreadable.note(place, offset, error.str(), monotonic())
            self._complaint = f"; the last error was: {error.str()}"
            self._log.debug("consumer", error=error.str())

    def _messages(self, timeout: float) -> list[Message]:
        """What is there, at once; where nothing is, what comes first within so many seconds.

        So a batch is as large as what came during the transaction before it, and a single record
        does not wait for others. Where that is a good part of the most, it waits to be filled: a
        transaction costs the same whatever its size.
        """
        most = self._settings.batch_records
        found: list[Message] = self._consumer.consume(most, 0.0)
        if not found and timeout > 0.0:
            found = self._consumer.consume(1, timeout)
            if found and most > 1:
                found += self._consumer.consume(most - 1, 0.0)
        if most > len(found) >= most * FILLED_FROM:
            found += self._consumer.consume(most - len(found), POLL_SECONDS)
        return found

    def _commit(self, ready: Ready, meanwhile: Callable[[], None] | None = None) -> bool:
        """Commit a Step and apply it; False where it was dropped.

        Args:
            meanwhile: called while the broker answers.
        """
        step = ready.step
        try:
            if step.outputs or step.offsets:
                group = self._assignment.group
                notes = self._assignment.notes
                self._transactions.commit(step.outputs, step.offsets, group, meanwhile, notes)
            elif meanwhile is not None:
                meanwhile()
        except Aborted as error:
            ready.take_back()
            self._aborts += 1
            self._count("aborted")
            self._log.warning("aborted", reason=str(error), in_a_row=self._aborts)
            if self._aborts < ABORTS_IN_A_ROW:
                self._assignment.fetch()
            else:
                self._anew()
            return False
        except Lost as error:
            self._count("lost")
            self._log.warning("transaction_lost", reason=str(error))
            self._anew()
            return False
        self._aborts = 0
        self._count("committed")
        self.health.broker_seen = monotonic()
        self._role.apply(step)
        self._assignment.answered(step.offsets)
        self._metrics.count(self._role.name, step.counts)
        self._metrics.observe_latencies(
            self._role.name,
            step.timestamps,
            time_ns() // 1_000_000,
            self._settings.late_minutes * 60.0,
        )
        if step.offsets:
            self._metrics.batch_seconds.labels(self._role.name).observe(monotonic() - ready.began)
        return True

    def _anew(self) -> None:
        """Make a new producer, and take state and offsets from the broker again."""
        self._aborts = 0
        self._transactions.discard()
        self._assignment.restore()

    def _has_producer(self) -> bool:
        try:
            self._transactions.start()
        except Lost as error:
            self._wait(f"the broker does not answer: {error}")
            return False
        return True

    def _wait(self, why: str) -> None:
        """Say why nothing can be done now, and let a moment pass."""
        self._say(why)
        self._turned()
        self._stopping.wait(WAIT_SECONDS)

    def _say(self, why: str | None) -> None:
        """Note why the role is not ready, and log what is new about it."""
        if why is not None and self.health.waiting != why:
            self._log.info("waiting", reason=why)
        self.health.waiting = why

    def _turned(self) -> None:
        self.health.turned = monotonic()

    def _count(self, outcome: str) -> None:
        self._metrics.counters["transactions"].labels(self._role.name, outcome).inc()


def longest_turn(settings: Settings) -> float:
    """Seconds that a turn may take while the loop still counts as alive.

    The group gives a batch ``max.poll.interval.ms``; one call to a broker that is away can take
    twice the time-out of a transaction.
    """
    return max(settings.max_poll_interval_ms, 3 * settings.transaction_timeout_ms) / 1000


def outside_since(since: float, now: float, *, held: bool, answers: bool) -> float:
    """Since when a role is without a place in the group that the broker could have given.

    Args:
        since: what this gave before.
        held: whether the role has a place; one without partitions is a place, too.
        answers: whether the broker answers; no place can be had from one that is away.
    """
    return now if held or not answers else since
