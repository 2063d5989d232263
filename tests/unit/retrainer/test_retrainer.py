"""The retrainer: pools of accepted samples, when it trains, what it proposes."""

from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import artifacts
from models.errors import Unavailable
from processor.artifacts import proof
from processor.kafka.consuming import Behind
from processor.records import ConsumerRecord, ProducerRecord
from processor.retrainer import pipeline as retrainer
from processor.retrainer import pool as pools
from processor.retrainer.pool import Pool
from processor.state import ring, ring_codec
from processor.state.ring import Ring
from processor.stream.step import Step
from schemas import ModelRecord
from tests.unit.builders import (
    NOW,
    SECRET,
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
    settings,
    stream,
)

KEY = (0, "features", "p")
DAY_MS = 24 * 3600 * 1000


def sample(
    value: float = 10.0, *, offset: int = 0, partition: int = 0, **changed: Any
) -> ConsumerRecord:
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


def samples(count: int, *, first: int = 0, **changed: Any) -> list[ConsumerRecord]:
    def row(offset: int) -> list[float]:
        return np.random.default_rng(offset).normal(10.0, 1.0, 3).tolist()

    offsets = range(first, first + count)
    return [sample(offset=at, **{"vectors": [row(at)], **changed}) for at in offsets]


def mark(
    word: str,
    *,
    offset: int = 0,
    generation: int = 20,
    secret: bytes | None = SECRET,
    **changed: Any,
) -> ConsumerRecord:
    """A mark as the scorer writes it; without a secret as anybody may."""
    said = {
        "mark": word,
        "profile_id": "p",
        "kind": "features",
        "generation": generation,
        "version": 1,
        "command_id": f"c-{offset}",
    } | changed
    plain = record(said, topic=TOPICS.accepted, offset=offset)
    if secret is None or word == "forget":
        return plain
    told = proof.prove(secret, plain.partition, plain.key or b"", plain.value or b"")
    return plain._replace(headers=((proof.HEADER, told),))


def stored(outputs: list[ProducerRecord]) -> list[ProducerRecord]:
    """What was written of the ring: the pool's topic but for its heads."""
    return [
        out
        for out in of(outputs, TOPICS.pool)
        if ring_codec.parse_key(out.key)[2] != ring_codec.HEAD
    ]


def candidates(outputs: list[ProducerRecord]) -> list[ModelRecord]:
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
        assert [out.key for out in outs] == [ring_codec.key("features", "p", i) for i in range(3)]
        assert [ring_codec.decode_slot(out.value).offset for out in outs] == [40, 41, 42]
        assert ring_codec.decode_slot(outs[0].value).names == ("a", "b", "c")
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

    def test_of_several_partitions_are_apart_and_stay_on_their_partition(self, role, taught):
        role.know(taught.current(KEY).model_copy(update={"partition": 5}))
        written = role.feed([sample(partition=0), sample(partition=5)])
        assert [out.partition for out in stored(written)] == [0, 5]
        assert {key[0] for key in role.pools} == {0, 5}

    def test_a_newer_generation_replaces_the_pool(self, role, taught):
        role.feed(samples(3))
        role.know(taught.current(KEY).model_copy(update={"generation": 77, "features": ["x"]}))
        written = role.feed([sample(generation=77, offset=3, features=["x"], vectors=[[1.0]])])
        outs = stored(written)
        assert [(ring_codec.parse_key(out.key)[2], out.value is None) for out in outs] == [
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
        assert step.delta == {}
        assert step.counts["records", ("features", "outdated")] == 1

    def test_a_pool_of_a_generation_that_never_was_gives_way_to_the_one_announced(self, role):
        """As an earlier release left it, which took any sample's word for its generation."""
        role.pools[KEY] = Pool(Ring(2**63 - 1, ("a", "b", "c")), accepted=7)
        role.feed(samples(3))
        assert (role.pools[KEY].generation, role.pools[KEY].accepted) == (20, 3)

    def test_compute_does_not_change_the_pools_it_is_given(self, role):
        role.feed(samples(3))
        before = dict(role.pools)
        role.step([*samples(9, first=3), mark("rollback", offset=12)])
        assert role.pools == before


@pytest.fixture
def holding(taught) -> Retrainer:
    """The same for profiles whose new normal is held."""
    held = taught.memory
    memory = Memory(dict(held.payloads), paths=dict(held.paths))
    made = Retrainer(memory, retrain_samples=10, pool_samples=30, on_shift="hold")
    made.know(taught.current(KEY))
    return made


class TestAdmission:
    def test_what_is_not_admitted_is_counted_and_not_pooled(self, holding):
        holding.feed([sample(since_anomaly=1), sample(offset=1, since_anomaly=1)])
        pool = holding.pools[KEY]
        assert (pool.accepted, pool.offset, pool.ring.seen) == (2, 1, 0)

    def test_kinds_that_adopt_learn_behind_anomalies_too(self, role):
        role.feed([sample(since_anomaly=1), sample(offset=1, since_anomaly=1)])
        assert role.pools[KEY].ring.seen == 2

    def test_the_least_p_value_of_a_record_decides(self, role):
        rows = {"vectors": [[10.0, 10.0, 10.0]] * 2, "since_anomaly": 50}
        batch = [sample(offset=i, p_values=[0.9, 1e-6], **rows) for i in range(40)]
        step = role.step(batch)
        assert step.counts["records", ("features", "clear")] == 0

    def test_a_replay_admits_the_same(self, role):
        batch = [sample(offset=i, p_values=[0.03]) for i in range(30)]
        assert role.step(batch).outputs == role.step(batch).outputs

    def test_the_trigger_counts_what_was_not_admitted_too(self, holding):
        guarded = [sample(offset=i, since_anomaly=1) for i in range(7)]
        assert len(candidates(holding.feed([*guarded, *samples(3, first=7)]))) == 1

    def test_the_counters_survive_where_nothing_was_admitted(self, holding):
        written = holding.feed([sample(since_anomaly=1)])
        (out,) = of(written, TOPICS.pool)
        restored = pools.restored_pool({}, pools.read_head(out.value), 30)
        assert restored is not None
        assert (restored.accepted, restored.offset, restored.generation) == (1, 0, 20)

    def test_what_came_directly_behind_an_anomaly_is_counted(self, role):
        distances = (1, 2, 3, 1, None)
        written = role.feed([sample(offset=i, since_anomaly=at) for i, at in enumerate(distances)])

        assert role.pools[KEY].alarmed == 2
        assert pools.read_head(of(written, TOPICS.pool)[-1].value)["alarmed"] == 2


GONE = [(KEY, None)]
"""What ``models`` has of a forgotten profile."""


class TestForgetting:
    """A mark to forget stands in one transaction with the tombstone of the announcement."""

    def test_clears_the_pool(self, role):
        role.feed(samples(3))
        role.ahead = GONE
        written = role.feed([mark("forget", offset=3)])
        assert [(out.key, out.value) for out in of(written, TOPICS.pool)] == [
            (ring_codec.key("features", "p", place), None) for place in (0, 1, 2, ring_codec.HEAD)
        ]
        assert KEY not in role.pools

    def test_is_confirmed_with_what_was_deleted(self, role):
        role.feed(samples(10))
        role.ahead = GONE
        written = role.feed([mark("forget", offset=10, command_id="c1")])
        (event,) = events(written)
        assert (event.event, event.command_id, event.role) == ("forgotten", "c1", "retrainer")
        assert event.figures["pool_slots"] == 10
        assert len(event.figures["artifacts"]) == 2
        assert role.memory.payloads == {}

    def test_is_confirmed_where_nothing_was_pooled(self, role):
        role.ahead = GONE
        (event,) = events(role.feed([mark("forget", command_id="c1")]))
        assert (event.event, event.figures["pool_slots"]) == ("forgotten", 0)
        assert role.memory.payloads == {}

    def test_is_confirmed_where_the_profile_was_still_learning(self, role):
        role.announced.clear()
        (event,) = events(role.feed([mark("forget", command_id="c1")]))
        assert (event.event, event.figures["artifacts"]) == ("forgotten", [])

    def test_spares_what_a_newer_generation_has(self, role, taught):
        role.know(taught.current(KEY).model_copy(update={"generation": 77}))
        role.feed(samples(3, generation=77))
        role.feed([mark("forget", offset=3, generation=20)])
        assert role.pools[KEY].generation == 77

    @pytest.mark.parametrize("generation", [20, 21, 2**62, 2**63 - 1])
    def test_of_what_is_announced_is_refused(self, role, generation):
        role.feed(samples(3))
        pool, payloads = role.pools[KEY], dict(role.memory.payloads)
        step = role.step([mark("forget", offset=3, generation=generation)])
        assert reasons(step) == ["invalid_mark"]
        assert step.counts["records", ("features", "refused_mark")] == 1
        assert step.counts["dead_letters", ("invalid_mark",)] == 1
        (letter,) = of(step, TOPICS.dead_letter)
        detail = dict(letter.headers or ())["telltale.detail"].decode()
        assert f"generation: {generation}, but models still announces version 1" in detail
        role.apply(step)
        assert (role.pools[KEY], role.memory.payloads) == (pool, payloads)
        assert events(step) == []

    def test_deletes_nothing_that_may_be_about_to_be_announced(self, role, taught):
        """The profile learns anew: its next version is on disk before ``models`` has it."""
        artifact = artifacts.pack(
            role.memory.open([taught.current(KEY)])[taught.current(KEY).sha256],
            kind="features",
            profile_id="p",
            partition=0,
            generation=90,
        )
        role.memory.keep(Step({}, artifacts=[(KEY, artifact)]))
        role.ahead = GONE
        role.feed([mark("forget", generation=2**62)])
        assert list(role.memory.paths.values()) == [artifact.path]

    def test_of_an_older_generation_deletes_nothing_of_the_one_in_force(self, role, taught):
        role.feed([mark("forget", generation=19)])
        assert taught.current(KEY).sha256 in role.memory.payloads


class TestMarks:
    def test_a_rollback_empties_the_pool_and_keeps_that_it_did(self, role):
        role.feed(samples(3))
        written = role.feed([mark("rollback", offset=3)])
        outs = of(written, TOPICS.pool)
        assert [(out.key, out.value is None) for out in outs] == [
            *((ring_codec.key("features", "p", place), True) for place in (0, 1, 2)),
            (ring_codec.key("features", "p", ring_codec.HEAD), False),
        ]
        pool = role.pools[KEY]
        assert (pool.accepted, pool.ring.held, pool.rolled_back) == (0, 0, 1)

    def test_a_copy_of_a_rollback_does_nothing(self, role):
        told = mark("rollback", offset=3)
        role.feed([*samples(3), told, *samples(2, first=4)])
        step = role.step([told._replace(offset=6)])
        assert (step.delta, step.outputs) == ({}, [])
        assert step.counts["records", ("features", "outdated")] == 1
        assert role.pools[KEY].ring.held == 2

    def test_a_copy_of_a_rollback_without_a_pool_then_does_nothing_later(self, role):
        told = mark("rollback")
        role.feed([told, *samples(2, first=1), told._replace(offset=3)])
        assert role.pools[KEY].ring.held == 2

    def test_a_later_rollback_empties_the_pool_again(self, role, taught):
        role.feed([mark("rollback"), *samples(2, first=1)])
        role.ahead = [taught.current(KEY).model_copy(update={"version": 2})]
        role.feed([mark("rollback", version=2, offset=3)])
        assert (role.pools[KEY].ring.held, role.pools[KEY].rolled_back) == (0, 2)

    @pytest.mark.parametrize("generation", [19, 21])
    def test_of_another_generation_is_passed_over(self, role, generation):
        role.feed(samples(3))
        before = role.pools[KEY]
        for offset, word in enumerate(["retrain", "rollback"]):
            assert role.feed([mark(word, offset=offset, generation=generation)]) == []
        assert role.pools[KEY] == before

    def test_says_whether_drift_or_an_operator_asked(self, role):
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

    def test_a_copy_of_retrain_does_nothing(self, role):
        first, second = mark("retrain", offset=3), mark("retrain", offset=4)
        assert len(candidates(role.feed([*samples(3), first, second]))) == 2
        copies = [first._replace(offset=5), second._replace(offset=6)]
        step = role.step(copies)
        assert (step.outputs, step.delta) == ([], {})
        assert step.counts["records", ("features", "outdated")] == 2

    def test_retrain_of_versions_ago_is_passed_over(self, role, taught):
        role.know(taught.current(KEY).model_copy(update={"version": 3}))
        assert role.feed([mark("retrain", version=1)]) == []
        assert KEY not in role.pools
        role.feed([mark("retrain", version=2, offset=1)])
        assert role.pools[KEY].asked == "command"

    def test_what_is_passed_over_leaves_a_pool_of_another_generation_to_the_next_sample(
        self, role, taught
    ):
        role.feed(samples(3))
        role.know(taught.current(KEY).model_copy(update={"generation": 77, "version": 3}))
        before = role.pools[KEY]
        assert role.feed([mark("retrain", generation=77, version=1, offset=3)]) == []
        assert role.pools[KEY] == before

    def test_what_was_obeyed_is_restored(self, role):
        role.feed([*samples(3), mark("rollback", offset=3)])
        written = role.feed([mark("retrain", offset=4)])
        (*_, head) = of(written, TOPICS.pool)
        restored = pools.restored_pool({}, pools.read_head(head.value), 30)
        assert restored is not None
        assert (restored.rolled_back, restored.obeyed) == (1, ("c-4",))

    def test_a_head_of_the_release_before_is_read(self):
        head = b'{"format":1,"generation":3,"accepted":2,"offset":7,"asked":null}'
        counters = pools.read_head(head)
        assert (counters["rolled_back"], counters["obeyed"]) == (0, ())

    def test_the_scorers_own_are_proven(self):
        scorer = Scorer()
        scorer.taught(first=20)
        role = Retrainer(scorer.memory)
        role.know(scorer.current(KEY))
        marks = consumed(scorer.feed([command("retrain")]), TOPICS.accepted)
        role.feed(marks)
        assert role.pools[KEY].obeyed == ("c-retrain",)


class TestForgedMarks:
    @pytest.mark.parametrize("word", ["rollback", "retrain"])
    @pytest.mark.parametrize("secret", [None, b"", b"x" * 32], ids=["none", "empty", "another"])
    def test_without_the_proof_nothing_is_done(self, role, word, secret):
        role.feed(samples(3))
        pool = role.pools[KEY]
        step = role.apply(role.step([mark(word, offset=3, secret=secret)]))
        assert reasons(step) == ["invalid_mark"]
        assert step.counts["records", ("features", "refused_mark")] == 1
        assert role.pools[KEY] == pool
        assert step.offsets == {(TOPICS.accepted, 0): 4}

    @pytest.mark.parametrize(
        "changed",
        [{"partition": 1}, {"value": None}],
        ids=["on another partition", "over another value"],
    )
    def test_a_proof_is_of_one_record(self, role, changed):
        told = mark("retrain")
        other = orjson.loads(told.value) | {"command_id": "c-2"}
        changed = {name: value or orjson.dumps(other) for name, value in changed.items()}
        assert reasons(role.feed([told._replace(**changed)])) == ["invalid_mark"]

    def test_nothing_is_proven_to_a_role_without_a_secret(self, role):
        bare = replace(role.context, secret=proof.no_secret)
        step = retrainer.compute(role.known, [mark("retrain", secret=b"")], NOW, bare)
        assert reasons(step) == ["invalid_mark"]


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

    @pytest.mark.parametrize(("refused", "needed"), [(0, 3), (1, 6), (2, 10), (99, 10)])
    def test_what_a_handful_says_is_looked_at_again_after_as_many_samples(
        self, role, taught, refused, needed
    ):
        held = {"samples": 200, "repeated": 197, "far_out": 0}
        known = taught.current(KEY)
        guessed = known.model_copy(
            update={"trained_on": 200, "provenance": {**(known.provenance or {}), **held}}
        )
        role.know(guessed)
        role.feed(samples(1))
        role.pools[KEY] = replace(role.pools[KEY], refused=refused)

        assert candidates(role.feed(samples(needed - 2, first=1))) == []
        (candidate,) = candidates(role.feed(samples(1, first=needed - 1)))
        assert candidate.trigger == "samples"

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
        marks = consumed(scorer.feed([command("rollback")]), TOPICS.accepted, first=90)
        role.know(scorer.current(KEY))
        role.feed(marks)
        assert (role.pools[KEY].ring.held, role.pools[KEY].rolled_back) == (0, 3)


class TestAnotherDetector:
    """The setting changed on a running system: a retraining moves a profile over."""

    def test_is_that_of_the_candidate_and_said(self, role, taught):
        role.context = replace(
            role.context, settings=settings(detector="forest", retrain_samples=10)
        )
        (candidate,) = candidates(role.feed(samples(10)))
        assert taught.current(KEY).detector == "gaussian"
        assert candidate.detector == "forest"
        provenance = candidate.provenance or {}
        assert (provenance["detector"], provenance["detector_before"]) == ("forest", "gaussian")
        model = role.memory.open([candidate])[candidate.sha256]
        assert type(model.detector).__name__ == "Forest"

    def test_is_that_of_the_kind(self, role):
        wanted = settings(detector="forest", detector__features="gaussian", retrain_samples=10)
        role.context = replace(role.context, settings=wanted)
        (candidate,) = candidates(role.feed(samples(10)))
        assert candidate.detector == "gaussian"
        assert "detector_before" not in (candidate.provenance or {})

    def test_is_announced_by_the_scorer_and_judged_beside_its_own_kind_from_then_on(self):
        scorer = Scorer(cold_start_samples=60)
        scorer.taught(first=20)
        role = Retrainer(scorer.memory, retrain_samples=10, detector="neighbors")
        for version in (2, 3):
            role.know(scorer.current(KEY))
            proposals = role.feed(samples(10, first=100 * version))
            scorer.feed(consumed(proposals, TOPICS.candidates))
            assert (scorer.current(KEY).version, scorer.current(KEY).detector) == (
                version,
                "neighbors",
            )


class TestTheTableOfModels:
    """There is no order between ``models`` and ``accepted-normal``: the table may lag behind."""

    def test_is_read_to_its_end_where_a_sample_is_of_another_generation(self, role, taught):
        role.announced.clear()
        role.ahead = [taught.current(KEY)]
        (candidate,) = candidates(role.feed(samples(12)))
        assert candidate.trained_on == 15
        assert role.caught_up == 1

    def test_is_read_once_a_step_and_only_where_it_is_needed(self, role):
        role.feed(samples(3))
        assert role.caught_up == 0
        role.feed(samples(3, first=3, generation=21))
        assert role.caught_up == 1

    def test_where_it_has_nothing_of_the_profile_a_sample_is_outdated(self, role):
        """What it had, the scorer has forgotten since."""
        role.ahead = GONE
        step = role.step(samples(12, generation=19))
        assert (step.outputs, step.delta) == ([], {})
        assert step.counts["records", ("features", "outdated")] == 12

    @pytest.mark.parametrize("generation", [21, 2**63 - 1])
    def test_a_sample_of_a_generation_that_it_does_not_hold_is_a_dead_letter(
        self, role, generation
    ):
        role.feed(samples(3))
        pool = role.pools[KEY]
        step = role.apply(role.step([sample(generation=generation, offset=3)]))
        assert reasons(step) == ["unknown_generation"]
        assert step.counts["dead_letters", ("unknown_generation",)] == 1
        (letter,) = of(step, TOPICS.dead_letter)
        detail = dict(letter.headers or ())["telltale.detail"].decode()
        assert detail == f"generation: {generation}, but models announces 20"
        assert role.pools[KEY] == pool
        assert len(candidates(role.feed(samples(7, first=4)))) == 1

    def test_where_it_cannot_be_read_the_step_cannot_be_made(self, role):
        def away(_partition: int) -> None:
            raise Behind("models [0]: no answer")

        role.context = replace(role.context, catch_up=away)
        with pytest.raises(Unavailable, match="no answer"):
            role.step([mark("forget")])


class TestRestoredProfiles:
    def test_are_trained_where_that_is_due_by_now(self, role):
        role.context = replace(role.context, settings=settings(retrain_samples=100))
        role.feed(samples(12))
        role.context = replace(role.context, settings=settings(retrain_samples=10))
        step = retrainer.compute_due(role.known, [KEY], NOW, role.context)
        assert [c.trained_on for c in candidates(step.outputs)] == [17]
        assert step.offsets == {}

    def test_what_is_not_due_is_left_alone(self, role):
        role.feed(samples(3))
        step = retrainer.compute_due(role.known, [KEY], NOW, role.context)
        assert (step.outputs, step.delta) == ([], {})


class TestFailure:
    def told(self, step: Any) -> str:
        (event,) = events(step)
        assert (event.event, event.version, event.generation) == ("training_failed", 1, 20)
        return event.detail or ""

    def test_an_artefact_that_cannot_be_written_is_told(self, role):
        step = role.step(samples(10), refused=[KEY])
        assert candidates(step.outputs) == []
        assert "written" in self.told(step)
        assert step.delta[KEY].ring.seen == 10

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
        assert list(step.unprocessed) == batch[5:]
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
            b'{"mark": "forget", "profile_id": "q", "kind": "features", "generation": 1}',
            b'{"mark": "forget", "profile_id": "p", "kind": "features", "generation": -1}',
            b'{"mark": "forget", "profile_id": "p", "kind": "features", "generation": 1, '
            b'"command_id": "a\\u0000"}',
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
            {"profile_id": "another"},
            {"profile_id": "p\n"},
            {"features": ["a", "b", "\x1b[2J"]},
            {"features": ["a", "b", "x" * 257]},
            {"features": ["a", "b", ""]},
        ],
    )
    def test_so_are_samples_that_do_not_hold_to_their_schema(self, role, changed):
        step = role.step([sample(**changed)])
        assert reasons(step) == ["invalid_accepted_sample"]
        assert step.delta == {}

    @pytest.mark.parametrize("features", [["a", "b", "x"], ["c", "b", "a"]])
    def test_other_features_than_the_models_never_touch_the_pool(self, role, features):
        role.feed(samples(9))
        step = role.step([sample(features=features, offset=9), sample(offset=10)])
        assert reasons(step) == ["feature_mismatch"]
        assert [c.trained_on for c in candidates(step.outputs)] == [15]

    def test_features_that_an_earlier_release_pooled_unseen_are_never_trained_on(self, role):
        held = Ring(20, ("x",))
        for offset in range(12):
            held, _, _ = ring.append_sample(held, offset, np.ones((1, 1)), capacity=30)
        role.pools[KEY] = Pool(held, accepted=12)
        assert candidates(role.feed([mark("retrain", offset=12)])) == []
        role.feed([sample(offset=13)])
        assert role.pools[KEY].ring.names == ("a", "b", "c")

    def test_more_features_than_allowed_are_too_large(self, taught):
        role = Retrainer(Memory(), max_features=2)
        role.know(taught.current(KEY))
        assert reasons(role.feed([sample()])) == ["too_large"]

    def test_samples_that_do_not_fit_the_pools_topic_are_dead_letters(self, taught):
        role = Retrainer(Memory())
        role.know(taught.current(KEY))
        wide = [[1.0, 2.0, 3.0]] * 200_000
        assert reasons(role.feed([sample(vectors=wide, p_values=[0.5] * 200_000)])) == [
            "unanswerable"
        ]
        assert role.pools == {}


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"a\x1b", b"x" * 257])
def test_a_key_that_is_none_is_a_dead_letter_whatever_the_value_says(role, key):
    step = role.step([sample()._replace(key=key)])
    assert reasons(step) == ["invalid_accepted_sample"]


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
    role = Retrainer(Memory())
    role.know(ANNOUNCED)
    step = role.step([sample(**changed)])
    outdated = step.counts["records", ("features", "outdated")]
    outdated += step.counts["records", ("series", "outdated")]
    assert len(step.delta) + len(reasons(step)) + outdated == 1


ANNOUNCED = ModelRecord(
    profile_id="p",
    kind="features",
    generation=20,
    version=1,
    detector="gaussian",
    artifact="features/p/20.joblib",
    sha256="0" * 64,
    features=["a", "b", "c"],
    trained_on=5,
    learned=5,
    alert_budget=0.01,
    trigger="cold-start",
    trained_at=NOW,
)


@st.composite
def words(draw) -> list[ConsumerRecord]:
    """Samples of the generation in force and of others, with marks among them."""
    batch = []
    for offset in range(draw(st.integers(1, 40))):
        what = draw(st.integers(0, 11))
        if what == 0:
            batch.append(mark("forget", offset=offset, generation=draw(st.integers(19, 20))))
        elif what == 1:
            batch.append(mark("rollback", offset=offset, version=draw(st.integers(1, 3))))
        elif what == 2:
            batch.append(sample(offset=offset, generation=draw(st.sampled_from([19, 21]))))
        elif what == 3:
            batch.append(mark("retrain", offset=offset))
        else:
            rows = [[float(offset), 10.0, 10.0]] * draw(st.integers(1, 2))
            batch.append(sample(offset=offset, vectors=rows, p_values=[]))
    return batch


@given(batch=words(), cut=st.integers(0, 40))
def test_pools_are_restored_from_their_changelog(batch, cut):
    role = Retrainer(Memory(), pool_samples=10)
    role.know(ANNOUNCED)
    written = role.feed(batch[:cut]) + role.feed(batch[cut:])
    newest = {out.key: out.value for out in of(written, TOPICS.pool)}
    left = {ring_codec.parse_key(key)[2]: value for key, value in newest.items() if value}
    head = left.pop(ring_codec.HEAD, None)
    counters = None if head is None else pools.read_head(head)
    read = pools.restored_pool(
        {at: ring_codec.decode_slot(value) for at, value in left.items()}, counters, 10
    )
    live: Pool | None = role.pools.get(KEY)
    assert (live is None) == (read is None)
    if live is not None and read is not None:
        assert live.ring.samples().tolist() == read.ring.samples().tolist()
        assert (live.generation, live.ring.seen) == (read.generation, read.ring.seen)
        assert (live.accepted, live.offset, live.asked) == (read.accepted, read.offset, read.asked)
        assert (live.rolled_back, live.obeyed) == (read.rolled_back, read.obeyed)


@given(batch=words(), cut=st.integers(0, 40))
def test_however_the_stream_is_cut_the_candidates_are_the_same(taught, batch, cut):
    def proposals(parts: list[list[ConsumerRecord]]) -> list[ModelRecord]:
        role = Retrainer(Memory(dict(taught.memory.payloads)), retrain_samples=6)
        role.know(taught.current(KEY))
        return [c for part in parts for c in candidates(role.feed(part))]

    assert proposals([batch]) == proposals([batch[:cut], batch[cut:]])
