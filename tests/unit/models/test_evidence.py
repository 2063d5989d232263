"""Which training samples count as evidence, and what follows for thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special

from models.artifacts import Model, pack, unpack
from models.calibration import evidence
from models.calibration.conformal import CONFIDENCE, tolerance
from models.calibration.counted import thinned
from models.calibration.severity import severity
from models.detectors.registry import make
from models.kernels.fit.dependence import neighbor_correlation
from models.learning.training import train

BUDGET = 0.01


def noise(seed: int, count: int, width: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(20.0, 1.0, (count, width))


def dependent(seed: int, count: int, phi: float, width: int = 3) -> np.ndarray:
    fresh = np.random.default_rng(seed).normal(size=(count, width))
    for at in range(1, count):
        fresh[at] = phi * fresh[at - 1] + np.sqrt(1.0 - phi**2) * fresh[at]
    return fresh


def false_alarms(name: str, learnt: np.ndarray, later: np.ndarray) -> float:
    return float((make(name).fit(learnt).decision_function(later) < 0).mean())


@pytest.mark.parametrize("times", [2, 6, 15])
def test_a_sample_that_is_read_several_times_counts_once(times):
    learnt = np.repeat(noise(0, 200), times, axis=0)[:200]

    kept = evidence.distinct(learnt)

    assert kept.sum() == -(-200 // times)
    assert np.array_equal(np.unique(learnt[kept], axis=0), np.unique(learnt, axis=0))


def test_values_that_are_equal_by_chance_all_count():
    states = np.random.default_rng(1).integers(0, 3, (200, 1)).astype(float)
    rare = (np.random.default_rng(2).random((200, 1)) < 0.1).astype(float)
    in_turn = np.repeat(np.arange(20) % 3, 10)[:, None].astype(float)
    rounded = np.round(np.cumsum(np.random.default_rng(3).normal(0.0, 0.1, (200, 1)), axis=0), 1)

    for samples in (states, rare, in_turn, rounded, np.full((200, 2), 7.0)):
        assert evidence.distinct(samples).all()


@pytest.mark.parametrize("held_at", [0.0, 20.0])
@pytest.mark.parametrize("equal", [160, 180])
def test_a_profile_that_began_with_equal_samples_still_finds_anomalies(equal, held_at):
    learnt = noise(3, 200, 1)
    learnt[:equal] = held_at

    detector = make("gaussian").fit(learnt)

    assert detector.repeated_ >= equal - 1
    assert (detector.decision_function(np.array([[60.0], [1e6], [-20.0]])) < 0).all()
    assert (detector.decision_function(noise(4, 500, 1)) < 0).mean() <= 0.03


@pytest.mark.parametrize("others", [1, 2])
@pytest.mark.parametrize("held_at", [0.0, 20.0])
def test_a_value_that_was_held_until_one_or_two_samples_ago_counts_once(others, held_at):
    learnt = noise(3, 200, 1)
    learnt[: 200 - others] = held_at

    detector = make("gaussian").fit(learnt)

    assert detector.repeated_ == 199 - others
    assert (detector.decision_function(noise(4, 100, 1)) >= 0).mean() >= 0.95


@pytest.mark.parametrize("odd_at", [0, 100])
def test_a_value_that_is_still_held_counts_as_often_as_it_came(odd_at):
    learnt = np.full((200, 1), 2.0)
    learnt[odd_at] = 3.0

    assert evidence.distinct(learnt).all()


@pytest.mark.parametrize("name", ["blend", "gaussian"])
def test_a_handful_that_is_left_of_many_gives_a_wider_threshold(name):
    learnt = noise(3, 200, 2)
    learnt[:190] = 20.0

    handful = make(name).fit(learnt)
    as_many = make(name).fit(learnt[evidence.distinct(learnt)])

    assert handful.offset_ < as_many.offset_
    assert handful.calibration_.wider > as_many.calibration_.wider == 1.0
    assert handful.calibration_.p_values(np.array([handful.offset_])) == pytest.approx(BUDGET)
    assert (handful.decision_function(noise(4, 200, 2) + 15.0) < 0).mean() >= 0.95


@pytest.mark.parametrize("count", [3, 5, 10, 19])
@pytest.mark.parametrize("share", [0.01, 0.05])
def test_beyond_a_tolerance_limit_lies_no_more_than_its_share_in_19_of_20_draws(count, share):
    drawn = np.random.default_rng(0).normal(size=(20_000, count))
    scale = drawn.std(axis=1, ddof=1) * np.sqrt(1.0 + 1.0 / count)
    limit = tolerance(count, share) * special.stdtrit(count - 1, share)

    kept = special.ndtr(drawn.mean(axis=1) + limit * scale) <= share

    assert kept.mean() == pytest.approx(CONFIDENCE, abs=0.01)


@pytest.mark.parametrize("share", [0.02, 0.05])
@pytest.mark.parametrize("name", ["blend", "gaussian"])
def test_a_few_anomalies_among_what_is_learnt_do_not_hide_their_like(name, share):
    learnt = noise(5, 200)
    learnt[:: round(1 / share)] += 10.0

    detector = make(name).fit(learnt)

    assert detector.far_out_ == round(200 * share)
    assert (detector.decision_function(noise(6, 50) + 10.0) < 0).mean() >= 0.95


def test_what_a_model_has_judged_is_never_left_out_as_far_out():
    learnt = noise(7, 200)
    learnt[-5:] += 10.0

    assert evidence.weigh(learnt).far_out == 5
    assert evidence.weigh(learnt, originals=150).far_out == 0


def test_far_ones_that_do_not_resemble_one_another_are_tails_and_are_learnt():
    learnt = noise(8, 200)
    for at, feature, far in ((10, 0, 12.0), (60, 1, 15.0), (120, 2, 18.0), (150, 0, 25.0)):
        learnt[at, feature] += far

    assert evidence.weigh(learnt).far_out == 0


def test_heavy_tails_are_not_taken_for_pollution():
    learnt = np.random.default_rng(8).lognormal(0.0, 0.6, (200, 10))

    assert evidence.weigh(learnt).far_out <= 2


@pytest.mark.parametrize("phi", [0.8, 0.9, 0.95])
def test_dependent_samples_are_worth_fewer_independent_ones(phi):
    worth = [evidence.worth(dependent(seed, 200, phi)) for seed in range(20)]
    expected = (1.0 - phi) / (1.0 + phi)

    assert expected / 2.0 <= np.median(worth) <= 2.0 * expected
    assert max(worth) < 1.0


@pytest.mark.parametrize("phi", [0.0, 0.2, 0.4])
@pytest.mark.parametrize("width", [1, 3, 31])
def test_habits_that_change_slowly_leave_samples_as_they_are(phi, width):
    for seed in range(20):
        found = evidence.weigh(dependent(seed, 200, phi, width))

        assert (found.worth, found.repeated, found.far_out) == (1.0, 0, 0)
        assert found.kept.all()


def test_who_takes_a_profile_over_does_not_make_its_samples_depend_on_one_another():
    own, other = noise(9, 200, 5), noise(10, 200, 5) + 6.0
    slow = dependent(10, 400, 0.95, 5)

    assert evidence.worth(np.concatenate([own, other])) == 1.0
    assert evidence.worth(np.concatenate([own, slow])) < 1.0
    assert evidence.weigh(np.concatenate([own, slow]), originals=200).worth == 1.0


def test_thinning_keeps_order_range_and_enough_scores():
    scores = np.random.default_rng(9).normal(size=200)

    few = thinned(scores, 0.05)

    assert few.size == 20
    assert np.array_equal(few, np.sort(few))
    assert scores.min() <= few[0]
    assert few[-1] == scores.max()
    assert thinned(scores, 1.0) is scores


@pytest.mark.parametrize("phi", [0.8, 0.9])
def test_dependence_does_not_multiply_false_alarms(phi):
    shares = []
    for seed in range(8):
        rows = dependent(seed, 1200, phi)
        shares.append(false_alarms("blend", rows[:200], rows[200:]))

    assert np.mean(shares) <= 0.02


@pytest.mark.parametrize(("centre", "spread"), [(1.78e12, 1e4), (6.8e10, 500.0), (1e9, 0.5)])
def test_an_artefact_keeps_small_differences_of_large_values(centre, spread):
    samples = centre + spread * (noise(10, 200) - 20.0)
    model = train("gaussian", samples, ("a", "b", "c"), alert_budget=BUDGET, seed=0, provenance={})

    artifact = pack(model, kind="features", profile_id="p", partition=0, generation=0)
    again: Model = unpack(artifact.payload, artifact.sha256)

    assert np.abs(again.learnt() - samples).max() <= 1e-5 * spread + 4 * np.spacing(centre)
    assert np.unique(again.samples[:, 0]).size == 200
    assert (again.detector.decision_function(samples + 10.0 * spread) < 0).all()
    assert (again.detector.decision_function(samples) < 0).mean() <= 0.03


@pytest.mark.parametrize("name", ["gaussian", "blend"])
def test_severity_grades_how_far_a_constant_is_left(name):
    detector = make(name).fit(np.full((200, 1), 2.0))
    grades = ["none", "low", "medium", "high", "critical"]

    def grade(value: float) -> int:
        row = np.array([[value]])
        p_value = float(detector.calibration_.p_values(detector.score_samples(row))[0])
        decision = float(detector.decision_function(row)[0])
        return grades.index(severity(p_value, BUDGET, decision, detector.calibration_.spread))

    found = [grade(value) for value in (2.0, 2.0002, 2.0008, 3.0)]

    assert found[0] == grades.index("none")
    assert found[1] == grades.index("low")
    assert found == sorted(found)
    assert found[1] < found[2]
    assert found[3] == grades.index("critical")


TABLES = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 60), st.integers(1, 4)),
    elements=st.one_of(st.sampled_from([np.nan, 0.0, 5.0]), st.floats(-1e6, 1e6)),
)


def robust_deviations(column: np.ndarray) -> np.ndarray:
    known = column[~np.isnan(column)]
    aside = np.abs(known - np.median(known))
    with np.errstate(divide="ignore", invalid="ignore"):
        return aside / (evidence.DEVIATION * np.median(aside))


@given(TABLES)
def test_what_lies_within_reach_by_the_quartiles_lies_within_it_by_the_median_deviation(samples):
    ordered = np.sort(samples.T, axis=1)
    count = samples.shape[0] - np.isnan(ordered).sum(axis=1)
    within = evidence._within_reach(ordered, count, evidence._middles(ordered, count))

    if within:
        assert all(robust_deviations(column).max() < evidence.FAR for column in samples.T)


def test_normal_samples_lie_within_reach():
    samples = np.random.default_rng(4).normal(size=(400, 3))
    ordered = np.sort(samples.T, axis=1)
    count = np.full(3, 400)

    assert evidence._within_reach(ordered, count, evidence._middles(ordered, count))


def plain_correlation(run: np.ndarray) -> float:
    """As ``neighbor_correlation`` of one run, a feature at a time."""
    found = []
    for column in run.T:
        there = ~np.isnan(column)
        if there.sum() <= len(column) // 2:
            continue
        aside = column - column[there].mean()
        limit = evidence.CUT * np.sqrt(np.mean(aside[there] ** 2))
        cut = np.clip(aside, -limit, limit)
        cut -= cut[there].mean()
        square, products = np.mean(cut[there] ** 2), cut[1:] * cut[:-1]
        products = products[~np.isnan(products)]
        if square > 0.0:
            found.append((products.mean() if products.size else 0.0) / square)
    return float(np.mean(found)) if found else np.nan


@pytest.mark.parametrize("absent", [0.0, 0.05, 0.4])
@pytest.mark.parametrize("phi", [0.0, 0.7, 0.95])
def test_the_compiled_correlation_of_neighbours_is_the_plain_one(absent, phi):
    samples = dependent(3, 150, phi)
    samples[np.random.default_rng(1).random(samples.shape) < absent] = np.nan
    samples[50:100, 1] = 7.0
    samples[100:, :] = np.nan
    found = np.empty(3)
    neighbor_correlation(samples, 50, evidence.CUT, found)

    plain = [plain_correlation(samples[begin : begin + 50]) for begin in (0, 50, 100)]

    assert np.allclose(found, plain, rtol=1e-9, atol=1e-9, equal_nan=True)
    assert np.isnan(found[2])
