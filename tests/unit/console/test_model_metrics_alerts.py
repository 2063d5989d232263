"""Figures of models, and alerts that are open."""

from typing import Any

import pytest

from console.auth import users
from console.live.state import now_ms
from console.store.database import Database
from tests.unit.console.records import anomaly, label
from tests.unit.console.test_console_api import bearer, client_of, fill, made, signed_in

FIGURES = {"accuracy": 0.95, "precision": 0.92, "recall": 0.94, "f1_score": 0.93}


def test_figures_of_a_model_are_kept_and_listed_the_newest_first(database: Database):
    client = client_of(made(database))

    first = client.post("/metrics/model", json=FIGURES)
    second = client.post(
        "/api/v1/model-metrics", json={"model_id": "features:p@2", "auc": 0.5, "note": "by hand"}
    )

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json().items() >= FIGURES.items()
    assert first.json()["run_id"] != second.json()["run_id"]
    assert client.get("/api/v1/model-metrics").json()["items"] == [second.json(), first.json()]
    assert client.get("/dashboard").json()["model_metrics"] == [second.json(), first.json()]
    own = client.get("/api/v1/model-metrics", params={"model_id": "features:p@2"}).json()["items"]
    assert [each["auc"] for each in own] == [0.5]


def test_a_list_of_figures_goes_on_at_its_cursor(database: Database):
    client = client_of(made(database))
    ids = [client.post("/metrics/model", json=FIGURES).json()["id"] for _ in range(3)]

    page = client.get("/api/v1/model-metrics", params={"limit": 2})
    rest = client.get(page.links["next"]["url"])

    told = [each["id"] for each in (*page.json()["items"], *rest.json()["items"])]
    assert sorted(told) == sorted(ids)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"accuracy": 1.1},
        {"accuracy": "0.5"},
        {"accuracy": None},
        {"recall": True},
        {"auc": [1]},
        {"accuracy": 0.5, "x" * 201: 1.0},
        {"accuracy": 0.5, "a\x00": 1.0},
        {"accuracy": 0.5, "model_id": ""},
        {str(n): 0.5 for n in range(101)},
    ],
)
def test_what_are_no_figures_is_refused(sqlite: Database, body: Any):
    told = client_of(made(sqlite)).post("/metrics/model", json=body)

    assert told.status_code == 422, told.text


@pytest.mark.parametrize("text", [b'{"accuracy": 1e999}', b'{"auc": 1' + b"0" * 400 + b"}"])
def test_numbers_beyond_a_double_are_refused(sqlite: Database, text: bytes):
    headers = {"Content-Type": "application/json"}

    told = client_of(made(sqlite)).post("/metrics/model", content=text, headers=headers)

    assert told.status_code == 422, told.text


def test_another_organisation_sees_no_figures_and_no_alerts(database: Database):
    with signed_in(database, "admin") as (console, client, admin):
        fill(console, anomaly(0, "oak-1", scored_at=now_ms(), observed_at=now_ms()))
        prefix = {"name": "Mill", "profile_prefix": "mill-"}
        mill = client.post("/api/v1/organizations", json=prefix, headers=admin).json()["id"]
        new = users.NewUser("bob@example.org", "a password of the tests", "analyst", mill)
        users.add(database, new)
        bob = bearer(client, "bob@example.org")
        client.post("/metrics/model", json=FIGURES, headers=admin)
        own = client.post("/metrics/model", json=FIGURES, headers=bob).json()["id"]

        told = client.get("/api/v1/model-metrics", headers=bob).json()["items"]
        all_ = client.get("/api/v1/model-metrics", headers=admin).json()["items"]

        assert [each["id"] for each in told] == [own]
        assert len(all_) == 2
        status = [client.get("/api/v1/status", headers=who).json() for who in (admin, bob)]
        assert [each["open_alerts"] for each in status] == [1, 0]


def test_open_alerts_are_the_anomalies_of_the_hour_that_nobody_labelled(database: Database):
    console, now = made(database), now_ms()
    news = {"scored_at": now, "observed_at": now}
    fill(
        console,
        anomaly(0, **news),
        anomaly(1, **news),
        anomaly(2, **news | {"suppressed": True}),
        anomaly(3, **news | {"observed_at": now - 7_200_000}),
        anomaly(4, scored_at=now - 7_200_000, observed_at=now - 7_200_000),
        label(0, "telemetry.features-0-1", "anomaly"),
    )

    told = client_of(console).get("/api/v1/status").json()

    assert told["open_alerts"] == 1
