"""Drift is flagged, single anomalies are not, and false flags are as rare as promised."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import drift
from models.training import train

p_values = st.floats(0.0, 1.0, exclude_min=True)


def after(values, state=drift.NONE):
    for value in values:
        state = drift.update(state, value)
    return state


def flagged_at(values):
    """How many records it took; None for never."""
    state = drift.NONE
    for count, value in enumerate(values, 1):
        state = drift.update(state, value)
        if drift.drifting(state):
            return count
    return None


@pytest.mark.parametrize("seed", range(10))
def test_a_model_that_fits_is_not_flagged_in_20000_records(seed):
    values = np.random.default_rng(seed).random(20_000)

    assert flagged_at(values.tolist()) is None


def test_the_bound_holds_at_the_edge_of_what_still_fits(monkeypatch):
    monkeypatch.setattr(drift, "BOUND", 2000.0)
    generator = np.random.default_rng(0)
    edge = 1.0 / drift.MEAN - 1.0
    runs = [flagged_at((generator.random(200) ** edge).tolist()) for _ in range(400)]

    assert np.mean([run is not None for run in runs]) <= 200 / 2000


@given(st.lists(st.floats(1e-300, 1e-6), max_size=20))
def test_twenty_gross_anomalies_in_a_row_are_no_drift(values):
    assert not drift.drifting(after(values))


@given(st.lists(p_values, max_size=50), p_values)
def test_no_single_p_value_more_than_multiplies_by_the_boldest_stake(values, last):
    before = after(values)

    state = drift.update(before, last)

    most = 1.0 + 2.0 * drift.BOLD * drift.MEAN
    assert state.bold <= max(before.bold, 1.0) * most
    assert state.gentle <= max(before.gentle, 1.0) * most


def test_an_anomaly_in_every_twentieth_record_is_no_drift():
    values = np.random.default_rng(1).random(5000)
    values[::20] = 1e-9

    assert flagged_at(values.tolist()) is None


def test_a_jump_is_flagged_within_fifty_records():
    values = np.random.default_rng(2).random(500) * 0.1

    assert flagged_at(values.tolist()) <= 50


def test_a_slow_shift_is_flagged_though_few_of_its_records_are_anomalies():
    generator = np.random.default_rng(3)
    model = train(
        "blend",
        generator.normal(size=(200, 4)),
        ("a", "b", "c", "d"),
        alert_budget=0.01,
        seed=0,
        provenance={},
    )
    rows = generator.normal(size=(2000, 4)) + np.linspace(0.0, 2.0, 2000)[:, None]
    rarity = model.detector.calibration_.p_values(model.detector.score_samples(rows))

    at = flagged_at(rarity.tolist())

    assert at is not None
    assert (rarity[:at] < 0.01).mean() < 0.2


def test_drift_that_begins_late_is_found_as_soon_as_drift_that_begins_at_once():
    generator = np.random.default_rng(4)
    shifted = (generator.random(500) * 0.3).tolist()
    calm = generator.random(3000).tolist()

    assert flagged_at(calm + shifted) <= len(calm) + flagged_at(shifted)


def test_a_missing_p_value_tells_nothing():
    state = after([0.1, 0.2])

    assert drift.update(state, math.nan) == state


def test_wealth_stays_finite_however_long_drift_lasts():
    assert all(math.isfinite(wealth) for wealth in after([1e-300] * 10_000))
