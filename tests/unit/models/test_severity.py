"""Severity grades: none without an anomaly, never milder for something more abnormal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calibration.severity import severity

ORDER = ["none", "low", "medium", "high", "critical"]

shares = st.floats(1e-300, 1.0)
budgets = st.floats(1e-6, 0.5)
decisions = st.floats(-1e6, 1e6)
spreads = st.floats(1e-9, 1e6)


@pytest.mark.parametrize(
    ("p_value", "decision", "expected"),
    [
        (0.009, -0.1, "low"),
        (0.0009, -0.1, "medium"),
        (0.00009, -0.1, "high"),
        (0.000009, -0.1, "critical"),
        (0.009, -2.1, "medium"),
        (0.009, -5.1, "high"),
        (0.009, -10.1, "critical"),
    ],
)
def test_the_rarer_or_the_further_the_graver(p_value, decision, expected):
    assert severity(p_value, budget=0.01, decision=decision, spread=1.0) == expected


def test_distance_is_measured_in_spreads():
    assert severity(0.009, 0.01, decision=-2.1, spread=10.0) == "low"


@given(shares, budgets, decisions, spreads)
def test_none_exactly_when_there_is_no_anomaly(p_value, budget, decision, spread):
    grade = severity(p_value, budget, decision, spread)

    assert (grade == "none") == (decision >= 0)


def test_a_row_without_evidence_is_no_anomaly():
    assert severity(float("nan"), 0.01, float("nan"), 1.0) == "none"


@given(shares, shares, budgets, decisions, decisions, spreads)
def test_more_abnormal_is_never_less_severe(p_one, p_two, budget, one, two, spread):
    milder = severity(max(p_one, p_two), budget, max(one, two), spread)
    graver = severity(min(p_one, p_two), budget, min(one, two), spread)

    assert ORDER.index(graver) >= ORDER.index(milder)
