"""Retraining: policies, the gate's judgement of candidates, and that all of it is repeatable."""

import math
from dataclasses import replace

import numpy as np
import pytest

from models import DETECTORS
from models.evaluation.retraining.simulate import Learning, first_model, plain, simulate
from models.learning.admission import Admission
from models.learning.candidate import training_indices
from models.learning.censoring import censored_counts, rejected_share, reweight_calibration
from models.learning.impostors import extrapolated_samples, synthetic
from models.learning.retraining import (
    detector_name,
    retrain,
    without_unseen,
)
from models.learning.training import train


def normal(generator, count, width):
    """Features that go together, as real ones do."""
    mixing = np.eye(width) + 0.3 * np.random.default_rng(width).normal(size=(width, width))
    return generator.normal(size=(count, width)) @ mixing


def version_1(samples, detector="blend", budget=0.05):
    names = tuple(f"feature {at}" for at in range(samples.shape[1]))
    return train(detector, samples, names, alert_budget=budget, seed=3, provenance={})


def accepted(model, samples):
    return samples[model.detector.decision_function(samples) >= 0]


def strangers_of(generator, width):
    """Samples of five other profiles."""
    moved = [normal(generator, 20, width) + 2 * generator.normal(size=width) for _ in range(5)]
    return np.concatenate(moved)


def retrained(model, pool, strangers=None, **known):
    settings = {
        "policy": "blend",
        "cold_start": model.samples.shape[0],
        "alert_budget": model.detector.alert_budget,
        "seed": 5,
        "provenance": {"trigger": "samples"},
    }
    if strangers is None:
        strangers = np.empty((0, pool.shape[1]))
    return retrain(model, pool, strangers, **(settings | known))


@pytest.mark.parametrize("detector", sorted(DETECTORS))
@pytest.mark.parametrize("budget", [0.01, 0.05])
def test_on_stationary_data_at_least_95_percent_of_candidates_pass(detector, budget):
    passed = []
    for seed in range(60):
        generator = np.random.default_rng(seed)
        count, width = [(200, 17), (200, 2), (100, 31), (50, 3), (200, 1)][seed % 5]
        model = version_1(normal(generator, count, width), detector, budget)
        pool = accepted(model, normal(generator, 80, width))[:40]
        strangers = strangers_of(generator, width) if seed % 4 else None
        passed.append(retrained(model, pool, strangers).outcome.passed)

    assert np.mean(passed) >= 0.95


def test_a_pool_of_an_impostor_is_refused():
    refused = 0
    for seed in range(20):
        generator = np.random.default_rng(seed)
        model = version_1(normal(generator, 200, 5))
        elsewhere = normal(generator, 40, 5) * 0.3 + 2.5
        strangers = normal(generator, 80, 5) + generator.normal(2.5, 0.5, size=5)
        refused += not retrained(model, elsewhere, strangers).outcome.passed

    assert refused >= 19


@pytest.mark.parametrize("detector", sorted(DETECTORS))
@pytest.mark.parametrize("policy", ["grow", "slide", "blend"])
def test_absent_values_and_small_pools_break_no_detector(detector, policy):
    generator = np.random.default_rng(7)
    samples = normal(generator, 30, 4)
    samples[generator.random(samples.shape) < 0.2] = np.nan
    samples[:, 3] = np.nan
    model = version_1(samples, detector)

    for size in (1, 2, 40):
        candidate = retrained(model, samples[np.arange(size) % 30], policy=policy)

        assert math.isfinite(candidate.model.detector.offset_)
        assert all(math.isfinite(value) for value in candidate.outcome.figures.values())


def test_equal_input_gives_an_equal_candidate():
    generator = np.random.default_rng(1)
    model = version_1(normal(generator, 60, 3), "forest")
    pool, strangers = normal(generator, 40, 3), strangers_of(generator, 3)

    one, two = (retrained(model, pool, strangers) for _ in range(2))

    assert one.outcome == two.outcome
    assert np.array_equal(one.model.detector.block_, two.model.detector.block_)
    assert one.model.provenance == two.model.provenance


@pytest.mark.parametrize(
    ("policy", "learnt"),
    [
        ("grow", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("slide", [5, 6, 7]),
        ("blend", [0, 1, 2, 5, 6, 7]),
    ],
)
def test_the_policy_says_what_is_learnt(policy, learnt):
    assert training_indices(3, 5, policy).tolist() == learnt


@pytest.mark.parametrize("policy", ["grow", "slide", "blend"])
def test_the_original_samples_stay_in_front_through_every_retraining(policy):
    generator = np.random.default_rng(2)
    original = normal(generator, 40, 3)
    model = version_1(original)

    for _ in range(3):
        candidate = retrained(model, normal(generator, 60, 3), policy=policy, cold_start=40)
        model = candidate.model

        assert np.array_equal(model.samples[:40], original.astype(np.float32))


def test_provenance_says_where_the_samples_came_from():
    generator = np.random.default_rng(4)
    model = version_1(normal(generator, 40, 3))

    said = retrained(model, normal(generator, 20, 3), policy="grow").model.provenance

    assert (said["trigger"], said["policy"], said["samples"]) == ("samples", "grow", 60)
    assert said["detector"] == "blend"


def test_a_model_that_does_not_name_its_detector_is_retrained_all_the_same():
    model = replace(version_1(normal(np.random.default_rng(0), 30, 2), "gaussian"), provenance={})

    assert detector_name(model) == "gaussian"
    assert retrained(model, normal(np.random.default_rng(1), 20, 2)).model.provenance


def test_what_was_never_accepted_still_counts_for_the_threshold():
    model = version_1(normal(np.random.default_rng(0), 100, 3))
    before = model.detector.offset_

    reweight_calibration(model.detector, 100, 0, 4)

    assert model.detector.offset_ < before
    assert model.detector.calibration_.scores.size == 104


def test_what_was_not_drawn_counts_among_the_borderline_only():
    model = version_1(normal(np.random.default_rng(0), 100, 3))
    before = model.detector.calibration_.scores

    reweight_calibration(model.detector, 100, 0, 0, 5)

    after = model.detector.calibration_.scores
    assert after.size == 105
    assert np.array_equal(after[-90:], before[-90:])
    assert np.array_equal(after[:5], before[:5])


def test_a_pool_stands_for_what_admission_kept_out_of_it():
    rules = Admission(clear_from=0.1, borderline_share=0.5)

    # Of 1,000 normal samples 10 are alarms, and of 90 borderline ones 45 are not drawn.
    assert censored_counts(945, 0.01, rules) == (10, 45)
    assert censored_counts(990, 0.01, None) == (10, 0)
    assert censored_counts(850, 0.15, rules) == (150, 0)


def test_so_many_alarms_as_were_counted_were_rejected_if_the_budget_cannot_be_kept():
    # Of 500 records 15 alarms may be as many true ones, 60 may not.
    assert rejected_share(15, 485, 0.01) == 0.01
    assert rejected_share(60, 440, 0.01) == 0.12
    assert rejected_share(0, 500, 0.01) == 0.01
    assert rejected_share(3, 2, 0.2) == 0.2


def after_a_handful(alarmed, *, follow_drift=True, count=4):
    """The candidate of a profile that began with so few live samples, and what it accepted."""
    generator = np.random.default_rng(6)
    held = np.full((200, 2), 10.0)
    held[-count:] = normal(generator, count, 2)
    model = version_1(held, budget=0.01)
    pool = normal(generator, 400, 2)
    pool = pool[np.abs(pool).max(axis=1) < 1.5]
    more = {"alarmed": alarmed, "follow_drift": follow_drift, "policy": "grow"}
    return retrained(model, pool, **more).model.detector


def test_a_profile_that_began_with_a_handful_makes_up_for_the_alarms_that_were_counted():
    known = after_a_handful((0, 300)).offset_

    assert after_a_handful((60, 300)).offset_ < known
    assert after_a_handful((5, 300)).offset_ == known
    assert after_a_handful((60, 300), follow_drift=False).offset_ == known


def test_a_profile_that_began_with_enough_keeps_to_its_budget_however_many_alarms():
    many, none = (after_a_handful((told, 300), count=60).offset_ for told in (60, 0))

    assert many == none


def test_false_alarms_do_not_grow_over_many_retrainings():
    first, last = [], []
    for seed in range(8):
        generator = np.random.default_rng(seed)
        model = version_1(normal(generator, 100, 3))
        later = normal(generator, 1000, 3)
        first.append((model.detector.decision_function(later) < 0).mean())
        pool = np.empty((0, 3))
        for _ in range(5):
            pool = np.concatenate([pool, accepted(model, normal(generator, 60, 3))])
            model = retrained(model, pool, cold_start=100, admission=None).model
        last.append((model.detector.decision_function(later) < 0).mean())

    assert np.mean(last) <= 1.25 * max(0.05, np.mean(first))
    assert np.mean(last) >= 0.6 * 0.05


def test_what_a_model_cannot_see_is_not_taught():
    generator = np.random.default_rng(11)
    original, pool = normal(generator, 50, 3), normal(generator, 30, 3)
    original[:, 2] = np.nan
    pool[:, 2] = 1e6

    taught = without_unseen(original, pool)
    later = retrained(version_1(original), pool).model

    assert np.isnan(taught[:, 2]).all()
    assert np.array_equal(taught[:, :2], pool[:, :2])
    assert np.isnan(later.samples[:, 2]).all()


def test_stand_in_impostors_are_the_same_for_the_same_originals_and_keep_what_is_absent():
    samples = normal(np.random.default_rng(0), 30, 3)
    samples[:, 1] = np.nan

    rows = synthetic(samples)

    assert np.isnan(rows[:, 1]).all()
    assert np.isfinite(rows[:, [0, 2]]).all()
    assert np.array_equal(rows, synthetic(samples), equal_nan=True)


def test_a_pool_of_another_width_or_of_nothing_is_refused_with_what_was_expected():
    model = version_1(normal(np.random.default_rng(0), 30, 3))

    with pytest.raises(ValueError, match=r"shape \(0, 3\), expected \(1 or more, 3\)"):
        retrained(model, np.empty((0, 3)))
    with pytest.raises(ValueError, match=r"shape \(5, 2\), expected \(1 or more, 3\)"):
        retrained(model, np.zeros((5, 2)))
    with pytest.raises(ValueError, match="cold_start is 0"):
        retrained(model, np.zeros((5, 3)), cold_start=0)


def test_what_lies_ahead_goes_on_where_the_latest_have_gone():
    generator = np.random.default_rng(0)
    original, move = normal(generator, 200, 3), np.array([2.0, 0.0, -1.0])
    latest = normal(generator, 40, 3) + move

    rows = extrapolated_samples(original, latest)

    far = rows[-40:].mean(axis=0) - latest.mean(axis=0)
    assert rows.shape == (120, 3)
    assert far == pytest.approx(4 * (latest.mean(axis=0) - original.mean(axis=0)), rel=0.05)


def test_what_moves_no_more_than_by_chance_leads_nowhere():
    generator = np.random.default_rng(1)
    still = [normal(generator, 240, 3) for _ in range(50)]
    moves = [
        np.abs(extrapolated_samples(rows[:200], rows[200:])[-40:] - rows[200:]).max()
        for rows in still
    ]

    assert np.median(moves) <= 0.2


def test_an_absent_feature_leads_nowhere():
    samples = np.array([[1.0, np.nan], [1.0, np.nan], [1.0, np.nan]])

    assert np.array_equal(
        extrapolated_samples(samples, samples), np.tile(samples, (3, 1)), equal_nan=True
    )


def test_values_of_any_size_lead_to_finite_samples():
    generator = np.random.default_rng(2)
    original, latest = normal(generator, 20, 3), normal(generator, 10, 3)
    latest[3, 0], latest[4, 1] = 1e308, -1e308

    assert np.isfinite(extrapolated_samples(original, latest)).all()


@pytest.mark.parametrize("policy", ["grow", "slide", "blend"])
def test_a_pool_that_was_dragged_away_is_refused_whatever_the_policy(policy):
    generator = np.random.default_rng(3)
    model = version_1(normal(generator, 200, 5), budget=0.01)
    move = np.linspace(0.0, 4.0, 120)[:, None]

    outcome = retrained(model, normal(generator, 120, 5) + move, policy=policy).outcome

    assert not outcome.passed
    assert "version 1 finds the latest samples" in outcome.why


def test_after_a_slide_and_a_rollback_the_next_retraining_still_learns_the_originals():
    generator = np.random.default_rng(6)
    original = normal(generator, 40, 3)
    first = version_1(original)
    slid = retrained(first, normal(generator, 60, 3), policy="slide", cold_start=40).model
    slid = retrained(slid, normal(generator, 60, 3), policy="slide", cold_start=40).model

    pool = normal(generator, 10, 3)
    for base in (slid, first):
        again = retrained(base, pool, policy="grow", cold_start=40).model

        learnt = np.concatenate([original, pool]).astype(np.float32)
        assert np.array_equal(again.samples, learnt)
        assert again.provenance["samples"] == 50


@pytest.mark.parametrize("before", sorted(DETECTORS))
@pytest.mark.parametrize("after", sorted(DETECTORS))
def test_on_stationary_data_a_profile_moves_over_to_any_other_detector(before, after):
    passed = []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        count, width = [(200, 17), (200, 2), (100, 5), (60, 3)][seed % 4]
        first = version_1(normal(generator, count, width), before)
        pool = accepted(first, normal(generator, 80, width))[:40]
        candidate = retrained(first, pool, strangers_of(generator, width), detector=after)
        assert detector_name(candidate.model) == after
        passed.append(candidate.outcome.passed)

    assert np.mean(passed) >= 0.9


def test_a_change_of_detector_does_not_let_an_impostors_pool_pass():
    refused = 0
    for seed in range(20):
        generator = np.random.default_rng(seed)
        first = version_1(normal(generator, 200, 5), "gaussian")
        elsewhere = normal(generator, 40, 5) * 0.3 + 2.5
        strangers = normal(generator, 80, 5) + generator.normal(2.5, 0.5, size=5)
        candidate = retrained(first, elsewhere, strangers, detector="blend")
        refused += not candidate.outcome.passed

    assert refused >= 19


@pytest.mark.parametrize("budget", [0.01, 0.05])
def test_false_alarms_stay_at_the_budget_over_a_run_with_many_retrainings(budget):
    shares = []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        count, width = [(200, 17), (100, 3), (200, 5), (100, 8)][seed % 4]
        records = normal(generator, count + 600, width)
        first = first_model("blend", records[:count], budget, seed)
        found = simulate(
            first,
            plain(records[count:]),
            600,
            strangers_of(generator, width),
            Learning("admission, gate"),
            budget=budget,
            every=60,
            seed=seed,
        )
        shares.append((found.p_values < budget).mean())

    assert np.mean(shares) == pytest.approx(budget, rel=0.25)


def test_a_drift_of_a_deviation_that_was_told_is_followed_where_that_is_wanted():
    passed = {True: 0, False: 0}
    for seed in range(20):
        generator = np.random.default_rng(seed)
        first = version_1(normal(generator, 200, 4), budget=0.01)
        moved = normal(generator, 300, 4)
        moved[100:] += 1.0
        pool = accepted(first, moved)
        for follow in passed:
            candidate = retrained(first, pool, policy="grow", follow_drift=follow)
            passed[follow] += candidate.outcome.passed
            assert candidate.model.provenance.get("followed_drift", False) is follow

    assert passed[True] >= 16
    assert passed[False] <= passed[True] - 5
