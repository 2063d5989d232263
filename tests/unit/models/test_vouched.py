"""What an analyst accepted: it is learnt, and the gate does not refuse because of it."""

from __future__ import annotations

import numpy as np
import pytest

from models.artifacts import Model
from models.calibration.counted import with_vouched
from models.learning.retraining import Candidate, Policy, retrain
from models.learning.training import train

NIGHT = -8.0


def noise(seed: int, count: int, centre: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(centre, 1.0, (count, 3))


def version_1(seed: int) -> Model:
    names = ("a", "b", "c")
    return train("blend", noise(seed, 200), names, alert_budget=0.01, seed=0, provenance={})


def retrained(
    current: Model,
    pool: np.ndarray,
    vouched: np.ndarray | None = None,
    policy: Policy = "grow",
) -> Candidate:
    return retrain(
        current,
        pool,
        np.empty((0, 3)),
        policy=policy,
        cold_start=int(current.provenance.get("cold_start", 200)),
        alert_budget=0.01,
        seed=1,
        provenance={"cold_start": 200},
        vouched=vouched,
    )


def flagged(model: Model, rows: np.ndarray) -> float:
    return float((model.detector.decision_function(rows) < 0).mean())


@pytest.mark.parametrize(("accepted", "others"), [(45, 0), (45, 300), (20, 300)])
def test_the_like_of_what_was_accepted_is_normal_after_one_retraining(accepted, others):
    missed, found = [], []
    for seed in range(5):
        first = version_1(seed)
        plain = noise(100 + seed, others)
        plain = plain[first.detector.decision_function(plain) >= 0] if others else plain
        pool = np.concatenate([plain, noise(200 + seed, accepted, NIGHT)])
        vouched = np.arange(pool.shape[0]) >= plain.shape[0]
        candidate = retrained(first, pool, vouched)

        assert flagged(first, pool[vouched]) == 1.0
        assert candidate.outcome.passed == (not others or retrained(first, plain).outcome.passed)
        missed.append(flagged(candidate.model, noise(300 + seed, 200, NIGHT)))
        found.append(flagged(candidate.model, noise(400 + seed, 200, 10.0)))

    assert np.mean(missed) <= 0.1
    assert np.mean(found) >= 0.95


@pytest.mark.parametrize("policy", ["slide", "blend"])
def test_what_was_accepted_is_learnt_whatever_the_policy(policy):
    pool = np.concatenate([noise(200, 45, NIGHT), noise(100, 300)])

    second = retrained(version_1(0), pool, np.arange(345) < 45, policy).model
    third = retrained(second, noise(101, 300), policy=policy).model

    for model in (second, third):
        assert flagged(model, noise(300, 200, NIGHT)) <= 0.1


def test_without_an_analyst_the_same_pool_is_refused():
    pool = np.concatenate([noise(100, 60), noise(200, 45, NIGHT)])

    assert not retrained(version_1(0), pool).outcome.passed


def test_what_was_accepted_stands_among_the_original_samples_and_goes_on_to_be_normal():
    pool = np.concatenate([noise(100, 60), noise(200, 45, NIGHT)])
    second = retrained(version_1(0), pool, np.arange(105) >= 60).model
    later = np.concatenate([noise(101, 60), noise(201, 30, NIGHT), noise(102, 60)])

    third = retrained(second, later)

    assert (second.provenance["cold_start"], second.provenance["vouched"]) == (245, 45)
    assert np.array_equal(second.samples[200:245], pool[60:].astype(np.float32))
    assert third.outcome.passed, third.outcome.why
    assert (third.model.provenance["cold_start"], third.model.provenance["vouched"]) == (245, 45)
    assert flagged(third.model, noise(300, 200, NIGHT)) <= 0.1


def test_accepted_samples_count_so_often_that_a_tenth_of_their_like_is_flagged_at_most():
    scores, accepted = np.linspace(-1.0, 0.0, 1000), np.linspace(-9.0, -5.0, 20)

    counted = with_vouched(scores, accepted, 0.01)

    assert (counted <= -5.0).mean() >= 0.1
    assert with_vouched(scores, accepted[:3], 0.01).size == 1003
