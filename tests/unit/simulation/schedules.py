"""What random schedules do to two scorers and two retrainers, whatever telemetry they have."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from processor.stream.step import Step
from tests.unit.simulation.world import PARTITIONS, Disk, Kafka, Process

WHO = st.integers(0, 3)
ENDS = st.sampled_from(["commit", "commit", "commit", "abort", "die before", "die after"])
Turn = tuple[Callable[[], None], int, str]
"""Lets telemetry arrive; records that the Step has at most; how the Step before it ends."""


class Schedules(RuleBasedStateMachine):
    """Processes that are killed, rebalanced, and whose Steps are dropped."""

    def begin(self, disk: Disk) -> None:
        """Start the processes on two partitions."""
        self.kafka, self.disk = Kafka(), disk
        self.now = self.kafka.now
        self.epochs = {"scorer": 1, "retrainer": 1}
        self.processes = [
            Process(name, self.kafka, self.disk)
            for name in ("scorer", "scorer", "retrainer", "retrainer")
        ]
        for number, process in enumerate(self.processes):
            process.assign([number % 2], 1)
        self.commands = 0

    def seen(self, process: Process) -> object:
        """What is compared before a Step and after it was dropped."""

    def ahead(self, process: Process, turns: list[Turn]) -> None:
        """Compute each Step before the one ahead of it is committed.

        As under load: where a Step comes to nothing, so does the one that was built on it.
        """
        ready: Step[object] | None = None
        undo: Callable[[], None] | None = None
        before = self.seen(process)
        for arrive, most, end in turns:
            arrive()
            step = process.step(most, self.now, ready)
            if ready is not None:
                if end == "abort" and undo is not None:
                    undo()
                self.end(process, ready, end, before)
                ready = None
                if end != "commit":
                    continue
            if step is None:
                continue
            before = self.seen(process)
            undo = process.role.apply_speculatively(step)
            if undo is None:
                self.end(process, step, "commit")
            else:
                ready = step
        if ready is not None:
            self.end(process, ready, "commit")

    def end(
        self, process: Process, step: Step[object] | None, end: str, before: object = None
    ) -> None:
        """Commit or abort a Step; the process may die just before or just after."""
        if step is None:
            return
        if end == "abort":
            process.unprocessed = ()
            assert self.seen(process) == before, "a Step that is dropped leaves no trace"
            return
        done = end != "die before" and process.commit(step, self.epochs[process.name])
        if end.startswith("die"):
            process.crash()
        elif done:
            process.apply(step)
        else:
            process.unprocessed = ()

    @rule(who=WHO)
    def a_process_is_killed(self, who: int) -> None:
        self.processes[who].crash()

    @rule(
        name=st.sampled_from(["scorer", "retrainer"]),
        first=st.sampled_from([(), (0,), (1,), (0, 1)]),
    )
    def the_group_rebalances(self, name: str, first: tuple[int, ...]) -> None:
        """All members learn of it, except that a zombie may still be in its Step."""
        self.epochs[name] += 1
        members = [process for process in self.processes if process.name == name]
        others = tuple(set(range(PARTITIONS)) - set(first))
        for process, partitions in zip(members, (first, others), strict=True):
            process.assign(partitions, self.epochs[name])

    def finish(self, process: Process) -> None:
        """Have a process answer all that there is for it."""
        while process.poll(1000):
            step = process.step(1000, self.now)
            assert step is not None
            assert step.offsets, "a Step that answers nothing would go on for ever"
            self.end(process, step, "commit")
