"""A new normal: when records count as one, and what a model of both normals knows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.artifacts import Model
from models.learning.shifts.adoption import (
    FAR,
    accepts,
    adopt_new_normal,
    agree,
    interleaved,
    moved_features,
    pushed,
)
from models.learning.shifts.recent import NOT_WATCHED, QUIET, WINDOW, Recent
from models.learning.training import train

BUDGET = 0.01
NAMES = ("a", "b", "c")


def normal(mean: float, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, int(mean)]).normal(mean, 1.0, (count, 3))


def model(detector: str = "blend", seed: int = 0) -> Model:
    known = normal(10.0, 200, seed)
    return train(detector, known, NAMES, alert_budget=BUDGET, seed=1, provenance={})


def alarms(model: Model, rows: np.ndarray) -> float:
    return float((model.detector.decision_function(rows) < 0).mean())


def adopted(samples: np.ndarray, detector: str = "blend", seed: int = 0):
    return adopt_new_normal(
        model(detector, seed),
        samples,
        NAMES,
        detector=detector,
        alert_budget=BUDGET,
        seed=2,
        provenance={"shifted_since": "here"},
    )


@given(st.lists(st.booleans(), max_size=120))
def test_the_last_records_are_counted(anomalies: list[bool]) -> None:
    recent = NOT_WATCHED
    for anomaly in anomalies:
        recent = recent.after(anomaly)

    last = anomalies[-WINDOW:]
    assert recent.seen == len(last)
    assert recent.abnormal == sum(last)
    assert recent.quiet == (len(last) >= QUIET and not any(last[-QUIET:]))


def test_a_watch_that_has_just_begun_is_not_quiet() -> None:
    assert not Recent(0, QUIET - 1).quiet
    assert Recent(0, QUIET).quiet


@pytest.mark.parametrize("detector", ["blend", "gaussian", "neighbors", "forest", "deviation"])
def test_samples_of_one_sort_agree_and_those_of_two_do_not(detector: str) -> None:
    agreed = [
        agree(normal(30.0, 30, seed), detector, alert_budget=BUDGET, seed=1) for seed in range(20)
    ]
    apart = np.concatenate([normal(30.0, 15), normal(60.0, 15)])

    assert np.mean(agreed) >= 0.8
    assert not agree(apart, detector, alert_budget=BUDGET, seed=1)


def test_what_was_seen_before_is_accepted_again() -> None:
    assert accepts(normal(30.0, 30), normal(30.0, 60, 5), "blend", alert_budget=BUDGET, seed=1)
    assert not accepts(normal(30.0, 30), normal(40.0, 60), "blend", alert_budget=BUDGET, seed=1)


def test_the_features_that_moved_come_first_with_both_ranges() -> None:
    samples = normal(10.0, 100)
    samples[:, 1] += 50.0
    samples[:, 2] -= 5.0

    found = moved_features(model(), samples)

    assert [each["feature"] for each in found[:2]] == ["b", "c"]
    assert found[0]["before"][1] < 13.0 < 57.0 < found[0]["after"][0]


def test_a_feature_that_no_sample_has_does_not_count_as_moved() -> None:
    samples = normal(10.0, 100)
    samples[:, 0] = np.nan

    assert "a" not in {each["feature"] for each in moved_features(model(), samples)}


@pytest.mark.parametrize("step", [3.0, 8.0, 40.0])
def test_both_normals_are_known_and_what_is_far_from_the_new_one_is_found(step: float) -> None:
    adoption = adopted(normal(10.0 + step, 200, 3))

    assert adoption.known == 200
    assert adoption.model.provenance["cold_start"] == 400
    assert adoption.model.provenance["trigger"] == "shift"
    several = [adopted(normal(10.0 + step, 200, seed), seed=seed).model for seed in range(6)]
    for mean in (10.0, 10.0 + step):
        assert np.mean([alarms(each, normal(mean, 2000, 9)) for each in several]) <= 0.02
    assert alarms(adoption.model, normal(10.0 + step + FAR, 200, 9)) >= 0.95


def test_where_a_model_of_both_would_notice_nothing_the_new_normal_is_learnt_alone() -> None:
    adoption = adopted(normal(1000.0, 200, 3), "gaussian")

    assert adoption.known == 0
    assert adoption.model.samples.shape[0] == 200
    assert alarms(adoption.model, normal(1000.0, 2000, 9)) <= 0.03
    for far in (990.0, 1010.0):
        assert alarms(adoption.model, normal(far, 200, 9)) >= 0.95


def test_a_few_samples_far_from_the_new_normal_are_not_learnt() -> None:
    samples = normal(30.0, 200, 3)
    samples[[5, 60, 110, 170]] += FAR

    adoption = adopted(samples)

    assert alarms(adoption.model, normal(30.0 + FAR, 200, 9)) >= 0.95


def test_of_what_was_known_at_most_twice_as_much_is_learnt_as_is_new() -> None:
    adoption = adopted(normal(30.0, 40, 3))

    assert adoption.known == 80
    assert adoption.model.samples.shape[0] == 120


def test_mixed_samples_hold_some_of_each_wherever_one_looks() -> None:
    mixed = interleaved(np.zeros((60, 1)), np.ones((20, 1)))

    shares = mixed.reshape(8, 10).mean(axis=1)
    assert mixed.shape == (80, 1)
    assert set(np.round(shares, 1)) <= {0.2, 0.3}


def test_probes_lie_on_the_side_away_from_what_was_known() -> None:
    far = pushed(normal(10.0, 50), normal(20.0, 50))

    assert far.mean() > 28.0
    assert pushed(normal(20.0, 50), normal(10.0, 50)).mean() < 2.0
