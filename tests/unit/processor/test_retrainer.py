"""The retrainer: pools of accepted samples, when it trains, what it proposes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor import pools, proposals, retrainer, slots
from processor.pools import Pool
from processor.records import Incoming, Outgoing
from schemas import ModelRecord
from tests.unit.processor.build import (
    NOW,
    TOPICS,
    Memory,
    Retrainer,
    Scorer,
    accepted,
    announced,
    command,
    consumed,
    events,
    of,
    parsed,
    reasons,
    record,
    stream,
)

KEY = (0, "features", "p")
DAY_MS = 24 * 3600 * 1000


def sample(value: float = 10.0, *, offset: int = 0, partition: int = 0, **changed: Any) -> Incoming:
    said = {
        "profile_id": "p",
        "kind": "features",
        "generation": 20,
        "model_version": 1,
        "features": ["a", "b", "c"],
        "vectors": [[value, 10.0, 10.0]],
        "p_values": [0.5],
        "since_anomaly": None,
        "observed_at": NOW,
        "source": "scorer",
        "verdict_id": f"telemetry.features-0-{offset}",
    }
    return record(said | changed, topic=TOPICS.accepted, partition=partition, offset=offset)


def samples(count: int, *, first: int = 0, **changed: Any) -> list[Incoming]:
    def row(offset: int) -> list[float]:
        return np.random.default_rng(offset).normal(10.0, 1.0, 3).tolist()

    offsets = range(first, first + count)
    return [sample(offset=at, **{"vectors": [row(at)], **changed}) for at in offsets]


def mark(word: str, *, offset: int = 0, generation: int = 20, **changed: Any) -> Incoming:
    said = {"mark": word, "profile_id": "p", "kind": "features", "generation": generation}
    return record(said | changed, topic=TOPICS.accepted, offset=offset)


def stored(outputs: list[Outgoing]) -> list[Outgoing]:
    """What was written of the ring: the pool's topic but for its heads."""
    return [out for out in of(outputs, TOPICS.pool) if slots.parse_key(out.key)[2] != slots.HEAD]


def candidates(outputs: list[Outgoing]) -> list[ModelRecord]:
    return [ModelRecord.model_validate(said) for said in parsed(of(outputs, TOPICS.candidates))]


@pytest.fixture(scope="module")
def taught() -> Scorer:
    scorer = Scorer()
    scorer.taught(first=20)
    return scorer


@pytest.fixture
def role(taught) -> Retrainer:
    """A retrainer that trains after 10 samples or 7 days, and knows profile p's version 1."""
    held = taught.memory
    memory = Memory(dict(held.payloads), paths=dict(held.paths))
    made = Retrainer(memory, retrain_samples=10, pool_samples=30)
    made.know(taught.current(KEY))
    return made


class TestPools:
    def test_take_each_accepted_record_and_its_changelog(self, role):
        step = role.apply(role.step(samples(3, first=40)))
        outs = stored(step.outputs)
        assert [out.key for out in outs] == [slots.key("features", "p", i) for i in range(3)]
        assert [slots.decode(out.value).offset for out in outs] == [40, 41, 42]
        assert slots.decode(outs[0].value).names == ("a", "b", "c")
        assert role.pools[KEY].ring.seen == 3
        assert step.offsets == {(TOPICS.accepted, 0): 43}
        assert step.counts["records", ("features", "clear")] == 3

    def test_hold_absent_values_as_nan(self, role):
        role.feed([sample(vectors=[[1.0, None, 2.0]])])
        held = role.pools[KEY].ring.samples()
        assert np.array_equal(held, [[1.0, np.nan, 2.0]], equal_nan=True)

    def test_take_what_an_analyst_accepted(self, role):
        role.feed([sample(source="analyst", p_values=[], model_version=None)])
        assert role.pools[KEY].ring.seen == 1

    def test_of_several_partitions_are_apart_and_stay_on_their_partition(self, role):
        written = role.feed([sample(partition=0), sample(partition=5)])
        assert [out.partition for out in stored(written)] == [0, 5]
        assert {key[0] for key in role.pools} == {0, 5}

    def test_a_newer_generation_replaces_the_pool(self, role):
        role.feed(samples(3))
        written = role.feed([sample(generation=77, offset=3, features=["x"], vectors=[[1.0]])])
        outs = stored(written)
        assert [(slots.parse_key(out.key)[2], out.value is None) for out in outs] == [
            (0, True),
            (1, True),
            (2, True),
            (0, False),
        ]
        assert role.pools[KEY].ring.generation == 77
        assert role.pools[KEY].ring.seen == 1

    def test_an_older_generation_is_passed_over(self, role):
        role.feed(samples(3))
        step = role.step([sample(generation=19, offset=3)])
        assert step.outputs == []
        assert step.profiles == {}
        assert step.counts["records", ("features", "outdated")] == 1

    def test_compute_does_not_change_the_pools_it_is_given(self, role):
        role.feed(samples(3))
        before = dict(role.pools)
        role.step([*samples(12, first=3), mark("forget", offset=15)])
        assert role.pools == before


class TestAdmission:
    def test_what_is_not_admitted_is_counted_and_not_pooled(self, role):
        role.feed([sample(since_anomaly=1), sample(offset=1, since_anomaly=1)])
        pool = role.pools[KEY]
        assert (pool.accepted, pool.offset, pool.ring.seen) == (2, 1, 0)

    def test_the_least_p_value_of_a_record_decides(self, role):
        rows = {"vectors": [[10.0, 10.0, 10.0]] * 2, "since_anomaly": 50}
        batch = [sample(offset=i, p_values=[0.9, 1e-6], **rows) for i in range(40)]
        step = role.step(batch)
        assert step.counts["records", ("features", "clear")] == 0

    def test_a_replay_admits_the_same(self, role):
        batch = [sample(offset=i, p_values=[0.03]) for i in range(30)]
        assert role.step(batch).outputs == role.step(batch).outputs

    def test_the_trigger_counts_what_was_not_admitted_too(self, role):
        guarded = [sample(offset=i, since_anomaly=1) for i in range(7)]
        assert len(candidates(role.feed([*guarded, *samples(3, first=7)]))) == 1

    def test_the_counters_survive_where_nothing_was_admitted(self, role):
        written = role.feed([sample(since_anomaly=1)])
        (out,) = of(written, TOPICS.pool)
        restored = pools.restored({}, pools.read_head(out.value), 30)
        assert restored is not None
        assert (restored.accepted, restored.offset, restored.generation) == (1, 0, 20)


class TestMarks:
    @pytest.mark.parametrize("word", ["forget", "rollback"])
    def test_forget_and_rollback_empty_the_pool(self, role, word):
        role.feed(samples(3))
        written = role.feed([mark(word, offset=3)])
        assert [(out.key, out.value) for out in of(written, TOPICS.pool)] == [
            (slots.key("features", "p", place), None) for place in (0, 1, 2, slots.HEAD)
        ]
        assert KEY not in role.pools

    def test_a_rollback_of_a_profile_without_a_pool_does_nothing(self, role):
        assert role.feed([mark("rollback")]) == []

    def test_forget_is_confirmed_with_what_was_deleted(self, role):
        role.feed(samples(10))
        written = role.feed([mark("forget", offset=10, command_id="c1")])
        (event,) = events(written)
        assert (event.event, event.command_id, event.role) == ("forgotten", "c1", "retrainer")
        assert event.figures["pool_slots"] == 10
        assert len(event.figures["artifacts"]) == 2
        assert role.memory.payloads == {}

    def test_forget_is_confirmed_where_nothing_was_pooled(self, role):
        (event,) = events(role.feed([mark("forget", command_id="c1")]))
        assert (event.event, event.figures["pool_slots"]) == ("forgotten", 0)

    def test_forget_spares_what_a_newer_generation_has(self, role):
        role.feed(samples(3, generation=77))
        role.feed([mark("forget", offset=3, generation=20)])
        assert role.pools[KEY].generation == 77

    def test_a_mark_of_an_older_generation_is_passed_over(self, role):
        role.feed(samples(3, generation=77))
        before = role.pools[KEY]
        assert role.feed([mark("retrain", offset=3), mark("rollback", offset=4)]) == []
        assert role.pools[KEY] == before

    def test_a_mark_says_whether_drift_or_an_operator_asked(self, role):
        written = role.feed([*samples(6), mark("retrain", offset=6, trigger="drift")])
        assert [c.trigger for c in candidates(written)] == ["drift"]

    def test_are_obeyed_in_order_with_the_samples(self, role):
        role.feed([*samples(3), mark("rollback", offset=3), sample(offset=4)])
        assert role.pools[KEY].ring.seen == 1

    def test_retrain_trains_on_what_is_pooled(self, role):
        written = role.feed([*samples(3), mark("retrain", offset=3)])
        (candidate,) = candidates(written)
        assert (candidate.trigger, candidate.trained_on) == ("command", 8)

    def test_retrain_waits_for_the_first_sample_where_the_pool_is_empty(self, role):
        assert candidates(role.feed([mark("retrain")])) == []
        assert [c.trigger for c in candidates(role.feed([sample(offset=1)]))] == ["command"]

    def test_retrain_is_done_once(self, role):
        written = role.feed([*samples(3), mark("retrain", offset=3), *samples(3, first=4)])
        assert len(candidates(written)) == 1


class TestTriggers:
    def test_so_many_accepted_samples(self, role):
        assert candidates(role.feed(samples(9))) == []
        (candidate,) = candidates(role.feed(samples(1, first=9)))
        assert candidate.trigger == "samples"

    def test_counted_from_the_last_version(self, role):
        (first,) = candidates(role.feed(samples(10)))
        role.know(first.model_copy(update={"version": 2}))
        assert candidates(role.feed(samples(9, first=10))) == []
        (second,) = candidates(role.feed(samples(1, first=19)))
        assert (second.base_version, second.pool_count) == (2, 20)

    def test_rows_count_and_not_records(self, role):
        several = sample(vectors=[[10.0, 10.0, 10.0]] * 10, p_values=[0.5] * 10)
        assert len(candidates(role.feed([several]))) == 1

    def test_a_version_so_many_days_old_with_something_new(self, role):
        later = NOW + 7 * DAY_MS
        assert candidates(role.feed(samples(1), now=later - 1)) == []
        (candidate,) = candidates(role.feed(samples(1, first=1), now=later))
        assert (candidate.trigger, candidate.trained_at) == ("age", later)

    def test_an_attempt_that_came_to_nothing_is_repeated_after_as_many_samples(self, role):
        assert len(candidates(role.feed(samples(10)))) == 1
        assert candidates(role.feed(samples(9, first=10))) == []
        assert len(candidates(role.feed(samples(1, first=19)))) == 1


class TestCandidates:
    def test_are_a_version_to_be_without_a_number(self, role, taught):
        written = role.feed(samples(10))
        (candidate,), base = candidates(written), taught.current(KEY)
        assert (candidate.version, candidate.base_version) == (None, 1)
        assert (candidate.generation, candidate.kind, candidate.profile_id) == (20, "features", "p")
        assert (candidate.trained_on, candidate.pool_count, candidate.learned) == (15, 10, 5)
        assert (candidate.trained_at, candidate.history) == (NOW, [])
        assert (candidate.detector, candidate.features) == (base.detector, ["a", "b", "c"])
        (out,) = of(written, TOPICS.candidates)
        assert (out.key, out.partition) == (b"p", 0)

    def test_are_trained_on_the_cold_start_and_the_pool(self, role, taught):
        (candidate,) = candidates(role.feed(samples(10)))
        found = role.memory.open([candidate])[candidate.sha256]
        first = role.memory.open([taught.current(KEY)])[taught.current(KEY).sha256]
        pooled = role.pools[KEY].ring.samples().astype(np.float32)
        assert np.array_equal(found.samples, np.concatenate([first.samples, pooled]))

    def test_of_a_later_version_take_the_cold_start_from_it_and_no_pool_twice(self, role):
        (first,) = candidates(role.feed(samples(10)))
        role.know(first.model_copy(update={"version": 2}))
        (second,) = candidates(role.feed(samples(10, first=10)))
        assert second.trained_on == 5 + 20

    def test_the_pool_is_bounded(self, role):
        (*_, last) = candidates(role.feed(samples(50)))
        assert last.trained_on == 5 + 30
        assert last.pool_count == 50

    def test_have_their_artefact_in_the_profiles_directory(self, role, taught):
        step = role.step(samples(10))
        ((key, artifact),) = step.artifacts
        assert key == KEY
        folder = taught.current(KEY).artifact.rpartition("/")[0]
        assert artifact.path == f"{folder}/20-{artifact.sha256[:16]}.joblib"

    def test_are_adopted_by_the_scorer_as_they_are(self):
        scorer = Scorer()
        scorer.taught(first=20)
        role = Retrainer(scorer.memory, retrain_samples=10)
        role.know(scorer.current(KEY))
        calm = [{"values": [10.0 + i % 3 / 10, 10.0, 10.0]} for i in range(10)]
        telemetry = scorer.feed(stream(calm, first=60))
        assert len(accepted(telemetry)) == 10
        proposals = role.feed(consumed(telemetry, TOPICS.accepted))
        (version,) = announced(scorer.feed(consumed(proposals, TOPICS.candidates)))
        assert (version.version, version.trigger) == (2, "samples")

    def test_a_rollback_of_the_scorer_empties_the_pool(self):
        scorer = Scorer()
        scorer.taught(first=20)
        role = Retrainer(scorer.memory, retrain_samples=10)
        role.know(scorer.current(KEY))
        proposals = role.feed(samples(10))
        scorer.feed(consumed(proposals, TOPICS.candidates))
        role.feed(consumed(scorer.feed([command("rollback")]), TOPICS.accepted, first=90))
        assert KEY not in role.pools


class TestWaiting:
    """There is no order between ``models`` and ``accepted-normal``."""

    def test_without_the_announcement_nothing_is_proposed(self, role):
        role.announced.clear()
        written = role.feed(samples(12))
        assert candidates(written) == []
        assert role.pools[KEY].ring.seen == 12

    def test_an_announcement_of_an_older_generation_is_none(self, role):
        written = role.feed(samples(12, generation=77))
        assert candidates(written) == []
        assert proposals.waits(role.pools[KEY], role.announced[KEY])

    def test_once_it_comes_what_fell_due_is_trained(self, role, taught):
        role.announced.clear()
        role.feed(samples(12))
        role.know(taught.current(KEY))
        step = retrainer.compute_due(role.known, [KEY], NOW, role.rules)
        assert [c.trained_on for c in candidates(step.outputs)] == [17]
        assert step.offsets == {}

    def test_what_is_not_due_is_left_alone(self, role):
        role.feed(samples(3))
        step = retrainer.compute_due(role.known, [KEY], NOW, role.rules)
        assert (step.outputs, step.profiles) == ([], {})


class TestFailure:
    def told(self, step: Any) -> str:
        (event,) = events(step)
        assert (event.event, event.version, event.generation) == ("training_failed", 1, 20)
        return event.detail or ""

    def test_an_artefact_that_cannot_be_written_is_told(self, role):
        step = role.step(samples(10), refused=[KEY])
        assert candidates(step.outputs) == []
        assert "written" in self.told(step)
        assert step.profiles[KEY].ring.seen == 10

    def test_a_current_model_that_cannot_be_opened_is_told(self, role, taught):
        role.memory.lose(taught.current(KEY).sha256)
        step = role.step(samples(10))
        assert candidates(step.outputs) == []
        assert "not there" in self.told(step)

    def test_it_is_tried_again_after_as_many_samples(self, role):
        role.apply(role.step(samples(10), refused=[KEY]))
        assert candidates(role.feed(samples(9, first=10))) == []
        assert len(candidates(role.feed(samples(1, first=19)))) == 1


class TestTheCapOfTrainings:
    def test_ends_the_step_and_the_rest_goes_on(self, taught):
        role = Retrainer(taught.memory, retrain_samples=5, trainings_per_step=1)
        role.know(taught.current(KEY))
        batch = samples(20)
        step = role.step(batch)
        assert len(candidates(step.outputs)) == 1
        assert list(step.rest) == batch[5:]
        assert step.offsets == {(TOPICS.accepted, 0): 5}
        assert len(candidates(role.feed(batch))) == 4


class TestBadRecords:
    @pytest.mark.parametrize(
        "value",
        [
            None,
            b"",
            b"\xff",
            b"[]",
            b"{}",
            b"[" * 5000,
            b'{"mark": "forget"}',
            b'{"mark": "explode", "profile_id": "p", "kind": "features", "generation": 1}',
        ],
    )
    def test_are_dead_letters(self, role, value):
        step = role.step([record(value, topic=TOPICS.accepted, offset=7)])
        assert reasons(step) == ["invalid_accepted_sample"]
        assert step.offsets == {(TOPICS.accepted, 0): 8}
        assert step.counts["dead_letters", ("invalid_accepted_sample",)] == 1
        (letter,) = of(step, TOPICS.dead_letter)
        assert dict(letter.headers or ())["telltale.topic"] == b"accepted-normal"

    @pytest.mark.parametrize(
        "changed",
        [
            {"kind": "weather"},
            {"generation": -1},
            {"generation": 2**63},
            {"generation": True},
            {"features": [], "vectors": [[]], "p_values": []},
            {"features": [], "vectors": [], "p_values": []},
            {"vectors": [], "p_values": []},
            {"vectors": [[1.0, 2.0]]},
            {"vectors": [["1", 2.0, 3.0]]},
            {"p_values": [0.1, 0.2]},
            {"observed_at": -1},
            {"source": "nobody"},
        ],
    )
    def test_so_are_samples_that_do_not_hold_to_their_schema(self, role, changed):
        step = role.step([sample(**changed)])
        assert reasons(step) == ["invalid_accepted_sample"]
        assert step.profiles == {}

    @pytest.mark.parametrize("features", [["a", "b", "x"], ["c", "b", "a"]])
    def test_other_features_than_the_models_never_touch_the_pool(self, role, features):
        role.feed(samples(9))
        step = role.step([sample(features=features, offset=9), sample(offset=10)])
        assert reasons(step) == ["feature_mismatch"]
        assert [c.trained_on for c in candidates(step.outputs)] == [15]

    def test_features_that_turn_out_wrong_once_the_model_is_known_are_never_trained_on(
        self, role, taught
    ):
        role.announced.clear()
        role.feed(samples(12, features=["x"], vectors=[[1.0]]))
        role.know(taught.current(KEY))
        assert candidates(role.feed([mark("retrain", offset=12)])) == []
        role.feed([sample(offset=13)])
        assert role.pools[KEY].ring.names == ("a", "b", "c")

    def test_more_features_than_allowed_are_too_large(self):
        role = Retrainer(Memory(), max_features=2)
        assert reasons(role.feed([sample()])) == ["too_large"]

    def test_samples_that_do_not_fit_the_pools_topic_are_dead_letters(self):
        role = Retrainer(Memory())
        wide = [[1.0, 2.0, 3.0]] * 200_000
        assert reasons(role.feed([sample(vectors=wide, p_values=[0.5] * 200_000)])) == [
            "unanswerable"
        ]
        assert role.pools == {}


@given(st.none() | st.binary())
def test_any_bytes_are_answered(value):
    step = Retrainer(Memory()).step([record(value, topic=TOPICS.accepted)])
    assert reasons(step) == ["invalid_accepted_sample"]


@given(
    changed=st.fixed_dictionaries(
        {},
        optional={
            "generation": st.integers(-(2**63), 2**64 - 1),
            "features": st.lists(st.text(), max_size=4),
            "vectors": st.lists(
                st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=4),
                max_size=3,
            ),
            "p_values": st.lists(st.floats(-1, 2), max_size=3),
            "kind": st.sampled_from(["features", "series", ""]),
            "profile_id": st.text(),
        },
    )
)
def test_a_sample_of_any_shape_is_pooled_or_a_dead_letter(changed):
    step = Retrainer(Memory()).step([sample(**changed)])
    assert len(step.profiles) + len(reasons(step)) == 1


@st.composite
def words(draw) -> list[Incoming]:
    """Samples of rising generations, with marks among them."""
    generation, batch = 20, []
    for offset in range(draw(st.integers(1, 40))):
        what = draw(st.integers(0, 11))
        if what == 0:
            batch.append(mark("forget", offset=offset, generation=generation))
            generation += 1
        elif what == 1:
            batch.append(mark("rollback", offset=offset, generation=generation))
        elif what == 2:
            batch.append(sample(offset=offset, generation=generation - 1))
        else:
            rows = [[float(offset), 10.0, 10.0]] * draw(st.integers(1, 2))
            batch.append(sample(offset=offset, generation=generation, vectors=rows, p_values=[]))
    return batch


@given(batch=words(), cut=st.integers(0, 40))
def test_pools_are_restored_from_their_changelog(batch, cut):
    role = Retrainer(Memory(), pool_samples=10)
    written = role.feed(batch[:cut]) + role.feed(batch[cut:])
    newest = {out.key: out.value for out in of(written, TOPICS.pool)}
    left = {slots.parse_key(key)[2]: value for key, value in newest.items() if value}
    head = left.pop(slots.HEAD, None)
    counters = None if head is None else pools.read_head(head)
    read = pools.restored({at: slots.decode(value) for at, value in left.items()}, counters, 10)
    live: Pool | None = role.pools.get(KEY)
    assert (live is None) == (read is None)
    if live is not None and read is not None:
        assert live.ring.samples().tolist() == read.ring.samples().tolist()
        assert (live.generation, live.ring.seen) == (read.generation, read.ring.seen)
        assert (live.accepted, live.offset, live.asked) == (read.accepted, read.offset, read.asked)


@given(batch=words(), cut=st.integers(0, 40))
def test_however_the_stream_is_cut_the_candidates_are_the_same(taught, batch, cut):
    def proposals(parts: list[list[Incoming]]) -> list[ModelRecord]:
        role = Retrainer(Memory(dict(taught.memory.payloads)), retrain_samples=6)
        role.know(taught.current(KEY))
        return [c for part in parts for c in candidates(role.feed(part))]

    assert proposals([batch]) == proposals([batch[:cut], batch[cut:]])
