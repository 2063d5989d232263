"""Committing: a Step in one transaction, and what each way of ending means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, time_ns
from typing import Any

from processor.metrics.metrics import Metrics
from processor.stream.assignment import Assignment
from processor.stream.health import Health
from processor.stream.role import Role
from processor.stream.step import Step
from processor.stream.transaction import Aborted, OutcomeUnknown, Transactions

ABORTS_IN_A_ROW = 5


@dataclass
class ComputedStep:
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

    def rollback(self) -> None:
        if self.undo is not None:
            self.undo()


class Committer:
    """Commits the Steps of a role and applies them to its state and metrics."""

    def __init__(
        self,
        role: Role,
        transactions: Transactions,
        assignment: Assignment,
        health: Health,
        metrics: Metrics,
        late_seconds: float,
        log: Any,
    ) -> None:
        self._role = role
        self._transactions = transactions
        self._assignment = assignment
        self._health = health
        self._metrics = metrics
        self._late_seconds = late_seconds
        self._log = log
        self._aborts = 0

    def commit(
        self, ready: ComputedStep, while_committing: Callable[[], None] | None = None
    ) -> bool:
        """Commit a Step and apply it; False if it was dropped.

        Args:
            while_committing: called while the broker answers.

        Raises:
            Fatal: the process must end.
            KafkaException: an ACL is missing.
        """
        step = ready.step
        try:
            if step.outputs or step.offsets:
                group = self._assignment.group
                notes = self._assignment.notes
                self._transactions.commit(
                    step.outputs, step.offsets, group, while_committing, notes
                )
            elif while_committing is not None:
                while_committing()
        except Aborted as error:
            self._drop(ready, error)
            return False
        except OutcomeUnknown as error:
            self._count("lost")
            self._log.warning("transaction_lost", reason=str(error))
            self._recreate_producer()
            return False
        self._aborts = 0
        if step.outputs or step.offsets:
            self._count("committed")
        self._health.broker_seen = monotonic()
        if step.delta is not None:
            self._role.apply(step)
        self._assignment.mark_answered(step.offsets)
        name, now = self._role.name, time_ns() // 1_000_000
        self._metrics.count(name, step.counts)
        self._metrics.observe_latencies(name, step.timestamps, now, self._late_seconds)
        if step.offsets:
            self._metrics.batch_seconds.labels(name).observe(monotonic() - ready.began)
        return True

    def _drop(self, ready: ComputedStep, error: Aborted) -> None:
        """Read the records of an aborted Step again; after several in a row everything."""
        ready.rollback()
        self._aborts += 1
        self._count("aborted")
        self._log.warning("aborted", reason=str(error), in_a_row=self._aborts)
        if self._aborts < ABORTS_IN_A_ROW:
            self._assignment.fetch()
        else:
            self._recreate_producer()

    def _recreate_producer(self) -> None:
        """Have a new producer made, and take state and offsets from the broker again."""
        self._aborts = 0
        self._transactions.discard()
        self._assignment.restore()

    def _count(self, outcome: str) -> None:
        self._metrics.counters["transactions"].labels(self._role.name, outcome).inc()
