"""The pages of jobs, whatever state a job is in and whatever its results hold."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from console.jobs import queue
from console.jobs.queue import End, Owner
from console.jobs.results import Results
from console.store.database import Database
from tests.unit.console.test_console_api import client_of, made
from tests.unit.console.test_pages_views import get, text_of


def figures_of(page: str) -> dict[str, Any]:
    """The figures of a page, by their ids."""
    found = re.findall(r'id="([\w-]+)" data-figure.*?<script[^>]*>(.*?)</script>', page, re.DOTALL)
    return {name: json.loads(text) for name, text in found}


def ended(database: Database, results: Path, result: dict[str, Any] | None, **end: Any) -> str:
    """A training of two epochs that has come to its end."""
    job_id = queue.submit(database, "triage", {"algorithm": "logistic_regression"}, Owner("local"))
    queue.take(database, "w")
    for epoch in (1, 2):
        queue.report(database, job_id, "w", {"epoch": epoch, "loss": 1 / epoch}, {"epochs": 2}, 0.5)
    path = None if result is None else Results(str(results)).write(job_id, 1, result)
    queue.finish(database, job_id, "w", End(end.pop("state", "succeeded"), end.get("error"), path))
    return job_id


def test_a_job_that_has_not_begun_is_shown_with_an_empty_history(database: Database):
    job_id = queue.submit(database, "triage", {"simulate": True, "epochs": 4}, Owner("local"))

    told = get(client_of(made(database)), f"/ui/jobs/{job_id}")

    assert 'id="stop"' in told
    assert "simulate yes" in text_of(told)
    assert figures_of(told)["history"]["data"] == []


def test_a_job_that_succeeded_is_shown_with_what_its_results_hold(
    database: Database, tmp_path: Path
):
    result = {
        "confusion_matrix": [[50, 2], [3, 45]],
        "roc_curve": {"fpr": [0.0, 1.0], "tpr": [0.0, 1.0], "auc": 0.5, "auc_interval": None},
        "scores": {"recall": 0.9, "precision": None},
        "found_first": [{"looked_at": 10, "true_by_triage": 9, "true_by_p_value": 4}],
    }
    job_id = ended(database, tmp_path, result)
    client = client_of(made(database, results_dir=str(tmp_path)))

    told = get(client, f"/ui/jobs/{job_id}")
    drawn = figures_of(told)

    assert 'id="stop"' not in told
    assert "recall 90" in text_of(told)
    assert "Looked at By triage By p-value 10 9 4" in text_of(told)
    assert drawn.keys() == {"history", "roc", "confusion"}
    assert drawn["history"]["data"][0]["y"] == [1.0, 0.5]
    assert client.get(f"/ui/jobs/{job_id}/figure").json() == drawn["history"]
    assert drawn["roc"]["layout"]["font"]["color"].startswith("var(--chart-")
    assert re.search(r'rel="stylesheet" href="[^"]*/charts\.[^"]*css', told), (
        "what names the colours"
    )


@pytest.mark.parametrize("result", [{}, None], ids=["nothing in them", "no file"])
def test_a_job_that_failed_says_why(database: Database, tmp_path: Path, result: Any):
    error = "labels: expected at least 50, got <b>3</b>"
    job_id = ended(database, tmp_path, result, state="failed", error=error)

    told = get(client_of(made(database, results_dir=str(tmp_path))), f"/ui/jobs/{job_id}")

    assert "labels: expected at least 50, got &lt;b&gt;3&lt;/b&gt;" in told
    assert figures_of(told).keys() == {"history"}


def test_a_job_whose_results_were_deleted_says_so(database: Database, tmp_path: Path):
    job_id = ended(database, tmp_path / "before", {"scores": {"recall": 0.9}})

    told = get(client_of(made(database, results_dir=str(tmp_path / "now"))), f"/ui/jobs/{job_id}")

    assert "the results were deleted" in told


def test_jobs_of_all_types_are_listed(database: Database):
    queue.submit(database, "retrain", {}, Owner("local"))
    queue.submit(database, "triage", {"algorithm": "logistic_regression"}, Owner("local"))

    listed = text_of(get(client_of(made(database)), "/ui/jobs"))

    assert re.search(r"triage logistic_regression queued .* retrain queued", listed)
