"""The gate refuses what raises alarms or grows lenient, and lets noise pass."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from models.learning.gate import FOLLOWING, GUESSED, Gate, departure, evaluate_candidate, leniency

NOTHING = np.empty(0)
p_values = arrays.arrays(
    np.float64, st.integers(0, 60), elements=st.floats(1e-300, 1.0) | st.just(math.nan)
)


def verdict(held_back=NOTHING, original=NOTHING, before=NOTHING, after=NOTHING, **known):
    settings = {
        "latest": NOTHING,
        "first": before,
        "ahead": (NOTHING, NOTHING),
        "alert_budget": 0.05,
        "originals": 200,
        "calibrated": 200,
    } | known
    return evaluate_candidate(held_back, original, before=before, after=after, **settings)


def spread(count=200):
    """P-values as stand-in impostors have them: many surely rejected, some doubtful."""
    return np.geomspace(1e-6, 0.9, count)


def test_without_any_evidence_nothing_speaks_against_a_candidate():
    assert verdict().passed


def test_alarms_within_the_budget_pass():
    held_back = np.append(np.full(38, 0.5), [0.01, 0.02])

    assert verdict(held_back, held_back).passed


@pytest.mark.parametrize("at", ["held_back", "original"])
def test_far_more_alarms_than_the_budget_are_refused_and_named(at):
    outcome = verdict(**{at: np.append(np.full(30, 0.5), np.full(10, 0.01))})

    assert not outcome.passed
    assert f"10 of 40 {at.replace('_', ' ')} samples would be alarms" in outcome.why


def test_the_same_answers_to_stand_in_impostors_pass():
    assert verdict(before=spread(), after=spread()).passed


def test_a_stricter_candidate_passes():
    assert verdict(before=spread(), after=spread() / 3).passed


def test_a_candidate_that_finds_stand_in_impostors_normal_is_refused():
    outcome = verdict(before=spread(), after=np.minimum(spread() * 3, 1.0))

    assert not outcome.passed
    assert "more normal" in outcome.why


def test_small_steps_away_from_version_1_are_refused_once_they_add_up():
    small = np.minimum(spread() * 1.05, 1.0)

    alone = verdict(before=spread(), after=small)
    after_others = verdict(before=spread(), after=small, first=spread() / 4)

    assert alone.passed
    assert not after_others.passed
    assert "stand-in impostors, version 1 does" in after_others.why


def test_latest_samples_as_common_as_ever_pass():
    assert verdict(latest=np.linspace(0.05, 0.99, 40)).passed


def test_latest_samples_that_version_1_finds_rare_without_an_alarm_are_refused():
    outcome = verdict(latest=np.linspace(0.06, 0.4, 40))

    assert not outcome.passed
    assert "version 1 finds the latest samples" in outcome.why


def test_a_few_rare_samples_tell_less_of_a_move_than_many():
    assert departure(np.full(4, 0.2), 200) < departure(np.full(40, 0.2), 200)


def test_who_no_longer_stops_where_a_move_leads_is_refused():
    moving, stopped, let_through = np.full(40, 0.4), np.full(40, 0.001), np.full(40, 0.5)

    astray = verdict(latest=moving, ahead=(stopped, let_through))

    assert not astray.passed
    assert "rejects 0% of what lies ahead, version 1 does 100%" in astray.why
    assert verdict(latest=moving, ahead=(stopped, stopped)).passed


def test_what_lies_ahead_does_not_count_while_nothing_moves():
    still, stopped, let_through = np.linspace(0.05, 0.99, 40), np.full(40, 0.001), np.full(40, 0.5)

    assert verdict(latest=still, ahead=(stopped, let_through)).passed


def test_a_few_calibration_scores_leave_more_room_than_many():
    after = np.minimum(spread() * 1.3, 1.0)

    assert leniency(spread(), after, 20) < leniency(spread(), after, 2000)


def test_the_rules_decide_what_is_noise():
    after = np.minimum(spread() * 3, 1.0)
    blind = Gate(leniency=math.inf, creep=1.0)

    assert verdict(before=spread(), after=after, rules=blind).passed


@given(p_values, p_values, p_values, p_values, st.data())
def test_any_p_values_give_finite_figures_that_are_json(held_back, original, latest, before, data):
    after = data.draw(
        arrays.arrays(np.float64, before.shape, elements=st.floats(1e-300, 1.0) | st.just(math.nan))
    )

    outcome = verdict(held_back, original, before, after, latest=latest, ahead=(before, after))

    assert json.loads(json.dumps(outcome.figures, allow_nan=False)) == outcome.figures
    assert outcome.passed == (outcome.why == "no worse")


def test_a_drift_that_was_told_is_followed_but_not_into_alarms_or_leniency():
    moving, stopped, let_through = np.linspace(0.06, 0.4, 40), np.full(40, 0.001), np.full(40, 0.5)
    alarming = np.append(np.full(30, 0.5), np.full(10, 0.01))
    moved = {"latest": moving, "ahead": (stopped, let_through)}

    assert not verdict(**moved).passed
    assert verdict(**moved, rules=FOLLOWING).passed
    assert not verdict(alarming, **moved, rules=FOLLOWING).passed
    assert not verdict(
        before=spread(), after=np.minimum(spread() * 3, 1.0), **moved, rules=FOLLOWING
    ).passed


def test_who_follows_a_drift_may_leave_the_old_normal_behind():
    old = np.append(np.full(30, 0.5), np.full(10, 0.01))

    assert not verdict(original=old).passed
    assert verdict(original=old, rules=FOLLOWING).passed


def test_a_guess_from_few_samples_may_be_widened():
    wider = {"before": spread(), "after": np.minimum(spread() * 3, 1.0)}
    alarming = np.append(np.full(30, 0.5), np.full(10, 0.01))

    assert verdict(**wider, rules=GUESSED).passed
    assert not verdict(alarming, **wider, rules=GUESSED).passed
