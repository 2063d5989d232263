"""The evaluation reads every file format, judges all alike, and writes what it found."""

import json
from dataclasses import replace

import pytest

from models import DETECTORS
from models.evaluation import RECORDINGS, RecordingError, run, to_json, to_markdown
from models.evaluation.results import BUDGETS, PEER

READ = ["cmu_200", "cmu_50", "balabit", "skab", "nab", "ucr"]


@pytest.fixture(scope="module")
def results(synthetic):
    return run(synthetic, detectors=["deviation", "gaussian"], seed=3)


def untimed(results):
    return [replace(row, fit_milliseconds=0.0, score_microseconds=0.0) for row in results.rows]


def test_every_recording_is_judged_with_every_detector_and_the_peer(results):
    judged = [(row.recording, row.detector) for row in results.rows]

    assert judged == [(name, by) for name in READ for by in ("deviation", "gaussian", PEER)]


def test_what_is_not_there_is_named_and_left_out(results):
    assert {name for name, _ in results.skipped} == set(RECORDINGS) - set(READ)
    assert all("No such file" in why for _, why in results.skipped)


def test_people_and_states_that_differ_much_are_told_apart(results):
    rates = [row for row in results.rows if RECORDINGS[row.recording].measure == "EER"]

    assert len(rates) == 12
    assert max(row.quality for row in rates) < 0.2


def test_a_gross_value_in_a_series_is_found(results):
    found = {(row.recording, row.detector): row.quality for row in results.rows}

    assert found["nab", "gaussian"] > 60
    assert found["ucr", "gaussian"] == 1.0


def test_false_alarms_grow_with_the_budget_and_stay_near_it(results):
    for row in results.rows:
        assert sorted(row.false_alarms) == list(row.false_alarms)
    for row in results.rows:
        if row.recording == "cmu_200" and row.detector == "deviation":
            for reached, budget in zip(row.false_alarms, BUDGETS, strict=True):
                assert reached < 3 * budget


def test_one_seed_gives_one_result(synthetic):
    one, two = (
        run(synthetic, detectors=["blend"], recordings=["skab"], seed=5, quick=True)
        for _ in range(2)
    )

    assert untimed(one) == untimed(two)


def test_progress_ends_with_all_profiles_done(synthetic):
    told = []

    run(
        synthetic,
        detectors=["gaussian"],
        recordings=["cmu_200", "skab"],
        progress=lambda recording, done, total: told.append((recording, done, total)),
    )

    assert told == [("cmu_200", done, 3) for done in range(4)] + [("skab", 0, 1), ("skab", 1, 1)]


def test_markdown_holds_each_figure_and_says_when_nothing_published_compares(results):
    text = to_markdown(results)

    assert all(f"| `{name}` |" in text for name in READ)
    assert text.count("not comparable") >= len(READ)
    assert f"| recording | measure | deviation | gaussian | {PEER} | published |" in text


def test_json_is_plain_and_has_the_same_rows(results):
    values = json.loads(json.dumps(to_json(results), allow_nan=False))

    assert [row["recording"] for row in values["rows"]] == [row.recording for row in results.rows]
    assert values["budgets"] == list(BUDGETS)
    assert set(values["mean_equal_error_rate"]) == {"deviation", "gaussian", PEER}


def test_unknown_names_are_refused_with_the_known_ones(synthetic):
    with pytest.raises(ValueError, match=r"detector 'oracle' is unknown: .*blend"):
        run(synthetic, detectors=["oracle"])
    with pytest.raises(ValueError, match=r"recording 'moon' is unknown: .*cmu_200"):
        run(synthetic, recordings=["moon"])


def test_an_empty_directory_is_an_error_that_names_the_files(tmp_path):
    with pytest.raises(RecordingError, match=r"keystrokes\.csv\.gz"):
        run(tmp_path)


def test_all_detectors_are_evaluated_by_default(synthetic):
    found = run(synthetic, recordings=["skab"])

    assert [row.detector for row in found.rows] == [*DETECTORS, PEER]
