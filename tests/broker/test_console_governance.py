"""Explanations, monitors and reports of a running console, over a real broker and scorer.

S4-62–S4-64, S4-83–S4-88 and S4-112 end to end: ``test_a_verdict_is_explained_…``,
``test_what_is_gone_…``;
S4-102, S4-106: ``test_a_bias_report_is_made_by_the_process_itself``.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.broker.consoles import Running, start
from tests.broker.harness import Telltale

COLD = "30"
NAMES = [f"f{n}" for n in range(8)]


def learnt(
    telltale: Telltale, store_url: str, profiles: int = 3, **variables: str
) -> tuple[Running, dict[str, str]]:
    """A console, and of each profile the verdict on a record that is abnormal in `f3`."""
    telltale.create_topics(2)
    own = {"TELLTALE_COLD_START_SAMPLES": COLD}
    telltale.start("score", "--slot", "0", **own)
    console = start(telltale, store_url, **variables)
    rng = np.random.default_rng(0)
    anomalies = {}
    for profile in (f"p{n}" for n in range(profiles)):
        rows = [dict(zip(NAMES, map(float, row), strict=True)) for row in rng.normal(size=(40, 8))]
        odd = rows[-1] | {"f3": 25.0}
        events = [{"kind": "features", "profile_id": profile, "values": v} for v in rows]
        assert console.post("/api/v1/records", {"events": events}).status_code == 200
        told = console.post(f"/api/v1/profiles/features/{profile}/records", {"values": odd})
        anomalies[profile] = told.headers.get("Location", "").rpartition("/")[2] or str(
            told.json()["verdict_id"]
        )
    telltale.wait_until(
        lambda: all(
            console.http.get(f"/api/v1/verdicts/{name}").status_code == 200
            and console.http.get(f"/api/v1/models/features:{profile}").status_code == 200
            for profile, name in anomalies.items()
        ),
        "the store has the verdicts and the models",
    )
    return console, anomalies


def explained(console: Running, kind: str, **body: Any) -> dict[str, Any]:
    told = console.post("/api/v1/explanation", {"explanation_type": kind} | body)
    assert told.status_code == 200, told.text
    return dict(told.json())


def finished(telltale: Telltale, console: Running, url: str) -> dict[str, Any]:
    telltale.wait_until(
        lambda: console.json(url)["status"] not in ("queued", "running"), "the report is made"
    )
    return dict(console.json(url))


def test_a_verdict_is_explained_in_every_way(telltale: Telltale, store_url: str):
    # Normal verdicts become rows, too: the tree of a global explanation learns from both.
    console, anomalies = learnt(telltale, store_url, TELLTALE_CONSOLE_SAMPLE="1")
    model, verdict = "features:p0", anomalies["p0"]

    for kind in ("contributions", "shap", "lime"):
        told = explained(console, kind, model_id=model, instance_id=verdict, num_features=3)
        assert list(told["feature_importance"][0]) == ["f3"], told
        assert len(told["feature_importance"]) == 3
        assert told["metadata"]["model_version"] == 1
        assert told["metadata"]["values"]["f3"] == 25.0
        assert console.json(f"/api/v1/explanation/{told['explanation_id']}") == told
    shap = explained(console, "shap", model_id="fleet:features", instance_id=verdict)
    values = shap["shap_values"]
    assert abs(sum(values["values"].values()) - (values["value"] - values["base_value"])) < 1e-9
    assert -1 <= shap["metadata"]["agreement"] <= 1
    said = explained(console, "contributions", model_id=model, instance_id=verdict)
    reason = console.json(f"/api/v1/verdicts/{verdict}")["reasons"][0]
    assert (reason["feature"], said["feature_importance"][0]["f3"]) == (
        "f3",
        pytest.approx(reason["contribution"]),
    )
    local = explained(console, "lime", model_id=model, instance_id=verdict)["lime_explanation"]
    assert set(local["weights"]) == set(NAMES)
    assert local["r2"] <= 1
    assert (local["trusted"], "warning" in local) == (local["r2"] >= 0.5, local["r2"] < 0.5)
    given = explained(console, "shap", model_id=model, instance_data={"f3": 25.0, "f1": None})
    assert set(given["shap_values"]["values"]) == set(NAMES)
    assert given["shap_values"]["values"]["f1"] == 0.0

    other = console.post(
        "/api/v1/explanation",
        {"model_id": "features:p1", "instance_id": verdict, "explanation_type": "shap"},
    )
    nothing = console.post("/api/v1/explanation", {"model_id": model, "explanation_type": "shap"})
    assert (other.status_code, nothing.status_code) == (422, 422)

    done = {}
    for body in (
        {"model_id": model, "explanation_type": "permutation"},
        {"model_id": "fleet:features", "explanation_type": "global"},
    ):
        kind = body["explanation_type"]
        asked = console.post("/api/v1/explanation", body, Prefer="respond-async")
        assert asked.status_code == 202, asked.text
        done[kind] = finished(telltale, console, asked.headers["Location"])
        assert done[kind]["status"] == "completed", done
        assert list(done[kind]["feature_importance"][0]) == ["f3"]
    shuffled = {each["name"]: each for each in done["permutation"]["features"]}
    assert set(shuffled) == set(NAMES)
    assert shuffled["f3"]["mean"] == max(each["mean"] for each in shuffled.values()) > 0
    assert shuffled["f3"]["deviation"] > 0
    assert done["permutation"]["metadata"]["of"] == "abs_change"
    whole = done["global"]["global_explanations"]
    assert whole["anomalies"] >= len(anomalies)
    assert next(iter(whole["first_reason"])) == "f3"
    tree = whole["surrogate"]
    assert tree["profiles"] == 3, whole["surrogate_note"]
    assert 0.5 <= tree["balanced_accuracy"] <= 1
    assert next(iter(tree["importance"])) == "f3"
    assert "f3" in tree["rules"]
    listed = console.json("/api/v1/explanation/model/features:p0")
    assert len(listed) == 7


def test_what_is_gone_is_said_and_so_is_what_never_was(telltale: Telltale, store_url: str):
    console, anomalies = learnt(telltale, store_url, profiles=1)
    body = {"model_id": "features:p0", "explanation_type": "shap"}
    aged = anomalies["p0"].rpartition("-")[0] + "-999999"

    gone_record = console.post("/api/v1/explanation", body | {"instance_id": aged})
    none = console.post("/api/v1/explanation", body | {"instance_id": "nothing"})
    shutil.rmtree(Path(telltale.variables()["TELLTALE_MODEL_DIR"]))
    gone_model = console.post("/api/v1/explanation", body | {"instance_id": anomalies["p0"]})

    assert (gone_record.status_code, none.status_code) == (410, 404), gone_record.text
    assert "aged out" in gone_record.json()["detail"]
    assert (gone_model.status_code, gone_model.json()["type"]) == (410, "/problems/gone")
    assert "version 1" in gone_model.json()["detail"]
    assert console.json("/api/v1/explanation/model/features:p0") == []


def test_a_bias_report_is_made_by_the_process_itself(telltale: Telltale, store_url: str):
    console, _ = learnt(telltale, store_url, profiles=1)
    body = {
        "model_id": "fleet:features",
        "dataset_id": "verdicts:7d",
        "protected_attributes": ["site"],
    }

    asked = console.post("/api/v1/analysis/bias", body)
    found = finished(telltale, console, asked.headers["Location"])
    command = telltale.run(
        "console",
        "govern",
        "monitor",
        "fleet:features",
        "--type",
        "data_quality",
        "--json",
        "--url",
        str(console.http.base_url),
    )
    local = telltale.run(
        "console", "govern", "comply", "fleet:features", "--json", TELLTALE_DATABASE_URL=store_url
    )

    assert asked.status_code in (200, 202)
    assert found["status"] == "insufficient_data", found
    assert command.returncode in (0, 1), command.stderr
    assert json.loads(command.stdout)["monitoring_type"] == "data_quality"
    assert local.returncode == 0, local.stderr
    controls = {each["id"]: each for each in json.loads(local.stdout)["controls"]}
    assert controls["T1"]["status"] == "pass"
    assert controls["T2"]["status"] == "pass", controls["T2"]
    assert controls["P2"]["status"] in ("pass", "partial", "fail"), controls["P2"]
    # This broker has no authorizer.
    assert controls["P4"]["status"] == "unknown"
    assert "access control lists" in controls["P4"]["evidence"]
