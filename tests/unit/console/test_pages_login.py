"""Sessions of browsers: a cookie that scripts cannot read, and writes that only own pages make."""

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from starlette.websockets import WebSocketDisconnect

from console.auth import users
from console.auth.limits import RateLimit
from console.auth.sessions import COOKIE, csrf_of
from console.auth.tickets import redeem
from console.auth.tokens import KNOWN_SECONDS
from console.pages.rendering import own_path
from console.store.account_tables import ended_sessions
from console.store.database import Database
from console.store.retention import clean
from tests.unit.console.records import anomaly, event
from tests.unit.console.test_console_api import PASSWORD, SECRET, client_of, fill, made

HTML = {"Accept": "text/html"}
ADA = "ada@example.org"


def visitor(database: Database, role: str = "admin", **wanted: Any) -> TestClient:
    """A browser that knows a user's password and has not logged in."""
    console = made(database, jwt_secret=SECRET, **wanted)
    users.add(database, users.NewUser(ADA, PASSWORD, role))
    fill(console, anomaly(0), event(0, "trained"))
    client = client_of(console)
    client.follow_redirects = False
    return client


def log_in(client: TestClient, **more: str) -> Any:
    return client.post("/ui/login", data={"email": ADA, "password": PASSWORD} | more)


def csrf(client: TestClient) -> str:
    told = client.get("/ui/settings", headers=HTML).text
    found = re.search(r'name="csrf-token" content="([^"]*)"', told)
    assert found is not None
    return found[1]


def test_a_page_asks_for_login_and_comes_back_to_where_one_was(database: Database):
    client = visitor(database)

    asked = client.get("/ui/anomalies?severity=high", headers=HTML)
    form = client.get(asked.headers["location"], headers=HTML)
    back = re.search(r'name="next" value="([^"]*)"', form.text)
    assert back is not None
    done = log_in(client, next=back[1])

    assert (asked.status_code, form.status_code, done.status_code) == (303, 200, 303)
    assert done.headers["location"] == "/ui/anomalies?severity=high"
    assert client.get("/ui/anomalies?severity=high", headers=HTML).status_code == 200


def test_the_cookie_is_for_this_site_alone_and_no_script_reads_it(sqlite: Database):
    client = visitor(sqlite)

    plain = log_in(client).headers["set-cookie"]
    client.base_url = "https://testserver"  # type: ignore[assignment]
    secure = log_in(client).headers["set-cookie"]

    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(plain.split("; "))
    assert "Secure" in secure.split("; ")
    assert "Secure" not in plain.split("; ")


def test_a_wrong_password_is_told_and_begins_no_session(sqlite: Database):
    client = visitor(sqlite)

    told = client.post("/ui/login", data={"email": ADA, "password": "wrong"})

    assert told.status_code == 401
    assert "do not belong together" in told.text
    assert "wrong" not in re.sub("<[^>]*>", "", told.text)
    assert COOKIE not in client.cookies


def test_tries_of_a_password_are_limited_together_with_those_of_the_api(sqlite: Database):
    client = visitor(sqlite)
    # None comes back while a busy machine checks ten passwords.
    client.app.state.services.logins = RateLimit(10, 1e9)  # type: ignore[attr-defined]
    body = {"email": ADA, "password": "wrong"}

    tries = [client.post("/ui/login", data=body).status_code for _ in range(5)]
    tries += [client.post("/api/v1/auth/token", json=body).status_code for _ in range(5)]
    last = client.post("/ui/login", data=body)

    assert tries == [401] * 10
    assert last.status_code == 429
    assert int(last.headers["retry-after"]) >= 1


def test_a_write_by_cookie_needs_the_header_of_the_session(sqlite: Database):
    client = visitor(sqlite)
    log_in(client)
    write = ("DELETE", "/api/v1/events/cache")
    good = csrf(client)

    without = client.request(*write)
    wrong = client.request(*write, headers={"X-CSRF-Token": csrf_of("another session")})
    right = client.request(*write, headers={"X-CSRF-Token": good})
    elsewhere = {"X-CSRF-Token": good, "Origin": "https://evil.example"}
    other_site = client.request(*write, headers=elsewhere)

    assert (without.status_code, wrong.status_code) == (403, 403)
    assert "X-CSRF-Token" in without.json()["detail"]
    assert right.status_code == 200
    assert other_site.status_code == 403


def test_a_bearer_token_needs_no_such_header(sqlite: Database):
    client = visitor(sqlite)
    told = client.post("/api/v1/auth/token", json={"email": ADA, "password": PASSWORD}).json()

    cleared = client.delete(
        "/api/v1/events/cache", headers={"Authorization": f"Bearer {told['access_token']}"}
    )

    assert cleared.status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/statistics", "/api/v1/verdicts"])
def test_a_page_of_an_allowed_origin_cannot_use_the_session(sqlite: Database, path: str):
    client = visitor(sqlite, cors_origins="http://localhost:5173")
    log_in(client)

    told = client.get(path, headers={"Origin": "http://localhost:5173"})

    assert told.status_code == 403


@pytest.mark.parametrize("origin", ["https://evil.example", None])
def test_a_websocket_with_the_cookie_comes_from_an_own_page(sqlite: Database, origin: str | None):
    client = visitor(sqlite)
    log_in(client)
    headers = {} if origin is None else {"Origin": origin}

    with (
        pytest.raises((WebSocketDisconnect, Exception)) as refused,
        client.websocket_connect("/ws/live", ["telltale"], headers=headers),
    ):
        pass
    own = {"Origin": "http://testserver"}
    with client.websocket_connect("/ws/live", ["telltale"], headers=own) as socket:
        assert socket.accepted_subprotocol == "telltale"

    assert "403" in repr(refused.value) or getattr(refused.value, "status_code", 0) == 403


def test_logging_out_takes_the_header_too_and_drops_the_cookie(sqlite: Database):
    client = visitor(sqlite)
    log_in(client)

    forged = client.post("/ui/logout", data={"csrf": ""})
    left = client.post("/ui/logout", data={"csrf": csrf(client)})

    assert forged.status_code == 403
    assert (left.status_code, left.headers["location"]) == (303, "/ui/login")
    assert client.get("/ui/overview", headers=HTML).status_code == 303


def test_logging_out_ends_the_session_in_every_replica_and_no_other_session(database: Database):
    client = visitor(database)
    other = client_of(made(database, jwt_secret=SECRET))
    log_in(client)
    token = client.cookies[COOKIE]
    bearer = {"Authorization": f"Bearer {token}"}
    log_in(other)
    ahead = client.get("/api/v1/auth/me", headers=bearer).status_code
    ticket = client.post("/api/v1/auth/tickets", headers=bearer).json()["ticket"]

    client.post("/ui/logout", data={"csrf": csrf(client)})

    client.cookies.set(COOKIE, token)
    assert ahead == 200
    assert client.get("/ui/overview", headers=HTML).status_code == 303
    refused = client.get("/api/v1/auth/me", headers=bearer)
    assert (refused.status_code, refused.json()["detail"]) == (401, "the token's session was ended")
    # A replica that begins now has read what was ended; one that runs reads it again within 5 s.
    replica = client_of(made(database, jwt_secret=SECRET))
    assert replica.get("/api/v1/auth/me", headers=bearer).status_code == 401
    tokens = other.app.state.services.tokens  # type: ignore[attr-defined]
    tokens._ended_at -= KNOWN_SECONDS
    assert other.get("/api/v1/auth/me", headers=bearer).status_code == 401
    # The same user's other session goes on, and who has come by a ticket of this one is out.
    assert other.get("/ui/overview", headers=HTML).status_code == 200
    who = redeem(database, ticket)
    assert who is not None
    assert not tokens.still_known(who)


def test_logging_out_twice_is_no_error_and_an_expired_entry_goes(database: Database):
    client = visitor(database)
    log_in(client)
    token, form = client.cookies[COOKIE], {"csrf": csrf(client)}

    first = client.post("/ui/logout", data=form)
    client.cookies.set(COOKIE, token)
    again = client.post("/ui/logout", data=form)
    with database.read() as connection:
        held = connection.execute(select(ended_sessions)).all()
    clean(database, held[0].expires_at + 1, 0)

    assert (first.status_code, again.status_code, len(held)) == (303, 303, 1)
    with database.read() as connection:
        assert connection.execute(select(ended_sessions)).all() == []


def test_a_login_form_of_another_site_is_refused(sqlite: Database):
    client = visitor(sqlite)

    told = client.post(
        "/ui/login",
        data={"email": ADA, "password": PASSWORD},
        headers={"Origin": "https://evil.example"},
    )

    assert told.status_code == 403
    assert COOKIE not in client.cookies


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/ui/\\evil.example",
        "/uix",
        "javascript:alert(1)",
        "/ui/login?next=/ui/login",
        "/ui/a\r\nSet-Cookie: x=1",
        "",
    ],
)
def test_after_login_one_goes_to_a_page_of_the_console_alone(wanted: str):
    assert own_path(wanted) == "/ui/overview"
    assert own_path("/ui/anomalies?severity=high") == "/ui/anomalies?severity=high"


def test_without_a_secret_there_is_no_login_and_each_page_says_so(sqlite: Database):
    client = client_of(made(sqlite))

    told = client.get("/ui/login", headers=HTML)

    assert told.url.path == "/ui/overview"
    assert "anyone on this machine may do anything" in told.text


def test_a_session_ends_with_its_user(sqlite: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("console.auth.tokens.KNOWN_SECONDS", 0.0)
    client = visitor(sqlite)
    log_in(client)
    me = client.get("/api/v1/auth/me").json()
    users_row = f"/api/v1/users/{me['id']}"
    client.patch(users_row, json={"disabled": True}, headers={"X-CSRF-Token": csrf(client)})

    assert client.get("/ui/overview", headers=HTML).status_code == 303
    assert client.get("/api/v1/auth/me").status_code == 401
