"""Labels, attributes, receipts, dead letters and organisations of the console on a real broker."""

import json
import subprocess
from typing import Any

import httpx
from websockets.sync.client import connect

from tests.broker.consoles import (
    COLD_START,
    PASSWORD,
    SECRET,
    WAIT,
    Running,
    add_admin,
    sign_in,
    start,
)
from tests.broker.harness import Telltale

RECORDS = "/api/v1/profiles/features/p/records"
VALUES = [1.0, 1.1, 0.9, 1.0, 1.05]


def roles(telltale: Telltale, **variables: str) -> list[subprocess.Popen[bytes]]:
    own = {"TELLTALE_COLD_START_SAMPLES": COLD_START, "TELLTALE_DETECTOR": "gaussian"} | variables
    return [telltale.start(role, "--slot", "0", **own) for role in ("score", "retrain")]


def learn(console: Running, path: str = RECORDS) -> None:
    for value in VALUES:
        assert console.post(path, {"values": {"a": value}}).status_code == 200


def stored(telltale: Telltale, console: Running, verdict_id: str) -> None:
    telltale.wait_until(
        lambda: console.http.get(f"/api/v1/verdicts/{verdict_id}").status_code == 200,
        "the verdict is in the store",
    )


def test_an_alert_that_was_false_is_accepted_once_however_often_it_is_said(
    telltale: Telltale, store_url: str
):
    telltale.create_topics(2)
    roles(telltale)
    console = start(telltale, store_url)
    learn(console)
    alert = console.post(RECORDS, {"values": {"a": 9.0}}).json()
    stored(telltale, console, alert["verdict_id"])
    url = f"/api/v1/verdicts/{alert['verdict_id']}/label"

    told = [console.http.put(url, json={"label": "normal", "note": str(n)}) for n in range(3)]

    assert [answer.status_code for answer in told] == [200] * 3, told[0].text
    assert all(answer.json()["accepted"] for answer in told)
    assert console.json(url)["note"] == "2"
    samples = [s for s in telltale.values("accepted-normal") if s.get("source") == "analyst"]
    assert [s["verdict_id"] for s in samples] == [alert["verdict_id"]]
    labels = telltale.read("labels")
    key = f"features:p:{alert['verdict_id']}".encode()
    assert {message.key() for message in labels} == {key}
    assert json.loads(labels[-1].value() or b"")["weight"] == 1.0

    assert console.http.delete(url).status_code == 204
    assert console.http.get(url).status_code == 404
    assert telltale.read("labels")[-1].value() is None


def test_attributes_are_set_changed_and_kept_by_the_topic(telltale: Telltale, store_url: str):
    telltale.create_topics(2)
    console = start(telltale, store_url)
    url = "/api/v1/profiles/features/p%2F1/attributes"

    put = console.http.put(url, json={"site": "Graz", "device": "touch"})
    stale = console.http.put(url, json={"site": "X"}, headers={"If-Match": '"another"'})
    patched = console.http.patch(
        url, json={"device": None, "age": 61}, headers={"If-Match": put.headers["ETag"]}
    )
    table = "kind,profile_id,site\nfeatures,p/1,Wien\nseries,cpu,Linz\n"
    csv = {"Content-Type": "text/csv"}
    many = console.http.put("/api/v1/attributes", content=table, headers=csv)
    wrong = console.http.put(
        "/api/v1/attributes", content="kind,profile_id,site\nfeatures,p\n", headers=csv
    )

    assert (put.status_code, stale.status_code, patched.status_code) == (200, 412, 200)
    assert patched.json() == {"site": "Graz", "age": 61}
    assert (many.json(), wrong.status_code) == ({"profiles": 2}, 422)
    held = console.http.get(url)
    assert held.json() == {"site": "Wien", "age": 61}
    again = console.http.get(url, headers={"If-None-Match": held.headers["ETag"]})
    assert again.status_code == 304
    newest = {m.key(): json.loads(m.value() or b"{}") for m in telltale.read("attributes")}
    assert newest[b"features:p/1"] == {"site": "Wien", "age": 61}


def test_forgetting_is_confirmed_by_the_console_as_well_and_its_records_are_deleted(
    telltale: Telltale, store_url: str
):
    telltale.create_topics(2)
    roles(telltale)
    console = start(telltale, store_url, TELLTALE_CONSOLE_BACKUP_DAYS="30")
    learn(console)
    alert = console.post(RECORDS, {"values": {"a": 9.0}}).json()
    stored(telltale, console, alert["verdict_id"])
    console.http.put(f"/api/v1/verdicts/{alert['verdict_id']}/label", json={"label": "anomaly"})
    console.http.put("/api/v1/profiles/features/p/attributes", json={"site": "Graz"})

    told = console.http.delete("/api/v1/profiles/features/p", headers=WAIT)

    assert told.status_code == 200, told.text
    receipts = {r["role"]: r for r in told.json()["receipts"] if r["event"] == "forgotten"}
    assert set(receipts) == {"scorer", "retrainer", "console"}
    rows = receipts["console"]["figures"]["rows"]
    assert (rows["labels"], rows["profile_attributes"]) == (1, 1)
    assert "kept for 30 days" in receipts["console"]["detail"]
    assert [m.value() for m in telltale.read("labels")][-1] is None
    assert [m.value() for m in telltale.read("attributes")][-1] is None
    assert console.http.get("/api/v1/profiles/features/p/attributes").json() == {}
    listed = console.json("/events/recent?limit=1000")["items"]
    assert "p" not in {item["data"]["profile_id"] for item in listed}

    learn(console)
    done = telltale.run("profile", "forget", "p", "--console")
    assert done.returncode == 0, done.stderr
    assert "rows of the store deleted" in done.stdout


def test_a_receipt_that_a_dead_console_owed_is_written_by_the_next_one(
    telltale: Telltale, store_url: str
):
    telltale.create_topics(2)
    roles(telltale)
    console = start(telltale, store_url)
    learn(console)
    telltale.kill(console.process)
    assert telltale.run("profile", "forget", "p").returncode == 0

    start(telltale, store_url)

    def confirmed() -> bool:
        return "console" in {e.get("role") for e in telltale.values("lifecycle")}

    telltale.wait_until(confirmed, "the console confirms")


def test_dead_letters_are_counted_and_sent_back_each_once(telltale: Telltale, store_url: str):
    telltale.create_topics(2)
    roles(telltale)
    console = start(telltale, store_url)
    telltale.produce("telemetry.features", [(f"p{n}", {"values": {"a": "x"}}) for n in range(4)])

    def counted() -> bool:
        return console.json("/api/v1/dead-letters")["by_reason"] == {"invalid_record": 4}

    telltale.wait_until(counted, "four dead letters are counted")
    place = console.json("/api/v1/dead-letters?limit=1")["items"][0]
    one = {"partition": place["partition"], "offset": place["offset"]}
    tried = console.post("/api/v1/dead-letters/replay", one | {"dry_run": True}).json()
    first = console.post("/api/v1/dead-letters/replay", one).json()
    second = console.post("/api/v1/dead-letters/replay", one).json()
    rest = console.post("/api/v1/dead-letters/replay", {"reason": "invalid_record"}).json()

    assert [sum(s["records"] for s in told["sent"]) for told in (tried, first, second)] == [1, 1, 0]
    assert sum(s["records"] for s in rest["sent"]) >= 3

    def again() -> bool:
        items = console.json("/api/v1/dead-letters?limit=200")["items"]
        return len(items) >= 8 and sum(item["replayed"] for item in items) >= 4

    telltale.wait_until(again, "what was sent back is dead again, and said so")


def test_the_samples_of_a_version_are_those_it_learnt_from(telltale: Telltale, store_url: str):
    telltale.create_topics(2)
    roles(telltale)
    console = start(telltale, store_url)
    learn(console)
    url = "/api/v1/profiles/features/p/versions/1/samples"
    telltale.wait_until(lambda: console.http.get(url).status_code == 200, "the version is known")

    told = console.json(url)
    table = console.http.get(url, headers={"Accept": "text/csv"}).text.splitlines()

    assert told["features"] == ["a"]
    assert [round(row[0], 6) for row in told["samples"]] == VALUES
    assert table[0] == "a"
    assert len(table) == len(VALUES) + 1


def test_a_websocket_tells_of_an_anomaly_as_it_comes(telltale: Telltale, store_url: str):
    telltale.create_topics(2)
    roles(telltale)
    console = start(telltale, store_url)
    address = str(console.http.base_url).replace("http", "ws")

    with connect(f"{address}/ws/live?kind=features", subprotocols=["telltale"]) as socket:  # type: ignore[list-item]
        learn(console)
        console.post(RECORDS, {"values": {"a": 99.0}})
        told: list[dict[str, Any]] = []
        while not any(item["data"].get("anomaly") for item in told):
            told.append(json.loads(socket.recv(timeout=60)))
        code = telltale.stop(console.process)

    assert socket.subprotocol == "telltale"
    assert "trained" in {item["data"].get("event") for item in told}
    assert code == 0


def test_an_organisation_with_topics_of_its_own_sees_these_alone(
    telltale: Telltale, store_url: str
):
    telltale.create_topics(2)
    mill = f"mill{telltale.variables()['TELLTALE_TOPIC_PREFIX']}"
    done = telltale.run("topics", "create", "--partitions", "2", TELLTALE_TOPIC_PREFIX=mill)
    assert done.returncode == 0, done.stderr
    roles(telltale)
    roles(
        telltale,
        TELLTALE_TOPIC_PREFIX=mill,
        TELLTALE_APPLICATION=mill.rstrip("."),
        TELLTALE_MODEL_DIR=f"{telltale.variables()['TELLTALE_MODEL_DIR']}-mill",
    )
    console = start(telltale, store_url, TELLTALE_JWT_SECRET=SECRET)
    add_admin(telltale, store_url, "ada@example.org")
    admin = sign_in(console, "ada@example.org")

    def post(path: str, body: Any, who: dict[str, str]) -> httpx.Response:
        return console.http.post(path, json=body, headers=who | WAIT)

    body = {"name": "Mill", "topic_prefix": mill}
    organization_id = post("/api/v1/organizations", body, admin).json()["id"]
    user = {"email": "eve@mill.org", "password": PASSWORD, "role": "operator"}
    post("/api/v1/users", user | {"organization_id": organization_id}, admin)
    eve = sign_in(console, "eve@mill.org")

    own = post(RECORDS, {"values": {"a": 1.0}}, eve)
    others = post(RECORDS.replace("/p/", "/q/"), {"values": {"a": 1.0}}, admin)

    assert (own.status_code, others.status_code) == (200, 200), own.text
    assert own.json()["verdict_id"].startswith(mill)

    def get(path: str, who: dict[str, str]) -> httpx.Response:
        return console.http.get(path, headers=who)

    def profiles(who: dict[str, str]) -> list[str]:
        items = get("/api/v1/profiles", who).json()["items"]
        return [item["profile_id"] for item in items]

    telltale.wait_until(lambda: profiles(eve) + profiles(admin) == ["p", "q"], "both are known")
    counts = [get("/statistics", who).json()["total_events"] for who in (eve, admin)]
    assert counts == [1, 1]
    hidden = get(f"/api/v1/verdicts/{others.json()['verdict_id']}", eve)
    assert hidden.status_code == 404
    telltale.stop(console.process)

    console = start(telltale, store_url, TELLTALE_JWT_SECRET=SECRET)
    eve = sign_in(console, "eve@mill.org")
    telltale.wait_until(
        lambda: get("/api/v1/profiles", eve).status_code == 200,
        "the topics of the organisation are followed after a restart",
    )
    assert profiles(eve) == ["p"]


def test_parts_run_apart(telltale: Telltale, store_url: str):
    telltale.create_topics(2)
    roles(telltale)
    gateway = start(telltale, store_url, TELLTALE_CONSOLE_PARTS="gateway")
    live = start(telltale, store_url, TELLTALE_CONSOLE_PARTS="live")

    told = gateway.post(RECORDS, {"values": {"a": 1.0}})
    later = gateway.post(RECORDS, {"values": {"a": 1.0}}, Prefer="respond-async")

    assert (told.status_code, later.status_code) == (200, 202)
    assert live.post(RECORDS, {"values": {"a": 1.0}}).status_code == 404
    assert gateway.http.get("/statistics").status_code == 404
    telltale.wait_until(
        lambda: live.json("/statistics")["total_events"] == 2, "the live part has counted"
    )
    stored(telltale, gateway, later.json()["verdict_id"])
