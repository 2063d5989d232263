"""Monitoring: S4-67, S4-68, S4-69, S4-95, S4-98, S4-99, S4-100, S4-101 by their definitions."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from benchmarks.governance_coverage import sketches
from models.governance.bias.fleet import Fleet, groups_of
from models.governance.compliance import CATEGORIES, FRAMEWORKS, assess
from models.governance.controls import CONTROLS
from models.governance.monitoring.drift import (
    drift,
    effective_records,
    kolmogorov_smirnov,
    population_stability,
)
from models.governance.monitoring.periods import days_of, periods
from models.governance.monitoring.rates import (
    auc,
    fall_of_auc,
    fall_of_performance,
    off_budget,
    rise_of_bias,
    rise_of_share,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("wrong", ["", "30", "d", "-3d", "3h", "0d", "99y", "3d\n", "1e9d"])
def test_a_period_is_a_number_and_a_unit(wrong: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        days_of(wrong)


def test_the_current_period_ends_today_and_follows_the_reference() -> None:
    told = periods("30d", "1w", 100)

    assert told.current == (94, 101)
    assert told.reference == (64, 94)


def test_stability_is_zero_for_equal_shares_and_by_its_formula() -> None:
    even, odd = np.array([99.5, 99.5]), np.array([199.5, 49.5])

    assert float(population_stability(even, 3 * even + 1)) == pytest.approx(0.0, abs=1e-3)
    p, q = np.array([0.5, 0.5]), np.array([0.8, 0.2])
    expected = float(((p - q) * np.log(p / q)).sum())
    assert float(population_stability(even, odd)) == pytest.approx(expected)


def test_distance_is_scipys_on_the_ends_of_bins() -> None:
    a, b = np.array([10.0, 20.0, 30.0]), np.array([30.0, 20.0, 10.0])
    values = [np.repeat([0.0, 1.0, 2.0], each.astype(int)) for each in (a, b)]

    assert float(kolmogorov_smirnov(a, b)) == pytest.approx(stats.ks_2samp(*values).statistic)


def test_without_drift_p_values_are_those_of_chance() -> None:
    reference, current = sketches(rng(1), 800, 30), sketches(rng(2), 800, 7)

    told = drift(reference, current)

    # 5 % of 800 by the binomial: above 8 % has a chance below 1e-4. Fewer is on the safe side.
    assert (told.p_value < 0.05).mean() <= 0.08
    assert not told.moved.any()


def test_days_that_depend_on_one_another_are_worth_less() -> None:
    steady = sketches(rng(1), 1, 30)
    wandering = sketches(rng(1), 1, 30)
    wandering.means[0] = np.cumsum(rng(3).normal(0, 0.5, 30))

    assert float(effective_records(steady)[0]) > 0.4 * 3000
    assert float(effective_records(wandering)[0]) < 0.05 * 3000


def test_many_records_do_not_make_a_trifle_a_drift() -> None:
    reference, current = sketches(rng(1), 1, 30), sketches(rng(2), 1, 7)
    tilt = np.array([0, 11, 11, 11, 10, 10, 10, 10, 9, 9, 9, 0]) / 100
    current.bins[:] = 1e6 * tilt
    for each in (reference, current):
        each.means[:] *= 0.01
        each.m2[:] *= 10_000
    reference.bins[:] *= 10_000

    told = drift(reference, current)

    assert float(told.p_value[0]) < 0.01
    assert not told.moved[0]


def test_few_samples_say_nothing() -> None:
    told = drift(sketches(rng(1), 1, 30), sketches(rng(2), 1, 1, each=50))

    assert not told.known[0]
    assert np.isnan(told.p_value[0])


def test_profiles_are_off_their_budget_beyond_chance_alone() -> None:
    records = np.full(2000, 1000.0)
    usual = rng().binomial(1000, 0.01, 2000).astype(np.float64)
    budget = np.full(2000, 0.01)

    assert off_budget(usual, records, budget).mean() < 0.01
    assert off_budget(np.full(2000, 40.0), records, budget).all()
    assert off_budget(np.zeros(2000), records, budget).all()


def test_the_auc_is_scikit_learns_with_weights_and_ties() -> None:
    scores, labels = rng(1).integers(0, 5, 200).astype(float), rng(2).integers(0, 2, 200)
    weights = rng(3).random(200)

    ours = auc(scores, labels.astype(float), weights)

    assert ours == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights))


def of_confusion(cells: list[float], profiles: int = 30) -> Fleet:
    table = np.tile(np.array(cells), (profiles, 1))
    return Fleet({}, np.ones(profiles), np.full(profiles, 100.0), table, table, True)


def test_a_fall_of_recall_is_found_and_its_interval_excludes_none() -> None:
    before, now = of_confusion([9.0, 1.0, 1.0, 89.0]), of_confusion([5.0, 1.0, 5.0, 89.0])

    told = {each.name: each for each in fall_of_performance(before, now, generator=rng())}

    assert told["recall"].score == pytest.approx(0.4)
    assert told["recall"].interval is not None
    assert told["recall"].interval[0] > 0
    assert set(told) == {"precision", "recall", "f1"}


def test_a_fall_of_the_auc_has_an_interval_by_profiles() -> None:
    labels = np.tile([0.0, 1.0], 100)
    good, bad = labels + rng(1).normal(0, 0.3, 200), rng(2).normal(size=200)
    profiles = np.repeat(np.arange(20), 10).astype(str)
    ones = np.ones(200)

    told = fall_of_auc(
        (good, bad), (labels, labels), (ones, ones), (profiles, profiles), generator=rng()
    )

    assert told is not None
    assert told.score > 0.3
    assert told.interval is not None
    assert told.interval[0] > 0


def of_sites(alarms: float) -> Fleet:
    site = np.repeat(["Graz", "Wien"], 20)
    return Fleet({"site": site}, np.where(site == "Wien", alarms, 1.0), np.full(40, 100.0))


def test_a_rise_of_bias_is_the_rise_of_the_ratio() -> None:
    fleets = of_sites(1.0), of_sites(4.0)
    groups = tuple(groups_of("site", each.attributes["site"]) for each in fleets)

    told = rise_of_bias(fleets[0], fleets[1], groups, generator=rng())  # type: ignore[arg-type]

    assert told is not None
    assert (told.reference, told.score) == (0.0, pytest.approx(0.75))


def test_a_rise_of_a_share_is_tested_by_profiles_not_by_records() -> None:
    every = np.full(20, 1000.0)
    one_bad = np.zeros(20)
    one_bad[0] = 1000.0

    all_alike = rise_of_share("missing", (every * 0.01, every), (every * 0.06, every))
    of_one = rise_of_share("missing", (np.zeros(20), every), (one_bad, every))

    assert all_alike is not None
    assert all_alike.p_value is not None
    assert all_alike.p_value < 0.01
    assert of_one is not None
    assert of_one.p_value is not None
    assert of_one.p_value > 0.05


def test_every_framework_weighs_controls_that_there_are() -> None:
    known = {each.id for each in CONTROLS}

    assert len(known) == 24
    for framework in FRAMEWORKS.values():
        assert set(framework.weights) <= known
        assert set(framework.references) == set(CATEGORIES)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "compliant"),
        ({"B3": "fail", "B4": "unknown"}, "compliant"),
        ({"T1": "fail"}, "conditional"),
        ({"P5": "unknown"}, "conditional"),
        ({each.id: "fail" for each in CONTROLS if each.category != "bias"}, "non_compliant"),
    ],
)
def test_the_status_follows_from_scores_and_critical_controls(
    changed: dict[str, str], expected: str
) -> None:
    found = {each.id: ("pass", "") for each in CONTROLS} | {
        name: (status, "") for name, status in changed.items()
    }

    told = assess("nist_ai_rmf", CATEGORIES, found)  # type: ignore[arg-type]

    assert told["compliance_status"] == expected
    failing = set(changed)
    assert {each["type"] for each in told["recommendations"]} == failing


def test_evidence_that_is_missing_counts_as_not_passed() -> None:
    told = assess("iso_23053", CATEGORIES, {})

    assert told["overall_score"] == 0.0
    assert {each["status"] for each in told["controls"]} == {"unknown"}
