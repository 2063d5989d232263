"""The evaluation of retraining: what is followed, and that the tables are written."""

import json

import pytest

from models.evaluation import RecordingError
from models.evaluation.retraining import BUDGETS, LEARNINGS, run
from models.evaluation.retraining_attacks import ATTACKS
from models.evaluation.retraining_report import to_json, to_markdown

READ = ["cmu_200", "cmu_50", "balabit", "skab"]
GATED = LEARNINGS[-1].name


@pytest.fixture(scope="module")
def results(synthetic):
    return run(synthetic, quick=True, seed=1)


def test_every_recording_is_followed_at_each_budget_with_each_way_of_learning(results):
    followed = {(row.recording, row.budget, row.learning) for row in results.rows}

    assert followed == {
        (name, budget, learning.name)
        for name in READ
        for budget in BUDGETS
        for learning in LEARNINGS
    }


def test_without_retraining_nothing_is_tried_and_without_a_gate_nothing_refused(results):
    for row in results.rows:
        if row.learning == "off":
            assert row.tried == 0
        if row.learning != GATED:
            assert row.refused == 0


def test_every_attack_is_followed_and_gains_nothing_beyond_off_with_off(results):
    assert {one.attack for one in results.attacked} == {attack.name for attack in ATTACKS}
    assert all(one.beyond == 0.0 for one in results.attacked if one.learning == "off")


def test_the_tables_name_every_recording_and_attack_and_json_is_plain(results):
    text = to_markdown(results)

    assert all(f"| `{name}` |" in text for name in READ)
    assert all(f"| {attack.name} |" in text for attack in ATTACKS)
    assert json.loads(json.dumps(to_json(results), allow_nan=False))["detector"] == "blend"


def test_an_empty_directory_is_an_error_that_names_the_files(tmp_path):
    with pytest.raises(RecordingError, match=r"keystrokes\.csv\.gz"):
        run(tmp_path)


def test_an_unknown_recording_or_attack_is_refused_with_the_known_ones(synthetic):
    with pytest.raises(ValueError, match=r"recording 'moon' is unknown: .*cmu_200"):
        run(synthetic, recordings=["moon"])
    with pytest.raises(ValueError, match=r"attack 'siege' is unknown: .*types on"):
        run(synthetic, attacks=["siege"])
