"""Runs in a real MLflow server."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from types import SimpleNamespace

import httpx
import pytest
from sklearn.tree import DecisionTreeClassifier

from console.lab.tracking import client, log_run
from console.store.database import Database
from tests.unit.console.test_console_api import client_of, made
from tests.unit.console.test_lab_triage import context_of

START_SECONDS = 180.0


@pytest.fixture
def mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a server on SQLite."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    command += ["--artifacts-destination", str(tmp_path / "artifacts")]
    with (tmp_path / "mlflow.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = monotonic() + START_SECONDS
        while True:
            assert process.poll() is None, (tmp_path / "mlflow.log").read_text()[-2000:]
            try:
                if httpx.get(f"{url}/health", timeout=2).status_code == 200:
                    break
            except httpx.TransportError:
                assert monotonic() < deadline, (tmp_path / "mlflow.log").read_text()[-2000:]
            sleep(0.2)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        yield url
    finally:
        os.killpg(process.pid, 9)
        process.wait()


@pytest.mark.usefixtures("mlflow")
def test_a_training_is_a_run_with_its_epochs_artefacts_and_registered_model(
    sqlite: Database, tmp_path: Path
):
    context = context_of(sqlite, tmp_path, {"algorithm": "decision_tree", "epochs": 2})
    epochs = [
        SimpleNamespace(number=n, loss=1 / n, accuracy=0.5, val_loss=None, val_accuracy=0.4)
        for n in (1, 2)
    ]
    result = {"scores": {"recall": 0.75, "precision": None}, "roc_curve": {"auc": 0.9}}
    fitted = DecisionTreeClassifier().fit([[0], [1]], [0, 1])

    run_id = log_run(context, "features", result, epochs, fitted)

    assert run_id is not None
    told = client()
    run = told.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["algorithm"] == "decision_tree"
    assert (run.data.metrics["recall"], run.data.metrics["auc"]) == (0.75, 0.9)
    assert [each.value for each in told.get_metric_history(run_id, "loss")] == [1.0, 0.5]
    assert {each.path for each in told.list_artifacts(run_id)} == {"result.json", "model"}
    (version,) = told.search_model_versions("name = 'telltale-triage-features'")
    assert version.run_id == run_id
    (item,) = client_of(made(sqlite)).get("/mlflow/runs").json()["items"]
    assert (item["source"], item["run_id"], item["experiment"]) == (
        "mlflow",
        run_id,
        "telltale/features",
    )


def test_a_server_that_is_away_does_not_fail_a_job(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    assert log_run(context_of(sqlite, tmp_path, {}), "features", {}, []) is None
    assert client_of(made(sqlite)).get("/mlflow/runs").status_code == 503
