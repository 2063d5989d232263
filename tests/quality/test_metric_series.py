"""The figures that must hold for metrics, point by point, and how they are measured."""

import json

import numpy as np
import pytest

from models.evaluation.metric_series import report
from models.evaluation.metric_series.judging import DETECTORS, judge_series
from models.evaluation.metric_series.run import FEW, run_recorded, run_synthetic
from models.evaluation.metric_series.synthetic import ANOMALIES, KINDS, make_series

ON_RECORDINGS = pytest.mark.recordings


@pytest.fixture(scope="module")
def rows(data):
    return {row.recording: row for row in run_recorded(data, detectors=["forecast"])}


@pytest.fixture(scope="module")
def simulated():
    (row,) = run_synthetic(detectors=["forecast"])
    return row


@ON_RECORDINGS
def test_anomalies_of_the_numenta_benchmark_are_found_by_p(rows):
    assert rows["nab"].by_p >= 60.0


@ON_RECORDINGS
def test_odd_shapes_are_found_by_score(rows):
    assert rows["ucr"].by_score >= 0.73
    assert rows["ucr"].by_p >= 0.65


@ON_RECORDINGS
def test_spacecraft_that_misbehave_for_long_are_found_by_score(rows):
    assert rows["nasa"].by_score >= 0.45


@ON_RECORDINGS
@pytest.mark.parametrize("recording", ["nab", "ucr", "nasa"])
def test_one_percent_false_alarms_means_one_percent_of_every_series(rows, recording):
    at_permille, at_1, at_5 = rows[recording].false_alarms

    assert 0.5 <= at_1 <= 1.3
    assert rows[recording].worst <= 3.0
    assert at_permille <= 0.35
    assert 2.5 <= at_5 <= 6.0


def test_no_kind_of_metric_gives_many_false_alarms(simulated):
    assert 0.7 <= simulated.mean <= 1.3
    assert simulated.worst <= 2.2


def test_planted_anomalies_are_found(simulated):
    assert simulated.found.keys() == set(ANOMALIES)
    assert simulated.recall >= 0.74


def test_thirty_points_are_enough_to_keep_the_budget():
    (row,) = run_synthetic(detectors=["forecast"], learned=FEW, size=1500, copies=2)

    assert row.mean <= 1.5
    assert row.worst <= 3.0


# --- How it is measured --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def easy(synthetic):
    return run_recorded(synthetic, recordings=["nab", "ucr"])


def test_every_detector_judges_every_series(easy):
    judged = [(row.recording, row.detector, row.series) for row in easy]

    assert judged == [(name, by, 1) for name in ("nab", "ucr") for by in DETECTORS]


def test_gross_anomalies_are_found_by_the_forecast(easy):
    found = {(row.recording, row.detector): row for row in easy}

    assert found["nab", "forecast"].by_p > 60.0
    assert found["ucr", "forecast"].by_score == 1.0


def test_simulated_metrics_are_the_same_for_a_seed_and_hold_one_anomaly_of_each_kind():
    clean, dirty = make_series(seed=3, size=1200, learned=300, copies=1)
    again, _ = make_series(seed=3, size=1200, learned=300, copies=1)

    for one, two, planted in zip(clean, again, dirty, strict=True):
        assert np.array_equal(one.series.values, two.series.values)
        assert sorted(planted.kinds) == sorted(ANOMALIES)
        changed = np.flatnonzero(planted.series.values != one.series.values)
        inside = np.concatenate([np.arange(*run) for run in planted.series.anomalies])
        assert set(changed) <= set(inside)
        assert inside.min() >= 300
    assert [one.series.profile for one in clean] == list(KINDS)


def test_what_is_only_learnt_is_not_judged():
    clean, _ = make_series(seed=4, size=600, learned=100, copies=1)

    judged = judge_series("forecast", clean[0].series)

    assert np.isnan(judged.rarities[:100]).all()
    assert not np.isnan(judged.rarities[100:]).any()


def test_the_tables_hold_every_row_and_the_figures_are_plain(easy):
    rows = run_synthetic(detectors=["gaussian"], size=600, learned=100, copies=1)

    text = report.series_to_markdown(easy, rows)
    values = json.loads(json.dumps(report.series_to_json(easy, rows), allow_nan=False))

    assert text.count("| `nab` |") == text.count("| `ucr` |") == len(DETECTORS)
    assert "| gaussian | 100 |" in text
    assert [row["detector"] for row in values["recorded"]] == [row.detector for row in easy]
    assert values["synthetic"][0]["worst"] == rows[0].worst
