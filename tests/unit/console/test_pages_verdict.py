"""The page of a verdict: what it says, who may see it and who may talk there."""

import pytest

from console.auth import users
from console.auth.permissions import LABEL_WRITE, ROLES
from console.live.state import now_ms
from console.store import tables as t
from console.store.database import Database
from tests.unit.console.records import NOON, anomaly, label, verdict
from tests.unit.console.test_console_api import PASSWORD, SECRET, client_of, fill, made
from tests.unit.console.test_pages_views import HTML, get, ids, signed_in, text_of

VERDICT = "telemetry.features-0-0"
PAGE = f"/ui/anomalies/{VERDICT}"
HOSTILE = '<img src=x onerror="alert(1)">\u202egnp'


def test_a_verdict_has_a_page_with_its_label_and_its_discussion(database: Database):
    console = made(database)
    fill(console, anomaly(0, "pump-1", scored_at=now_ms()), label(0, VERDICT, "normal", "pump-1"))

    page = get(client_of(console), PAGE)

    assert ids(page) == [VERDICT]
    assert "Anomaly of pump-1" in text_of(page)
    assert 'data-label="normal"' in page
    assert f'id="discussion" data-room="{VERDICT}"' in page


def test_the_reason_of_an_anomaly_links_to_its_page(sqlite: Database):
    console = made(sqlite)
    fill(console, anomaly(0, "pump-1", scored_at=now_ms()))

    assert f'href="{PAGE}"' in get(client_of(console), f"{PAGE}/why")


def test_names_on_the_page_of_a_verdict_are_text(sqlite: Database):
    console = made(sqlite)
    reasons = [{"feature": HOSTILE, "value": 1.0, "typical": [0, 1], "contribution": 1.0}]
    fill(console, anomaly(0, HOSTILE, scored_at=now_ms(), reasons=reasons))

    page = get(client_of(console), PAGE)

    assert "<img" not in page
    assert "&lt;img src=x" in page


@pytest.mark.parametrize("role", sorted(ROLES))
def test_whoever_may_label_may_talk_of_a_verdict(sqlite: Database, role: str):
    users.add(sqlite, users.NewUser("ada@example.org", PASSWORD, role))
    fill(made(sqlite, jwt_secret=SECRET), anomaly(0, "pump-1", scored_at=now_ms()))

    page = get(signed_in(sqlite, "ada@example.org"), PAGE)

    talks = LABEL_WRITE in ROLES[role]
    assert ('id="discussion"' in page) is talks
    assert ('data-judge="normal"' in page) is talks


def test_nobody_sees_the_page_of_another_organisations_verdict(database: Database):
    for name in ("mill", "dairy"):
        with database.write() as connection:
            connection.execute(
                t.organizations.insert().values(
                    id=name, name=name, profile_prefix=f"{name}-", created_at=NOON
                )
            )
        users.add(database, users.NewUser(f"{name}@example.org", PASSWORD, "admin", name))
    fill(made(database, jwt_secret=SECRET), anomaly(0, "mill-1", scored_at=now_ms()))

    assert "mill-1" in get(signed_in(database, "mill@example.org"), PAGE)
    told = signed_in(database, "dairy@example.org").get(PAGE, headers=HTML)
    assert told.status_code == 404
    assert "mill-1" not in told.text


def test_there_is_no_page_of_a_verdict_without_a_row(sqlite: Database):
    console = made(sqlite)
    fill(console, verdict(0, "pump-1"))

    assert client_of(console).get(PAGE, headers=HTML).status_code == 404
