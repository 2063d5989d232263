"""Nothing lost, nothing doubled, under random schedules of all that can go wrong."""

import os
from functools import partial

import orjson
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from models.calibration import drift
from models.learning.shifts import recent
from processor.artifacts.proof import HEADER
from processor.scorer.regime import watch
from processor.state.profiles import ActiveProfile
from processor.state.shifts import Shift
from tests.unit.simulation.schedules import ENDS, WHO, Schedules
from tests.unit.simulation.world import (
    BAD,
    FORGED,
    PARTITIONS,
    TOPICS,
    Disk,
    Process,
    check,
    check_disk,
    check_forgotten,
    check_retrainer,
)

PROFILES = st.sampled_from(["a", "b", "c"])
PARTITION = st.integers(0, PARTITIONS - 1)
EXAMPLES = int(os.environ.get("SCHEDULES", "400"))
VALUES = st.lists(st.floats(-3, 3), max_size=6)
# So that a few records of a tiny model bring what takes hundreds otherwise.
QUICK = {
    drift: {"ALARM_CAPITAL": 1.05, "MIN_NULL_MEAN": drift.NULL_MEAN, "GUARD": 0, "QUIET": 3},
    # A new normal is told after four anomalies, and adopted after five.
    recent: {"WINDOW": 6, "ABNORMAL": 4, "ENDED": 2, "QUIET": 3, "_MASK": 63},
    watch: {"WINDOW": 6, "ABNORMAL": 4, "ENDED": 2, "STORED_FROM": 2, "TRY_EVERY": 1},
}
WORK = st.tuples(PARTITION, PROFILES, VALUES, st.integers(1, 8), ENDS)


class Delivery(Schedules):
    """Two scorers and two retrainers on two partitions."""

    @initialize()
    def start(self) -> None:
        self.usual = [
            (module, {name: getattr(module, name) for name in wanted})
            for module, wanted in QUICK.items()
        ]
        for module, wanted in QUICK.items():
            vars(module).update(wanted)
        self.begin(Disk())

    def seen(self, process: Process) -> object:
        return seen(process)

    def send(self, partition: int, profile: str, values: list[float]) -> None:
        for value in values:
            record = orjson.dumps({"values": {"x": value}})
            topic = TOPICS.telemetry("features")
            self.kafka.append(topic, partition, profile.encode(), record)

    @rule(who=WHO, work=st.lists(WORK, min_size=1, max_size=8))
    def records_arrive_and_steps_are_made(
        self, who: int, work: list[tuple[int, str, list[float], int, str]]
    ) -> None:
        """Several at a time, as in a schedule without events most time goes to plain work."""
        process = self.processes[who]
        for partition, profile, values, most, end in work:
            self.send(partition, profile, values)
            before = seen(process)
            self.end(process, process.step(most, self.now), end, before)

    @rule(who=WHO, work=st.lists(WORK, min_size=2, max_size=8))
    def steps_are_computed_ahead_of_the_commit_before(
        self, who: int, work: list[tuple[int, str, list[float], int, str]]
    ) -> None:
        turns = [
            (partial(self.send, partition, profile, values), most, end)
            for partition, profile, values, most, end in work
        ]
        self.ahead(self.processes[who], turns)

    @rule(partition=PARTITION, profile=PROFILES, level=st.sampled_from([0.0, 40.0, -90.0]))
    def a_profile_steps_for_good(self, partition: int, profile: str, level: float) -> None:
        """Or back to what it was."""
        for place in range(6):
            value = orjson.dumps({"values": {"x": level + place / 10.0}})
            self.kafka.append(TOPICS.telemetry("features"), partition, profile.encode(), value)

    @rule(partition=PARTITION, profile=PROFILES)
    def bad_telemetry_arrives(self, partition: int, profile: str) -> None:
        self.kafka.append(TOPICS.telemetry("features"), partition, profile.encode(), BAD)

    @rule(
        partition=PARTITION,
        profile=PROFILES,
        word=st.sampled_from(["forget", "rollback", "retrain"]),
        generation=st.sampled_from([0, 2**62, None]),
        copied=st.booleans(),
    )
    def somebody_writes_a_mark(
        self, partition: int, profile: str, word: str, generation: int | None, copied: bool
    ) -> None:
        """Of the generation in force, too; or a copy of one that the scorer wrote."""
        log = self.kafka.logs[TOPICS.accepted, partition]
        marks = [record for record in log if b'"mark"' in (record.value or b"") and record.headers]
        if copied and marks:
            found = marks[-1]
            self.kafka.append(found.topic, partition, found.key, found.value, found.headers)
            return
        key = f"features:{profile}".encode()
        announced = [
            orjson.loads(record.value)["generation"]
            for record in self.kafka.compacted(TOPICS.models, partition)
            if record.key == key and record.value is not None
        ]
        if generation is None:
            generation = announced[0] if announced else 0
        value = {
            "mark": word,
            "profile_id": profile,
            "kind": "features",
            "generation": generation,
            "version": 9,
            "command_id": FORGED,
        }
        proof = ((HEADER, b"0" * 64),)
        place = TOPICS.accepted, partition
        self.kafka.append(*place, profile.encode(), orjson.dumps(value), proof)

    @rule(
        profile=PROFILES,
        command=st.sampled_from(["rollback", "retrain", "forget", "adopt", "hold", "train"]),
    )
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
        self.now = self.kafka.now = max(1_600_000_000_000, self.now + milliseconds)

    @rule(who=WHO, turns=st.lists(st.tuples(st.integers(1, 30), ENDS), min_size=2, max_size=8))
    def nothing_arrives_for_a_while(self, who: int, turns: list[tuple[int, str]]) -> None:
        """Long enough, and a profile is forgotten for its silence."""
        process = self.processes[who]
        for minutes, end in turns:
            self.now = self.kafka.now = self.now + minutes * 60_000
            before = seen(process)
            self.end(process, process.step(1000, self.now), end, before)

    @rule(times=st.integers(1, 3))
    def the_disk_fails(self, times: int) -> None:
        self.disk.failing = times

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        if hasattr(self, "kafka"):
            check(self.kafka)
            check_disk(self.kafka, self.disk)

    def teardown(self) -> None:
        """In the end everything is answered."""
        if not hasattr(self, "kafka"):
            return
        try:
            self.everything_is_answered()
        finally:
            for module, usual in self.usual:
                vars(module).update(usual)

    def everything_is_answered(self) -> None:
        """And at last everything is forgotten."""
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


def seen(process: Process) -> dict[object, object]:
    """What a scorer knows of its profiles, beside their models."""
    if process.name != "scorer":
        return {}
    state = process.role._state
    profiles = {
        key: (profile.drift, profile.since_anomaly)
        if isinstance(profile, ActiveProfile)
        else (profile.ring.seen, profile.retry_at)
        for key, profile in state.profiles.items()
    }
    profiles |= {("shift", key): shift_facts(shift) for key, shift in state.shifts.items()}
    return profiles | {place: count for place, count in state.counts.items() if count}


def shift_facts(shift: Shift) -> tuple[object, ...]:
    """What is known of a new normal, the numbers of its samples in place of these."""
    return shift.recent, shift.since, shift.held_until, [*shift.ring.slots], shift.ring.records


Delivery.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TestDelivery = Delivery.TestCase
