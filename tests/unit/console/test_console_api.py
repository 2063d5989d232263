"""The endpoints on what store and memory hold; there is no broker here, and none is imitated."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry, generate_latest

from console.app import BATCH_BYTES, make_app, make_services
from console.auth import users
from console.live.state import show
from console.services import Services
from console.settings import ConsoleSettings
from console.store.database import Database
from console.store.projection import project
from processor.settings import Settings
from tests.unit.console.records import NOON, anomaly, batch, event, label, model, verdict

SECRET = "a secret of the tests that is long enough"
PASSWORD = "a password of the tests"
OWNERS = ((0, "mill-1"), (1, "MILL-1"), (2, "Mill-1"))
KAFKA = Settings(_env_file=None, bootstrap_servers="127.0.0.1:1", log_level="error")


def made(database: Database, **wanted: Any) -> Services:
    settings = ConsoleSettings(_env_file=None, console_hosts="testserver", **wanted)
    return make_services(settings, KAFKA, database)


def client_of(console: Services, registry: CollectorRegistry | None = None) -> TestClient:
    # Without its lifespan: nothing is read, and nothing produced.
    app = make_app(console, registry or CollectorRegistry())
    return TestClient(app, raise_server_exceptions=False)


def fill(console: Services, *records: Any, one_in: int = 10**9) -> None:
    found = batch(*records, one_in=one_in)
    show(console.state, list(found.items))
    counts, _ = project(console.database, found, console.state.profiles, one_in, NOON)
    console.state.totals.add(counts)


def bearer(client: TestClient, email: str, password: str = PASSWORD) -> dict[str, str]:
    told = client.post("/api/v1/auth/token", json={"email": email, "password": password})
    assert told.status_code == 200, told.text
    return {"Authorization": f"Bearer {told.json()['access_token']}"}


@contextmanager
def signed_in(database: Database, role: str, **wanted: Any) -> Iterator[tuple[Services, Any, Any]]:
    console = made(database, jwt_secret=SECRET, **wanted)
    users.add(database, users.NewUser("ada@example.org", PASSWORD, role))
    client = client_of(console)
    yield console, client, bearer(client, "ada@example.org")


def paths(client: TestClient) -> list[tuple[str, str]]:
    document = client.get("/openapi.json").json()
    return [(method, path) for path, of in document["paths"].items() for method in of]


def filled(path: str) -> str:
    return (
        re.sub(r"\{kind\}", "features", path)
        .replace("{version}", "1")
        .replace("{", "")
        .replace("}", "")
    )


def test_statistics_count_what_was_projected(database: Database):
    console = made(database)
    fill(console, verdict(0), verdict(1, status="learning"), anomaly(2), event(0, "trained"))

    told = client_of(console).get("/statistics").json()

    assert told["total_events"] == 3
    assert told["by_status"] == {"learning": 1, "scored": 2}
    assert (told["anomalies"], told["anomaly_rate"]) == (1, 0.5)
    assert told["by_severity"]["high"] == 1


def test_recent_events_are_the_newest_first_and_can_be_cleared(sqlite: Database):
    console = made(sqlite)
    fill(console, *(anomaly(n) for n in range(5)))
    client = client_of(console)

    items = client.get("/events/recent?limit=2").json()["items"]
    cleared = client.delete("/events/cache").json()

    ids = [item["data"]["verdict_id"] for item in items]
    assert ids == ["telemetry.features-0-4", "telemetry.features-0-3"]
    assert cleared == {"cleared": 5}
    assert client.get("/api/v1/events/recent").json() == {"items": []}
    assert [entry["action"] for entry in client.get("/api/v1/audit").json()["items"]] == [
        "events.clear"
    ]


def test_a_list_is_read_page_by_page_and_each_item_comes_once(database: Database):
    console = made(database)
    fill(console, *(anomaly(n, scored_at=NOON + n // 3) for n in range(10)))
    client, url, found = client_of(console), "/api/v1/verdicts?limit=3", []

    while url:
        told = client.get(url)
        found += [item["verdict_id"] for item in told.json()["items"]]
        link = told.headers.get("link", "")
        url = link.partition("<")[2].partition(">")[0]

    assert sorted(found) == sorted(f"telemetry.features-0-{n}" for n in range(10))
    assert found[0] == "telemetry.features-0-9"


def test_verdicts_are_filtered_by_profile_and_severity(database: Database):
    console = made(database)
    fill(console, anomaly(0, "a/b"), anomaly(1, "a/b", severity="low"), anomaly(2, "c"))
    client = client_of(console)

    found = client.get("/api/v1/verdicts", params={"profile_id": "a/b", "severity": "low"})

    assert [item["verdict_id"] for item in found.json()["items"]] == ["telemetry.features-0-1"]


def test_a_profile_is_found_by_its_percent_encoded_id(database: Database):
    console = made(database)
    fill(console, model(0, "web/1 ü"), anomaly(0, "web/1 ü"))
    client = client_of(console)

    told = client.get("/api/v1/profiles/features/web%2F1%20%C3%BC").json()
    versions = client.get("/api/v1/profiles/features/web%2F1%20%C3%BC/versions").json()

    assert (told["profile_id"], told["state"], told["version"]) == ("web/1 ü", "active", 1)
    assert [v["verdict_id"] for v in told["verdicts"]] == ["telemetry.features-0-0"]
    assert [v["sha256"] for v in versions["items"]] == ["0" * 64]


@pytest.mark.parametrize("path", ["/api/v1/verdicts/x", "/api/v1/profiles/features/x"])
def test_what_there_is_not_is_a_problem_with_the_id_of_the_request(sqlite: Database, path: str):
    told = client_of(made(sqlite)).get(path, headers={"x-request-id": "mine-1"})

    assert told.status_code == 404
    assert told.headers["content-type"] == "application/problem+json"
    assert told.headers["x-request-id"] == told.json()["request_id"] == "mine-1"
    assert told.json()["type"].endswith("/not_found")


def test_an_exception_is_a_500_that_says_nothing_of_it(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
):
    console = made(sqlite)

    def fail() -> None:
        raise RuntimeError("the password is 1234")

    monkeypatch.setattr(console.state.recent, "newest", fail)

    told = client_of(console).get("/events/recent")

    assert told.status_code == 500
    assert "1234" not in told.text
    assert told.json()["request_id"] == told.headers["x-request-id"]


def test_every_endpoint_asks_for_a_token_but_for_the_service_itself(sqlite: Database):
    with signed_in(sqlite, "admin") as (_, client, _token):
        told = {
            (method, path): client.request(method, filled(path)).status_code
            for method, path in paths(client)
        }

    open_to_all = {path for (_, path), status in told.items() if status != 401}
    assert open_to_all == {"/", "/health", "/health/live", "/health/ready", "/api/v1/auth/token"}


def test_a_viewer_may_read_and_nothing_else(sqlite: Database):
    with signed_in(sqlite, "viewer") as (_, client, token):
        told = {
            (method, path): client.request(method, filled(path), headers=token)
            for method, path in paths(client)
            if path.startswith("/api/v1") and "auth" not in path and not path.endswith("stream")
        }

    refused = {at for at, answer in told.items() if answer.status_code == 403}
    writes = {at for at in told if at[0] != "get"}
    reads = ("users", "users/{user_id}", "audit", "dead-letters", "labels", "audit-queue")
    reads += ("model-metrics", "compliance/{assessment_id}", "compliance/model/{model_id}")
    reads += ("compliance/evidence/model/{model_id}",)
    reads += ("monitoring/alerts", "monitoring/monitors", "monitoring/monitors/{monitor_id}")
    of_one = (
        "verdicts/{verdict_id}/label",
        "profiles/{kind}/{profile_id}/attributes",
        "rooms/{room_id}/messages",
    )
    asked = {("post", "/api/v1/explanation"), ("post", "/api/v1/monitoring")}
    kept = {("get", f"/api/v1/{path}") for path in (*reads, *of_one)}
    assert refused == (writes - asked) | kept
    assert "admin" in told["get", "/api/v1/users"].json()["detail"]


@pytest.mark.parametrize("spoilt", ["", "x", "none"])
def test_a_token_that_is_not_ours_is_refused(sqlite: Database, spoilt: str):
    with signed_in(sqlite, "admin") as (_, client, token):
        whole = token["Authorization"]
        forged = {
            "": "Bearer ",
            "x": whole[:-3] + ("AAA" if not whole.endswith("AAA") else "BBB"),
            "none": "Bearer eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJ4In0.",
        }[spoilt]

        told = client.get("/api/v1/auth/me", headers={"Authorization": forged})

    assert told.status_code == 401
    assert told.headers["www-authenticate"] == "Bearer"


def test_the_token_of_a_user_who_is_disabled_is_refused(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("console.auth.tokens.KNOWN_SECONDS", 0.0)
    with signed_in(sqlite, "admin") as (_, client, token):
        me = client.get("/api/v1/auth/me", headers=token).json()
        client.patch(f"/api/v1/users/{me['id']}", json={"disabled": True}, headers=token)

        assert client.get("/api/v1/auth/me", headers=token).status_code == 401


def test_wrong_passwords_are_refused_and_the_eleventh_try_in_a_minute_waits(sqlite: Database):
    with signed_in(sqlite, "viewer") as (_, client, _token):
        login = {"email": "ada@example.org", "password": "not the password"}
        told = [client.post("/api/v1/auth/token", json=login) for _ in range(10)]

    assert [answer.status_code for answer in told] == [401] * 9 + [429]
    assert int(told[-1].headers["retry-after"]) >= 1


def test_a_subject_that_asks_too_often_waits(sqlite: Database):
    client = client_of(made(sqlite, rate_limit="3/minute"))

    assert [client.get("/statistics").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_nobody_sees_what_is_another_organisations(sqlite: Database):
    with signed_in(sqlite, "admin") as (console, client, admin):
        body = {"name": "Mill", "profile_prefix": "mill-"}
        mill = client.post("/api/v1/organizations", json=body, headers=admin).json()["id"]
        user = {"email": "eve@mill.org", "password": PASSWORD, "role": "operator"}
        client.post("/api/v1/users", json=user | {"organization_id": mill}, headers=admin)
        fill(console, anomaly(0, "mill-1"), anomaly(1, "other"), event(0, "drifting", "other"))
        eve = bearer(client, "eve@mill.org")

        lists = ["/api/v1/verdicts", "/api/v1/profiles", "/events/recent", "/api/v1/dashboard"]
        told = [client.get(path, headers=eve) for path in lists]
        hidden = [
            client.get("/api/v1/profiles/features/other", headers=eve),
            client.get("/api/v1/verdicts/telemetry.features-0-1", headers=eve),
            client.delete("/api/v1/profiles/features/other", headers=eve),
        ]
        statistics = client.get("/statistics", headers=eve).json()

    assert [answer.status_code for answer in told] == [200] * 4
    assert all("mill-1" in answer.text and "other" not in answer.text for answer in told)
    assert [answer.status_code for answer in hidden] == [404] * 3
    assert (statistics["total_events"], statistics["profiles"]["learning"]) == (1, 1)


def test_the_prefix_of_an_organisation_is_taken_letter_by_letter(database: Database):
    with signed_in(database, "admin") as (console, client, admin):
        ids = {}
        for prefix in ("mill-", "MILL-"):
            body = {"name": prefix, "profile_prefix": prefix}
            ids[prefix] = client.post("/api/v1/organizations", json=body, headers=admin).json()
        of = ids["mill-"]["id"]
        users.add(database, users.NewUser("eve@mill.org", PASSWORD, "operator", of))
        fill(
            console,
            *(anomaly(0, "mill-1"), anomaly(1, "MILL-1"), anomaly(2, "Mill-1")),
            *(model(0, "mill-1"), model(1, "MILL-1")),
            *(label(n, f"telemetry.features-0-{n}", "anomaly", p) for n, p in OWNERS),
        )
        eve = bearer(client, "eve@mill.org")

        paths = ("verdicts", "profiles", "models", "labels")
        told = [client.get(f"/api/v1/{path}", headers=eve) for path in paths]

    assert [answer.status_code for answer in told] == [200] * len(paths)
    assert all("mill-1" in answer.text for answer in told)
    assert not any("MILL-1" in answer.text or "Mill-1" in answer.text for answer in told)


@pytest.mark.parametrize(
    ("path", "body", "status", "name"),
    [
        ("/api/v1/profiles/features/p/records", b'{"values": {"a": "x"}}', 422, "invalid_record"),
        ("/api/v1/profiles/features/p/records", b"{", 422, "invalid_json"),
        ("/api/v1/profiles/nothing/p/records", b"{}", 422, "invalid_request"),
        ("/api/v1/profiles/features/%FF/records", b"{}", 422, "invalid_request"),
        ("/api/v1/profiles/features/p/records", b" " * 1_000_001, 413, "too_large"),
        ("/api/v1/profiles/features/p/records", b" " * (BATCH_BYTES + 1), 413, "too_large"),
        ("/api/v1/records", b'{"events": 3}', 422, "invalid_request"),
        ("/api/v1/records", b"[" + b"1," * 1000 + b"1]", 413, "too_large"),
        ("/score/p", b'{"startTimestamp": 0, "endTimestamp": 5}', 404, "no_model"),
        ("/telemetry", b'{"ear_value": 7, "is_drowsy": true, "duration_ms": 1}', 422, None),
    ],
)
def test_a_body_that_is_no_telemetry_is_refused_before_anything_is_produced(
    sqlite: Database, path: str, body: bytes, status: int, name: str | None
):
    told = client_of(made(sqlite)).post(
        path, content=body, headers={"Content-Type": "application/json"}
    )

    assert told.status_code == status, told.text
    assert told.json()["type"].endswith(name or "invalid_record")
    assert told.json()["request_id"]


def test_each_record_of_a_batch_that_is_wrong_has_its_own_error(sqlite: Database):
    events = [3, {"kind": "features"}, {"kind": "x", "profile_id": "p"}, {"profile_id": "p"}]

    told = client_of(made(sqlite)).post("/api/v1/records", json={"events": events})

    assert told.status_code == 200
    assert [item["status"] for item in told.json()] == [422] * 4
    assert "kind: expected one of" in told.json()[2]["error"]["detail"]


def test_a_form_of_another_site_cannot_send_telemetry(sqlite: Database):
    told = client_of(made(sqlite)).post(
        "/telemetry", content=b"{}", headers={"Content-Type": "text/plain"}
    )

    assert told.status_code == 415


def test_a_page_of_another_site_cannot_ask_where_there_is_no_login(sqlite: Database):
    client = client_of(made(sqlite))

    foreign = client.get("/statistics", headers={"Origin": "http://evil.example"})
    own = client.get("/statistics", headers={"Origin": "http://testserver"})
    allowed = client.get("/statistics", headers={"Origin": "http://localhost:5173"})

    assert [answer.status_code for answer in (foreign, own, allowed)] == [403, 200, 200]
    assert allowed.headers["access-control-allow-origin"] == "http://localhost:5173"


def test_a_host_that_is_not_ours_is_refused(sqlite: Database):
    told = client_of(made(sqlite)).get("/health/live", headers={"Host": "evil.example"})

    assert told.status_code == 400


def test_metrics_name_routes_and_never_an_id(sqlite: Database):
    registry = CollectorRegistry()
    console = made(sqlite)
    fill(console, model(0, "ada"))
    client = client_of(console, registry)

    client.get("/api/v1/profiles/features/ada")
    client.get("/nothing/ada")
    client.request("BREW", "/nothing/ada")

    told = generate_latest(registry).decode()
    assert 'method="GET",route="/api/v1/profiles/{kind}/{profile_id}",status="200"' in told
    assert 'method="other",route="none",status="404"' in told
    assert "ada" not in told


def test_documents_are_off_in_production(sqlite: Database):
    client = client_of(made(sqlite, console_environment="production", jwt_secret=SECRET))

    assert [client.get(path).status_code for path in ("/docs", "/redoc")] == [404, 404]
    assert client.get("/openapi.json").json()["openapi"].startswith("3.1")


def test_health_says_what_does_not_work(sqlite: Database):
    told = client_of(made(sqlite)).get("/health")

    assert told.status_code == 503
    assert told.json()["checks"] == {"kafka": "starting", "store": "ok", "projection": "starting"}


def test_a_client_that_was_cut_off_is_told_what_it_missed(sqlite: Database):
    console = made(sqlite)
    recent = console.state.recent
    fill(console, *(anomaly(n) for n in range(4)))
    second = recent.event_id(recent.newest()[2])

    async def followed(last: str | None) -> tuple[list[int], bool]:
        with recent.follow(last) as (_, missed, whole):
            return [event.number for event in missed], whole

    assert asyncio.run(followed(second)) == ([3, 4], True)
    assert asyncio.run(followed(None)) == ([], True)
    assert asyncio.run(followed("another.3")) == ([], False)
    recent.clear()
    assert asyncio.run(followed(second)) == ([], False)


def test_a_client_that_does_not_keep_up_is_dropped_and_nobody_waits_for_it(sqlite: Database):
    recent = made(sqlite).state.recent

    async def slow() -> tuple[bool, int]:
        with recent.follow(None) as (follower, _, _):
            for number in range(1001):
                recent.add("verdict", "p", {"n": number})
            await asyncio.sleep(0)
            return follower.dropped, follower.queue.qsize()

    assert asyncio.run(slow()) == (True, 1000)
    assert recent.followers == 0


def test_kinds_are_told_with_their_features_and_the_status_with_the_roles_seen(sqlite: Database):
    console = made(sqlite)
    fill(console, anomaly(0), event(0, "adopted", role="retrainer", at=NOON - 1000))
    client = client_of(console)

    kinds = {item["kind"]: item for item in client.get("/api/v1/kinds").json()["items"]}
    status = client.get("/api/v1/status").json()

    assert kinds["features"]["features"] is None
    assert {"name", "unit", "description"} == set(kinds["behavior"]["features"][0])
    assert list(status["roles"]) == ["retrainer", "scorer"]


def test_a_body_that_does_not_come_to_its_end_is_given_up(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("console.requests.BODY_SECONDS", 0.05)
    app = make_app(made(sqlite), CollectorRegistry())
    sent: list[Any] = []
    headers = [(b"host", b"testserver"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/telemetry", "query_string": b""}
    scope |= {"headers": headers, "raw_path": b"/telemetry", "http_version": "1.1"}

    async def receive() -> Any:
        if sent == []:
            sent.append({"type": "part"})
            return {"type": "http.request", "body": b"{", "more_body": True}
        return await asyncio.get_running_loop().create_future()

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope | {"scheme": "http", "server": ("testserver", 80)}, receive, send))

    assert sent[1]["status"] == 408
