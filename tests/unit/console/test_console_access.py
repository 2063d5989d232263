"""Who gets in: tickets, tokens of another issuer, WebSockets, admins of organisations."""

import asyncio
import json
from contextlib import ExitStack
from pathlib import Path
from time import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from sqlalchemy import update
from starlette.testclient import WebSocketDenialResponse

from console.app import STREAMS
from console.auth import issuer as issuers
from console.auth import users
from console.auth.callers import still_known
from console.services import make_space
from console.store import tables as t
from console.store.database import Database
from tests.unit.console.records import anomaly
from tests.unit.console.test_console_api import (
    PASSWORD,
    SECRET,
    bearer,
    client_of,
    fill,
    made,
    signed_in,
)

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS = {"RS256": RSA, "ES256": EC}


def jwks(path: Path, *names: str) -> str:
    algorithms = {"RS256": jwt.algorithms.RSAAlgorithm, "ES256": jwt.algorithms.ECAlgorithm}
    held = [
        json.loads(algorithms[name].to_jwk(KEYS[name].public_key())) | {"kid": name, "alg": name}
        for name in names
    ]
    path.write_text(json.dumps({"keys": held}))
    return str(path)


def token(key: Any, algorithm: str, kid: str | None = None, **wanted: Any) -> dict[str, str]:
    claims = {"sub": "eve", "role": "operator", "exp": time() + 60} | wanted
    given = {name: value for name, value in claims.items() if value is not None}
    signed = jwt.encode(given, key, algorithm, headers={"kid": kid or algorithm})
    return {"Authorization": f"Bearer {signed}"}


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_a_token_of_the_issuer_is_taken(sqlite: Database, tmp_path: Path, algorithm: str):
    keys = jwks(tmp_path / "jwks.json", "RS256", "ES256")
    client = client_of(made(sqlite, jwt_jwks=keys))

    me = client.get("/api/v1/auth/me", headers=token(KEYS[algorithm], algorithm, email="e@x.org"))

    assert me.status_code == 200, me.text
    assert (me.json()["id"], me.json()["email"], me.json()["role"]) == (
        "eve",
        "e@x.org",
        "operator",
    )
    assert "model:write" in me.json()["permissions"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": OTHER, "algorithm": "RS256"},
        {"key": RSA, "algorithm": "RS256", "kid": "unknown"},
        {"key": RSA, "algorithm": "RS512", "kid": "RS256"},
        {"key": "the public key as a secret, thirty-two", "algorithm": "HS256", "kid": "RS256"},
        {"key": RSA, "algorithm": "RS256", "exp": time() - 3600},
        {"key": RSA, "algorithm": "RS256", "exp": None},
        {"key": RSA, "algorithm": "RS256", "iss": "https://another.example"},
        {"key": RSA, "algorithm": "RS256", "aud": "another"},
        {"key": RSA, "algorithm": "RS256", "organization_id": "nothing"},
        {"key": RSA, "algorithm": "RS256", "sub": "a\nb"},
    ],
)
def test_a_token_that_is_not_the_issuers_is_refused(
    sqlite: Database, tmp_path: Path, wrong: dict[str, Any]
):
    settings = {"jwt_issuer": "https://issuer.example", "jwt_audience": "telltale"}
    keys = jwks(tmp_path / "jwks.json", "RS256")
    client = client_of(made(sqlite, jwt_jwks=keys, **settings))
    good = {"iss": "https://issuer.example", "aud": "telltale"}

    told = client.get("/api/v1/auth/me", headers=token(**(good | wrong)))

    assert client.get("/api/v1/auth/me", headers=token(RSA, "RS256", **good)).status_code == 200
    assert told.status_code == 401
    assert told.headers["www-authenticate"] == "Bearer"


def test_a_role_that_is_not_known_here_permits_nothing(sqlite: Database, tmp_path: Path):
    client = client_of(made(sqlite, jwt_jwks=jwks(tmp_path / "jwks.json", "RS256")))

    told = client.get("/statistics", headers=token(RSA, "RS256", role="emperor"))

    assert told.status_code == 403


def test_keys_that_were_changed_are_fetched_and_not_too_often(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "jwks.json"
    client = client_of(made(sqlite, jwt_jwks=jwks(file, "RS256")))
    headers = [token(RSA, "RS256"), token(EC, "ES256")]
    before = [client.get("/api/v1/auth/me", headers=each).status_code for each in headers]
    jwks(file, "RS256", "ES256")

    soon = client.get("/api/v1/auth/me", headers=headers[1]).status_code
    monkeypatch.setattr(issuers, "AGAIN_SECONDS", 0.0)
    later = client.get("/api/v1/auth/me", headers=headers[1]).status_code

    assert (before, soon, later) == ([200, 401], 401, 200)


def test_an_issuer_that_does_not_answer_is_told(sqlite: Database, tmp_path: Path):
    client = client_of(made(sqlite, jwt_jwks=str(tmp_path / "missing.json")))

    told = client.get("/statistics", headers=token(RSA, "RS256"))

    assert (told.status_code, told.json()["type"]) == (503, "/problems/issuer_unavailable")


def test_a_users_own_token_is_taken_beside_those_of_the_issuer(sqlite: Database, tmp_path: Path):
    keys = jwks(tmp_path / "jwks.json", "RS256")
    with signed_in(sqlite, "viewer", jwt_jwks=keys) as (_, client, own):
        told = [client.get("/statistics", headers=each) for each in (own, token(RSA, "RS256"))]

    assert [answer.status_code for answer in told] == [200, 200]


def received(client: Any, protocols: list[str], url: str = "/ws/live", **more: Any) -> Any:
    with client.websocket_connect(url, subprotocols=protocols, **more) as socket:
        return socket.accepted_subprotocol


def refused(client: Any, protocols: list[str], **more: Any) -> int:
    with pytest.raises(WebSocketDenialResponse) as told:
        received(client, protocols, **more)
    return int(told.value.status_code)


def test_a_websocket_opens_with_a_token_or_a_ticket_and_a_ticket_once(database: Database):
    with signed_in(database, "viewer") as (_, client, headers):
        secret = headers["Authorization"].removeprefix("Bearer ")
        ticket = client.post("/api/v1/auth/tickets", headers=headers).json()

        assert received(client, ["telltale", f"bearer.{secret}"]) == "telltale"
        assert received(client, ["telltale", f"ticket.{ticket['ticket']}"]) == "telltale"
        assert ticket["expires_in"] == 30
        assert refused(client, ["telltale", f"ticket.{ticket['ticket']}"]) == 401
        assert refused(client, ["telltale"]) == 401
        assert refused(client, ["telltale", "bearer.x"]) == 401


def test_a_websocket_from_a_page_of_another_site_is_refused(sqlite: Database):
    with signed_in(sqlite, "viewer") as (_, client, headers):
        protocols = ["telltale", f"bearer.{headers['Authorization'].removeprefix('Bearer ')}"]

        assert refused(client, protocols, headers={"Origin": "http://evil.example"}) == 403
        own = {"Origin": "http://testserver"}
        assert received(client, protocols, headers=own) == "telltale"


def test_a_websocket_tells_what_was_missed_and_what_the_client_may_see(sqlite: Database):
    console = made(sqlite)
    fill(console, *(anomaly(n, "p" if n % 2 else "q") for n in range(6)))
    recent = console.state.recent
    first = recent.event_id(recent.newest()[-1])
    url = f"/ws/live?profile_id=p&last_event_id={first}"

    with client_of(console).websocket_connect(url) as socket:
        told = [socket.receive_json() for _ in range(3)]
        recent.add("verdict", "p", {"kind": "features", "profile_id": "p", "n": 1})
        live = socket.receive_json()

    assert [item["data"]["verdict_id"][-1] for item in told] == ["1", "3", "5"]
    assert live["data"]["n"] == 1
    assert live["id"] == recent.event_id(recent.newest()[0])


def test_a_subject_has_so_many_streams_at_a_time(sqlite: Database):
    with signed_in(sqlite, "viewer") as (console, client, headers), ExitStack() as held:
        protocols = ["telltale", f"bearer.{headers['Authorization'].removeprefix('Bearer ')}"]
        subject = client.get("/api/v1/auth/me", headers=headers).json()["id"]
        for _ in range(STREAMS - 1):
            held.enter_context(console.streams.hold(subject))
        with client.websocket_connect("/ws/live", subprotocols=protocols):
            told = client.get("/api/v1/stream", headers=headers)
            again = refused(client, protocols)

        assert (told.status_code, told.json()["type"]) == (429, "/problems/too_many_requests")
        assert again == 429
        assert received(client, protocols) == "telltale"


def test_a_websocket_of_an_organisation_with_topics_of_its_own_tells_of_these_alone(
    sqlite: Database,
):
    with signed_in(sqlite, "admin") as (console, client, admin):
        sqlite.beside("dam.").upgrade()
        own = make_space(console, "dam.")
        console.spaces["dam."] = own
        body = {"name": "Dam", "topic_prefix": "dam."}
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("console.routes.admin.open_space", lambda *_: None)
            dam = client.post("/api/v1/organizations", json=body, headers=admin).json()["id"]
        users.add(sqlite, users.NewUser("boss@dam.org", PASSWORD, "viewer", dam))
        secret = bearer(client, "boss@dam.org")["Authorization"].removeprefix("Bearer ")
        # The first number of another process: all that is held is told.
        console.state.recent.add("verdict", "p", {"kind": "features", "of": "others"})
        own.state.recent.add("verdict", "p", {"kind": "features", "of": "dam"})
        url = f"/ws/live?last_event_id={own.state.recent.token}.0"

        with client.websocket_connect(url, subprotocols=["telltale", f"bearer.{secret}"]) as socket:
            told = socket.receive_json()

    assert told["data"] == {"kind": "features", "of": "dam"}


def test_streams_ask_for_their_user_once_in_a_while(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
):
    with signed_in(sqlite, "viewer") as (console, _, headers):
        who = console.tokens.caller(headers["Authorization"].removeprefix("Bearer "))
        asked = []
        find = users.find
        monkeypatch.setattr(users, "find", lambda *of: asked.append(1) or find(*of))

        assert all(still_known(console, who) for _ in range(100))
        assert len(asked) <= 1

        monkeypatch.setattr("console.auth.tokens.KNOWN_SECONDS", 0.0)
        with sqlite.write() as connection:
            connection.execute(update(t.users).values(disabled=True))
        assert not still_known(console, who)


def test_the_admin_of_an_organisation_sees_its_users_alone(sqlite: Database):
    with signed_in(sqlite, "admin") as (console, client, admin):
        ids = [
            client.post("/api/v1/organizations", json=body, headers=admin).json()["id"]
            for body in (
                {"name": "Mill", "profile_prefix": "mill-"},
                {"name": "Dam", "profile_prefix": "dam-"},
            )
        ]
        for name, own in zip(("mill", "dam"), ids, strict=True):
            user = users.NewUser(f"boss@{name}.org", PASSWORD, "admin", own)
            users.add(console.database, user)
        boss = bearer(client, "boss@mill.org")
        other = client.get("/api/v1/users", headers=admin).json()["items"]
        dam = next(user["id"] for user in other if user["email"] == "boss@dam.org")
        new = {"email": "x@dam.org", "password": PASSWORD, "role": "viewer"}

        listed = client.get("/api/v1/users", headers=boss).json()["items"]
        told = [
            client.get(f"/api/v1/users/{dam}", headers=boss),
            client.patch(f"/api/v1/users/{dam}", json={"disabled": True}, headers=boss),
            client.delete(f"/api/v1/users/{dam}", headers=boss),
            client.post("/api/v1/users", json=new | {"organization_id": ids[1]}, headers=boss),
            client.post(
                "/api/v1/organizations", json={"name": "X", "profile_prefix": "x"}, headers=boss
            ),
            client.get("/api/v1/dead-letters", headers=boss),
            client.delete("/api/v1/events/cache", headers=boss),
        ]
        added = client.post("/api/v1/users", json=new, headers=boss)
        log = client.get("/api/v1/audit", headers=boss).json()["items"]

    assert [user["email"] for user in listed] == ["boss@mill.org"]
    assert [answer.status_code for answer in told] == [404, 404, 404, 403, 403, 403, 403]
    assert added.status_code == 201
    assert [entry["action"] for entry in log] == ["user.add"]


def test_an_organisation_has_a_prefix_of_profiles_or_of_topics(sqlite: Database):
    with signed_in(sqlite, "admin") as (_, client, admin):
        bodies: list[dict[str, str]] = [
            {},
            {"profile_prefix": "a", "topic_prefix": "a."},
            {"topic_prefix": "a/b"},
            {"profile_prefix": "a\x00"},
        ]
        told = [
            client.post("/api/v1/organizations", json={"name": "X"} | body, headers=admin)
            for body in bodies
        ]

    assert [answer.status_code for answer in told] == [422] * 4


def test_a_start_with_an_issuer_alone_is_safe_and_asks_for_tokens(sqlite: Database, tmp_path: Path):
    keys = jwks(tmp_path / "jwks.json", "RS256")
    client = client_of(made(sqlite, jwt_jwks=keys, console_environment="production"))

    assert client.get("/statistics").status_code == 401
    assert SECRET not in client.get("/openapi.json").text


@pytest.mark.parametrize("version", ["2.3", "2.4"])
def test_a_client_that_takes_nothing_is_given_up(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch, version: str
):
    monkeypatch.setattr("console.routes.stream.SEND_SECONDS", 0.05)
    console = made(sqlite)
    app = client_of(console).app
    headers = [(b"host", b"testserver")]
    scope = {"type": "http", "method": "GET", "path": "/api/v1/stream", "query_string": b""}
    scope |= {"headers": headers, "raw_path": b"/api/v1/stream", "http_version": "1.1"}
    scope |= {"scheme": "http", "server": ("testserver", 80), "asgi": {"spec_version": version}}
    asked = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        return asked.pop() if asked else await asyncio.get_running_loop().create_future()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.get_running_loop().create_future()

    asyncio.run(asyncio.wait_for(app(scope, receive, send), 20))

    assert console.state.recent.followers == 0
