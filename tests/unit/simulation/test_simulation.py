"""Nothing lost, nothing doubled, under random schedules of all that can go wrong."""

import os

import orjson
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from processor.step import Step
from tests.unit.simulation.world import (
    BAD,
    PARTITIONS,
    TOPICS,
    Disk,
    Kafka,
    Process,
    check,
    check_forgotten,
    check_retrainer,
)

PROFILES = st.sampled_from(["a", "b", "c"])
PARTITION = st.integers(0, PARTITIONS - 1)
EXAMPLES = int(os.environ.get("SCHEDULES", "400"))
WHO = st.integers(0, 3)
ENDS = st.sampled_from(["commit", "commit", "commit", "abort", "die before", "die after"])
VALUES = st.lists(st.floats(-3, 3), max_size=6)
WORK = st.tuples(PARTITION, PROFILES, VALUES, st.integers(1, 8), ENDS)


class Delivery(RuleBasedStateMachine):
    """Two scorers and two retrainers on two partitions."""

    @initialize()
    def start(self) -> None:
        self.kafka = Kafka()
        self.disk = Disk()
        self.now = 1_700_000_000_000
        self.epochs = {"scorer": 1, "retrainer": 1}
        self.processes = [
            Process(name, self.kafka, self.disk)
            for name in ("scorer", "scorer", "retrainer", "retrainer")
        ]
        for number, process in enumerate(self.processes):
            process.assign([number % 2], 1)
        self.commands = 0

    @rule(who=WHO, work=st.lists(WORK, min_size=1, max_size=8))
    def records_arrive_and_steps_are_made(
        self, who: int, work: list[tuple[int, str, list[float], int, str]]
    ) -> None:
        """Several at a time, as in a schedule without events most time goes to plain work."""
        process = self.processes[who]
        for partition, profile, values, most, end in work:
            for value in values:
                record = orjson.dumps({"values": {"x": value}})
                topic = TOPICS.telemetry("features")
                self.kafka.append(topic, partition, profile.encode(), record)
            self.end(process, process.step(most, self.now), end)

    @rule(partition=PARTITION, profile=PROFILES)
    def bad_telemetry_arrives(self, partition: int, profile: str) -> None:
        self.kafka.append(TOPICS.telemetry("features"), partition, profile.encode(), BAD)

    @rule(profile=PROFILES, command=st.sampled_from(["rollback", "retrain", "forget"]))
    def a_command_arrives(self, profile: str, command: str) -> None:
        self.commands += 1
        value = {
            "command_id": f"c{self.commands}",
            "command": command,
            "profile_id": profile,
            "issued_at": self.now,
        }
        for partition in range(PARTITIONS):
            self.kafka.append(TOPICS.commands, partition, profile.encode(), orjson.dumps(value))

    def end(self, process: Process, step: Step[object] | None, end: str) -> None:
        """Commit or abort a Step; the process may die just before or just after."""
        if step is None:
            return
        if end == "abort":
            process.rest = ()
            return
        done = end != "die before" and process.commit(step, self.epochs[process.name])
        if end.startswith("die"):
            process.crash()
        elif done:
            process.apply(step)
        else:
            process.rest = ()

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

    @rule(who=WHO, most=st.integers(1, 8))
    def a_zombie_wakes_up(self, who: int, most: int) -> None:
        """It was away while its partitions went to another one, and commits all the same."""
        zombie = self.processes[who]
        step = zombie.step(most, self.now)
        self.epochs[zombie.name] += 1
        for process in self.processes:
            if process.name == zombie.name and process is not zombie:
                process.assign(range(PARTITIONS), self.epochs[zombie.name])
        self.end(zombie, step, "commit")
        zombie.assign((), self.epochs[zombie.name])

    @rule(milliseconds=st.integers(-3_600_000, 8 * 24 * 3_600_000))
    def the_clock_jumps(self, milliseconds: int) -> None:
        self.now = max(1_600_000_000_000, self.now + milliseconds)

    @rule(times=st.integers(1, 3))
    def the_disk_fails(self, times: int) -> None:
        self.disk.failing = times

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        if hasattr(self, "kafka"):
            check(self.kafka)

    def teardown(self) -> None:
        """In the end everything is answered."""
        if not hasattr(self, "kafka"):
            return
        self.disk.failing = 0
        for name in ("scorer", "retrainer"):
            self.the_group_rebalances(name, (0, 1))
        for process in self.processes:
            self.finish(process)
        check(self.kafka)
        for partition in range(PARTITIONS):
            place = (TOPICS.telemetry("features"), partition)
            answered = self.kafka.offsets["scorer"].get(place, 0)
            assert answered == len(self.kafka.logs[place]), "every record is answered"
        check_retrainer(self.kafka)
        for profile in ("a", "b", "c"):
            self.a_command_arrives(profile, "forget")
        # Twice: what the scorer writes to the retrainer, and a candidate that was on its way.
        for process in [*self.processes, *self.processes]:
            self.finish(process)
        check(self.kafka)
        check_retrainer(self.kafka)
        for profile in ("a", "b", "c"):
            check_forgotten(self.kafka, self.disk, profile)

    def finish(self, process: Process) -> None:
        """Have a process answer all that there is for it."""
        while process.poll(1000):
            step = process.step(1000, self.now)
            assert step is not None
            assert step.offsets, "a Step that answers nothing would go on for ever"
            self.end(process, step, "commit")


Delivery.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TestDelivery = Delivery.TestCase
