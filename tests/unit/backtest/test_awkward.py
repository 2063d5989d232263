"""The quick form of ``telltale evaluate awkward``: awkward streams through the product's Steps."""

from __future__ import annotations

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from models.evaluation.awkward import ANOMALY, LEARNT, UNCOUNTED, Case
from models.evaluation.awkward_cases import CASES
from processor.backtest.awkward import AwkwardRow, awkward_to_json, awkward_to_markdown, play_cases
from processor.cli.evaluate import app

MENDED = (
    "vectors, first 160 of 200 equal",
    "series, first 180 of 200 equal",
    "each 2 times",
    "each 6 times",
    "AR(1), 0.9",
    "1.78e+12 ± 10000",
    "series, 1e9 ± 0.5",
    "3 after a constant 2",
    "2% of what is learnt",
    "5% of what is learnt",
    "absurd, then plain",
    "45 at -8 deviations, of every fourth record",
    "short first record",
    "3 of 7 names in turn",
    "a total that grows",
    "step by 5 deviations",
    "step by 8 deviations",
    "seconds",
    "Connect envelope",
    "JSON object",
)
"""Cases that hold; how exactly the budget is kept the whole evaluation says, not so few records."""


@pytest.fixture(scope="module")
def rows() -> dict[str, AwkwardRow]:
    cases = [case for case in CASES if case.name in MENDED]
    return {row.case.name: row for row in play_cases(quick=True, cases=cases)}


@pytest.mark.parametrize("name", MENDED)
def test_a_case_that_was_mended_stays_so(rows, name):
    row = rows[name]
    case = row.case

    if case.dead_letters:
        assert row.dead_letters == row.records
        return
    assert row.dead_letters == 0
    assert case.false_alarms is None or row.false_alarms <= 0.04
    assert case.found is None or row.found >= case.found * row.planted
    assert case.event is None or row.told == row.profiles


def test_forecast_finds_anomalies_behind_a_metric_that_stood_still(monkeypatch):
    monkeypatch.setenv("TELLTALE_DETECTOR__SERIES", "forecast")
    names = ("series, first 180 of 200 equal", "series, first 199 of 200 equal")
    cases = [case for case in CASES if case.name in names]

    for row in play_cases(quick=True, cases=cases):
        assert row.found >= 0.95 * row.planted, row.case.name
        assert row.false_alarms <= 0.02, row.case.name
        # Once what stood still is left out, what varies drifts no longer.
        assert row.events["drifting"] <= 4 * row.profiles, row.case.name


def test_every_case_draws_the_same_from_the_same_seed_and_plants_nothing_in_what_is_learnt():
    for case in CASES:
        first, again = (case.make(np.random.default_rng(1), 400) for _ in range(2))

        assert first.values == again.values
        assert len(first.values) == len(first.truth) == 400
        assert (first.truth[:LEARNT] == UNCOUNTED).all()
        assert case.found is None or (case.make(np.random.default_rng(1), 1000).truth == 1).any()


def test_names_of_cases_are_unique():
    names = [case.name for case in CASES]

    assert len(names) == len(set(names))


def row(**figures: int) -> AwkwardRow:
    made = AwkwardRow(Case("group", "name", lambda *_: pytest.fail("not drawn")), profiles=1)
    for name, value in figures.items():
        setattr(made, name, value)
    return made


def test_a_case_holds_only_within_all_of_its_bounds():
    good = {"alarms": 10, "normal": 1000, "found": 19, "planted": 20, "records": 1020}

    assert row(**good).held()
    assert not row(**good | {"alarms": 21}).held()
    assert not row(**good | {"alarms": 4}).held()
    assert not row(**good | {"found": 18}).held()
    assert not row(**good | {"dead_letters": 1}).held()


def test_the_table_says_what_was_expected_beside_what_came():
    text = awkward_to_markdown([row(alarms=30, normal=1000, found=20, planted=20)])

    assert "| 3.00 (0.5–2) | 100.00 (≥ 95) |" in text
    assert "**no**" in text
    made = row(alarms=30, normal=1000)
    made.events["trained"] += 1
    (said,) = awkward_to_json([made])["awkward"]
    assert said["false_alarms"] == 0.03
    assert orjson.loads(orjson.dumps(said))["events"] == {"trained": 1}


def test_the_command_plays_the_cases_that_are_asked_for():
    result = CliRunner().invoke(
        app, ["evaluate", "awkward", "--quick", "--case", "keys", "--case", "seconds"]
    )

    assert result.exit_code == 0, result.output
    assert result.output.count("| yes |") == 3
    assert CliRunner().invoke(app, ["evaluate", "awkward", "--case", "none such"]).exit_code == 2


def test_planted_anomalies_lie_far_from_normal():
    case = next(case for case in CASES if case.name == "each 2 times")
    stream = case.make(np.random.default_rng(2), 1000)
    rows = np.array([list(value["values"].values()) for value in stream.values])

    normal = rows[(stream.truth != ANOMALY)]
    assert (rows[stream.truth == ANOMALY].mean(axis=1) > normal.mean() + 8 * normal.std()).all()
