"""A profile silent for TELLTALE_PROFILE_TTL_DAYS is forgotten as by command, and not earlier."""

from typing import Any

import orjson
import pytest

from processor.records import ConsumerRecord, ProducerRecord
from processor.scorer.role import ScorerRole
from processor.state.expiry import ProfileTtl
from processor.state.profiles import Delta
from processor.stream.step import Step
from tests.unit.builders import (
    NOW,
    TOPICS,
    announced,
    command,
    events,
    normal,
    of,
    parsed,
    record,
    stream,
    vector,
    verdicts,
)

HOUR = 3600 * 1000
DAY = 24 * HOUR
KEY = (0, "features", "p")


class Turning:
    """A scorer whose loop turns every half hour, with nothing left to read unless it is said."""

    def __init__(self, make_role: Any, *, now: int = NOW, **wanted: Any) -> None:
        self.role = make_role(ScorerRole, **{"profile_ttl_days": 2} | wanted)
        self.now = now
        self.outputs: list[ProducerRecord] = []

    def commit(self, step: Step[Any] | None) -> Step[Any]:
        step = step or Step(Delta())
        self.role.apply(step)
        self.role._metrics.count("scorer", step.counts)
        self.outputs += step.outputs
        return step

    def feed(self, batch: list[ConsumerRecord]) -> Step[Any]:
        return self.commit(self.role.compute(batch, self.now))

    def turn(self, now: int, *, answered: bool = True) -> Step[Any]:
        self.now = now
        if answered:
            self.role.set_watermark(now)
        return self.commit(self.role.idle(now))

    def wait(self, hours: float, *, answered: bool = True) -> list[ProducerRecord]:
        """Let time pass; what was written meanwhile."""
        before = len(self.outputs)
        for _ in range(round(2 * hours)):
            self.turn(self.now + HOUR // 2, answered=answered)
        return self.outputs[before:]

    def restarted(self, make_role: Any, **wanted: Any) -> "Turning":
        """Another process with what this one wrote; each record has the time of its writing."""
        again = Turning(make_role, now=self.now, **wanted)
        for offset, out in enumerate(self.outputs):
            if out.topic in again.role.changelogs:
                again.role.load(
                    ConsumerRecord(out.topic, out.partition, offset, out.key, out.value, (), NOW)
                )
        again.role.restored([0])
        return again


def forgotten(outputs: list[ProducerRecord]) -> list[tuple[str, str]]:
    return [(e.profile_id, e.figures["trigger"]) for e in events(outputs) if e.event == "forgotten"]


def test_a_silent_profile_is_forgotten_with_its_model_and_a_receipt(make_role, tmp_path) -> None:
    world = Turning(make_role)
    (version,) = announced(world.feed(stream(normal(6))))
    assert forgotten(world.wait(47)) == []

    written = world.wait(2)

    assert forgotten(written) == [("p", "ttl")]
    (receipt,) = events(written)
    assert receipt.command_id == "ttl-features-0-0"
    assert (receipt.generation, receipt.version, receipt.role) == (0, 1, "scorer")
    assert receipt.figures["artifacts"] == [version.artifact.rpartition("/")[2]]
    assert not (tmp_path / "models" / version.artifact).exists()
    assert [(out.key, out.value) for out in of(written, TOPICS.models)] == [(b"features:p", None)]
    (mark,) = parsed(of(written, TOPICS.accepted))
    assert (mark["mark"], mark["generation"]) == ("forget", 0)
    assert [out.value is None for out in of(written, TOPICS.profiles)] == [False, True]
    assert world.role._state.profiles.get(KEY) is None
    assert world.role._state.forgettings == {}


def test_it_is_forgotten_in_two_transactions_and_counted_once(make_role) -> None:
    world = Turning(make_role)
    world.feed(stream(normal(3)))
    world.wait(47.5)

    steps = [world.turn(world.now + HOUR) for _ in range(4)]

    assert [step.counts["forgotten", ("features", "ttl")] for step in steps] == [0, 1, 0, 0]
    assert [len(of(step, TOPICS.profiles)) for step in steps] == [1, 1, 0, 0]
    assert len([out for out in of(steps[0], TOPICS.cold_start) if out.value is None]) == 3
    assert all(step.counts["commands", ("forget", "done")] == 0 for step in steps)


def test_a_crash_between_the_two_is_finished_by_the_next_process(make_role, tmp_path) -> None:
    world = Turning(make_role)
    (version,) = announced(world.feed(stream(normal(6))))
    world.wait(48)
    assert [orjson.loads(out.value)["format"] for out in of(world.outputs, TOPICS.profiles)] == [1]

    again = world.restarted(make_role)
    step = again.turn(again.now)

    assert forgotten(step.outputs) == [("p", "ttl")]
    assert not (tmp_path / "models" / version.artifact).exists()
    assert [out.value for out in of(step, TOPICS.profiles)] == [None]


def test_a_record_between_the_two_begins_a_learning_of_its_own(make_role, tmp_path) -> None:
    world = Turning(make_role)
    world.feed(stream(normal(6)))
    world.wait(48)

    step = world.feed(stream(normal(5, seed=2), first=6))

    assert forgotten(step.outputs) == [("p", "ttl")]
    assert [v.samples_seen for v in verdicts(step)] == [1, 2, 3, 4, 5]
    (version,) = announced(step)
    assert version.generation == 6
    assert (tmp_path / "models" / version.artifact).exists()


def test_one_that_is_heard_stays(make_role) -> None:
    world = Turning(make_role)
    world.feed(stream(normal(5)))
    for offset in range(5, 12):
        assert forgotten(world.wait(40)) == []
        world.feed([record(normal(1)[0], offset=offset)])
    assert forgotten(world.wait(49)) == [("p", "ttl")]


def test_one_whose_records_are_all_in_the_batch_at_hand_stays(make_role) -> None:
    world = Turning(make_role)
    world.feed(stream(normal(5)))
    world.wait(47.5)
    world.now += HOUR
    world.role.set_watermark(world.now)

    step = world.feed([record(normal(1)[0], offset=5)])

    assert of(step, TOPICS.profiles) == []
    assert forgotten(world.wait(47)) == []


def test_what_holds_no_evidence_counts_for_nothing(make_role) -> None:
    world = Turning(make_role)
    world.feed(stream(normal(5)))
    for offset in range(5, 54):
        world.wait(1)
        world.feed([record(vector(None, None, None), offset=offset)])
    assert forgotten(world.outputs) == [("p", "ttl")]


def test_while_records_wait_nobody_is_silent(make_role) -> None:
    world = Turning(make_role)
    world.feed(stream(normal(5)))
    assert forgotten(world.wait(500, answered=False)) == []
    assert forgotten(world.wait(1)) == [("p", "ttl")]


@pytest.mark.parametrize("jump", [-30 * DAY, 30 * DAY, 50 * 365 * DAY])
def test_a_clock_that_jumps_makes_nobody_silent(make_role, jump) -> None:
    world = Turning(make_role)
    world.feed(stream(normal(5)))
    world.wait(10)
    world.now += jump
    assert forgotten(world.wait(47)) == []
    world.now -= jump
    assert forgotten(world.wait(47)) == []


def test_a_clock_that_was_ahead_when_the_end_was_asked_for_makes_nobody_silent(make_role) -> None:
    world = Turning(make_role)
    world.feed(stream(normal(5)))
    world.wait(1)
    world.role.set_watermark(world.now + 300 * DAY)
    assert forgotten(world.wait(1, answered=False)) == []


def test_without_the_setting_nobody_is_ever_forgotten(make_role) -> None:
    world = Turning(make_role, profile_ttl_days=0)
    world.feed(stream(normal(5)))
    assert world.wait(2000) == []


def test_after_a_restart_one_that_learns_was_heard_when_its_sample_was_stored(make_role) -> None:
    world = Turning(make_role)
    world.feed(stream(normal(3)))
    world.wait(40)

    again = world.restarted(make_role)

    assert forgotten(again.wait(7)) == []
    assert forgotten(again.wait(2)) == [("p", "ttl")]


def test_after_a_restart_one_with_a_model_counts_as_heard(make_role) -> None:
    world = Turning(make_role)
    world.feed(stream(normal(5)))
    world.wait(40)

    again = world.restarted(make_role)

    assert forgotten(again.wait(47)) == []
    assert forgotten(again.wait(2)) == [("p", "ttl")]


def test_one_on_disk_is_forgotten_like_the_others(make_role) -> None:
    world = Turning(make_role, max_learning_profiles=1)
    values = [record(vector(1.0), key=name, offset=n) for n, name in enumerate("aabbb")]
    world.feed(values)
    world.wait(20)
    world.feed([record(vector(1.0), key="late", offset=9)])
    assert world.role._spill.counts.total() == 2

    written = world.wait(29)

    assert sorted(forgotten(written)) == [("a", "ttl"), ("b", "ttl")]
    assert len([out for out in of(written, TOPICS.cold_start) if out.value is None]) == 5
    assert world.role._spill.counts.total() == 0
    assert forgotten(world.wait(20)) == [("late", "ttl")]


@pytest.mark.parametrize("limit", [1, 100])
def test_a_maintenance_window_is_no_silence(make_role, limit) -> None:
    world = Turning(make_role, max_learning_profiles=limit)
    world.feed([record(vector(1.0), key=name, offset=n) for n, name in enumerate("pq")])
    world.feed([command("suppress", until=NOW + 5 * DAY)])

    assert forgotten(world.wait(5 * 24)) == [("q", "ttl")]
    assert forgotten(world.wait(49)) == [("p", "ttl")]


def test_a_candidate_is_no_word_of_the_profile(make_role) -> None:
    world = Turning(make_role)
    world.feed(stream(normal(5)))
    world.wait(30)
    world.feed([command("rollback")])
    assert forgotten(world.wait(19)) == [("p", "ttl")]


def test_many_go_some_at_a_time(make_role) -> None:
    world = Turning(make_role)
    world.feed([record(vector(1.0), key=f"p{n}", offset=n) for n in range(90)])
    world.wait(47.5)

    steps = [world.turn(world.now + HOUR // 2) for _ in range(7)]

    counts = [step.counts["forgotten", ("features", "ttl")] for step in steps]
    assert counts == [0, 20, 20, 20, 20, 10, 0]


def test_a_dropped_step_forgets_nothing(make_role) -> None:
    world = Turning(make_role)
    world.feed(stream(normal(5)))
    world.wait(47.5)
    world.role.set_watermark(world.now + HOUR)

    first = world.role.idle(world.now + HOUR)
    second = world.role.idle(world.now + HOUR)

    assert first is not None
    assert second is not None
    assert first.outputs == second.outputs
    assert world.role._state.profiles.get(KEY) is not None


def test_the_longest_silent_come_first_after_a_restart() -> None:
    expiry = ProfileTtl(1)
    names = [(0, "features", name) for name in "abc"]
    for key, at in zip(names, (3, 1, 2), strict=True):
        expiry.load(key, NOW + at)
    expiry.turn(NOW + 10)
    for hour in range(1, 25):
        expiry.turn(NOW + 10 + hour * HOUR)
        expiry.answered(NOW + 10 + hour * HOUR)

    assert expiry.silent(2) == [names[1], names[2]]
