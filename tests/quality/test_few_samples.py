"""What a handful of samples is good for."""

import numpy as np
import pytest

from models import DETECTORS, make

# Deviation is capped and a forest bounded by its outermost leaf: docs/calibration.md.
UNBOUNDED = ["blend", "gaussian", "neighbors"]


@pytest.mark.parametrize("name", UNBOUNDED)
@pytest.mark.parametrize("count", [5, 8, 20, 50])
def test_ten_standard_deviations_are_an_anomaly_from_five_samples_on(name, count):
    generator = np.random.default_rng(count)
    hits = 0
    for _ in range(20):
        detector = make(name).fit(generator.normal(size=(count, 1)))
        hits += int((detector.predict([[10.0], [-10.0]]) == -1).all())

    assert hits >= 18


@pytest.mark.parametrize("name", sorted(DETECTORS))
@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.parametrize("width", [1, 5])
def test_three_samples_break_nothing(name, count, width):
    samples = np.random.default_rng(0).normal(size=(count, width))

    detector = make(name).fit(samples)

    assert np.isfinite(detector.decision_function(samples)).all()
    assert np.isfinite(detector.offset_)


@pytest.mark.parametrize("name", sorted(DETECTORS))
@pytest.mark.parametrize("count", [5, 40, 150])
def test_a_constant_profile_finds_itself_normal(name, count):
    detector = make(name).fit(np.full((count, 2), 3.0))

    assert detector.predict([[3.0, 3.0]]).tolist() == [1]


@pytest.mark.parametrize("name", UNBOUNDED)
@pytest.mark.parametrize("count", [5, 40, 150])
def test_a_constant_profile_finds_any_other_value_an_anomaly(name, count):
    detector = make(name).fit(np.full((count, 2), 3.0))

    assert detector.predict([[3.1, 3.0]]).tolist() == [-1]


@pytest.mark.parametrize("name", sorted(DETECTORS))
@pytest.mark.parametrize("count", [5, 30, 150])
def test_a_lower_budget_never_raises_more_alarms(name, count):
    generator = np.random.default_rng(count)
    detector = make(name).fit(generator.normal(size=(count, 3)))

    offsets = [detector.calibration_.offset(budget) for budget in np.geomspace(1e-6, 0.9, 60)]

    assert offsets == sorted(offsets)
