"""p-values by which the drift of a metric is followed."""

import numpy as np
import pytest

from models.calibration import drift
from models.detectors.forecast import Forecast
from models.detectors.forecast.batch import MetricPoints, followed_by, judge_in_order

LEARNT, LATER = 200, 3000


def followed(values, learnt=LEARNT):
    """p-values of the points behind those that are learnt, one point a minute."""
    times = 60.0 * np.arange(values.size)
    model = Forecast().fit(values[:learnt, None], times=times[:learnt])
    metric = MetricPoints(model, None, times[learnt:], values[learnt:])
    return followed_by(metric, judge_in_order([metric])[1], trained_on=learnt)


def told_at(p_values, learnt=LEARNT):
    """Place of the point at which drift is told, or None."""
    state = drift.NONE
    for at, p_value in enumerate(p_values.tolist()):
        state = drift.update(state, p_value, drift.least_mean(learnt))
        if drift.should_report(state):
            return at
    return None


def noise(seed, size=LEARNT + LATER):
    return np.random.default_rng(seed).normal(20.0, 2.0, size)


def dependent(seed, size=LEARNT + LATER, correlation=0.8):
    values = noise(seed, size) - 20.0
    for at in range(1, size):
        values[at] = correlation * values[at - 1] + np.sqrt(1.0 - correlation**2) * values[at]
    return values


def test_of_what_stays_as_it_was_they_are_uniform():
    means = [followed(noise(seed)).mean() for seed in range(8)]

    assert np.mean(means) == pytest.approx(0.5, abs=0.02)
    assert followed(noise(1)).max() > 0.95


def test_of_counts_that_often_are_equal_the_mean_is_a_half_too():
    counts = np.random.default_rng(3).poisson(2.0, LEARNT + LATER).astype(float)

    assert followed(counts).mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("seed", range(6))
def test_noise_is_no_drift(seed):
    assert told_at(followed(noise(seed))) is None


def test_a_season_is_no_drift():
    wave = 10.0 * np.sin(2.0 * np.pi * np.arange(LEARNT + LATER) / 48.0)

    assert told_at(followed(wave + noise(4) / 2.0)) is None


def test_what_depends_on_its_past_is_seldom_told_as_drift():
    told = [told_at(followed(dependent(seed))) is not None for seed in range(12)]

    assert sum(told) <= 3


def test_a_lasting_new_level_is_told_within_fifty_points():
    values = noise(5)
    values[LEARNT + 300 :] += 10.0

    assert 300 <= told_at(followed(values)) <= 350


def test_a_lasting_new_level_of_what_depends_on_its_past_is_told():
    for seed in range(4):
        values = dependent(seed)
        values[LEARNT + 300 :] += 16.0

        assert told_at(followed(values)) <= 500


def test_a_constant_that_changes_for_good_is_told():
    values = np.full(LEARNT + 200, 5.0)
    values[LEARNT + 50 :] = 6.0

    assert 50 <= told_at(followed(values)) <= 100
