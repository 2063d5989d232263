"""Rows of the requirements' list that the console's server serves, each by its id.

What needs a broker (records to verdicts, `/fit`, streams, commands, forgetting, labels, replay) is
shown in tests/broker/test_console.py and tests/broker/test_console_curation.py.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from console.auth import users
from console.live.state import now_ms
from console.settings import ConsoleSettings
from console.store.database import Database
from tests.unit.console.records import anomaly, event, model, verdict
from tests.unit.console.test_console_api import PASSWORD, SECRET, bearer, client_of, fill, made

JSON = {"Accept": "application/json"}


class Console:
    """A console with some records and an admin who has logged in."""

    def __init__(self, database: Database) -> None:
        self.services = made(database, jwt_secret=SECRET)
        now = now_ms()
        at = {"scored_at": now, "observed_at": now}
        records = [verdict(n, **at) for n in range(1, 4)]
        alarm = anomaly(4, **at, reasons=[{"feature": "cpu", "value": 9.0}])
        eyes = verdict(5, "eyes", kind="drowsiness", rule_severity="high", **at)
        fill(self.services, *records, alarm, eyes, model(0), event(0, "trained", at=now))
        users.add(database, users.NewUser("ada@example.org", PASSWORD, "admin"))
        users.add(database, users.NewUser("vic@example.org", PASSWORD, "viewer"))
        self.client = client_of(self.services)
        self.headers = bearer(self.client, "ada@example.org")

    def get(self, path: str, **headers: str) -> Any:
        told = self.client.get(path, headers=self.headers | headers)
        assert told.status_code == 200, told.text
        return told.json()

    def send(self, method: str, path: str, body: Any = None) -> Any:
        return self.client.request(method, path, json=body, headers=self.headers)


def s2_11(c: Console) -> bool:
    return "text/html" in c.client.get("/docs").headers["content-type"]


def s2_12(c: Console) -> bool:
    return c.client.get("/redoc").status_code == 200


def s2_16(c: Console) -> bool:
    return {"service", "version"} <= c.client.get("/", headers=JSON).json().keys()


def s2_17(c: Console) -> bool:
    return c.client.get("/health").json()["uptime_seconds"] >= 0


def s2_41(c: Console) -> bool:
    told = c.client.get("/health").json()
    return {"status", "version", "environment", "uptime_seconds", "checks"} <= told.keys()


def s2_20(c: Console) -> bool:
    told = c.get("/statistics")
    return (told["total_events"], told["anomalies"]) == (5, 1)


def s2_31(c: Console) -> bool:
    return c.get("/api/v1/statistics")["by_kind"] == {"drowsiness": 1, "features": 4}


def s2_39(c: Console) -> bool:
    told = c.get("/statistics")
    return (
        told["drowsiness"]["by_rule_severity"]["high"] == told["drowsiness"]["drowsy_events"] == 1
    )


def s2_21(c: Console) -> bool:
    told = c.get("/dashboard")
    return {"statistics", "hourly", "recent", "top_profiles", "models", "drift"} <= told.keys()


def s2_40(c: Console) -> bool:
    told = c.get("/api/v1/dashboard")
    return told["top_profiles"][0]["anomalies"] == 1 and {"model_metrics", "system"} <= told.keys()


def s2_34(c: Console) -> bool:
    return c.get("/dashboard")["models"]["trained"] == 1


def s2_22(c: Console) -> bool:
    return [e["event"] for e in c.get("/events/recent?limit=2")["items"]] == [
        "lifecycle",
        "verdict",
    ]


def s2_32(c: Console) -> bool:
    return len(c.get("/api/v1/events/recent?limit=1000")["items"]) == 2


def s2_33(c: Console) -> bool:
    rows = c.get("/api/v1/statistics/hourly")["items"]
    return sum(row["records"] for row in rows) == 5 and sum(r["anomalies"] for r in rows) == 1


def s2_35(c: Console) -> bool:
    told = c.get("/api/v1/status")
    return told["open_alerts"] == 1 and {"roles", "kafka", "projection"} <= told.keys()


def s2_23(c: Console) -> bool:
    body = {"accuracy": 0.95, "precision": 0.92, "recall": 0.94, "f1_score": 0.93}
    told = c.send("POST", "/metrics/model", body)
    return told.status_code == 201 and told.json().items() >= body.items()


def s2_38(c: Console) -> bool:
    refused = c.send("POST", "/metrics/model", {"accuracy": 95})
    more = c.send("POST", "/metrics/model", {"accuracy": 0.5, "auc": 0.7})
    return refused.status_code == 422 and more.json()["auc"] == 0.7


def s2_25(c: Console) -> bool:
    cleared = c.send("DELETE", "/events/cache").json()["cleared"]
    return cleared == 2 and c.get("/events/recent")["items"] == []


def s2_02(c: Console) -> bool:
    return {k["kind"] for k in c.get("/api/v1/kinds")["items"]} >= {"drowsiness", "features"}


def s3_31(c: Console) -> bool:
    return [m["profile_id"] for m in c.get("/api/models")["items"]] == ["p"]


def s3_32(c: Console) -> bool:
    return c.get("/api/models/features:p")["version"] == 1


def s1_28(c: Console) -> bool:
    return [v["version"] for v in c.get("/api/v1/profiles/features/p/versions")["items"]] == [1]


def s3_14(c: Console) -> bool:
    events = c.get("/api/v1/profiles/features/p/events")["items"]
    return [e["event"] for e in events] == ["trained"]


def s3_80(c: Console) -> bool:
    wrong = {"email": "ada@example.org", "password": "no"}
    return c.client.post("/api/v1/auth/token", json=wrong).status_code == 401


def s4_05(c: Console) -> bool:
    return c.client.get("/statistics").status_code == 401


def s4_35(c: Console) -> bool:
    login = {"email": "ada@example.org", "password": PASSWORD}
    return c.client.post("/api/v1/auth/token", json=login).json()["expires_in"] == 24 * 3600


def s4_118(c: Console) -> bool:
    told = c.get("/api/v1/auth/me")
    return {"id", "email", "role", "organization_id", "permissions"} <= told.keys()


def s4_121(c: Console) -> bool:
    viewer = bearer(c.client, "vic@example.org")
    told = c.client.post("/metrics/model", json={"accuracy": 1}, headers=viewer)
    return told.status_code == 403 and "analysis:create" in told.json()["detail"]


def s3_83(c: Console) -> bool:
    return len(c.send("POST", "/api/v1/auth/tickets").json()["ticket"]) > 20


def s4_78(c: Console) -> bool:
    return "items" in c.get("/api/v1/audit-queue")


ROWS: dict[str, Callable[[Console], bool]] = {
    "S1-28": s1_28, "S2-02": s2_02, "S2-11": s2_11, "S2-12": s2_12, "S2-16": s2_16,
    "S2-17": s2_17, "S2-20": s2_20, "S2-21": s2_21, "S2-22": s2_22, "S2-23": s2_23,
    "S2-31": s2_31, "S2-32": s2_32, "S2-33": s2_33, "S2-34": s2_34,
    "S2-35": s2_35, "S2-38": s2_38, "S2-39": s2_39, "S2-40": s2_40, "S2-41": s2_41,
    "S3-14": s3_14, "S3-31": s3_31, "S3-32": s3_32, "S3-80": s3_80, "S3-83": s3_83,
    "S4-05": s4_05, "S4-35": s4_35, "S4-78": s4_78, "S4-118": s4_118, "S4-121": s4_121,
    "S2-25": s2_25,
}  # fmt: skip


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    url = f"sqlite:///{tmp_path_factory.mktemp('console')}/rows.db"
    database = Database(ConsoleSettings(_env_file=None, database_url=url).database)
    database.upgrade()
    yield Console(database)
    database.close()


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_served(console: Console, row: str):
    assert ROWS[row](console), row
