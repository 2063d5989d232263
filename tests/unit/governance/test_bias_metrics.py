"""The metrics of bias: held to fairlearn, to their definitions, and to fleets with a planted truth.

S4-49, S4-57, S4-58, S4-59, S4-60, S4-70, S4-71, S4-73, S4-74, S4-75, S4-76, S4-77, S4-78, S4-79,
S4-80, S4-81 by their definitions.
"""

import numpy as np
import pytest
from fairlearn import metrics as fairlearn
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_score, recall_score

from benchmarks.governance_coverage import covered, drift_found, found, spoke
from models.governance.bias.advice import risk_of, scores
from models.governance.bias.analysis import BiasRequest, analyse
from models.governance.bias.comparing import status_of
from models.governance.bias.fleet import Fleet, groups_of
from models.governance.bias.individual import Deviations, unfairness_of_each
from models.governance.bias.intersections import hidden_cells
from models.governance.bias.measures import from_uniform, gap
from models.governance.bias.resampling import benjamini_hochberg
from models.governance.bias.tables import BadColumn, fleet_of_table, predicted
from tests.unit.governance import simulated


@pytest.fixture
def table() -> dict[str, list[object]]:
    rng = np.random.default_rng(0)
    group = rng.choice(["a", "b", "c"], 600)
    truth = rng.random(600) < 0.3
    guess = rng.random(600) < np.where(truth, 0.7, 0.1) + (group == "b") * 0.1
    return {"group": list(group), "truth": truth.tolist(), "guess": guess.tolist()}


def told(table: dict[str, list[object]], **wanted: object) -> dict[str, object]:
    fleet = fleet_of_table(table, ["group"], "truth", "guess")
    return analyse(fleet, BiasRequest(["group"], bootstrap_samples=100, **wanted))  # type: ignore[arg-type]


def test_metrics_are_those_of_fairlearn_where_the_definitions_are_the_same(
    table: dict[str, list[object]],
) -> None:
    metrics = told(table)["metrics"]
    y, p, g = (np.array(table[name]) for name in ("truth", "guess", "group"))

    def of(name: str) -> float:
        return float(metrics[name]["value"])  # type: ignore[index]

    args = (y, p)
    assert of("demographic_parity") == pytest.approx(
        fairlearn.demographic_parity_difference(*args, sensitive_features=g), abs=1e-12
    )
    assert of("alert_rate_ratio") == pytest.approx(
        1 - fairlearn.demographic_parity_ratio(*args, sensitive_features=g), abs=1e-12
    )
    assert of("equalized_odds") == pytest.approx(
        fairlearn.equalized_odds_difference(*args, sensitive_features=g), abs=1e-12
    )
    assert of("equal_opportunity") == pytest.approx(
        fairlearn.equal_opportunity_difference(*args, sensitive_features=g), abs=1e-12
    )


def test_figures_of_groups_are_those_of_fairlearns_frame(table: dict[str, list[object]]) -> None:
    y, p, g = (np.array(table[name]) for name in ("truth", "guess", "group"))
    frame = fairlearn.MetricFrame(
        metrics={
            "alert_rate": fairlearn.selection_rate,
            "precision": precision_score,
            "recall": recall_score,
            "f1": f1_score,
            "false_alarm_rate": fairlearn.false_positive_rate,
        },
        y_true=y,
        y_pred=p,
        sensitive_features=g,
    )
    groups = {each["group_name"]: each for each in told(table)["group_metrics"]}  # type: ignore[attr-defined]

    for name, row in frame.by_group.iterrows():
        held = groups[f"group={name}"]
        assert held["group_size"] == (g == name).sum()
        for metric, value in row.items():
            assert held["metrics"][metric] == pytest.approx(value, abs=1e-12)


def test_a_weighted_label_counts_as_often_as_its_chance_says() -> None:
    table = {"group": ["a", "b"] * 40, "truth": [True, False] * 40, "guess": [True, False] * 40}
    fleet = fleet_of_table(table, ["group"], "truth", "guess")  # type: ignore[arg-type]
    labels = np.tile([[8.0, 2.0, 1.0, 9.0]], (20, 1))
    weighted = Fleet(
        attributes={"group": np.repeat(["a", "b"], 10)},
        alarms=np.full(20, 10.0),
        records=np.full(20, 100.0),
        confusion=labels * np.array([1.0, 1.0, 8.0, 8.0]),
        labels=labels,
        missed_known=True,
    )
    groups = analyse(weighted, BiasRequest(["group"], bootstrap_samples=100))["group_metrics"]

    assert groups[0]["metrics"]["recall"] == pytest.approx(8 / (8 + 8))
    assert groups[0]["metrics"]["false_alarm_rate"] == pytest.approx(2 / (2 + 72))
    assert fleet.size == 80


def test_labels_of_alarms_alone_give_precision_and_neither_rate() -> None:
    labels = np.tile([[8.0, 2.0, 0.0, 0.0]], (20, 1))
    fleet = Fleet(
        attributes={"group": np.repeat(["a", "b"], 10)},
        alarms=np.full(20, 10.0),
        records=np.full(20, 100.0),
        confusion=labels,
        labels=labels,
    )
    result = analyse(fleet, BiasRequest(["group"], bootstrap_samples=100))

    assert result["metrics"]["equalized_odds"]["status"] == "not_applicable"
    assert "precision" in result["metrics"]["false_alarm_parity"]["description"]
    assert "recall" not in result["group_metrics"][0]["metrics"]
    assert "insufficient_labels" in result["risk_assessment"]["risk_factors"]


@pytest.mark.parametrize(
    ("value", "interval", "expected"),
    [
        (0.12, (0.08, 0.16), "warning"),
        (0.08, (0.05, 0.11), "pass"),
        (0.12, (0.11, 0.16), "fail"),
        (0.1, (0.2, 0.3), "pass"),
        (0.12, None, "warning"),
    ],
)
def test_status_follows_from_value_threshold_and_interval(
    value: float, interval: tuple[float, float] | None, expected: str
) -> None:
    assert status_of(value, 0.1, interval) == expected


def test_scores_are_the_largest_value_and_the_mean_of_points() -> None:
    metrics = {
        "demographic_parity": {"status": "pass", "value": 0.9},
        "alert_rate_ratio": {"status": "warning", "value": 0.3},
        "equalized_odds": {"status": "fail", "value": 0.2},
        "calibration_parity": {"status": "not_applicable", "value": None},
    }

    assert scores(metrics) == (0.3, pytest.approx(50.0))
    assert scores({"equalized_odds": metrics["calibration_parity"]}) == (None, None)


@pytest.mark.parametrize(
    ("statuses", "p_value", "expected"),
    [
        ({"equalized_odds": "fail"}, 0.001, ("critical", "immediate")),
        ({"equalized_odds": "fail"}, 0.2, ("high", "high")),
        ({"alert_rate_ratio": "fail"}, 0.001, ("high", "high")),
        ({"alert_rate_ratio": "warning"}, 0.5, ("medium", "moderate")),
        ({"alert_rate_ratio": "pass"}, 0.5, ("low", "none")),
    ],
)
def test_risk_follows_from_the_gravest_metric(
    statuses: dict[str, str], p_value: float, expected: tuple[str, str]
) -> None:
    fleet = simulated.fleet(np.random.default_rng(0), simulated.EQUAL)
    metrics = {n: {"status": s, "value": 0.5, "p_value": p_value} for n, s in statuses.items()}
    risk = risk_of(metrics, fleet, [groups_of("group", fleet.attributes["group"])])

    assert (risk["overall_risk"], risk["mitigation_urgency"]) == expected


def test_profiles_without_the_attribute_are_shown_and_never_compared() -> None:
    fleet = Fleet(
        attributes={"site": np.repeat(["Graz", "Wien", "unknown"], 20)},
        alarms=np.repeat([1.0, 1.0, 50.0], 20),
        records=np.full(60, 100.0),
    )
    result = analyse(fleet, BiasRequest(["site"], bootstrap_samples=100))

    assert result["metrics"]["alert_rate_ratio"]["value"] == 0.0
    assert result["group_metrics"][-1]["group_name"] == "site=unknown"
    assert result["group_metrics"][-1]["comparison_metrics"] == {}
    assert "attribute_coverage" in result["risk_assessment"]["risk_factors"]


def test_a_group_of_few_is_not_shown() -> None:
    fleet = Fleet(
        attributes={"site": np.repeat(["Graz", "Wien", "Linz"], [20, 20, 4])},
        alarms=np.ones(44),
        records=np.full(44, 100.0),
    )
    result = analyse(fleet, BiasRequest(["site"], bootstrap_samples=100))

    assert {g["group_name"] for g in result["group_metrics"]} == {"site=Graz", "site=Wien"}
    assert "small_groups" in result["risk_assessment"]["risk_factors"]


@given(st.lists(st.lists(st.integers(0, 30), min_size=3, max_size=4), min_size=2, max_size=4))
def test_no_hidden_cell_follows_from_the_sums_of_rows_and_columns(rows: list[list[int]]) -> None:
    width = min(map(len, rows))
    sizes = np.array([row[:width] for row in rows])
    hidden = hidden_cells(sizes)

    small = (sizes > 0) & (sizes < 5)
    assert not (small & ~hidden).any()
    places = np.argwhere(hidden)
    # Each hidden cell is an unknown, each row and column an equation: a cell is told by the sums
    # exactly if its unit vector lies in the space that the equations span.
    equations = np.zeros((sum(sizes.shape), len(places)))
    for at, (row, column) in enumerate(places):
        equations[row, at] = equations[sizes.shape[0] + column, at] = 1.0
    for at, (row, column) in enumerate(places):
        unit = np.eye(len(places))[at]
        free = np.linalg.matrix_rank(np.vstack([equations, unit]))
        told_by_sums = free == np.linalg.matrix_rank(equations)
        if told_by_sums:
            # Nothing is left to hide it behind: its whole row and column are hidden already.
            assert not ((sizes[row] > 0) & ~hidden[row]).any()
            assert not ((sizes[:, column] > 0) & ~hidden[:, column]).any()
    for table, secret in ((sizes, hidden), (sizes.T, hidden.T)):
        for line, own in zip(table, secret, strict=True):
            if 0 < line[own].sum() < 5:
                assert not line[~own].any()


def test_false_discoveries_are_those_of_benjamini_and_hochberg() -> None:
    p_values = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, float("nan")]

    assert benjamini_hochberg(p_values).tolist() == [True, True] + [False] * 7


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_a_ratio_lies_between_none_and_all(rates: list[float]) -> None:
    assert 0.0 <= float(gap(np.array(rates))) <= 1.0


def test_uniform_p_values_are_no_distance_from_uniform() -> None:
    assert float(from_uniform(np.full(20, 7.0))) == pytest.approx(0.0, abs=1e-12)
    assert float(from_uniform(np.eye(20)[0])) == pytest.approx(0.95)


def test_records_alike_with_scores_unlike_are_unfair_and_alike_ones_are_fair() -> None:
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.normal(size=(30, 4)), 10, axis=0) + rng.normal(0, 0.01, (300, 4))
    profiles = np.tile(np.arange(10), 30)
    fair = np.abs(rows).mean(axis=1) / 5

    unfair = np.where(profiles % 2 == 0, fair, 1 - fair)

    assert np.nanmean(unfairness_of_each(Deviations(rows, fair, profiles))) < 0.02
    assert np.nanmean(unfairness_of_each(Deviations(rows, unfair, profiles))) > 0.2


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("severity>=high", [0.0, 1.0, 1.0]),
        ("score>0.5", [0.0, 1.0, 0.0]),
        ("alarm", [1.0, 0.0, 1.0]),
    ],
)
def test_a_prediction_is_a_column_or_a_condition(condition: str, expected: list[float]) -> None:
    columns = {
        "severity": ["low", "high", "critical"],
        "score": [0.1, 0.9, "0.5"],
        "alarm": ["yes", "no", 1],
    }

    assert predicted(columns, condition).tolist() == expected


@pytest.mark.parametrize("wrong", ["nothing", "x>>1", "severity>=", "score"])
def test_a_prediction_that_cannot_be_had_says_what_was_expected(wrong: str) -> None:
    with pytest.raises(BadColumn, match="expected"):
        predicted({"severity": ["low"], "score": [0.1]}, wrong)


# By the exact binomial, 20 seeds miss these bounds with a chance below 1e-4 if each seed keeps the
# promise of docs/governance.md (at least 95 % found): P(X <= 13 of 20 | 0.95) < 1e-5.
def test_what_is_planted_is_found() -> None:
    for name, share in found(range(20)).items():
        assert share >= 14 / 20, name


# 180 metrics of 20 fleets at 5 %, of one fleet not independent: P(X > 20 %) is far below 1e-4.
def test_equal_groups_stay_quiet() -> None:
    assert spoke(range(20)) <= 0.2


# P(X <= 28 of 40 | 0.93) < 1e-5.
def test_intervals_hold_the_truth() -> None:
    for name, share in covered(range(40), simulated.GAPS).items():
        assert share >= 29 / 40, name


def test_one_drifting_feature_among_many_is_found() -> None:
    hits, false, alarms = drift_found(range(3), features=300)

    assert hits == 1.0
    assert false <= 2 / 3
    assert alarms <= 0.01
