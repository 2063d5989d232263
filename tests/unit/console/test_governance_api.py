"""Reports over HTTP: the rows S4-49 to S4-114 that the endpoints serve, on both databases.

S4-49, S4-51–S4-60, S4-70–S4-82, S4-102, S4-106–S4-108: ``test_a_bias_analysis_…`` (three of them);
S4-61: ``test_examples_…``; S4-62–S4-64: ``test_an_explanation_…``; S4-65, S4-66, S4-89–S4-94,
S4-113: ``test_a_compliance_…``; S4-67–S4-69, S4-95–S4-101, S4-114: ``test_monitoring_…``,
``test_a_standing_monitor_…``; S4-103, S4-104, S4-109, S4-110, S4-112: ``test_unknown_…``,
``test_another_organisation_…``, ``test_reports_are_listed_…``, ``test_a_report_is_deleted_…``;
S4-105, S4-111: ``test_a_report_that_cannot_be_made_…``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import insert, select

from console.governance import monitors, reports
from console.governance.metrics import Reported
from console.services import Services
from console.store import tables as t
from console.store.database import Database
from console.store.erasure import erase
from models.artifacts import Model, pack, write_artifact
from models.detectors.blend import Blend
from tests.unit.console.fleets import (
    DAY_MS,
    FLEET,
    TODAY,
    fill_days,
    give_attributes,
    label,
    version_of,
)
from tests.unit.console.test_console_api import client_of, made, signed_in

BIAS = {
    "model_id": FLEET,
    "dataset_id": "verdicts:30d",
    "protected_attributes": ["site", "device"],
    "target_column": "label",
    "bootstrap_samples": 200,
}


def finish(console: Services) -> None:
    """Make what waits, as the worker does."""
    for report_id in reports.queued(console):
        reports.make_report(console, report_id)
        monitors.settle(console, report_id)


def asked(client: Any, console: Services, body: dict[str, Any], **headers: Any) -> dict[str, Any]:
    """A bias analysis that is made."""
    told = client.post("/api/v1/analysis/bias", json=body, **headers)
    assert told.status_code == 202, told.text
    finish(console)
    answer = client.get(told.headers["Location"], **headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


@pytest.fixture
def console(database: Database, monkeypatch: pytest.MonkeyPatch) -> Services:
    for module in ("reports", "monitors"):
        monkeypatch.setattr(f"console.governance.{module}.now_ms", lambda: TODAY + 1)
    return made(database)


def test_a_bias_analysis_is_queued_at_once_in_the_documents_shape(console: Services):
    fill_days(console.database, {"Graz": 1, "Wien": 1})

    told = client_of(console).post("/api/v1/analysis/bias", json=BIAS)

    body = told.json()
    assert told.status_code == 202
    assert told.headers["Location"] == f"/api/v1/analysis/bias/{body['analysis_id']}"
    assert (body["status"], body["overall_bias_score"], body["compliance_score"]) == (
        "queued",
        0.0,
        0.0,
    )
    for name in ("demographic_parity", "equalized_odds"):
        held = body[name]
        assert (held["value"], held["threshold"], held["status"]) == (0.0, 0.1, "pending")
    assert (body["group_metrics"], body["recommendations"]) == ([], [])
    assert body["risk_assessment"] == {}
    assert body["completed_at"] is None
    parameters = body["analysis_metadata"]["request_parameters"]
    assert parameters["bootstrap_samples"] == 200
    assert parameters["confidence_level"] == 0.95
    assert parameters["enable_intersectional_analysis"] is True


def test_a_bias_analysis_finds_the_group_that_is_alarmed_more(console: Services):
    fill_days(console.database, {"Graz": 1, "Wien": 3})
    give_attributes(console.database, device=True)

    body = asked(client_of(console), console, BIAS)

    assert body["status"] == "completed", body
    assert body["alert_rate_ratio"]["status"] == "fail"
    assert body["alert_rate_ratio"]["value"] == pytest.approx(2 / 3, abs=0.05)
    assert body["alert_rate_ratio"]["attribute"] == "site"
    assert body["alert_rate_ratio"]["p_value"] < 0.05
    assert body["demographic_parity"]["status"] == "pass"
    lower, upper = body["demographic_parity"]["confidence_interval"].values()
    assert lower - 1e-9 <= body["demographic_parity"]["value"] <= upper + 1e-9
    assert body["overall_bias_score"] == pytest.approx(body["alert_rate_ratio"]["value"])
    assert 0 <= body["compliance_score"] <= 100
    assert body["risk_assessment"]["overall_risk"] == "high"
    assert "threshold_violations" in body["risk_assessment"]["risk_factors"]
    assert body["risk_assessment"]["mitigation_urgency"] == "high"
    groups = {each["group_name"]: each for each in body["group_metrics"]}
    assert groups["site=Wien"]["group_size"] == 20
    assert groups["site=Wien"]["comparison_metrics"]["demographic_parity_diff"] > 0
    assert groups["site=Wien"]["comparison_metrics"]["alert_rate_ratio"] == pytest.approx(3, 0.1)
    assert {"type", "priority", "description", "implementation"} <= set(body["recommendations"][0])
    cells = body["intersectional_analysis"]["cells"]
    assert {tuple(cell["cell"]) for cell in cells} == {("site", "device")}
    assert body["analysis_metadata"]["code_version"]
    assert body["analysis_metadata"]["seed"] == 0
    assert body["completed_at"] is not None


def test_a_bias_analysis_by_labels_weighs_them_by_their_chance(console: Services):
    fill_days(console.database, {"Graz": 1, "Wien": 1})
    for number in range(24):
        for site in ("Graz", "Wien"):
            missed = site == "Wien" and number < 12
            label(console.database, site, number, anomaly=not missed, abnormal=True, weight=1.0)
            label(console.database, site, 100 + number, anomaly=False, abnormal=False, weight=20.0)

    body = asked(client_of(console), console, BIAS | {"analysis_type": "equalized_odds"})

    groups = {each["group_name"]: each["metrics"] for each in body["group_metrics"]}
    assert groups["site=Graz"]["recall"] == 1.0
    assert groups["site=Wien"]["recall"] == 0.5
    assert groups["site=Wien"]["f1"] == pytest.approx(2 / 3)
    assert body["equalized_odds"]["value"] == pytest.approx(0.5)
    assert body["equal_opportunity"]["status"] in ("warning", "fail")
    assert body["demographic_parity"]["status"] == "not_applicable"


@pytest.mark.parametrize(
    "wrong",
    [
        {"analysis_type": "other"},
        {"confidence_level": 0.999},
        {"bootstrap_samples": 99},
        {"dataset_id": "verdicts:30x"},
        {"protected_attributes": []},
        {"thresholds": {"demographic_parity": 2}},
    ],
)
def test_a_request_outside_its_ranges_is_refused(console: Services, wrong: dict[str, Any]):
    told = client_of(console).post("/api/v1/analysis/bias", json=BIAS | wrong)

    assert (told.status_code, told.json()["type"]) == (422, "/problems/invalid_request")


def test_unknown_models_and_analyses_are_not_found(console: Services):
    client = client_of(console)
    paths = ("analysis/bias", "explanation", "compliance", "monitoring")
    model = client.post("/api/v1/analysis/bias", json=BIAS | {"model_id": "features:nobody"})

    assert (model.status_code, model.json()["type"]) == (404, "/problems/not_found")
    for path in paths:
        assert client.get(f"/api/v1/{path}/nothing").status_code == 404
        assert client.delete(f"/api/v1/{path}/nothing").status_code == 404
        assert client.get(f"/api/v1/{path}/model/{FLEET}").json() == []


def test_a_report_that_cannot_be_made_says_why_in_a_sentence(console: Services):
    fill_days(console.database, {"Graz": 1, "Wien": 1})

    body = asked(client_of(console), console, BIAS | {"prediction_column": "speed>3"})

    assert body["status"] == "failed"
    assert "prediction_column: expected anomaly" in body["error"]
    with console.database.read() as connection:
        actions = connection.execute(select(t.audit_log.c.action)).scalars().all()
    assert "bias.create" in actions


def test_without_data_there_is_no_score(console: Services):
    body = asked(client_of(console), console, BIAS)

    assert body["status"] == "insufficient_data"
    assert body["overall_bias_score"] is None
    assert body["compliance_score"] is None


def test_severity_and_the_fixed_rule_can_be_the_prediction(console: Services):
    fill_days(console.database, {"Graz": 1, "Wien": 1}, rule={"Graz": 2, "Wien": 30})
    client = client_of(console)

    by_rule = asked(client, console, BIAS | {"prediction_column": "rule_severity>=low"})
    grave = asked(client, console, BIAS | {"prediction_column": "severity>=high"})

    assert by_rule["alert_rate_ratio"]["status"] == "fail"
    assert grave["alert_rate_ratio"]["value"] == 0.0
    assert "fixed_rule_gap" in grave["risk_assessment"]["risk_factors"]
    told = [each["implementation"] for each in grave["recommendations"]]
    assert any("rule_severity" in each for each in told)


def test_reports_are_listed_by_model_and_status_in_pages(console: Services):
    client = client_of(console)
    ids = [client.post("/api/v1/analysis/bias", json=BIAS).json()["analysis_id"] for _ in range(3)]
    url = f"/api/v1/analysis/bias/model/{FLEET}"

    whole = [each["analysis_id"] for each in client.get(url).json()]
    pages = [client.get(f"{url}?limit=1&offset={n}").json()[0]["analysis_id"] for n in range(3)]

    assert sorted(whole) == sorted(ids)
    assert pages == whole
    assert len(client.get(f"{url}?status=queued").json()) == 3
    assert client.get(f"{url}?status=completed").json() == []
    assert client.get(f"{url}?limit=201").status_code == 422


def test_a_report_is_deleted_by_who_may_create_it(database: Database):
    with signed_in(database, "analyst") as (console, client, headers):
        made_by = client.post("/api/v1/analysis/bias", json=BIAS, headers=headers)
        url = made_by.headers["Location"]
        told = client.delete(url, headers=headers)
        gone = client.get(url, headers=headers)

    assert told.json() == {"message": "Analysis deleted successfully"}
    assert gone.status_code == 404
    with console.database.read() as connection:
        rows = connection.execute(
            select(t.audit_log.c.action, t.audit_log.c.subject, t.audit_log.c.request_id)
        ).all()
    assert {row.action for row in rows} >= {"bias.create", "bias.delete"}
    assert all(row.request_id for row in rows if row.action.startswith("bias"))


@pytest.mark.parametrize(
    ("role", "codes"),
    [
        ("viewer", (403, 422, 403, 422, 403)),
        ("analyst", (422, 422, 403, 422, 422)),
        ("auditor", (403, 422, 422, 422, 403)),
        ("admin", (422, 422, 422, 422, 422)),
    ],
)
def test_each_role_may_what_its_permissions_say(
    sqlite: Database, role: str, codes: tuple[int, ...]
):
    paths = ("analysis/bias", "explanation", "compliance", "monitoring", "monitoring/monitors")
    with signed_in(sqlite, role) as (_, client, headers):
        told = [client.post(f"/api/v1/{path}", json={}, headers=headers) for path in paths]

    assert tuple(answer.status_code for answer in told) == codes
    assert all("permission" in a.json()["detail"] for a in told if a.status_code == 403)


def test_another_organisation_sees_neither_model_nor_report(database: Database):
    with organisation(database) as (console, client, admin, mill):
        fill_days(console.database, {"Graz": 1, "Wien": 3})
        fleet = client.post("/api/v1/analysis/bias", json=BIAS, headers=admin)
        finish(console)
        url = fleet.headers["Location"]
        foreign = BIAS | {"model_id": "features:Graz-0"}

        assert client.get(url, headers=mill).status_code == 403
        assert client.delete(url, headers=mill).status_code == 403
        assert client.post("/api/v1/analysis/bias", json=foreign, headers=mill).status_code == 403
        assert client.get(f"/api/v1/analysis/bias/model/{FLEET}", headers=mill).json() == []
        own = asked(client, console, BIAS, headers=mill)
        assert own["analysis_metadata"]["units"] == 0
        seen = client.get(f"/api/v1/analysis/bias/model/{FLEET}", headers=admin).json()
        assert len(seen) == 2


@contextmanager
def organisation(database: Database) -> Iterator[Any]:
    """An admin, and an analyst of an organisation that has profiles of its own."""
    from console.auth import users
    from tests.unit.console.test_console_api import PASSWORD, bearer

    with signed_in(database, "admin") as (console, client, admin):
        body = {"name": "Mill", "profile_prefix": "mill-"}
        own = client.post("/api/v1/organizations", json=body, headers=admin).json()["id"]
        users.add(database, users.NewUser("eve@mill.org", PASSWORD, "analyst", own))
        yield console, client, admin, bearer(client, "eve@mill.org")


def test_a_compliance_assessment_shows_its_evidence_and_never_helps_itself(console: Services):
    fill_days(console.database, {"Graz": 1, "Wien": 1})
    client = client_of(console)
    asked(client, console, BIAS)
    body = {"model_id": FLEET, "framework": "eu_ai_act"}

    told = client.post("/api/v1/compliance", json=body, headers={"Prefer": "respond-async"})
    finish(console)
    found = client.get(told.headers["Location"]).json()

    assert told.status_code == 202
    assert found["status"] == "completed", found
    controls = {each["id"]: each for each in found["controls"]}
    assert len(controls) == 24
    assert controls["B1"]["status"] == "pass"
    assert controls["B3"]["status"] == "pass", controls["B3"]
    assert controls["T3"]["status"] == "unknown"
    assert controls["P5"]["status"] == "fail"
    assert controls["B2"]["references"] == ["Article 10"]
    assert found["compliance_status"] == "non_compliant"
    assert "not legal advice" in found["notice"]
    assert {"bias_score", "transparency_score", "robustness_score", "privacy_score"} <= set(found)
    failing = {c["id"] for c in found["controls"] if c["status"] != "pass"}
    assert {each["type"] for each in found["recommendations"]} == failing


def test_a_compliance_scope_leaves_the_other_scores_out(console: Services):
    client = client_of(console)
    body = {"model_id": FLEET, "assessment_scope": ["privacy"]}

    told = client.post("/api/v1/compliance", json=body, headers={"Prefer": "wait=0"})
    finish(console)
    found = client.get(told.headers["Location"]).json()

    assert {each["category"] for each in found["controls"]} == {"privacy"}
    assert found["bias_score"] is None
    assert found["overall_score"] == found["privacy_score"]


@pytest.mark.parametrize("kind", ["drift", "performance", "bias", "data_quality"])
def test_monitoring_of_like_periods_is_quiet(console: Services, kind: str):
    fill_days(console.database, {"Graz": 1, "Wien": 1}, features=True)

    found = watched(console, kind)

    assert found["status"] == "completed", found
    assert (found["drift_detected"], found["alerts"]) == (False, [])
    assert found["drift_threshold"] == 0.05
    assert found["monitoring_type"] == kind
    assert found["metrics"]["current"]["from"] < found["metrics"]["current"]["until"]


@pytest.mark.parametrize(
    ("kind", "name", "changed"),
    [
        ("drift", "a", {"shift": True}),
        ("performance", "off_budget", {"alarms": 20}),
        ("bias", "alert_rate_ratio by site", {"alarms_of": {"Wien": 5}}),
        ("data_quality", "missing", {"missing": 30}),
    ],
)
def test_monitoring_finds_what_has_changed(
    console: Services, kind: str, name: str, changed: dict[str, Any]
):
    fill_days(console.database, {"Graz": 1, "Wien": 1}, features=True, current=changed)
    model = "features:Wien-0" if kind == "drift" else FLEET

    found = watched(console, kind, model)

    assert found["drift_detected"] is True, found
    assert found["drift_score"] > found["drift_threshold"]
    (alert,) = found["alerts"]
    assert (alert.get("feature") or alert.get("rate")) == name
    assert {"reference", "current", "score", "threshold", "since"} <= set(alert)
    assert all(isinstance(each, str) for each in found["recommendations"])
    assert found["recommendations"]


def watched(console: Services, kind: str, model: str = FLEET) -> dict[str, Any]:
    body = {"model_id": model, "monitoring_type": kind}
    client = client_of(console)
    told = client.post("/api/v1/monitoring", json=body, headers={"Prefer": "respond-async"})
    assert told.status_code == 202, told.text
    finish(console)
    return dict(client.get(told.headers["Location"]).json())


def test_too_few_samples_are_no_judgement(console: Services):
    found = watched(console, "performance")

    assert (found["status"], found["drift_score"]) == ("insufficient_data", None)
    assert found["drift_detected"] is False


def test_a_standing_monitor_raises_an_alert_once_and_clears_it(
    console: Services, monkeypatch: pytest.MonkeyPatch
):
    fill_days(console.database, {"Graz": 1, "Wien": 1}, features=True, current={"missing": 30})
    client = client_of(console)
    body = {"model_id": FLEET, "monitoring_type": "data_quality", "every": "hourly"}
    monitor = client.post("/api/v1/monitoring/monitors", json=body)
    assert monitor.status_code == 201, monitor.text

    def run(hours: float) -> list[dict[str, Any]]:
        monkeypatch.setattr(
            "console.governance.monitors.now_ms", lambda: TODAY + int(hours * 3_600_000)
        )
        monitors.run_due(console)
        finish(console)
        return list(client.get("/api/v1/monitoring/alerts").json()["items"])

    first, again, later = run(1), run(1.5), run(2.1)
    registry = CollectorRegistry()
    Reported(console, registry)
    gauge = registry.get_sample_value("telltale_console_monitor_alerts", {"type": "data_quality"})
    with console.database.write() as connection:
        connection.execute(t.feature_days.update().values(missing=0))
    cleared = run(4)

    assert [each["name"] for each in first] == ["missing"]
    assert first[0]["score"] > first[0]["threshold"]
    assert again == first
    assert [each["id"] for each in later] == [first[0]["id"]]
    assert gauge == 1
    assert cleared[0]["cleared_at"] is not None
    assert client.get("/api/v1/monitoring/alerts?open=true").json() == {"items": []}
    url = f"/api/v1/monitoring/monitors/{monitor.json()['monitor_id']}"
    made_reports = client.get(f"/api/v1/monitoring/model/{FLEET}").json()
    assert len(made_reports) == 3
    assert client.delete(url).status_code == 200
    assert client.get(url).status_code == 404


@pytest.mark.parametrize("kind", ["bias", "compliance", "monitoring"])
def test_a_report_is_a_page_that_prints_without_scripts(console: Services, kind: str):
    hostile = "<script>alert(1)</script>"
    fill_days(console.database, {"Graz": 1, hostile: 3})
    path = "analysis/bias" if kind == "bias" else kind
    body = BIAS if kind == "bias" else {"model_id": FLEET, "monitoring_type": "bias"}
    client = client_of(console)
    told = client.post(f"/api/v1/{path}", json=body, headers={"Prefer": "wait=0"})
    finish(console)

    page = client.get(told.headers["Location"], headers={"Accept": "text/html"})

    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<script" not in page.text
    assert "@page" in page.text


def test_a_report_whose_maker_died_is_taken_up_by_the_next(console: Services):
    fill_days(console.database, {"Graz": 1, "Wien": 1})
    client = client_of(console)
    url = client.post("/api/v1/analysis/bias", json=BIAS).headers["Location"]
    with console.database.write() as connection:
        connection.execute(t.reports.update().values(status="running", lease_until=TODAY + 1000))

    finish(console)
    waits = client.get(url).json()["status"]
    with console.database.write() as connection:
        connection.execute(t.reports.update().values(lease_until=TODAY - 1000))
    finish(console)

    assert (waits, client.get(url).json()["status"]) == ("running", "completed")


def test_forgetting_a_profile_takes_its_reports_and_leaves_those_of_groups(console: Services):
    row = dict.fromkeys(t.reports.columns.keys())
    row |= {"status": "completed", "request": {}, "by": "u", "profile_prefix": "", "created_at": 1}
    about = {"type": "explanation", "kind": "features", "profile_id": "p", "model_id": "features:p"}
    fleet = {"type": "bias", "kind": None, "profile_id": None, "model_id": FLEET}
    with console.database.write() as connection:
        connection.execute(
            insert(t.reports), [row | about | {"id": "one"}, row | fleet | {"id": "two"}]
        )
        erased = erase(console.database, connection, b"key", ("features", 0, "p"), TODAY)
        left = connection.execute(select(t.reports.c.id)).scalars().all()

    assert erased.rows["reports"] == 1
    assert left == ["two"]


def test_examples_stand_in_the_openapi_document(sqlite: Database):
    schemas = client_of(made(sqlite)).get("/openapi.json").json()["components"]["schemas"]

    for name in (
        "BiasAnalysisRequest",
        "ExplanationRequest",
        "ComplianceRequest",
        "MonitoringRequest",
    ):
        assert schemas[name]["examples"], name


def test_days_are_those_of_the_calendar():
    assert TODAY % DAY_MS == 0


def test_an_uploaded_table_is_analysed_row_by_row(console: Services, tmp_path: Path):
    rows = [f"{'a' if n % 2 else 'b'},{int(n % 4 == 0)},{int(n % 8 == 0)}" for n in range(160)]
    table = "gender,approved,predicted\n" + "\n".join(rows)
    object.__setattr__(console.settings, "data_dir", str(tmp_path))
    client = client_of(console)
    upload = client.post(
        "/api/v1/datasets", files={"file": ("t.csv", table.encode())}, data={"target": "approved"}
    )
    assert upload.status_code == 201, upload.text
    body = {
        "model_id": FLEET,
        "dataset_id": upload.json()["id"],
        "protected_attributes": ["gender"],
        "target_column": "approved",
        "prediction_column": "predicted",
        "bootstrap_samples": 100,
    }

    found = asked(client, console, body)
    wrong = asked(client, console, body | {"protected_attributes": ["race"]})
    none = client.post("/api/v1/analysis/bias", json=body | {"dataset_id": "nothing"})

    assert found["demographic_parity"]["value"] == pytest.approx(0.25)
    assert found["analysis_metadata"]["units"] == 160
    groups = {each["group_name"]: each["metrics"] for each in found["group_metrics"]}
    assert groups["gender=b"]["recall"] == pytest.approx(0.5)
    assert "race" in wrong["error"]
    assert none.status_code == 404


def test_an_explanation_of_given_data_is_answered_at_once_and_kept(
    console: Services, tmp_path: Path
):
    samples = np.random.default_rng(0).normal(size=(200, 3))
    model = Model(Blend().fit(samples), ("a", "b", "c"), samples.astype(np.float32), {})
    artefact = pack(model, kind="features", profile_id="p", partition=0, generation=0)
    write_artifact(tmp_path, artefact)
    row = version_of("p") | {"artifact": artefact.path, "sha256": artefact.sha256}
    with console.database.write() as connection:
        connection.execute(insert(t.model_versions).values(row))
    object.__setattr__(console.kafka, "model_dir", str(tmp_path))
    client = client_of(console)
    body = {"model_id": "features:p", "instance_data": {"a": 9.0, "b": 0.0, "c": None}}

    told = {
        kind: client.post("/api/v1/explanation", json=body | {"explanation_type": kind})
        for kind in ("shap", "lime", "contributions")
    }
    (tmp_path / artefact.path).unlink()
    gone = client.post("/api/v1/explanation", json=body | {"explanation_type": "shap"})

    for kind, answer in told.items():
        assert answer.status_code == 200, answer.text
        assert list(answer.json()["feature_importance"][0]) == ["a"], kind
        kept = client.get(f"/api/v1/explanation/{answer.json()['explanation_id']}")
        assert kept.json() == answer.json()
    values = told["shap"].json()["shap_values"]
    assert values["values"]["c"] == 0.0
    assert sum(values["values"].values()) == pytest.approx(
        values["value"] - values["base_value"], abs=1e-9
    )
    assert "r2" in told["lime"].json()["lime_explanation"]
    assert (gone.status_code, gone.json()["type"]) == (410, "/problems/gone")
    assert len(client.get("/api/v1/explanation/model/features:p").json()) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"explanation_type": "other"},
        {"explanation_type": "shap"},
        {"explanation_type": "shap", "instance_data": {"a": "x"}},
        {"explanation_type": "shap", "instance_data": {"a": 1}, "num_features": 51},
    ],
)
def test_an_explanation_that_is_not_asked_for_properly_is_refused(
    console: Services, wrong: dict[str, Any]
):
    told = client_of(console).post("/api/v1/explanation", json={"model_id": FLEET} | wrong)

    assert (told.status_code, told.json()["type"]) == (422, "/problems/invalid_request")
