"""The evaluation of drift: rows that say what was flagged, and a table of them."""

from models.evaluation import drift


def test_profiles_that_stay_are_not_flagged_and_those_that_move_are():
    stays = drift.measured("uniform p-values", None, 0.0, 5, 1000, seed=0)
    moves = drift.measured("gaussian", 100, 1.5, 5, 500, seed=0)

    assert (stays.flagged, stays.after, stays.learnt) == (0, None, None)
    assert abs(stays.anomalies - drift.BUDGET) < 0.01
    assert moves.flagged == 5
    assert moves.after is not None
    assert moves.after < 300
    assert moves.anomalies > 0.1


def test_the_same_seed_gives_the_same_row_and_another_one_another():
    rows = [drift.measured("gaussian", 50, 1.0, 2, 200, seed=seed) for seed in (1, 1, 2)]

    assert rows[0] == rows[1] != rows[2]


def test_recordings_that_are_not_there_have_no_rows(tmp_path):
    assert drift.recorded(tmp_path, quick=True) == []


def test_the_table_has_a_line_for_each_row():
    rows = [drift.DriftRow("blend", 200, 0.5, 50, 2000, 0.025, 2, 1350.0)]

    text = drift.drift_to_markdown(rows)

    assert text.splitlines()[2] == "| blend | 200 | 0.5 | 50 × 2000 | 2.5 | 4.0 | 1350 |"
    assert drift.drift_to_json(rows)["drift"][0]["flagged"] == 2
