"""What is learnt of what was accepted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.learning.admission import ADMITTED, Admission, admitted, draw

RULES = Admission(clear_from=0.1, borderline_share=0.5, guard=10)
shares = st.floats(0.0, 1.0)


def test_a_clear_normal_far_from_any_anomaly_is_learnt():
    assert admitted(0.1, 11, "scorer", 0.99, RULES) == "clear"


@pytest.mark.parametrize(("drawn", "word"), [(0.49, "borderline"), (0.5, "spared")])
def test_a_borderline_sample_is_learnt_when_drawn(drawn, word):
    assert admitted(0.09, 11, "scorer", drawn, RULES) == word


@pytest.mark.parametrize(("since", "word"), [(1, "guarded"), (10, "guarded"), (11, "clear")])
def test_nothing_is_learnt_within_the_guard_after_an_anomaly(since, word):
    assert admitted(0.9, since, "scorer", 0.0, RULES) == word


def test_a_scorer_that_knows_of_no_anomaly_does_not_starve_the_pool():
    assert admitted(0.9, None, "scorer", 0.0, RULES) == "clear"


def test_a_record_without_a_p_value_is_not_learnt():
    assert admitted(None, None, "scorer", 0.0, RULES) == "spared"


@given(st.none() | shares, st.none() | st.integers(0, 100), shares)
def test_what_an_analyst_accepted_is_always_learnt(p_value, since, drawn):
    assert admitted(p_value, since, "analyst", drawn, RULES) == "analyst"


@given(shares, shares, st.none() | st.integers(0, 100), shares)
def test_a_more_normal_sample_is_learnt_wherever_a_less_normal_one_is(one, other, since, drawn):
    low, high = sorted((one, other))

    if admitted(low, since, "scorer", drawn, RULES) in ADMITTED:
        assert admitted(high, since, "scorer", drawn, RULES) in ADMITTED


@given(st.integers(0, 2**31), st.text())
def test_a_draw_is_a_share_that_a_replay_repeats(seed, verdict_id):
    first = draw(seed, verdict_id)

    assert 0.0 <= first < 1.0
    assert draw(seed, verdict_id) == first


def test_draws_are_uniform_and_differ_with_the_seed():
    drawn = [draw(0, f"telemetry.features-3-{offset}") for offset in range(4000)]

    assert sum(value < 0.5 for value in drawn) == pytest.approx(2000, abs=130)
    assert draw(0, "telemetry.features-3-1") != draw(1, "telemetry.features-3-1")
