"""The evaluation of retraining: what is followed, and that the tables are written."""

import json

import pytest

from models.evaluation import RecordingError
from models.evaluation.retraining.attacks import ATTACKS
from models.evaluation.retraining.report import retraining_to_json, retraining_to_markdown
from models.evaluation.retraining.run import BUDGETS, LEARNINGS, evaluate_retraining

READ = ["cmu_200", "cmu_50", "balabit", "skab"]
GATED = LEARNINGS[-1].name


@pytest.fixture(scope="module")
def results(synthetic):
    return evaluate_retraining(synthetic, quick=True, seed=1)


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
    text = retraining_to_markdown(results)

    assert all(f"| `{name}` |" in text for name in READ)
    assert all(f"| {attack.name} |" in text for attack in ATTACKS)
    assert (
        json.loads(json.dumps(retraining_to_json(results), allow_nan=False))["detector"] == "blend"
    )


def test_an_empty_directory_is_an_error_that_names_the_files(tmp_path):
    with pytest.raises(RecordingError, match=r"keystrokes\.csv\.gz"):
        evaluate_retraining(tmp_path)


def test_an_unknown_recording_or_attack_is_refused_with_the_known_ones(synthetic):
    with pytest.raises(ValueError, match=r"recording 'moon' is unknown: .*cmu_200"):
        evaluate_retraining(synthetic, recordings=["moon"])
    with pytest.raises(ValueError, match=r"attack 'siege' is unknown: .*types on"):
        evaluate_retraining(synthetic, attacks=["siege"])


@pytest.fixture(scope="module")
def recorded(data):
    found = evaluate_retraining(data, budgets=[0.01], attacks=["types on"], stride=200)
    rows = {(row.recording, row.learning): row for row in found.rows}
    assert not found.skipped
    return rows, {one.learning: one for one in found.attacked}


@pytest.mark.recordings
@pytest.mark.parametrize("recording", ["cmu_200", "cmu_50"])
def test_learning_on_lowers_the_error_rate_of_passwords_by_a_tenth(recorded, recording):
    rows, _ = recorded

    assert rows[recording, GATED].error_rate <= 0.9 * rows[recording, "off"].error_rate


@pytest.mark.recordings
def test_learning_on_raises_the_error_rate_of_no_recording(recorded):
    rows, _ = recorded
    raised = {
        name: rows[name, GATED].error_rate - row.error_rate
        for (name, learning), row in rows.items()
        if learning == "off"
    }

    assert len(raised) == 10
    assert {name: by for name, by in raised.items() if by > 0.003} == {}


@pytest.mark.recordings
def test_false_alarms_stay_near_the_budget_while_learning_on(recorded):
    rows, _ = recorded

    assert rows["cmu_200", GATED].false_alarms == pytest.approx(0.01, rel=0.25)


@pytest.mark.recordings
def test_an_impostor_who_types_on_teaches_the_model_little(recorded):
    _, attacked = recorded

    assert attacked[GATED].beyond <= 0.05
    assert attacked[GATED].beyond < attacked["all"].beyond
