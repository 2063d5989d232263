"""The lab on a real broker: a table is sent, replayed, fitted, labelled, retrained and proposed."""

import io
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest

from tests.broker.consoles import Running, start
from tests.broker.harness import Telltale, environment_of

LEARNT = 100
ROWS = 140
PROFILES = ("web-1", "web-2", "web-3")
FEATURES = ["cpu", "memory"]
BUDGET = "0.01"
SETTINGS = {"TELLTALE_DETECTOR": "gaussian", "TELLTALE_ALERT_BUDGET": BUDGET}


def is_bad(row: int) -> bool:
    return row > LEARNT and row % 8 == 7


def table() -> str:
    """Rows of three profiles; a few of those after the learning are abnormal, and labelled."""
    rng = random.Random(0)
    lines = ["profile_id,cpu,memory,label"]
    for row in range(ROWS):
        for name in PROFILES:
            cpu = 400.0 if is_bad(row) else rng.gauss(40, 4)
            said = "bad" if is_bad(row) else "good"
            lines.append(f"{name},{cpu:.3f},{rng.gauss(60, 5):.3f},{said}")
    return "\n".join(lines) + "\n"


@dataclass
class Lab:
    """One application for all tests of this module, its table uploaded and sent."""

    telltale: Telltale
    console: Running
    dataset: str
    sent: dict[str, Any]

    def job(self, **wanted: Any) -> dict[str, Any]:
        """The results of a job, once it has ended, with its frames."""
        told = self.console.http.post("/api/v1/jobs", json=wanted)
        assert told.status_code == 202, told.text
        return ended(self.telltale, self.console, told.json()["id"])


def ended(telltale: Telltale, console: Running, job_id: str) -> dict[str, Any]:
    def over() -> bool:
        state = console.json(f"/api/v1/jobs/{job_id}")["state"]
        return state not in ("queued", "running")

    telltale.wait_until(over, "the job has ended")
    results: dict[str, Any] = console.json(f"/api/v1/jobs/{job_id}/results")
    return results


@pytest.fixture(scope="module")
def lab(bootstrap: str) -> Iterator[Lab]:
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        (directory / "logs").mkdir()
        environment = environment_of(bootstrap, directory)
        environment["TELLTALE_RESULTS_DIR"] = str(directory / "results")
        telltale = Telltale(environment | SETTINGS, directory / "logs")
        try:
            telltale.create_topics(2)
            learning = {"TELLTALE_COLD_START_SAMPLES": str(LEARNT)}
            telltale.start("run", "--slot", "0", **learning)
            store = f"sqlite:///{directory}/console.db"
            console = start(telltale, store, TELLTALE_CONSOLE_SAMPLE="1")
            files = {"file": ("t.csv", table())}
            texts = {"kind": "features", "target": "label"}
            told = console.http.post("/api/v1/datasets", files=files, data=texts)
            assert told.status_code == 201, told.text
            dataset = told.json()["id"]
            asked = console.http.post(f"/api/v1/datasets/{dataset}/send")
            assert asked.status_code == 202, asked.text
            sent = ended(telltale, console, asked.json()["id"])

            def projected() -> bool:
                return bool(console.json("/statistics")["total_events"] == ROWS * len(PROFILES))

            telltale.wait_until(projected, "every row has its verdict in the console")
            yield Lab(telltale, console, dataset, sent)
        finally:
            telltale.close()


def said_of(verdicts: list[dict[str, Any]]) -> Counter[str]:
    return Counter(
        "anomaly" if v["anomaly"] else "normal" if v["status"] == "scored" else v["status"]
        for v in verdicts
    )


def test_a_table_that_is_sent_gets_a_verdict_for_each_row(lab: Lab):
    verdicts = lab.telltale.values("anomalies")[: ROWS * len(PROFILES)]

    assert (lab.sent["state"], lab.sent["sent"], lab.sent["skipped"]) == ("succeeded", 420, 0)
    assert said_of(verdicts)["learning"] == LEARNT * len(PROFILES)
    alerts = Counter(v["profile_id"] for v in verdicts if v["anomaly"])
    assert all(alerts[name] >= sum(map(is_bad, range(ROWS))) for name in PROFILES)


def test_a_backtest_says_what_the_scorer_said_and_measures_it(lab: Lab):
    result = lab.job(
        type="backtest", dataset_id=lab.dataset, cold_start_samples=LEARNT, detector="gaussian"
    )

    verdicts = lab.telltale.values("anomalies")[: ROWS * len(PROFILES)]
    assert result["state"] == "succeeded", result
    assert result["verdicts"] == said_of(verdicts)
    assert (result["profiles"], result["dead_letters"]) == (3, {})
    assert result["labels"] == (ROWS - LEARNT) * len(PROFILES)
    assert result["roc_curve"]["auc"] > 0.99
    (_, _), (missed, found) = result["confusion_matrix"]
    assert (missed, found) == (0, 3 * sum(map(is_bad, range(ROWS))))
    epochs = result["training_history"]
    assert (epochs["epochs"][-1], len(epochs["epochs"])) == (20, 20)
    assert epochs["train_loss"][-1] == pytest.approx(1 - result["roc_curve"]["auc"])


def test_a_backtest_with_a_detector_that_there_is_not_fails_with_the_reason(lab: Lab):
    result = lab.job(type="backtest", dataset_id=lab.dataset, detector="magic")

    assert result["state"] == "failed"
    assert "magic" in result["error"]


def test_an_evaluation_holds_verdicts_against_the_labels_of_analysts(lab: Lab):
    listed = lab.console.json("/api/v1/verdicts?profile_id=web-3&limit=200")["items"]
    alerts = [v for v in listed if v["anomaly"]][:4]
    normals = [v for v in listed if not v["anomaly"]][:6]
    truth = [("anomaly", v) for v in alerts] + [("normal", v) for v in normals]
    truth[-1] = ("anomaly", normals[-1])
    for name, verdict in truth:
        path = f"/api/v1/verdicts/{verdict['verdict_id']}/label"
        put = lab.console.http.put(path, json={"label": name, "note": "by hand"})
        assert put.status_code == 200, put.text

    def kept() -> bool:
        return len(lab.console.json("/api/v1/labels?limit=200")["items"]) == len(truth)

    lab.telltale.wait_until(kept, "the labels are in the store")
    result = lab.job(type="evaluate", kind="features", profile_id="web-3")
    nobody = lab.job(type="evaluate", kind="features", profile_id="web-1")

    assert (result["state"], result["labels"]) == ("succeeded", 10)
    assert result["confusion_matrix"] == [[5, 0], [1, 4]]
    assert (result["scores"]["precision"], result["scores"]["recall"]) == (1.0, 0.8)
    assert result["training_history"]["epochs"][-1] == 20
    assert (nobody["state"], "labels" in nobody["error"]) == ("failed", True)


def test_a_fit_trains_in_epochs_and_its_model_is_in_the_registry(lab: Lab):
    result = lab.job(type="fit", dataset_id=lab.dataset, epochs=3, contamination=0.05)
    model = lab.console.json(f"/api/v1/models/{result['model_id']}")
    graph = lab.console.json(f"/api/v1/charts/graph/{result['model_id']}")

    assert (result["state"], result["rows"], result["labels"]) == ("succeeded", 420, 84)
    assert result["training_history"]["epochs"] == [1, 2, 3]
    assert result["scores"]["recall"] == 1.0
    assert (model["features"], model["algorithm"]) == (FEATURES, "IsolationForest")
    assert model["name"] == "forest on t.csv"
    assert graph["nodes"]


def test_a_retraining_has_its_receipt_and_the_next_version_or_the_gates_refusal(lab: Lab):
    result = lab.job(type="retrain", kind="features", profile_id="web-1", reason="a new disk")

    def answered() -> bool:
        events = lab.console.json("/api/v1/profiles/features/web-1/events")["items"]
        return any(event["event"] in ("adopted", "refused") for event in events)

    lab.telltale.wait_until(answered, "the retrainer has answered")
    nothing = lab.job(type="retrain", kind="series")

    assert result["state"] == "succeeded", result
    (receipt,) = result["receipts"]
    assert (receipt["profile_id"], receipt["kind"]) == ("web-1", "features")
    assert receipt["event"] != "command_rejected"
    assert (nothing["state"], nothing["requested"]) == ("succeeded", 0)


def upload(lab: Lab, estimator: Any) -> str:
    files = {"file": ("m.skops", io.BytesIO(skops.io.dumps(estimator)))}
    told = lab.console.http.post("/api/v1/models", files=files)
    assert told.status_code == 201, told.text
    return str(told.json()["id"])


def forest_of(cpu: float, memory: float, spread: float = 1.0) -> IsolationForest:
    rng = np.random.default_rng(5)
    rows = rng.normal((cpu, memory), (4 * spread, 5 * spread), size=(400, 2))
    forest = IsolationForest(random_state=0).fit(rows)
    forest.feature_names_in_ = np.array(FEATURES, dtype=object)
    return forest


def test_an_upload_that_passes_the_gate_is_adopted_and_judges(lab: Lab):
    model_id = upload(lab, forest_of(40, 60))
    body = {"kind": "features", "profile_id": "web-2"}

    told = lab.console.post(f"/api/v1/models/{model_id}/propose", body)

    assert told.status_code == 200, told.text
    said = told.json()
    assert next(iter(said)) == "figures"
    assert (said["outcome"], said["gate"]["passed"]) == ("adopted", True), said
    assert said["figures"]["impostors"] == 100
    receipt = said["receipt"]
    assert (receipt["event"], receipt["version"], receipt["role"]) == ("adopted", 2, "scorer")
    assert receipt["figures"] == said["figures"]
    usual = lab.console.post(
        "/api/v1/profiles/features/web-2/records", {"values": {"cpu": 40.0, "memory": 60.0}}
    ).json()
    wrong = lab.console.post(
        "/api/v1/profiles/features/web-2/records", {"values": {"cpu": 400.0, "memory": 300.0}}
    ).json()
    assert [(v["model_version"], v["anomaly"]) for v in (usual, wrong)] == [(2, False), (2, True)]
    assert {reason["feature"] for reason in wrong["reasons"]} <= set(FEATURES)
    assert wrong["reasons"]

    def projected() -> bool:
        return bool(lab.console.json("/api/v1/models/features:web-2")["version"] == 2)

    lab.telltale.wait_until(projected, "version 2 is in force in the console")
    version = lab.console.json("/api/v1/models/features:web-2")
    assert (version["detector"], version["provenance"]["upload"]) == ("forest", model_id)
    assert version["figures"] == said["figures"]


def test_an_upload_of_something_else_is_refused_by_the_gate_with_its_figures(lab: Lab):
    model_id = upload(lab, forest_of(400, 60))
    body = {"kind": "features", "profile_id": "web-3"}

    told = lab.console.post(f"/api/v1/models/{model_id}/propose", body)

    said = told.json()
    assert (told.status_code, said["outcome"]) == (200, "refused by the gate"), said
    assert (said["gate"]["passed"], said["receipt"], said["candidate"]) == (False, None, None)
    assert said["figures"]["blind_features"] == 1
    assert "does not see 'cpu' go astray" in said["gate"]["why"]
    assert "web-3" not in {value["profile_id"] for value in lab.telltale.values("candidates")}
    other = lab.console.post(
        f"/api/v1/models/{upload(lab, KMeans(2, n_init=1).fit(np.eye(2)))}/propose", body
    )
    assert (other.status_code, "KMeans" in other.json()["detail"]) == (422, True)
    audit = lab.console.json("/api/v1/audit?limit=50")["items"]
    outcomes = {e["outcome"] for e in audit if e["action"] == "model.propose"}
    assert "refused by the gate" in outcomes
