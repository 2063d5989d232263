"""Thresholds and p-values from out-of-sample scores of a profile's own normal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from models.calibration.conformal import (
    BLOCKS_BELOW,
    BLOCKS_FROM,
    FEW,
    Calibration,
    StudentCalibration,
    blocked_cv_scores,
    out_of_sample,
    sample_budget,
)

scores = arrays.arrays(
    np.float64, st.integers(0, 150), elements=st.floats(-100, 100, width=32) | st.just(np.nan)
)
budgets = st.floats(1e-7, 0.999)
values = st.floats(-1e4, 1e4)
ROUNDING = 4.0 * np.finfo(np.float64).eps


def student(out_of_sample):
    return StudentCalibration.predict(out_of_sample, count=out_of_sample.size, features=3)


@pytest.mark.parametrize("fit", [Calibration.fit, student])
@given(learned=scores, one=budgets, two=budgets)
def test_a_lower_budget_never_raises_more_alarms(fit, learned, one, two):
    calibration = fit(learned)

    assert calibration.offset(min(one, two)) <= calibration.offset(max(one, two))


@pytest.mark.parametrize("fit", [Calibration.fit, student])
@given(learned=scores, one=values, two=values)
def test_the_more_abnormal_the_smaller_the_p_value_and_never_zero(fit, learned, one, two):
    low, high = fit(learned).p_values(np.array([min(one, two), max(one, two)]))

    assert 0 < low <= 1
    assert 0 < high <= 1
    # Scores that are the same but for their last digits may change places in a p-value's.
    assert low <= high * (1.0 + ROUNDING)


@pytest.mark.parametrize("fit", [Calibration.fit, student])
@given(learned=scores, budget=budgets, value=values)
def test_a_p_value_under_the_budget_is_an_anomaly_and_no_other(fit, learned, budget, value):
    calibration = fit(learned)
    offset = calibration.offset(budget)
    (p_value,) = calibration.p_values(np.array([value]))

    if value < offset:
        assert p_value < budget * (1 + 1e-6) + 1e-12
    else:
        assert p_value > budget * (1 - 1e-6) - 1e-12


@given(budget=st.floats(0.011, 0.9), seed=st.integers(0, 2**32 - 1))
def test_within_the_scores_the_threshold_is_the_rank_among_one_more(budget, seed):
    learned = np.random.default_rng(seed).normal(size=99)

    share = (learned < Calibration.fit(learned).offset(budget)).sum() / 100

    assert budget - 0.01 - 1e-9 <= share <= budget + 1e-9


@pytest.mark.parametrize("count", [FEW, 50, 200, 1000])
@pytest.mark.parametrize("budget", [0.01, 0.02, 0.05])
def test_the_share_of_new_normal_samples_below_the_threshold_is_the_budget(count, budget):
    generator = np.random.default_rng(7)

    reached = [
        stats.norm.cdf(Calibration.fit(generator.normal(size=count)).offset(budget))
        for _ in range(400)
    ]

    assert 0.5 * budget < np.mean(reached) < 1.4 * budget


def test_below_one_over_n_the_tail_goes_on_without_a_jump():
    calibration = Calibration.fit(np.random.default_rng(1).normal(size=100))
    least = calibration.scores[0]

    at, beyond, far = calibration.p_values(np.array([least, least - 1e-9, least - 10.0]))

    assert at == pytest.approx(1 / 101)
    assert beyond == pytest.approx(at, rel=1e-6)
    assert far < 1e-4


def test_all_scores_equal_leaves_the_same_score_normal_and_any_lower_one_not():
    for count in (3, 50):
        calibration = Calibration.fit(np.full(count, -1.5))

        decision = np.array([-1.5, -1.6]) - calibration.offset(0.01)

        assert decision[0] >= 0
        assert decision[1] < 0


def test_scores_without_evidence_are_left_out():
    learned = np.random.default_rng(2).normal(size=40)
    gaps = np.insert(learned, [3, 30], np.nan)

    assert Calibration.fit(gaps).offset(0.05) == Calibration.fit(learned).offset(0.05)
    assert np.isnan(Calibration.fit(gaps).p_values(np.array([np.nan]))).all()


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_hardly_any_score_breaks_nothing(count):
    calibration = Calibration.fit(np.arange(count, dtype=np.float64))

    assert np.isfinite(calibration.offset(0.01))
    assert calibration.spread > 0
    assert (calibration.p_values(np.array([-1e300, 0.0, 1e300])) > 0).all()


@pytest.mark.parametrize("features", [1, 4])
def test_student_prediction_is_two_sided_and_spends_the_budget_over_all_features(features):
    calibration = StudentCalibration.predict(-np.ones(9), count=9, features=features)

    each = 1 - 0.99 ** (1 / features)

    assert calibration.offset(0.01) == pytest.approx(stats.t.ppf(each / 2, 8))
    assert calibration.p_values(np.array([0.0])) == pytest.approx(1.0)


def test_many_samples_of_a_heavy_tailed_feature_are_ranked_instead():
    learned = -np.abs(np.random.default_rng(3).standard_t(2, size=100))

    calibration = StudentCalibration.predict(learned, count=100, features=1)

    assert (learned < calibration.offset(0.05)).mean() == pytest.approx(0.05, abs=0.01)


def test_very_few_samples_spare_none_for_blocks():
    left_out = np.arange(BLOCKS_FROM - 1.0)

    assert out_of_sample(left_out, lambda block: -block.astype(np.float64))[0] is left_out


def test_few_samples_are_calibrated_by_held_out_blocks():
    left_out = np.zeros(BLOCKS_BELOW - 1)

    scores, _ = out_of_sample(left_out, lambda block: block.astype(np.float64))

    assert scores.tolist() == list(range(BLOCKS_BELOW - 1))


def test_many_samples_are_calibrated_by_leaving_one_out():
    left_out = np.random.default_rng(4).normal(size=200)

    scores, in_blocks = out_of_sample(left_out, lambda block: left_out[block] - 0.1)

    assert scores is left_out
    assert not in_blocks


def test_many_samples_that_resemble_their_neighbours_are_calibrated_by_blocks():
    left_out = np.random.default_rng(4).normal(size=200)

    scores, in_blocks = out_of_sample(left_out, lambda block: left_out[block] - 2.0)

    assert scores == pytest.approx(left_out - 2.0)
    assert in_blocks


def test_where_neighbours_are_suspected_all_blocks_are_asked_and_not_the_latest_alone():
    left_out = np.random.default_rng(4).normal(size=200)
    early = np.where(np.arange(200) < 120, 2.0, 0.0)

    trusted, _ = out_of_sample(left_out, lambda block: (left_out - early)[block])
    suspected, in_blocks = out_of_sample(
        left_out, lambda block: (left_out - early)[block], suspected=True
    )

    assert trusted is left_out
    assert suspected == pytest.approx(left_out - early)
    assert in_blocks


def test_of_the_latest_block_nothing_is_asked_that_is_known():
    left_out = np.random.default_rng(4).normal(size=200)

    def asked(block):
        raise AssertionError(f"{block} was scored")

    assert out_of_sample(left_out, asked, left_out[-40:])[0] is left_out


def test_a_block_is_scored_by_a_model_of_all_others():
    asked = []

    blocked_cv_scores(
        11, lambda block: asked.append(block.tolist()) or np.zeros(block.size), folds=3
    )

    assert asked == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


@given(budget=st.floats(1e-4, 0.5), samples=st.integers(1, 1000))
def test_a_records_samples_together_spend_its_budget(budget, samples):
    each = sample_budget(budget, samples)

    assert 1 - (1 - each) ** samples == pytest.approx(budget, rel=1e-6)
