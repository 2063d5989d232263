"""Labels, attributes and forgetting, as records of the topics bring them into the store."""

from typing import Any

import orjson
from sqlalchemy import insert, select

from console.curation.audit_queue import chance_of
from console.live.state import load, show
from console.store import tables as t
from console.store.database import Database
from console.store.projection import project
from tests.unit.console.records import (
    NOON,
    anomaly,
    attributes,
    batch,
    event,
    label,
    model,
    verdict,
)
from tests.unit.console.test_console_api import client_of, fill, made


def take(database: Database, *records: Any) -> Any:
    state = load(database, 100)
    found = batch(*records)
    show(state, list(found.items))
    project(database, found, state.profiles, 1, NOON)
    return state


def kept(database: Database, table: Any) -> list[dict[str, Any]]:
    with database.read() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


def test_a_label_becomes_a_row_and_the_next_one_takes_its_place(database: Database):
    take(database, label(0, "telemetry.features-0-7", "anomaly"))
    state = take(database, label(1, "telemetry.features-0-7", "normal", note="a test"))

    (row,) = kept(database, t.labels)
    assert (row["profile_id"], row["label"], row["note"]) == ("p", "normal", "a test")
    assert [r["label"] for r in kept(database, t.label_history)] == ["anomaly", "normal"]
    assert state.labels.count(lambda _: True) == {"normal": 1}


def test_a_label_that_was_taken_back_is_gone(database: Database):
    said = "telemetry.features-0-7"
    state = take(database, label(0, said, "anomaly"), label(1, said, None))

    assert kept(database, t.labels) == []
    assert [r["label"] for r in kept(database, t.label_history)] == ["anomaly", None]
    assert state.labels.count(lambda _: True) == {}


def test_attributes_are_those_of_the_latest_record(database: Database):
    take(database, attributes(0, {"site": "Graz", "age": 61}), attributes(1, {"site": "Wien"}))

    rows = kept(database, t.profile_attributes)
    assert [(row["name"], row["value"]) for row in rows] == [("site", '"Wien"')]
    take(database, attributes(2, None))
    assert kept(database, t.profile_attributes) == []


def test_forgetting_deletes_what_was_said_of_a_profile_and_notes_how_much(database: Database):
    answer = {"subject": "s", "key": "k", "request_hash": "h", "status": 200, "expires_at": 2**60}
    with database.write() as connection:
        for key, profile in (("own", "p"), ("other", "p2")):
            kept_answer = orjson.dumps({"verdict_id": "v", "profile_id": profile})
            connection.execute(
                insert(t.idempotency).values(answer | {"key": key, "answer": kept_answer})
            )
    take(
        database,
        anomaly(0),
        anomaly(1, "p2"),
        model(0),
        label(0, "telemetry.features-0-0", "anomaly"),
        label(1, "telemetry.features-0-1", "anomaly", profile="p2"),
        attributes(0, {"site": "Graz"}),
        attributes(1, {"site": "Graz"}, profile="p2"),
    )

    state = take(database, event(0, "forgotten", role="scorer", at=NOON + 1))

    for table in (t.labels, t.label_history, t.profile_attributes, t.verdicts, t.profiles):
        assert {row["profile_id"] for row in kept(database, table)} <= {"p2"}, table.name
    (erasure,) = kept(database, t.erasures)
    assert erasure["verdict_ids"] == ["telemetry.features-0-0"]
    assert erasure["told"] is False
    wanted = {"labels": 1, "profile_attributes": 1, "verdicts": 1, "model_versions": 1}
    assert erasure["rows"].items() >= wanted.items()
    statuses = {row["key"]: row["status"] for row in kept(database, t.idempotency)}
    assert statuses == {"own": 410, "other": 200}
    assert state.labels.count(lambda _: True) == {"anomaly": 1}


def test_labels_and_attributes_from_before_the_forgetting_do_not_come_back(database: Database):
    take(database, event(0, "forgotten", role="scorer", at=NOON + 1))

    state = take(
        database, label(0, "telemetry.features-0-0", "anomaly"), attributes(0, {"site": "Graz"})
    )

    assert kept(database, t.labels) + kept(database, t.profile_attributes) == []
    assert state.labels.count(lambda _: True) == {}


def test_the_receipt_of_the_console_itself_forgets_nothing(database: Database):
    take(database, anomaly(0), event(0, "forgotten", role="console", at=NOON + 1))

    assert len(kept(database, t.verdicts)) == 1
    (row,) = kept(database, t.lifecycle_events)
    assert row["profile_id"].startswith("\x7f")


def test_the_audit_queue_has_verdicts_without_alarm_or_label_each_with_its_chance(
    database: Database,
):
    console = made(database, console_sample=1)
    records = [verdict(n, p_value=0.001 * (n + 1)) for n in range(1, 400)]
    fill(console, anomaly(0), *records, label(0, "telemetry.features-0-1", "normal"), one_in=1)
    client, period = client_of(console), "2020-01-01T00:00:00Z"

    told = client.get(f"/api/v1/audit-queue?since={period}&limit=200").json()["items"]

    ids = [item["verdict_id"] for item in told]
    assert "telemetry.features-0-0" not in ids
    assert "telemetry.features-0-1" not in ids
    # All of the most suspicious ones, and fewer and fewer of the others.
    certain = [item for item in told if item["chance"] == 1]
    assert len(certain) == 17
    assert {item["band"]: item["chance"] for item in told} == {
        "p < 0.02": 1.0,
        "p < 0.1": 0.5,
        "p < 0.5": 0.1,
    }


def test_the_share_that_is_drawn_is_the_chance_that_is_told():
    ids = [f"telemetry.features-{n % 8}-{n}" for n in range(20_000)]

    drawn = [found for i in ids if (found := chance_of(i, {"p_value": 0.3}, 1.0)) is not None]

    assert abs(len(drawn) / len(ids) - 0.1) < 0.01
    assert {found.chance for found in drawn} == {0.1}


def test_labels_are_exported_as_a_table(database: Database):
    console = made(database)
    fill(console, label(0, "telemetry.features-0-7", "normal", note='says "no", twice'))

    told = client_of(console).get("/api/v1/labels", headers={"Accept": "text/csv"})

    assert told.headers["content-type"].startswith("text/csv")
    lines = told.text.splitlines()
    assert lines[0].startswith("verdict_id,kind,profile_id,label")
    assert lines[1].startswith("telemetry.features-0-7,features,p,normal")
    assert '"says ""no"", twice"' in lines[1]


def test_statistics_count_labels_and_verdicts_are_found_by_them(database: Database):
    console = made(database)
    fill(console, anomaly(0), anomaly(1), label(0, "telemetry.features-0-1", "normal"))
    client = client_of(console)

    assert client.get("/statistics").json()["labels"] == {"anomaly": 0, "normal": 1, "unsure": 0}
    found = client.get("/api/v1/verdicts?label=normal").json()["items"]
    assert [item["verdict_id"] for item in found] == ["telemetry.features-0-1"]


def test_models_in_force_are_listed_and_found_by_their_ids(database: Database):
    console = made(database)
    fill(console, model(0, "a@2"), model(1, "a@2", version=2), model(2, "b:c"))
    client = client_of(console)

    listed = client.get("/api/models").json()["items"]
    told = {
        name: client.get(f"/api/v1/models/{name}").json()
        for name in ("features:a@2", "features:a@2@1", "features:b%3Ac", "fleet:features")
    }

    assert [item["id"] for item in listed] == ["features:a@2", "features:b:c"]
    assert (told["features:a@2"]["version"], told["features:a@2"]["in_force"]) == (2, True)
    assert told["features:a@2@1"]["used"]["in_force"] is False
    assert told["features:b%3Ac"]["profile_id"] == "b:c"
    assert told["fleet:features"]["models"] == 2
    assert client.get("/api/models/features:nobody").status_code == 404
