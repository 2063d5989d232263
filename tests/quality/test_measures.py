"""The measures agree with their definitions and with scikit-learn's where it has them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import average_precision_score

from models.evaluation.metrics import average_precision, equal_error_rate, group_means, nab_score

scores = arrays.arrays(
    np.float64, st.integers(1, 40), elements=st.integers(-5, 5).map(lambda value: value / 2)
)


def test_scores_that_separate_make_no_errors():
    assert equal_error_rate(np.array([1.0, 2.0]), np.array([-1.0, 0.0])) == 0.0


def test_scores_that_tell_nothing_err_half_of_the_time():
    assert equal_error_rate(np.ones(7), np.ones(5)) == 0.5


def test_scores_that_are_upside_down_always_err():
    assert equal_error_rate(np.array([0.0]), np.array([1.0])) == 1.0


def test_one_of_four_wrong_on_both_sides_is_a_quarter():
    genuine, abnormal = np.array([0.0, 5.0, 6.0, 7.0]), np.array([-1.0, -2.0, -3.0, 1.0])

    assert equal_error_rate(genuine, abnormal) == pytest.approx(0.25)


@given(scores, scores)
def test_the_error_rate_is_a_share_and_turns_round_with_the_scores(genuine, abnormal):
    rate = equal_error_rate(genuine, abnormal)

    assert 0 <= rate <= 1
    assert equal_error_rate(-abnormal, -genuine) == pytest.approx(rate, abs=1e-9)


@given(scores, scores)
def test_average_precision_is_scikit_learns(normal, abnormal):
    labels = np.append(np.zeros(normal.size), np.ones(abnormal.size))
    rarity = -np.append(normal, abnormal)

    expected = average_precision_score(labels, rarity)

    assert average_precision(normal, abnormal) == pytest.approx(expected, abs=1e-9)


def test_a_group_is_judged_by_the_mean_of_its_rows_with_evidence():
    means = group_means(np.array([1.0, 3.0, np.nan, 5.0, np.nan]), np.array([0, 0, 1, 1, 2]))

    assert means[:2].tolist() == [2.0, 5.0]
    assert np.isnan(means[2])


def test_an_alarm_at_the_start_of_the_only_window_is_perfect():
    rarity = np.zeros(100)
    rarity[50] = 1.0

    assert nab_score([rarity], [[(50, 60)]], [10]) == pytest.approx(100.0)


def test_a_late_alarm_earns_less_than_an_early_one_but_more_than_none():
    earned = []
    for at in (50, 55, 59, 5):
        rarity = np.zeros(100)
        rarity[at] = 1.0
        earned.append(nab_score([rarity], [[(50, 60)]], [10]))

    assert earned == sorted(earned, reverse=True)
    assert earned[-1] == pytest.approx(0.0)


def test_alarms_outside_of_windows_cost():
    rarity = np.zeros(100)
    rarity[[20, 50]] = 1.0

    assert nab_score([rarity], [[(50, 60)]], [10]) == pytest.approx(100.0 - 0.11 * 50.0)
