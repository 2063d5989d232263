"""Pages of uploaded and triage models: what they show, and to whom they offer what."""

from pathlib import Path
from typing import Any

import pytest
import skops.io

from console.auth import users
from console.lab.registry.storing import IN_USE, add_row
from console.store.database import Database
from tests.unit.console.records import NOON, anomaly, label, model
from tests.unit.console.test_console_api import PASSWORD, client_of, fill, made
from tests.unit.console.test_lab_api import fitted, upload
from tests.unit.console.test_pages_jobs import figures_of
from tests.unit.console.test_pages_views import get, signed_in, text_of

HOSTILE = '"><b>mine</b>'
FIGURES: dict[str, Any] = {
    "scores": {"recall": 0.9},
    "found_first": [{"looked_at": 10, "true_by_triage": 9, "true_by_p_value": 4}],
    "roc_curve": {"fpr": [0.0, 1.0], "tpr": [0.0, 1.0], "auc": 0.5, "auc_interval": [0.4, 0.6]},
    "confusion_matrix": [[50, 2], [3, 45]],
    "feature_importance": {"features": ["p_value"], "scores": [0.3], "deviations": [0.1]},
}


def ranking(database: Database, **more: Any) -> str:
    """A triage model, as a job registers it; its file is gone."""
    row = {"id": "rank-1", "name": HOSTILE, "family": "triage", "kind": None, "stage": "none"}
    row |= {"algorithm": "logistic_regression", "path": "models/gone.skops", "sha256": "0"}
    row |= {"features": ["p_value"], "figures": FIGURES, "trained_on": [], "by": "local"}
    add_row(database, row | {"created_at": NOON} | more)
    return str(row["id"])


def test_an_upload_is_listed_and_drawn(database: Database, tmp_path: Path):
    client = client_of(made(database, data_dir=str(tmp_path)))
    told = upload(
        client, skops.io.dumps(fitted()), "m.skops", path="/api/v1/models", name=HOSTILE
    ).json()

    listed = get(client, "/ui/models?family=imported")
    one = get(client, f"/ui/models/{told['id']}")

    assert "&lt;b&gt;mine" in listed
    assert "<b>mine" not in listed + one
    assert "IsolationForest any none 2" in text_of(listed)
    assert figures_of(one).keys() == {"graph"}
    assert "trained elsewhere" in one
    assert 'value="in_use"' not in one, "only a triage model ranks alerts"


def test_a_triage_model_is_shown_with_its_charts_though_its_file_is_gone(database: Database):
    model_id = ranking(database, flagged_at=NOON)
    client = client_of(made(database))

    listed = text_of(get(client, "/ui/models?family=triage"))
    one = get(client, f"/ui/models/{model_id}")

    assert "trained on what was forgotten logistic_regression" in listed
    assert figures_of(one).keys() == {"roc", "confusion", "importance"}
    assert "scores.recall 0.9" in text_of(one)
    assert "roc_curve.fpr" not in one
    assert "Looked at By triage By p-value 10 9 4" in text_of(one)
    assert 'value="in_use"' in one


def test_a_model_that_ranks_alerts_offers_no_deletion_in_the_list(database: Database):
    ranking(database, stage=IN_USE)

    told = get(client_of(made(database)), "/ui/models?family=triage")

    assert "in use" in text_of(told)
    assert "data-delete" not in told


def test_charts_of_a_detector_are_made_if_they_are_asked_for(database: Database):
    console = made(database)
    fill(
        console,
        model(0, "a"),
        anomaly(0, "a"),
        label(0, "telemetry.features-0-0", "anomaly", "a"),
    )
    client = client_of(console)

    plain = get(client, "/ui/models/features%3Aa")
    drawn = get(client, "/ui/models/features%3Aa?charts=true")

    assert figures_of(plain) == {}
    assert "/ui/models/features%3Aa?charts=true" in plain
    assert {"confusion", "graph"} <= figures_of(drawn).keys()


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_who_may_not_write_models_is_offered_nothing(sqlite: Database, role: str):
    users.add(sqlite, users.NewUser("ada@example.org", PASSWORD, role))
    model_id = ranking(sqlite)
    client = signed_in(sqlite, "ada@example.org")
    pages = ("models?family=triage", f"models/{model_id}")

    offered = ["data-delete" in get(client, f"/ui/{path}") for path in pages]
    offered.append("upload-model" in get(client, "/ui/models?family=imported"))

    assert offered == [role == "operator"] * 3
