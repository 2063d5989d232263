"""Gross errors of a forecast: those that stand alone are learnt by nothing, runs are followed."""

from __future__ import annotations

import numpy as np
import pytest

from models.detectors.forecast import Forecast
from models.kernels.forecast import layout

Floats = np.ndarray
FAR = 10.0


@pytest.fixture(scope="module")
def model() -> Forecast:
    return Forecast().fit(noise(200, seed=0))


def noise(size: int, seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=(size, 1))


def spiked(size: int, seed: int, every: int) -> tuple[Floats, Floats]:
    """Noise with a value ten deviations away at each of these places, and where these are."""
    values, places = noise(size, seed), np.arange(30, size, every)
    values[places] += FAR
    return values, places


@pytest.mark.parametrize("seed", range(1, 6))
def test_gross_anomalies_are_found_though_they_are_twice_as_frequent_as_the_budget(
    model: Forecast, seed: int
) -> None:
    values, places = spiked(2000, seed, every=50)

    p_values = model.judge(values).p_values

    assert np.mean(p_values[places] < 0.01) >= 0.95
    assert np.mean(np.delete(p_values, places) < 0.01) <= 0.02


def test_a_gross_error_that_stands_alone_leaves_means_counts_and_forecast(model: Forecast) -> None:
    before = model.judge(noise(100, seed=6)).state

    behind = model.judge(np.array([[FAR + 2.0]]), state=before).state

    for name in ("spread", "mean_error", "volatility", "surprise", "total"):
        assert behind[name].tobytes() == before[name].tobytes(), name
    kept = float(behind["ring"][0][int(before["points"][0]) % layout.RING])
    assert abs(kept) < 5.0


def test_a_run_of_gross_errors_is_a_new_level_that_is_followed(model: Forecast) -> None:
    values = np.concatenate([noise(100, seed=7), 20.0 + noise(400, seed=8)])

    p_values = model.judge(values).p_values

    assert p_values[100] < 0.01
    assert np.mean(p_values[200:] < 0.01) <= 0.03


def test_errors_of_another_size_are_followed(model: Forecast) -> None:
    values = np.concatenate([noise(100, seed=9), 30.0 * noise(400, seed=10)])

    p_values = model.judge(values).p_values

    assert np.mean(p_values[200:] < 0.01) <= 0.03


def test_so_many_alone_that_they_are_usual_are_counted_again(model: Forecast) -> None:
    values, places = spiked(3000, seed=11, every=12)

    found = model.judge(values).p_values[places] < 0.01

    assert found[:5].all()
    assert np.mean(found[-50:]) < 0.5


def test_anomalies_are_found_behind_learnt_points_that_are_nearly_all_equal() -> None:
    learnt = np.zeros((200, 1))
    learnt[180:] = noise(20, seed=12)
    values, places = spiked(500, seed=13, every=50)

    p_values = Forecast().fit(learnt).judge(values).p_values

    assert np.mean(p_values[places] < 0.01) >= 0.9


def test_what_models_rejected_is_put_back_into_the_calibration() -> None:
    drawn = noise(800, seed=14)
    accepted = drawn[np.abs(drawn[:, 0]) < 2.3][:, None, 0]
    asked = noise(3000, seed=15)

    whole, cut = (
        Forecast().fit(accepted, accepted=share).judge(asked).p_values for share in (1.0, 0.0)
    )

    assert np.mean(whole < 0.01) < np.mean(cut < 0.01)
