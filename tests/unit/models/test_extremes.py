"""One gross value among many features is not averaged away."""

import numpy as np
import pytest

import models
from models.detectors.extremes import LEAST_REACH, extremes_part
from models.detectors.robust_scaling import robust


@pytest.mark.parametrize("features", [4, 17, 50])
def test_a_single_feature_ten_standard_deviations_away_is_an_anomaly(features: int) -> None:
    rng = np.random.default_rng(features)
    detector = models.make("blend").fit(rng.normal(size=(200, features)))
    gross = rng.normal(size=(200, features))
    gross[np.arange(200), rng.integers(0, features, 200)] = rng.choice([-10.0, 10.0], 200)

    assert (detector.predict(gross) == -1).mean() >= 0.98


def test_the_gross_feature_is_the_first_reason() -> None:
    rng = np.random.default_rng(1)
    detector = models.make("blend").fit(rng.normal(size=(200, 17)))
    planted = rng.integers(0, 17, 200)
    gross = rng.normal(size=(200, 17))
    gross[np.arange(200), planted] = 10.0

    assert (detector.contributions(gross).argmax(axis=1) == planted).mean() >= 0.99


def test_it_says_nothing_of_samples_within_the_reach_of_the_training_samples() -> None:
    rng = np.random.default_rng(2)
    samples = rng.normal(size=(100, 3))
    alone = models.Blend(parts=(("extremes", 1.0),)).fit(samples)

    scores = alone.score_samples(samples)

    assert np.ptp(scores) == 0.0
    assert (alone.score_samples(100.0 * samples[:1]) < scores[0]).all()


def test_a_training_sample_is_measured_against_the_others() -> None:
    column = np.array([[-1.0], [0.0], [1.0], [0.5], [-0.5], [20.0]])

    excess = -extremes_part(robust(column)).out_of_sample

    assert excess[5] > 0
    assert (excess[:5] == 0).all()
    assert LEAST_REACH > 0


def test_absent_evidence_is_none() -> None:
    rows = np.array([[1.0, np.nan], [np.nan, np.nan], [2.0, np.nan], [1.5, np.nan]])

    excess = extremes_part(robust(rows)).out_of_sample

    assert np.isnan(excess).tolist() == [False, True, False, False]
