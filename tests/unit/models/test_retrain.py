"""Retraining: policies, the gate's judgement of candidates, and that all of it is repeatable."""

import math
from dataclasses import replace

import numpy as np
import pytest

from models import DETECTORS
from models.retraining import chosen, complete, detector_name, retrain, stored, synthetic
from models.training import train


def normal(generator, count, width):
    """Features that go together, as real ones do."""
    mixing = np.eye(width) + 0.3 * np.random.default_rng(width).normal(size=(width, width))
    return generator.normal(size=(count, width)) @ mixing


def version_1(samples, detector="blend", budget=0.05):
    names = tuple(f"feature {at}" for at in range(samples.shape[1]))
    return train(detector, samples, names, alert_budget=budget, seed=3, provenance={})


def accepted(model, samples):
    return samples[model.detector.decision_function(samples) >= 0]


def strangers_of(generator, width):
    """Samples of five other profiles."""
    moved = [normal(generator, 20, width) + 2 * generator.normal(size=width) for _ in range(5)]
    return np.concatenate(moved)


def retrained(model, pool, strangers=None, **known):
    settings = {
        "policy": "blend",
        "cold_start": model.samples.shape[0],
        "alert_budget": model.detector.alert_budget,
        "seed": 5,
        "provenance": {"trigger": "samples"},
    }
    if strangers is None:
        strangers = np.empty((0, pool.shape[1]))
    return retrain(model, pool, strangers, **(settings | known))


def test_a_pool_of_an_impostor_is_refused():
    refused = 0
    for seed in range(20):
        generator = np.random.default_rng(seed)
        model = version_1(normal(generator, 200, 5))
        elsewhere = normal(generator, 40, 5) * 0.3 + 2.5
        strangers = normal(generator, 80, 5) + generator.normal(2.5, 0.5, size=5)
        refused += not retrained(model, elsewhere, strangers).outcome.passed

    assert refused >= 19


@pytest.mark.parametrize("detector", sorted(DETECTORS))
@pytest.mark.parametrize("policy", ["grow", "slide", "blend"])
def test_absent_values_and_small_pools_break_no_detector(detector, policy):
    generator = np.random.default_rng(7)
    samples = normal(generator, 30, 4)
    samples[generator.random(samples.shape) < 0.2] = np.nan
    samples[:, 3] = np.nan
    model = version_1(samples, detector)

    for size in (1, 2, 40):
        candidate = retrained(model, samples[np.arange(size) % 30], policy=policy)

        assert math.isfinite(candidate.model.detector.offset_)
        assert all(math.isfinite(value) for value in candidate.outcome.figures.values())


def test_equal_input_gives_an_equal_candidate():
    generator = np.random.default_rng(1)
    model = version_1(normal(generator, 60, 3), "forest")
    pool, strangers = normal(generator, 40, 3), strangers_of(generator, 3)

    one, two = (retrained(model, pool, strangers) for _ in range(2))

    assert one.outcome == two.outcome
    assert np.array_equal(one.model.detector.block_, two.model.detector.block_)
    assert one.model.provenance == two.model.provenance


@pytest.mark.parametrize(
    ("policy", "learnt"),
    [
        ("grow", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("slide", [5, 6, 7]),
        ("blend", [0, 1, 2, 5, 6, 7]),
    ],
)
def test_the_policy_says_what_is_learnt(policy, learnt):
    assert chosen(3, 5, policy).tolist() == learnt


@pytest.mark.parametrize("policy", ["grow", "slide", "blend"])
def test_the_original_samples_stay_in_front_through_every_retraining(policy):
    generator = np.random.default_rng(2)
    original = normal(generator, 40, 3)
    model = version_1(original)

    for _ in range(3):
        candidate = retrained(model, normal(generator, 60, 3), policy=policy, cold_start=40)
        model = candidate.model

        assert np.array_equal(model.samples[:40], stored(original))


def test_provenance_says_where_the_samples_came_from():
    generator = np.random.default_rng(4)
    model = version_1(normal(generator, 40, 3))

    said = retrained(model, normal(generator, 20, 3), policy="grow").model.provenance

    assert (said["trigger"], said["policy"], said["samples"]) == ("samples", "grow", 60)
    assert said["detector"] == "blend"


def test_a_model_that_does_not_name_its_detector_is_retrained_all_the_same():
    model = replace(version_1(normal(np.random.default_rng(0), 30, 2), "gaussian"), provenance={})

    assert detector_name(model) == "gaussian"
    assert retrained(model, normal(np.random.default_rng(1), 20, 2)).model.provenance


def test_what_was_never_accepted_still_counts_for_the_threshold():
    model = version_1(normal(np.random.default_rng(0), 100, 3))
    before = model.detector.offset_

    complete(model.detector, 4)

    assert model.detector.offset_ < before
    assert model.detector.calibration_.scores.size == 104


def test_false_alarms_do_not_grow_over_many_retrainings():
    first, last = [], []
    for seed in range(8):
        generator = np.random.default_rng(seed)
        model = version_1(normal(generator, 100, 3))
        later = normal(generator, 1000, 3)
        first.append((model.detector.decision_function(later) < 0).mean())
        pool = np.empty((0, 3))
        for _ in range(5):
            pool = np.concatenate([pool, accepted(model, normal(generator, 60, 3))])
            model = retrained(model, pool, cold_start=100).model
        last.append((model.detector.decision_function(later) < 0).mean())

    assert np.mean(last) <= 1.25 * max(0.05, np.mean(first))
    assert np.mean(last) >= 0.6 * 0.05


def test_stand_in_impostors_are_the_same_for_the_same_originals_and_keep_what_is_absent():
    samples = normal(np.random.default_rng(0), 30, 3)
    samples[:, 1] = np.nan

    rows = synthetic(samples)

    assert np.isnan(rows[:, 1]).all()
    assert np.isfinite(rows[:, [0, 2]]).all()
    assert np.array_equal(rows, synthetic(samples), equal_nan=True)


def test_a_pool_of_another_width_or_of_nothing_is_refused_with_what_was_expected():
    model = version_1(normal(np.random.default_rng(0), 30, 3))

    with pytest.raises(ValueError, match=r"shape \(0, 3\), expected \(1 or more, 3\)"):
        retrained(model, np.empty((0, 3)))
    with pytest.raises(ValueError, match=r"shape \(5, 2\), expected \(1 or more, 3\)"):
        retrained(model, np.zeros((5, 2)))
    with pytest.raises(ValueError, match="cold_start is 0"):
        retrained(model, np.zeros((5, 3)), cold_start=0)
