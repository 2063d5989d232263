"""The pages on what store and memory hold; there is no broker here, and none is imitated."""

import csv
import io
import re
from typing import Any

import pytest

from console.auth import users
from console.auth.permissions import ROLES
from console.live.state import now_ms
from console.pages.pulse import INTERVALS
from console.pages.views.settings import HIDDEN
from console.store import tables as t
from console.store.database import Database
from tests.unit.console.records import NOON, anomaly, dead_letter, event, label, model, verdict
from tests.unit.console.test_console_api import PASSWORD, SECRET, client_of, fill, made

DAY_MS = 86_400_000
HTML = {"Accept": "text/html"}


def text_of(page: str) -> str:
    """The words of a page, tags and blanks left out."""
    return " ".join(re.sub(r"<script.*?</script>|<[^>]*>", " ", page, flags=re.DOTALL).split())


def ids(page: str) -> list[str]:
    return re.findall(r'data-verdict="([^"]*)"', page)


def get(client: Any, path: str) -> str:
    told = client.get(path, headers=HTML)
    assert told.status_code == 200, told.text
    return str(told.text)


def signed_in(database: Database, email: str) -> Any:
    client = client_of(made(database, jwt_secret=SECRET))
    client.follow_redirects = False
    done = client.post("/ui/login", data={"email": email, "password": PASSWORD})
    assert done.status_code == 303
    return client


def test_an_empty_console_says_what_to_do(database: Database):
    client = client_of(made(database))

    assert "telltale run" in text_of(get(client, "/ui/overview"))
    assert "No anomalies yet" in text_of(get(client, "/ui/anomalies"))
    assert "TELLTALE_COLD_START_SAMPLES" in text_of(get(client, "/ui/models"))
    assert "Every record so far could be read" in text_of(get(client, "/ui/dead-letters"))
    assert "Without any, every user sees every profile" in text_of(
        get(client, "/ui/settings?show=organizations")
    )


def test_the_overview_counts_anomalies_by_interval_and_names_the_worst(database: Database):
    console, now = made(database), now_ms()
    fill(
        console,
        *(anomaly(n, "mill", scored_at=now, severity="critical") for n in range(3)),
        anomaly(3, "pump", scored_at=now, severity="low"),
        anomaly(4, "old", scored_at=now - INTERVALS * 60_000 * 2),
        event(0, "adopted", "mill", version=4, at=now),
        event(1, "drifting", "mill", at=now),
    )

    told = get(client_of(console), "/ui/overview")
    longer = get(client_of(console), "/ui/overview?step=15m")

    assert "Anomalies, last hour 4" in text_of(told)
    assert "of them critical 3" in text_of(told)
    assert "Drifting 1" in text_of(told)
    assert "critical mill 3 anomalies" in text_of(told).replace("■ ", "")
    assert re.search(r"adopted mill .*version 4", text_of(told))
    assert "Anomalies, last 15 hours 5" in text_of(longer)


def test_states_of_profiles_are_told_apart(database: Database):
    console, now = made(database), now_ms()
    fill(
        console,
        verdict(0, "new", status="learning", scored_at=now),
        model(1, "well", trained_at=now),
        verdict(2, "well", scored_at=now),
        model(3, "gone", trained_at=now - 3 * DAY_MS),
        verdict(4, "gone", scored_at=now - 2 * DAY_MS),
        event(0, "suppressed", "well", detail=f"until {now + 60_000}: a test", at=now),
    )

    told = text_of(get(client_of(console), "/ui/overview"))

    assert "Learning 1" in told
    assert "Active 2" in told
    assert "Suppressed 1" in told
    assert "Silent 1" in told


def test_anomalies_are_read_page_by_page_and_each_comes_once(database: Database):
    console = made(database)
    fill(console, *(anomaly(n, f"p{n}", scored_at=NOON + n // 7) for n in range(120)))
    client, path, found = client_of(console), "/ui/anomalies", list[str]()

    while path:
        told = get(client, path)
        found += ids(told)
        more = re.search(r'data-more="([^"]*)"', told)
        assert more is not None
        path = more[1].replace("&amp;", "&")

    assert len(found) == 120
    assert len(set(found)) == 120
    assert found[0] == "telemetry.features-0-119"


def test_anomalies_are_filtered_by_what_the_address_says(database: Database):
    console = made(database)
    fill(
        console,
        anomaly(0, "a", severity="low"),
        anomaly(1, "a", severity="critical", suppressed=True),
        anomaly(2, "b", severity="high"),
        verdict(3, "b"),
        label(0, "telemetry.features-0-2", "normal", "b", note="a test run"),
    )
    client = client_of(console)

    def found(query: str) -> list[str]:
        return [name[-1] for name in ids(get(client, f"/ui/anomalies?{query}"))]

    assert found("") == ["2", "1", "0"]
    assert found("severity=low&severity=high") == ["2", "0"]
    assert found("profile_id=a&kind=features") == ["1", "0"]
    assert found("kind=features&severity=critical") == ["1"]
    assert found("label=normal") == ["2"]
    assert found("label=none") == ["1", "0"]
    assert found("suppressed=true") == ["1"]
    assert found("until=2001-01-01T00:00:00Z") == []
    assert "Nothing fits" in get(client, "/ui/anomalies?kind=series")


def test_a_row_says_why_and_its_part_says_all(database: Database):
    console = made(database)
    reasons = [
        {"feature": name, "value": 182.94, "typical": [129, 148], "contribution": 0.4}
        for name in ("memory", "cpu", "disk")
    ]
    fill(
        console,
        anomaly(0, "a", reasons=reasons, score=0.71, p_value=0.004, regime="shifted"),
        label(0, "telemetry.features-0-0", "unsure", "a", note="ask Bob"),
    )
    client = client_of(console)

    row = text_of(get(client, "/ui/anomalies"))
    part = text_of(get(client, "/ui/anomalies/telemetry.features-0-0/why"))

    assert "memory 182.9, usually 129–148; cpu 182.9, usually 129–148 and 1 more" in row
    assert "disk" not in row
    assert "disk" in part
    assert "shifted" in part
    assert "ask Bob" in part
    assert "0.4\u00a0% of its normal samples" in part.replace(" %", "\u00a0%")


def test_an_export_holds_what_is_filtered_and_nothing_that_a_spreadsheet_runs(
    database: Database,
):
    console = made(database)
    reasons = [{"feature": "=cmd|' /C calc'!A0", "value": 1, "typical": [0, 0]}]
    fill(
        console,
        anomaly(0, "=1+1", reasons=reasons),
        anomaly(1, "b", severity="low"),
    )
    client = client_of(console)

    table = client.get("/ui/anomalies/export?severity=high&format=csv")
    whole = client.get("/ui/anomalies/export?format=json")
    empty = client.get("/ui/anomalies/export?format=json&kind=series").json()

    (row,) = csv.DictReader(io.StringIO(table.text))
    assert row["profile_id"] == "'=1+1"
    assert row["reasons"].startswith("'=cmd")
    assert "attachment" in table.headers["content-disposition"]
    assert [item["profile_id"] for item in whole.json()] == ["b", "=1+1"]
    assert empty == []


def test_dead_letters_are_counted_by_reason_and_filtered(database: Database):
    console = made(database)
    fill(console, *(dead_letter(n, n) for n in range(60)))
    client = client_of(console)

    told = get(client, "/ui/dead-letters")
    other = get(client, "/ui/dead-letters?reason=too_large")

    assert "invalid_record 60" in text_of(told)
    assert told.count("<details data-letter=") == 50
    assert "after=" in told
    assert "None of this reason" in other


def test_models_are_listed_opened_and_compared(database: Database):
    console = made(database)
    fill(
        console,
        model(0, "a/1", version=1, trained_on=10),
        model(1, "a/1", version=2, trained_on=30, detector="blend", features=["x", "y"]),
        model(2, "b"),
    )
    client = client_of(console)

    listed = text_of(get(client, "/ui/models"))
    one = get(client, "/ui/models/features%3Aa%2F1")
    two = get(client, "/ui/models/compare?a=features%3Aa%2F1%401&b=features%3Aa%2F1%402")

    assert "a/1 features 2 blend" in listed
    assert "version 2, in force" in text_of(one)
    assert "2 features" in text_of(one)
    assert "/ui/models/compare?a=features%3Aa%2F1%401" in one.replace("a/1", "a%2F1")
    assert "trained_on 10 30 (+20)" in text_of(two)
    assert 'class="differs"' in two
    assert get(client, "/ui/models/fleet%3Afeatures")
    assert "Nothing was uploaded" in get(client, "/ui/models?family=imported")


def test_another_organisation_sees_nothing_of_it(database: Database):
    console = made(database, jwt_secret=SECRET)
    with database.write() as connection:
        for name in ("mill", "dairy"):
            connection.execute(
                t.organizations.insert().values(
                    id=name, name=name, profile_prefix=f"{name}-", created_at=NOON
                )
            )
    for name in ("mill", "dairy"):
        email = f"{name}@example.org"
        users.add(database, users.NewUser(email, PASSWORD, "admin", name))
    now = now_ms()
    fill(
        console,
        anomaly(0, "mill-secret", scored_at=now),
        model(1, "mill-secret"),
        event(0, "adopted", "mill-secret", at=now),
        dead_letter(0, 0, "mill-secret"),
        label(0, "telemetry.features-0-0", "normal", "mill-secret"),
    )
    mill, dairy = signed_in(database, "mill@example.org"), signed_in(database, "dairy@example.org")
    pages = ("overview", "anomalies", "models", "anomalies/export?format=json")
    own = ("anomalies/telemetry.features-0-0/why", "models/features%3Amill-secret")

    for path in pages:
        assert "mill-secret" in get(mill, f"/ui/{path}"), path
        assert "mill-secret" not in get(dairy, f"/ui/{path}"), path
    for path in own:
        assert "telemetry" in get(mill, f"/ui/{path}") or "mill-secret" in get(mill, f"/ui/{path}")
        assert dairy.get(f"/ui/{path}", headers=HTML).status_code == 404
    for client in (mill, dairy):
        assert client.get("/ui/dead-letters", headers=HTML).status_code == 403
        assert client.get("/ui/settings?show=settings", headers=HTML).status_code == 403
    assert "mill@example.org" not in get(dairy, "/ui/settings?show=users")
    assert "mill@example.org" in get(mill, "/ui/settings?show=users")
    assert "mill@example.org" not in get(dairy, "/ui/settings?show=audit")


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_role_sees_what_it_may_do(sqlite: Database, role: str):
    users.add(sqlite, users.NewUser("ada@example.org", PASSWORD, role))
    console = made(sqlite, jwt_secret=SECRET)
    fill(console, anomaly(0))
    client = signed_in(sqlite, "ada@example.org")
    admin = role == "admin"

    told = get(client, "/ui/anomalies")
    statuses = {
        path: client.get(f"/ui/{path}", headers=HTML).status_code
        for path in ("dead-letters", "settings?show=users", "settings?show=settings")
    }

    judges = role in ("analyst", "operator", "admin")
    raw = client.get("/ui/anomalies/telemetry.none-0-1/records", headers=HTML)
    assert ("data-judge" in told) == judges
    assert raw.status_code == (404 if judges else 403)
    assert set(statuses.values()) == ({200} if admin else {403})
    assert ("Users" in text_of(get(client, "/ui/settings"))) == admin


def test_settings_in_force_show_no_secret(sqlite: Database):
    users.add(sqlite, users.NewUser("ada@example.org", PASSWORD, "admin"))
    client = signed_in(sqlite, "ada@example.org")

    told = get(client, "/ui/settings?show=settings")

    assert "TELLTALE_JWT_SECRET" in told
    assert HIDDEN in told
    assert SECRET not in told


def test_a_password_in_the_url_of_the_store_is_masked(sqlite: Database):
    console = made(sqlite, database_url="postgresql://ada:hunter2@db/x")

    told = get(client_of(console), "/ui/settings?show=settings")

    assert "db/x" in told
    assert "hunter2" not in told


def test_the_audit_log_names_who_began_a_session(sqlite: Database):
    users.add(sqlite, users.NewUser("ada@example.org", PASSWORD, "admin"))
    client = signed_in(sqlite, "ada@example.org")

    told = text_of(get(client, "/ui/settings?show=audit"))

    assert "ada@example.org session.begin" in told
