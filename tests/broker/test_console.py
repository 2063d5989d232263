"""The console on a real broker: telemetry by HTTP, verdicts back, a store that misses nothing."""

import json
import random
import signal
import subprocess
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from console.settings import ConsoleSettings
from tests.broker.consoles import COLD_START, WAIT, Running, start
from tests.broker.harness import PATIENCE, Telltale

WINDOW = {
    "startTimestamp": 0,
    "endTimestamp": 5000,
    "keyEvents": [{"code": "KeyT", "downTime": 100, "upTime": 180}],
    "mousePaths": [[{"t": 0, "x": 10, "y": 10}, {"t": 20, "x": 14, "y": 12}]],
}


def score(telltale: Telltale) -> subprocess.Popen[bytes]:
    return telltale.start(
        "score",
        "--slot",
        "0",
        TELLTALE_COLD_START_SAMPLES=COLD_START,
        TELLTALE_DETECTOR="gaussian",
    )


def counted(told: dict[str, Any]) -> tuple[int, int]:
    return told["total_events"], told["anomalies"]


def test_a_profile_learns_and_is_judged_over_http(telltale: Telltale, store_url: str):
    telltale.create_topics(2)
    scorer, console = score(telltale), start(telltale, store_url)

    unknown = console.post("/score/ada%2F1", WINDOW)
    learning = [console.post("/train/ada%2F1", WINDOW).json() for _ in range(5)]
    judged = console.post("/score/ada%2F1", WINDOW)
    late = console.post("/train/ada%2F1", WINDOW)

    assert (unknown.status_code, unknown.json()["samples_needed"]) == (404, 5)
    assert unknown.json()["type"].endswith("/no_model")
    assert [said["samples_seen"] for said in learning] == [1, 2, 3, 4, 5]
    assert [said["state"] for said in learning] == ["learning"] * 4 + ["active"]
    assert (judged.status_code, late.status_code) == (200, 409)
    ids = [said["verdict_id"] for said in (*learning, judged.json())]
    written = {v["verdict_id"]: v for v in telltale.values("anomalies")}
    assert list(written) == ids
    # The very verdict of the scorer, with more beside.
    assert judged.json().items() >= written[ids[-1]].items()
    assert judged.json()["is_anomaly"] is False

    def projected() -> bool:
        return counted(console.json("/statistics")) == (6, 0)

    telltale.wait_until(projected, "six verdicts are counted")
    profile = console.json("/api/v1/profiles/behavior/ada%2F1")
    assert (profile["state"], profile["version"]) == ("active", 1)
    versions = console.json("/api/v1/profiles/behavior/ada%2F1/versions")["items"]
    assert [(v["version"], v["in_force"]) for v in versions] == [(1, True)]
    assert [telltale.stop(console.process), telltale.stop(scorer)] == [0, 0]


def test_what_is_not_waited_for_can_be_had_later_and_a_key_produces_one_record(
    telltale: Telltale, store_url: str
):
    telltale.create_topics(2)
    console = start(telltale, store_url)
    url, body = "/api/v1/profiles/features/web/records", {"values": {"a": 1.5}}

    first = console.post(url, body, **{"Idempotency-Key": "k", "Prefer": "respond-async"})
    again = console.post(url, body, **{"Idempotency-Key": "k", "Prefer": "respond-async"})
    waiting = console.http.get(first.headers["Location"])
    score(telltale)

    assert (first.status_code, again.status_code, waiting.status_code) == (202, 202, 202)
    assert again.json() == first.json()

    def answered() -> bool:
        return console.http.get(first.headers["Location"]).status_code == 200

    telltale.wait_until(answered, "the verdict is there")
    told = console.json(first.headers["Location"])
    assert (told["verdict_id"], told["samples_seen"]) == (first.json()["verdict_id"], 1)
    assert len(telltale.read("telemetry.features")) == 1


def test_a_batch_is_answered_in_order_with_a_verdict_or_an_error_for_each(
    telltale: Telltale, store_url: str
):
    telltale.create_topics(2)
    score(telltale)
    console = start(telltale, store_url)
    good = {"kind": "features", "values": {"a": 1.5}}
    events = [good | {"profile_id": f"p{n % 3}"} for n in range(9)]
    events[4] = {"kind": "features", "profile_id": "p1", "values": {"a": "x"}}
    eyes = {"ear_value": 0.3, "is_drowsy": False, "duration_ms": 100}

    many = console.post("/api/v1/records", {"events": events}).json()
    lines = "\n".join(json.dumps(event) for event in events[:2])
    ndjson = {"Content-Type": "application/x-ndjson"} | WAIT
    in_lines = console.http.post("/api/v1/records", content=lines, headers=ndjson).json()
    drivers = [eyes | {"profile_id": name} for name in ("d1", "d2", "d1")]
    gathered = console.post("/telemetry/batch", {"events": drivers}).json()
    single = console.post("/telemetry", eyes, **{"X-Profile-Id": "d2"}).json()

    assert [item.get("status") for item in many].count("learning") == 8
    assert (many[4]["status"], many[4]["error"]["status"]) == (422, 422)
    names = [item["profile_id"] for item in many if "error" not in item]
    assert names == ["p0", "p1", "p2", "p0", "p2", "p0", "p1", "p2"]
    seen = [item["samples_seen"] for item in many if "error" not in item]
    assert seen == [1, 1, 1, 2, 2, 3, 2, 3]
    assert [item["samples_seen"] for item in in_lines] == [4, 3]
    assert [(i["profile_id"], i["samples_seen"]) for i in gathered] == [("d1", 2), ("d2", 1)]
    assert (single["profile_id"], single["samples_seen"]) == ("d2", 2)


def test_a_series_is_fitted_and_fitted_afresh(telltale: Telltale, store_url: str):
    telltale.create_topics(2)
    score(telltale)
    telltale.start("retrain", "--slot", "0", TELLTALE_COLD_START_SAMPLES=COLD_START)
    console = start(telltale, store_url)
    points = {"timestamps": list(range(10)), "values": [10 + n % 3 for n in range(10)]}

    fitted = console.post("/fit/cpu", points)
    few = console.post("/fit/cpu", {"timestamps": [1, 2], "values": [1.0, 2.0]})
    uneven = console.post("/fit/cpu", {"timestamps": [1, 2, 3, 4], "values": [1.0, 2.0, 3.0]})
    later = {"timestamps": list(range(20, 30)), "values": [n % 3 for n in range(10)]}
    fresh = console.post("/fit/cpu?fresh=true", later)

    assert fitted.json() == {
        "series_id": "cpu",
        "success": True,
        "message": "Training completed.",
        "version": 1,
        "verdict_id": fitted.json()["verdict_id"],
    }
    assert (few.status_code, uneven.status_code) == (422, 422)
    (version,) = console.json("/api/v1/profiles/series/cpu/versions")["items"]
    kept = Path(telltale.variables()["TELLTALE_DATA_DIR"]) / version["data_path"]
    assert json.loads(kept.read_bytes()) == later
    assert [str(file.relative_to(kept.parents[2])) for file in kept.parent.iterdir()] == [
        version["data_path"]
    ]
    assert (fresh.json()["success"], fresh.json()["version"]) == (True, 1)

    def anew() -> bool:
        found = console.http.get("/api/v1/profiles/series/cpu")
        return found.status_code == 200 and found.json()["generation"] > 0

    telltale.wait_until(anew, "the series is of a new generation")


def test_a_series_that_still_learns_is_trained_at_once_by_fit(telltale: Telltale, store_url: str):
    telltale.create_topics(2)
    score(telltale)
    console = start(telltale, store_url)
    points = {"timestamps": [1, 2, 3, 4], "values": [10.0, 10.5, 9.5, 10.2]}

    fitted = console.post("/fit/young", points)

    told = fitted.json()
    verdict = {v["verdict_id"]: v for v in telltale.wait_for(1)}[told["verdict_id"]]
    # A command goes to every partition: any of them may have the profile.
    (command,) = {each["command_id"]: each for each in telltale.values("commands")}.values()
    (trained,) = [e for e in telltale.values("lifecycle") if e["event"] == "trained"]
    assert verdict["status"] == "learning"
    assert verdict["samples_seen"] < verdict["samples_needed"]
    assert command["command"] == "train"
    assert (told["success"], told["version"]) == (True, 1)
    assert (trained["command_id"], trained["version"]) == (command["command_id"], 1)


def test_a_profile_is_forgotten_over_http_and_its_rows_go(telltale: Telltale, store_url: str):
    telltale.create_topics(2)
    score(telltale)
    telltale.start("retrain", "--slot", "0", TELLTALE_COLD_START_SAMPLES=COLD_START)
    console = start(telltale, store_url)
    for _ in range(6):
        console.post("/api/v1/profiles/features/p/records", {"values": {"a": 1.0}})

    told = console.http.delete("/api/v1/profiles/features/p", headers=WAIT)

    assert told.status_code == 200, told.text
    assert {r["role"] for r in told.json()["receipts"]} == {"scorer", "retrainer", "console"}

    def gone() -> bool:
        return console.http.get("/api/v1/profiles/features/p").status_code == 404

    telltale.wait_until(gone, "the profile is gone")

    def receipts() -> bool:
        held = console.json(f"/api/v1/commands/{told.json()['command_id']}")
        return len(held.get("receipts", [])) == 3

    telltale.wait_until(receipts, "the receipts are kept")
    assert console.json("/api/v1/profiles/features/p/versions")["status"] == 404


def test_clients_are_told_of_lifecycle_and_anomalies_as_they_come(
    telltale: Telltale, store_url: str
):
    telltale.create_topics(2)
    score(telltale)
    console = start(telltale, store_url)
    told: list[tuple[str, dict[str, Any]]] = []
    connected = threading.Event()

    def follow() -> None:
        with console.http.stream("GET", "/api/v1/stream?profile_id=p") as answer:
            name = ""
            for line in answer.iter_lines():
                connected.set()
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    told.append((name, json.loads(line.removeprefix("data: "))))

    client = threading.Thread(target=follow, daemon=True)
    client.start()
    assert connected.wait(PATIENCE)
    for value in (1.0, 1.1, 0.9, 1.0, 1.05, 1000.0):
        console.post("/api/v1/profiles/features/p/records", {"values": {"a": value}})

    def complete() -> bool:
        return ("trained" in {body.get("event") for _, body in told}) and any(
            body.get("anomaly") for _, body in told
        )

    telltale.wait_until(complete, "the training and the anomaly are told")
    assert telltale.stop(console.process) == 0
    client.join(PATIENCE)
    assert {name for name, _ in told} == {"verdict", "lifecycle"}


@pytest.mark.parametrize("seed", [1])
def test_replicas_killed_at_random_lose_and_double_nothing(
    telltale: Telltale, store_url: str, seed: int
):
    telltale.create_topics(3)
    rng = random.Random(seed)
    score(telltale)
    profiles, count = 30, 400
    records = [
        (f"p{n % profiles}", {"values": {"a": rng.gauss(0, 1) if rng.random() > 0.1 else 1e6}})
        for n in range(profiles * count)
    ]
    records += [("p0", {"values": {"a": "wrong"}})] * 7
    consoles = [start(telltale, store_url, TELLTALE_CONSOLE_SAMPLE="50") for _ in range(2)]

    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(
            lambda: [
                telltale.produce("telemetry.features", records[at : at + 500])
                for at in range(0, len(records), 500)
            ]
        )
        for round_ in range(4):
            victim = round_ % 2
            before = counted(consoles[1 - victim].json("/statistics"))[0]

            def moved(at: int = before, other: Running = consoles[1 - victim]) -> bool:
                return sent.done() or counted(other.json("/statistics"))[0] > at

            telltale.wait_until(moved, "the projection goes on")
            consoles[victim].process.send_signal(signal.SIGKILL)
            consoles[victim].process.wait()
            consoles[victim] = start(telltale, store_url, TELLTALE_CONSOLE_SAMPLE="50")
        assert sum(sent.result(PATIENCE)) == len(records)
    verdicts = telltale.wait_for(profiles * count)
    total = (len(verdicts), sum(v["anomaly"] for v in verdicts))

    def all_counted() -> bool:
        return all(
            counted(c.json("/statistics")) >= total and c.json("/statistics")["dead_letters"] >= 7
            for c in consoles
        )

    telltale.wait_until(all_counted, f"{total} are counted")

    for console in consoles:
        statistics = console.json("/statistics")
        assert counted(statistics) == total
        assert statistics["dead_letters"] == 7
        assert statistics["by_status"] == dict(Counter(v["status"] for v in verdicts))
    engine = create_engine(ConsoleSettings(_env_file=None, database_url=store_url).database)
    with engine.connect() as connection:
        kept = connection.execute(text("SELECT verdict_id, weight FROM verdicts WHERE anomaly"))
        rows = {row.verdict_id: row.weight for row in kept}
        sampled = connection.execute(text("SELECT count(*) FROM verdicts WHERE NOT anomaly"))
        assert 0 < sampled.scalar_one() < total[0] / 20
        letters = connection.execute(text("SELECT count(*) FROM dead_letters"))
        assert letters.scalar_one() == 7
    engine.dispose()
    assert rows == {v["verdict_id"]: 1.0 for v in verdicts if v["anomaly"]}
    assert [telltale.stop(console.process) for console in consoles] == [0, 0]


def test_a_request_that_waits_is_answered_when_the_console_is_told_to_end(
    telltale: Telltale, store_url: str
):
    telltale.create_topics(2)
    console = start(telltale, store_url)

    with ThreadPoolExecutor(1) as pool:
        # Nobody scores here.
        told = pool.submit(
            console.post, "/api/v1/profiles/features/p/records", {"values": {"a": 1.0}}
        )
        telltale.wait_until(
            lambda: len(telltale.read("telemetry.features")) == 1, "the record is produced"
        )
        code = telltale.stop(console.process)

    assert code == 0
    assert (told.result().status_code, told.result().json()["status"]) == (202, "awaited")


def test_a_console_that_is_told_to_start_unsafely_says_why_and_ends(
    telltale: Telltale, store_url: str
):
    told = telltale.run(
        "console", TELLTALE_DATABASE_URL=store_url, TELLTALE_CONSOLE_ENVIRONMENT="production"
    )

    assert told.returncode == 1
    assert told.stderr.splitlines()[-1].startswith("telltale: TELLTALE_")


def test_postgresql_that_was_not_upgraded_stops_the_start(telltale: Telltale, postgres: Any):
    told = telltale.run("console", TELLTALE_DATABASE_URL=postgres.create())

    assert told.returncode == 1
    assert "run telltale console db upgrade" in told.stderr


def test_an_admin_who_was_added_by_the_command_logs_in(telltale: Telltale, store_url: str):
    secret = "a secret that is long enough for HS256"  # noqa: S105
    telltale.create_topics(2)
    upgraded = telltale.run("console", "db", "upgrade", TELLTALE_DATABASE_URL=store_url)
    assert upgraded.returncode == 0, upgraded.stderr
    added = subprocess.run(
        [telltale.command, "console", "user", "add", "ada@example.org", "--role", "admin"],
        input="a long password\n",
        env=telltale.variables(TELLTALE_DATABASE_URL=store_url),
        capture_output=True,
        text=True,
        check=False,
    )
    assert added.returncode == 0, added.stderr
    console = start(telltale, store_url, TELLTALE_JWT_SECRET=secret)

    refused = console.http.get("/api/v1/auth/me")
    login = {"email": "ada@example.org", "password": "a long password"}
    token = console.http.post("/api/v1/auth/token", json=login).json()["access_token"]
    me = console.http.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"})

    assert refused.status_code == 401
    assert (me.json()["email"], me.json()["role"]) == ("ada@example.org", "admin")
    assert token not in telltale.log()
