"""The spill: rings beyond the limit of memory wait on disk, and learning does not notice."""

import resource

import numpy as np
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from processor.scorer.role import ScorerRole
from processor.state import ring
from processor.state.profiles import LearningProfile
from processor.state.ring import Ring
from processor.state.spill import Spill, decode_learning, encode_learning
from processor.stream.step import Step
from tests.unit.builders import (
    NOW,
    TOPICS,
    announced,
    command,
    events,
    normal,
    of,
    record,
    stream,
    vector,
    verdicts,
)
from tests.unit.scorer.test_scorer_role import committed, load

LOG = structlog.get_logger()


def learning(samples: int, *, capacity: int = 5, width: int = 3) -> LearningProfile:
    grown = Ring(7, tuple("abc"[:width]))
    for number in range(samples):
        rows = np.full((1, width), float(number))
        grown, _, _ = ring.append_sample(grown, 7 + number, rows, capacity=capacity)
    return LearningProfile(grown, retry_at=samples + 3)


def same(left: LearningProfile, right: LearningProfile) -> bool:
    return encode_learning(left) == encode_learning(right) and left.ring.used == right.ring.used


def keys(*names: str) -> list[tuple[int, str, str]]:
    return [(0, "features", name) for name in names]


def spilled(role: ScorerRole, kind: str = "features") -> float:
    role.update_gauges()
    return role._metrics.spilled_profiles.labels("scorer", kind)._value.get()


def learning_profiles(role: ScorerRole) -> float:
    role.update_gauges()
    return role._metrics.profiles.labels("scorer", "features", "learning")._value.get()


class TestTheFile:
    @given(samples=st.integers(0, 12), capacity=st.integers(1, 6))
    def test_gives_back_what_it_took(self, samples: int, capacity: int) -> None:
        before = learning(samples, capacity=capacity)

        after = decode_learning(encode_learning(before))

        assert after.retry_at == before.retry_at
        assert after.ring.names == before.ring.names
        assert (after.ring.records, after.ring.seen) == (before.ring.records, before.ring.seen)
        assert after.ring.used == before.ring.used
        assert np.array_equal(after.ring.samples(), before.ring.samples())

    def test_finds_what_it_holds_and_nothing_else(self) -> None:
        spill = Spill(2**20, LOG)
        one, two, three = keys("a", 'quoted " and / slashed', "ü")
        assert spill.put([(one, learning(2), 0), (two, learning(3), 0)])

        found = spill.get([one, two, three])

        assert set(found) == {one, two}
        assert same(found[two], learning(3))
        assert spill.counts == {"features": 2}

    def test_more_than_one_statement_takes_is_found_and_dropped(self) -> None:
        spill = Spill(2**24, LOG)
        many = keys(*(f"p{number}" for number in range(1203)))
        spill.put((key, learning(1), 0) for key in many)

        assert len(spill.get(many)) == 1203
        spill.drop(many[:1200])
        assert set(spill.get(many)) == set(many[1200:])
        assert spill.counts == {"features": 3}

    def test_gives_those_seen_longest_ago_first(self) -> None:
        spill = Spill(2**20, LOG)
        spill.put((key, learning(1), at) for at, key in enumerate(keys("a", "b", "c", "d")))
        spill.see(keys("a"), 9)

        assert spill.silent(2, 5) == keys("b", "c")
        assert spill.silent(2, 1) == keys("b")

    def test_has_no_name_and_is_gone_when_it_is_cleared(self, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        spill = Spill(2**20, LOG)
        spill.put([(keys("a")[0], learning(1), 0)])

        assert spill.nbytes > 0
        assert list(tmp_path.iterdir()) == []
        spill.clear()
        assert (spill.nbytes, spill.counts, spill.get(keys("a"))) == (0, {}, {})


class TestAFullDisk:
    def test_takes_nothing_and_keeps_what_it_has(self) -> None:
        spill = Spill(64 * 1024, LOG)
        spill.put([(keys("small")[0], learning(1), 0)])

        assert not spill.put((key, learning(200, capacity=200), 0) for key in keys(*"abcdefghijkl"))

        assert spill.failures == 1
        assert set(spill.get(keys("small", "a"))) == set(keys("small"))
        assert spill.counts == {"features": 1}
        assert spill.nbytes <= 64 * 1024

    def test_is_tried_again_after_a_while_and_told_of_once(self) -> None:
        time = [0.0]
        spill = Spill(64 * 1024, LOG, lambda: time[0])
        large = [(key, learning(200, capacity=200), 0) for key in keys(*"abcdefghijkl")]
        with structlog.testing.capture_logs() as logged:
            assert not spill.put(large)
            assert not spill.put([(keys("a")[0], learning(1), 0)])
            time[0] += 100
            assert not spill.put(large)
        time[0] += 100

        assert spill.put([(keys("a")[0], learning(1), 0)])
        assert spill.failures == 2
        assert [line["event"] for line in logged] == ["spill_failed"]

    def test_of_the_system_is_met_like_its_own_limit(self) -> None:
        spill = Spill(2**30, LOG)
        spill.put([(keys("small")[0], learning(1), 0)])
        large = [(key, learning(200, capacity=200), 0) for key in keys(*"abcdefghijkl")]
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
        try:
            taken = spill.put(large)
            found = spill.get(keys("small", "a"))
            spill.drop(keys("small"))
            left = spill.get(keys("small"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

        assert (taken, spill.failures, left) == (False, 1, {})
        assert set(found) == set(keys("small"))

    def test_leaves_profiles_in_memory_and_learning(self, make_role) -> None:
        role = make_role(ScorerRole, max_learning_profiles=2, spill_bytes=32 * 1024)
        batch = [
            record(vector(1.0, 2.0, 3.0), key=f"p{number}", offset=number) for number in range(300)
        ]
        step = committed(role, batch)

        role._metrics.count("scorer", step.counts)
        assert spilled(role) == 0
        assert learning_profiles(role) == 300
        assert step.counts["spill_failures", ()] == 1


class TestALearningProfileBeyondTheLimit:
    def test_waits_on_disk_and_counts_as_learning(self, make_role) -> None:
        role = make_role(ScorerRole, max_learning_profiles=2)
        for number, name in enumerate("abcd"):
            committed(role, [record(vector(1.0, 2.0, 3.0), key=name, offset=number)])

        assert spilled(role) == 2
        assert learning_profiles(role) == 4
        assert list(role._state.profiles) == [(0, "features", "c"), (0, "features", "d")]

    def test_learns_on_where_it_was(self, make_role) -> None:
        role = make_role(ScorerRole, max_learning_profiles=1)
        said = []
        for offset, value in enumerate(normal(14)):
            name = "ab"[offset % 2]
            step = committed(role, [record(value, key=name, offset=offset)])
            said += [(name, v.status, v.samples_seen) for v in verdicts(step)]

        assert said[:10] == [("ab"[n % 2], "learning", n // 2 + 1) for n in range(10)]
        assert {status for _, status, _ in said[10:]} == {"scored"}
        assert (spilled(role), learning_profiles(role)) == (0, 0)

    def test_is_trained_on_the_same_samples_as_in_memory(self, make_role) -> None:
        batch = stream(normal(5), key="a") + stream(normal(5, seed=3), key="b", first=5)
        interleaved = sorted(batch, key=lambda item: (item.offset % 5, item.key))
        models = []
        for limit in (1, 100):
            role = make_role(ScorerRole, max_learning_profiles=limit)
            steps = [committed(role, [item]) for item in interleaved]
            models.append([(m.profile_id, m.sha256) for s in steps for m in announced(s)])

        assert models[0] == models[1]
        assert len(models[0]) == 2

    def test_is_counted_when_it_is_read_back(self, make_role) -> None:
        role = make_role(ScorerRole, max_learning_profiles=1)
        committed(role, [record(vector(1.0), key=name, offset=n) for n, name in enumerate("ab")])

        step = committed(role, [record(vector(1.0), key="a", offset=2)])

        role._metrics.count("scorer", step.counts)
        assert step.counts["recalled", ("features",)] == 1

    def test_is_untouched_by_an_aborted_step(self, make_role) -> None:
        role = make_role(ScorerRole, max_learning_profiles=1)
        committed(role, [record(vector(1.0), key=name, offset=n) for n, name in enumerate("ab")])

        again = record(vector(2.0), key="a", offset=2)
        dropped: Step = role.compute([again], NOW)
        kept = role.compute([again], NOW)

        assert spilled(role) == 1
        assert [v.samples_seen for v in verdicts(dropped) + verdicts(kept)] == [2, 2]
        assert of(dropped, TOPICS.cold_start) == of(kept, TOPICS.cold_start)

    def test_is_forgotten_by_a_command_with_all_its_slots(self, make_role) -> None:
        role = make_role(ScorerRole, max_learning_profiles=1)
        values = [record(vector(1.0), key="p", offset=n) for n in range(3)]
        committed(role, [*values, record(vector(1.0), key="other", offset=3)])
        assert spilled(role) == 1

        first = committed(role, [command("forget")])
        second = committed(role, first.unprocessed)

        assert len([out for out in of(first, TOPICS.cold_start) if out.value is None]) == 3
        assert events(second)[0].figures["cold_start_slots"] == 3
        (verdict,) = verdicts(committed(role, [record(vector(1.0), key="p", offset=9)]))
        assert verdict.samples_seen == 1

    def test_waits_on_disk_after_a_restart_too(self, make_role) -> None:
        first = make_role(ScorerRole)
        values = [record(vector(1.0), key=f"p{n % 20}", offset=n) for n in range(40)]
        outputs = committed(first, values).outputs
        again = make_role(ScorerRole, max_learning_profiles=3)
        load(again, outputs)
        again.restored([0])

        assert (spilled(again), learning_profiles(again)) == (17, 20)
        batch = [record(vector(1.0), key=f"p{n}", offset=40 + n) for n in range(20)]
        assert [v.samples_seen for v in verdicts(committed(again, batch))] == [3] * 20

    def test_is_let_go_with_its_partitions(self, make_role) -> None:
        role = make_role(ScorerRole, max_learning_profiles=1)
        committed(role, [record(vector(1.0), key=name, offset=n) for n, name in enumerate("ab")])
        role.drop()

        assert (spilled(role), learning_profiles(role)) == (0, 0)
        (verdict,) = verdicts(role.compute([record(vector(1.0), key="a", offset=9)], NOW))
        assert verdict.samples_seen == 1


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
def test_the_limit_of_memory_is_kept_and_the_answers_do_not_depend_on_it(make_role, limit) -> None:
    rng = np.random.default_rng(5)
    role, plain = make_role(ScorerRole, max_learning_profiles=limit), make_role(ScorerRole)
    offset = 0
    for _ in range(25):
        batch = []
        for name in rng.choice(list("abcdefgh"), 4):
            batch.append(
                record(vector(*rng.normal(0, 1, 3).tolist()), key=str(name), offset=offset)
            )
            offset += 1
        mine, other = committed(role, batch), committed(plain, batch)

        assert mine.outputs == other.outputs
        assert len(role._state.learning) <= limit
        assert learning_profiles(role) == learning_profiles(plain)
