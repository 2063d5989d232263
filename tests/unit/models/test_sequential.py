"""Detectors that judge points in their order: training by times, batches of profiles, the gate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.artifacts import Model
from models.detectors import detector_of
from models.detectors.forecast.batch import MetricPoints, explain_point, judge_in_order
from models.detectors.forecast.detector import Forecast
from models.detectors.forecast.state import to_bytes
from models.learning.candidate import Candidate, Policy
from models.learning.gate import Gate
from models.learning.retraining import retrain
from models.learning.sequential import fit_in_order, judge_held_back
from models.learning.training import train

Floats = NDArray[np.float64]
TIMES = 1_700_000_000.0 + 60.0 * np.arange(2000)


def wave(first: int, count: int, seed: int = 0) -> Floats:
    """Points of a metric with a period of 38 minutes, shape (count, 1)."""
    values = 50.0 + 10.0 * np.sin(np.arange(2000) / 6.0)
    values += np.random.default_rng(seed).normal(0.0, 0.5, values.size)
    return values[first : first + count, np.newaxis]


def version_1(name: str = "forecast", count: int = 100, *, timed: bool = True) -> Model:
    return train(
        name,
        wave(0, count),
        ("value",),
        alert_budget=0.01,
        seed=0,
        provenance={"cold_start": count},
        times=TIMES[:count] if timed else None,
    )


def retrained(current: Model, pool: Floats, times: Floats | None, policy: Policy) -> Candidate:
    return retrain(
        current,
        pool,
        np.empty((0, 1)),
        policy=policy,
        cold_start=int(current.provenance["cold_start"]),
        alert_budget=0.01,
        seed=1,
        provenance={"cold_start": current.provenance["cold_start"]},
        detector="forecast",
        times=times,
    )


@pytest.mark.parametrize(
    ("name", "samples", "chosen"),
    [("forecast", 30, "forecast"), ("forecast", 29, "gaussian"), ("blend", 5, "blend")],
)
def test_a_forecast_needs_30_points(name: str, samples: int, chosen: str) -> None:
    assert detector_of(name, samples) == chosen


class TestTraining:
    def test_late_points_are_put_where_they_belong(self) -> None:
        order = np.random.default_rng(0).permutation(200)

        late = fit_in_order("forecast", wave(0, 200)[order], TIMES[:200][order], alert_budget=0.01)

        in_time = fit_in_order("forecast", wave(0, 200), TIMES[:200], alert_budget=0.01)
        assert np.array_equal(late.block_, in_time.block_)

    def test_a_model_keeps_the_times_of_its_samples_and_tells_their_unit(self) -> None:
        model = version_1()

        assert model.times is not None
        assert model.times.tolist() == TIMES[:100].tolist()
        assert model.provenance["time_unit"] == "seconds"
        assert "time_unit" not in version_1(timed=False).provenance

    @pytest.mark.parametrize("policy", ["grow", "slide", "blend"])
    def test_a_candidate_has_the_originals_in_front_with_their_times(self, policy: Policy) -> None:
        current = version_1()
        candidate = retrained(current, wave(100, 400), TIMES[100:500], policy)

        model = candidate.model
        assert candidate.outcome.passed, candidate.outcome.why
        assert isinstance(model.detector, Forecast)
        assert model.samples[:100].tolist() == current.samples.tolist()
        assert model.times is not None
        assert model.times[:100].tolist() == TIMES[:100].tolist()
        assert model.times[-1] == TIMES[499]
        assert len(model.times) == len(model.samples)

    def test_a_gaussian_moves_over_and_says_so(self) -> None:
        candidate = retrained(version_1("gaussian", 20), wave(20, 300), TIMES[20:320], "grow")

        assert isinstance(candidate.model.detector, Forecast)
        assert candidate.model.provenance["detector_before"] == "gaussian"

    @pytest.mark.parametrize("known", [True, False])
    def test_without_the_times_of_all_points_none_are_used(self, known: bool) -> None:
        times = TIMES[100:500] if not known else None
        candidate = retrained(version_1(timed=known), wave(100, 400), times, "grow")

        assert candidate.model.times is None
        assert isinstance(candidate.model.detector, Forecast)


class TestGate:
    def test_points_like_those_before_pass(self) -> None:
        probe = Forecast().fit(wave(0, 400), times=TIMES[:400])

        found = judge_held_back(probe, wave(400, 200), TIMES[400:600], alert_budget=0.01)

        assert found.passed
        assert found.figures["held_back_samples"] == 200

    def test_points_of_which_far_too_many_would_be_alarms_do_not(self) -> None:
        probe = Forecast().fit(wave(0, 400), times=TIMES[:400])
        random = np.random.default_rng(1)
        wild = wave(400, 200) + 50.0 * random.standard_t(2, (200, 1)) * (
            random.random((200, 1)) < 0.1
        )

        rules = Gate(significance=0.01)
        found = judge_held_back(probe, wild, TIMES[400:600], alert_budget=0.01, rules=rules)

        assert not found.passed
        assert found.why.endswith("of 200 held back points would be alarms")


class TestBatch:
    MODELS = tuple(
        Forecast().fit(wave(0, count, seed), times=TIMES[:count])
        for seed, count in enumerate((60, 200, 400))
    )

    @settings(max_examples=25)
    @given(
        st.lists(
            st.tuples(st.integers(0, 2), st.integers(1, 40), st.booleans(), st.booleans()),
            min_size=1,
            max_size=6,
        )
    )
    def test_profiles_together_get_the_bits_of_each_alone(self, drawn) -> None:
        groups = []
        for number, (which, count, timed, stated) in enumerate(drawn):
            model = self.MODELS[which]
            state = to_bytes(model.judge(wave(500, 30, number)).state) if stated else None
            times = TIMES[600 : 600 + count] if timed else None
            groups.append(MetricPoints(model, state, times, wave(600, count, number)[:, 0].copy()))

        states, columns = judge_in_order(groups)

        begin = 0
        for group, state in zip(groups, states, strict=True):
            (alone,), own = judge_in_order([group])
            assert state == alone
            assert np.array_equal(columns[begin : begin + len(own)], own, equal_nan=True)
            begin += len(own)
        assert begin == len(columns)

    def test_they_are_those_of_the_estimator(self) -> None:
        model, values = self.MODELS[1], wave(200, 50)
        group = MetricPoints(model, None, TIMES[200:250], values[:, 0].copy())

        (state,), columns = judge_in_order([group])

        points = model.judge(values, times=TIMES[200:250])
        assert state == to_bytes(points.state)
        assert np.array_equal(columns, points.columns, equal_nan=True)

    def test_a_state_of_another_version_is_moved_to_the_scale_of_the_model(self) -> None:
        before, after = self.MODELS[0], self.MODELS[2]
        state = before.judge(wave(60, 340), times=TIMES[60:400]).state
        group = MetricPoints(after, to_bytes(state), TIMES[400:401], wave(400, 1)[:, 0].copy())

        _, columns = judge_in_order([group])

        moved = after.judge(wave(400, 1), times=TIMES[400:401], state=after.adopt(state))
        assert np.array_equal(columns, moved.columns, equal_nan=True)

    def test_behind_a_gap_the_band_is_that_of_the_training_points(self) -> None:
        model = self.MODELS[1]
        far = MetricPoints(model, None, TIMES[1500:1501], np.array([500.0]))

        _, (columns,) = judge_in_order([far])
        band, reasons = explain_point(model, columns)

        assert band == (model.typical_[0, 0], model.typical_[1, 0])
        assert [reason.text for reason in reasons] == ["far from its usual level"]
