"""What an analyst accepted, through the retrainer: pool, candidate, and the one after."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.features import KINDS
from processor.records import ConsumerRecord
from processor.retrainer import pool as pools
from processor.retrainer.candidates import trained
from processor.retrainer.pool import Pool
from processor.retrainer.step_builder import RetrainerStepBuilder, Training
from processor.state import ring
from schemas import ModelRecord
from tests.unit.builders import NOW, TOPICS, Memory, Retrainer, Scorer, of, parsed, record

KEY = (0, "features", "p")
COLD = 100


def sample(row: list[float], offset: int, **changed: Any) -> ConsumerRecord:
    said = {
        "profile_id": "p",
        "kind": "features",
        "generation": 0,
        "model_version": 1,
        "features": ["a", "b", "c"],
        "vectors": [row],
        "p_values": [0.5],
        "since_anomaly": None,
        "observed_at": NOW,
        "source": "scorer",
        "verdict_id": f"telemetry.features-0-{offset}",
    }
    return record(said | changed, topic=TOPICS.accepted, offset=offset)


def accepted(count: int, first: int, around: float, source: str) -> list[ConsumerRecord]:
    drawn = np.random.default_rng(first).normal(around, 1.0, (count, 3))
    return [sample(row.tolist(), first + at, source=source) for at, row in enumerate(drawn)]


def roles(**wanted: Any) -> tuple[Scorer, Retrainer]:
    scorer = Scorer(cold_start_samples__features=COLD, **wanted)
    retrainer = Retrainer(scorer.memory, cold_start_samples__features=COLD, **wanted)
    retrainer.know(scorer.taught())
    return scorer, retrainer


def proposals(outputs: Any) -> list[ModelRecord]:
    return [ModelRecord.model_validate(said) for said in parsed(of(outputs, TOPICS.candidates))]


def opened(memory: Memory, found: ModelRecord) -> Any:
    return memory.open([found])[found.sha256]


def test_their_like_is_normal_in_the_candidate_and_they_are_not_taught_twice():
    scorer, retrainer = roles(retrain_samples=90)
    nights = accepted(30, 1000, 2.0, "analyst")

    written = retrainer.feed([*accepted(30, 900, 10.0, "scorer"), *nights])
    assert not proposals(written)
    (second,) = proposals(retrainer.feed(accepted(30, 1100, 10.0, "scorer")))

    model = opened(scorer.memory, second)
    like = np.random.default_rng(5).normal(2.0, 1.0, (200, 3))
    first = opened(scorer.memory, scorer.current(KEY))
    assert (first.detector.decision_function(like) < 0).mean() >= 0.9
    assert (model.detector.decision_function(like) < 0).mean() <= 0.1
    assert second.provenance["cold_start"] == COLD + 30
    assert second.provenance["vouched_offset"] == 1029

    retrainer.know(second.model_copy(update={"version": 2, "base_version": None}))
    (third,) = proposals(retrainer.feed(accepted(90, 1200, 10.0, "scorer")))

    assert (third.provenance["cold_start"], third.provenance["vouched"]) == (COLD + 30, 30)
    assert third.provenance["pool"] == 150
    assert third.trained_on == COLD + 30 + 150


def test_the_pool_knows_them_again_after_a_restart_and_only_while_it_holds_them():
    _, retrainer = roles(retrain_samples=1000, pool_samples=100)
    retrainer.feed(accepted(5, 900, 10.0, "analyst"))
    written = retrainer.feed(accepted(1, 910, 10.0, "scorer"))
    live = retrainer.pools[KEY]

    (head,) = [out for out in of(written, TOPICS.pool) if out.key == pools.head("", KEY, live).key]
    restored = pools.restored_pool(live.ring.slots, pools.read_head(head.value), 100)

    assert restored is not None
    assert restored.vouched == live.vouched == tuple(range(900, 905))
    rows, vouched, _ = restored.samples(100, 901)
    assert (rows.shape[0], vouched.tolist()) == (4, [True, True, True, False])

    retrainer.feed(accepted(100, 1000, 10.0, "scorer"))
    retrainer.feed(accepted(1, 1200, 10.0, "analyst"))
    assert retrainer.pools[KEY].vouched == (1200,)


def test_a_pool_of_what_was_taught_already_is_learnt_as_any_other():
    rows = np.ones((3, 2))
    held = ring.Ring(0, ("a", "b"))
    for at, row in enumerate(rows):
        held, _, _ = ring.append_sample(held, at, row[None], capacity=10)
    pool = Pool(held, vouched=(0, 1, 2))

    found, vouched, _ = pool.samples(10, 2)

    assert found.shape == (3, 2)
    assert not vouched.any()


@pytest.mark.parametrize(("why", "before", "followed"), [
    ("drift", {}, True), ("samples", {}, None), ("samples", {"followed_drift": True}, True),
])  # fmt: skip
def test_a_drift_is_followed_where_a_new_normal_is_adopted(why, before, followed):
    scorer, retrainer = roles(retrain_samples=1000)
    retrainer.feed(accepted(60, 900, 10.5, "scorer"))
    base = scorer.current(KEY)
    model = opened(scorer.memory, base)
    current = replace(model, provenance={**model.provenance, **before})
    builder = RetrainerStepBuilder(retrainer.known, retrainer.context, NOW, frozenset())

    candidate, _, _ = trained(builder, Training(KEY, base, current, retrainer.pools[KEY], why))

    assert candidate.model.provenance.get("followed_drift") is followed


def test_kinds_of_people_hold_their_normal():
    assert {name for name, kind in KINDS.items() if kind.on_shift == "hold"} == {
        "behavior",
        "drowsiness",
    }


def test_times_are_those_of_the_samples_that_are_learnt():
    held = ring.Ring(0, ("value",))
    for at in range(6):
        row, time = np.full((1, 1), float(at)), np.array([100.0 + at])
        held, _, _ = ring.append_sample(held, at, row, capacity=10, times=time)
    pool = Pool(held, vouched=(1, 4))

    rows, vouched, times = pool.samples(4, 1)

    assert times is not None
    assert (times - 100.0).tolist() == rows[:, 0].tolist() == [2.0, 3.0, 4.0, 5.0]
    assert vouched.tolist() == [False, False, True, False]
