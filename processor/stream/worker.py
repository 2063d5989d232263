"""The loop that every role runs: poll → Step → transaction → apply.

The consumer is never polled while a transaction is open, so rebalance callbacks never meet one.
Under load the next Step is computed while the broker ends the transaction of the one before: its
records are polled before that begins. If the transaction fails, both Steps are dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from time import monotonic, time_ns
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, KafkaException

from models.errors import ArtifactUnavailable, Unavailable
from processor.artifacts.owner import Owner, UnfitStore
from processor.kafka import authorization
from processor.kafka import config as kafka
from processor.kafka.acls import permissions
from processor.kafka.authorization import Admin
from processor.kafka.consuming import is_transient
from processor.metrics.metrics import Metrics
from processor.offsets.starting_offsets import LostOffsets
from processor.record_batch import RecordBatch
from processor.records import ConsumerRecord, Partition
from processor.settings import Settings
from processor.stream.assignment import Assignment
from processor.stream.committing import Committer, ComputedStep
from processor.stream.health import Health, Membership, liveness_timeout
from processor.stream.monitor import Watch
from processor.stream.polling import FULL_BATCH_SHARE, POLL_SECONDS, Poller
from processor.stream.role import Role
from processor.stream.startup import checked
from processor.stream.step import Step
from processor.stream.transaction import Fatal, OutcomeUnknown, Transactions
from processor.text.escaping import named
from processor.topics import Topics

WAIT_SECONDS = 1.0
JOIN_MARGIN_SECONDS = 30.0

SETTLE_SECONDS = 5.0
"""Between two looks for control records that the committed offsets have yet to pass."""


class Worker:
    """One role's loop; ``run`` returns the process's exit code."""

    def __init__(self, role: Role, settings: Settings, metrics: Metrics, log: Any) -> None:
        self.health = Health(live_seconds=liveness_timeout(settings))
        self._role = role
        self._settings = settings
        self._metrics = metrics
        ready = metrics.ready.labels(role.name)
        ready.set_function(lambda: 0.0 if self.health.ready() else 1.0)
        self._log = log
        self._stopping = threading.Event()
        self._needed = permissions(
            Topics(settings.topic_prefix), settings.application, role.inputs
        )[role.name]
        self._admin = Admin(settings)
        group, slot = f"{settings.application}-{role.name}", settings.slot or uuid4().hex
        self._consumer = Consumer(kafka.group_consumer(settings, group))
        producer = kafka.transactional_producer(settings, f"{group}-{settings.topic_prefix}{slot}")
        self._transactions = Transactions(producer, self._heartbeat)
        self._assignment = Assignment(self._consumer, role, settings, log)
        self._poller = Poller(self._consumer, self._assignment, settings.batch_records, log)
        self._committer = Committer(
            role,
            self._transactions,
            self._assignment,
            self.health,
            metrics,
            settings.late_minutes * 60.0,
            log,
        )
        self._watch = Watch(self._consumer, settings, role, self._assignment, self.health, metrics)
        self._unreadable_partitions = metrics.unreadable_partitions.labels(role.name)
        self._rest: Sequence[ConsumerRecord] = ()
        self._ready: ComputedStep | None = None
        self._end_offsets_committed = monotonic()
        # A member that is in the middle of a long batch may hold up a rebalance that long.
        self._membership = Membership(settings.max_poll_interval_ms / 1000 + JOIN_MARGIN_SECONDS)
        self._unavailable: str | None = None
        self._admitted = False

    def stop(self) -> None:
        """Stop after the current Step."""
        self._stopping.set()

    def run(self) -> int:
        """Turn until stopped; 0 then, 1 after an error without remedy."""
        try:
            self._start()
            while not self._stopping.is_set():
                self._run_once()
            if self._ready is not None:
                self._committer.commit(self._ready)
        except (Fatal, LostOffsets, UnfitStore) as error:
            return self._end(str(error))
        except KafkaException as error:
            return self._end(
                authorization.explain_error(self._admin.client, error.args[0], self._needed)
            )
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
        while not self._stopping.is_set():
            try:
                found = checked(self._admin, self._settings, self._role, self._needed)
            except KafkaException as error:
                if not is_transient(error.args[0]):
                    raise
                self._wait(self._admin.why(error))
                continue
            # Before the producer: one of another installation's is not to be fenced by mistake.
            if self._may_use_store(found.owner) and self._has_producer():
                for event, sentence in found.warnings:
                    self._log.warning(event, reason=sentence)
                break
        self._assignment.subscribe()

    def _may_use_store(self, owner: Owner) -> bool:
        """Whether the model store answers, and is no other installation's."""
        try:
            directory = self._role.admit(owner)
        except ArtifactUnavailable as error:
            self._wait(f"the model directory does not answer: {error}")
            return False
        if not self._admitted and directory is not None:
            self._log.info("model_directory", directory=directory)
            self._admitted = True
        return True

    def _run_once(self) -> None:
        """Poll, and answer what the last Step left over and what was polled."""
        self._heartbeat()
        if not self._has_producer():
            return
        epoch, busy = self._assignment.epoch, self._ready is not None or bool(self._rest)
        # What waits for something else than room is not tried again without a pause.
        busy = busy and self._unavailable is None
        polled = self._poller.poll(
            0.0 if self._assignment.restoring or busy else POLL_SECONDS,
            {} if self._ready is None else self._ready.step.offsets,
        )
        if self._assignment.epoch != epoch:
            self._rest, self._unavailable = (), None
        records, self._rest = RecordBatch.joined(self._rest, polled), ()
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
            self._assignment.fetching.hold(RecordBatch.of(self._rest).places())
            self._assignment.finish_priority_inputs()
            self._assignment.fetching.pause_idle()
            self._commit_end_offsets()
        self._poller.pass_skipped()
        self._unreadable_partitions.set(len(self._poller.stopped))
        self._set_waiting(
            self._assignment.waiting
            or self._assignment.apart
            or self._unavailable
            or self._poller.unreadable
        )
        self._watch.look(self._unanswered())
        held = self._assignment.partitions is not None
        self._membership.check(monotonic(), self.health, self._poller.complaint, held=held)

    def _advanced(self) -> bool:
        """Go on with a restore; whether records can be answered."""
        try:
            return self._assignment.advance()
        except ArtifactUnavailable as error:
            self._assignment.waiting = f"the model directory does not answer: {error}"
            self._wait(self._assignment.waiting)
            return False

    def _answer(self, records: Sequence[ConsumerRecord]) -> None:
        """Compute the Step of what was polled, and commit what is ready."""
        ready, self._ready = self._ready, None
        found: list[ComputedStep | Unavailable] = []

        def compute() -> None:
            found.extend(self._computed(records))

        if ready is None:
            compute()
        elif not self._committer.commit(ready, compute if records else None):
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
                self._unavailable = one.step.waiting
            # Only under load: what is polled then would wait for two transactions.
            if len(records) >= self._settings.batch_records * FULL_BATCH_SHARE:
                one.undo = self._role.apply_speculatively(one.step)
            if one.undo is not None:
                self._ready = one
            elif self._committer.commit(one):
                self._rest = one.step.unprocessed

    def _restated(self) -> bool:
        """Commit the first positions, before anything is answered; False if that failed."""
        offsets = dict(self._assignment.restated)
        if not offsets:
            return True
        return self._committer.commit(
            ComputedStep(Step(None, offsets=offsets), monotonic(), self._assignment.epoch)
        )

    def _commit_end_offsets(self) -> None:
        """Now and then commit the end offsets, if all that was polled is answered.

        Behind the last record of a transaction are control records. Once retention has deleted
        them, an offset before them would count as one of records that were never read.
        """
        if monotonic() - self._end_offsets_committed < SETTLE_SECONDS or self._unanswered():
            return
        self._end_offsets_committed = monotonic()
        passed = self._assignment.committable_end_offsets()
        if passed:
            self._committer.commit(
                ComputedStep(
                    Step(None, offsets=passed), self._end_offsets_committed, self._assignment.epoch
                )
            )

    def _computed(self, records: Sequence[ConsumerRecord]) -> Iterator[ComputedStep | Unavailable]:
        """The Step of what was polled, if there is anything to do; or why it cannot be made."""
        began, now = monotonic(), time_ns() // 1_000_000
        try:
            step = self._role.compute(records, now) if records else self._role.idle(now)
        except Unavailable as error:
            yield error
            return
        if step is not None:
            yield ComputedStep(step, began, self._assignment.epoch)

    def _unanswered(self) -> set[Partition]:
        ready = self._ready.step.offsets.keys() if self._ready is not None else ()
        return {*ready, *RecordBatch.of(self._rest).places()}

    def _has_producer(self) -> bool:
        try:
            self._transactions.start()
        except OutcomeUnknown as error:
            self._wait(f"the broker does not answer: {error}")
            return False
        return True

    def _wait(self, why: str) -> None:
        """Log why nothing can be done now, and wait a moment."""
        self._set_waiting(why)
        self._heartbeat()
        self._stopping.wait(WAIT_SECONDS)

    def _set_waiting(self, why: str | None) -> None:
        """Note why the role is not ready, and log what is new about it."""
        if why is not None and self.health.waiting != why:
            self._log.info("waiting", reason=why)
        self.health.waiting = why

    def _heartbeat(self) -> None:
        self.health.turned = monotonic()
