"""Explorer and Profile on what store and memory hold: each state in the address, text as text."""

import re
from typing import Any

import orjson
import pytest

from console.auth import users
from console.live.events import Described
from console.live.state import now_ms
from console.services import Services
from console.store import tables as t
from console.store.annotations import put_attributes
from console.store.database import Database
from tests.unit.console.records import anomaly, event, label, model, verdict
from tests.unit.console.test_console_api import (
    PASSWORD,
    SECRET,
    bearer,
    client_of,
    fill,
    made,
)
from tests.unit.console.test_pages_views import get, ids, text_of

HOUR = 3_600_000
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "\"'&amp;</script><script>alert(1)</script>",
    "\u202eevil",
    "😀" * 64,
    "a/b?c=d&e#f%2F",
)


def reasons(*names: str, value: float = 9.0) -> list[dict[str, Any]]:
    share = 1 / len(names)
    return [
        {"feature": n, "value": value, "typical": [1.0, 2.0], "contribution": share} for n in names
    ]


def filled(database: Database, **wanted: Any) -> tuple[Services, Any, int]:
    """A console with anomalies of three profiles in the latest hours."""
    console, now = made(database, **wanted), now_ms()
    fill(
        console,
        anomaly(
            0,
            "pump-1",
            severity="critical",
            score=0.99,
            reasons=reasons("cpu"),
            scored_at=now - HOUR,
        ),
        anomaly(
            1,
            "pump-2",
            severity="low",
            score=0.9,
            reasons=reasons("disk"),
            scored_at=now - 2 * HOUR,
        ),
        anomaly(
            2, "fan-1", severity="high", score=0.95, reasons=reasons("cpu"), scored_at=now - HOUR
        ),
        anomaly(3, "fan-1", severity="high", suppressed=True, scored_at=now - HOUR),
    )
    return console, client_of(console), now


def figure(page: str, name: str) -> Any:
    """A figure of a page, as its script reads it."""
    found = re.search(rf'id="{name}"[^>]*><script type="application/json">(.*?)</script>', page)
    assert found is not None, name
    return orjson.loads(found[1])


def profiles_of(client: Any, path: str) -> list[str]:
    """Profiles in the table of anomalies of a page."""
    return re.findall(
        r'class="c-profile"><a class="profile"[^>]*title="([^"]*)"', get(client, path)
    )


def lane_names(page: str) -> list[str]:
    found = re.search(r'id="lane-names">(.*?)</script>', page)
    return [] if found is None else list(orjson.loads(found[1])["names"])


def test_the_explorer_shows_lanes_their_table_and_the_anomalies(database: Database):
    _, client, _ = filled(database)

    page = get(client, "/ui/explorer")

    assert lane_names(page) == ["features/pump-1", "features/fan-1", "features/pump-2"]
    assert figure(page, "lanes")["layout"]["meta"]["alt"].startswith("Swim lanes: 3 lanes")
    assert set(profiles_of(client, "/ui/explorer")) == {"pump-1", "fan-1", "pump-2"}
    assert len(ids(page)) == 3, "those in a maintenance window are left out, as in the lanes"
    assert "gravest intervals" in text_of(page).lower()


@pytest.mark.parametrize(
    ("hours", "chosen"), [((0.5,), "1h"), ((0.5, 4), "6h"), ((4, 20), "24h"), ((), "24h")]
)
def test_the_explorer_leaves_out_hours_before_the_first_anomaly_of_a_day(
    database: Database, hours: tuple[float, ...], chosen: str
):
    console, now = made(database), now_ms()
    alarms = [anomaly(n, scored_at=now - int(h * HOUR)) for n, h in enumerate(hours, 1)]
    fill(console, verdict(0), *alarms)

    page = get(client_of(console), "/ui/explorer")

    assert f"<option selected>{chosen}</option>" in page
    assert "<option selected>7d</option>" in get(client_of(console), "/ui/explorer?last=7d")


def test_a_chosen_lane_and_time_filter_the_table(database: Database):
    _, client, now = filled(database)

    assert profiles_of(client, "/ui/explorer?lane=features/pump-2") == ["pump-2"]
    begin = f"from={(now - 2 * HOUR - 60_000) // 1000}"
    assert client.get(f"/ui/explorer?{begin}&to=x").status_code == 422
    page = get(client, "/ui/explorer")
    link = re.search(r'<a class="cell" href="([^"]*lane=features%2Ffan-1[^"]*)"', page)
    assert link is not None
    assert profiles_of(client, link[1].replace("&amp;", "&")) == ["fan-1"]


def test_a_hidden_severity_is_neither_in_lanes_nor_in_the_table(database: Database):
    _, client, _ = filled(database)

    page = get(client, "/ui/explorer?hide=critical,low")

    assert lane_names(page) == ["features/fan-1"]
    assert profiles_of(client, "/ui/explorer?hide=critical,low") == ["fan-1"]
    assert 'aria-pressed="false" class="legend-item critical"' in page


def test_lanes_of_features_and_kinds_filter_the_table_as_well(database: Database):
    _, client, _ = filled(database)

    assert lane_names(get(client, "/ui/explorer?view=feature")) == ["cpu", "disk"]
    assert profiles_of(client, "/ui/explorer?view=feature&lane=disk") == ["pump-2"]
    assert lane_names(get(client, "/ui/explorer?view=kind")) == ["features"]
    assert profiles_of(client, "/ui/explorer?view=kind&lane=series") == []


def test_lanes_by_an_attribute(database: Database):
    _, client, now = filled(database)
    with database.write() as connection:
        for name, site in (("pump-1", "Graz"), ("pump-2", "Wien")):
            seen = Described("features", name, {"site": site}, now)
            put_attributes(database, connection, seen, 0, "topic")

    page = get(client, "/ui/explorer?view=attribute:site")

    assert sorted(lane_names(page)) == ["Graz", "Wien", "unknown"]
    assert '<option value="attribute:site" selected>site</option>' in page
    assert profiles_of(client, "/ui/explorer?view=attribute:site&lane=Wien") == ["pump-2"]
    told = client.get("/api/v1/lanes?view=attribute:site").json()
    assert {lane["name"]: lane["anomalies"] for lane in told["lanes"]} == {
        "Graz": 1,
        "Wien": 1,
        "unknown": 1,
    }


@pytest.mark.parametrize(
    "query",
    [
        "top=11",
        "view=moon",
        "view=attribute:",
        "hide=moon",
        "severities=moon",
        "since=yesterday",
        "since=2030-01-01T00:00:00Z&until=2020-01-01T00:00:00Z",
        "since=2000-01-01T00:00:00Z&until=2020-01-01T00:00:00Z",
    ],
)
def test_a_state_that_is_none_is_said(sqlite: Database, query: str):
    client = client_of(made(sqlite))
    path = "/api/v1/lanes" if not query.startswith("hide") else "/ui/explorer"

    told = client.get(f"{path}?{query}")

    assert told.status_code == 422
    assert told.json()["detail"]


def test_the_api_tells_lanes_by_interval(database: Database):
    _, client, now = filled(database)

    told = client.get("/api/v1/lanes?top=10&sort=severity").json()

    first = told["lanes"][0]
    assert (first["kind"], first["profile_id"], first["anomalies"]) == ("features", "pump-1", 1)
    (cell,) = first["cells"]
    begin = told["starts"][cell["interval"]]
    assert begin <= now - HOUR < begin + told["width_ms"]
    assert (cell["severity"], cell["anomalies"]) == ("critical", 1)
    assert cell["score"] == pytest.approx(0.99)
    assert told["lanes_in_all"] == 3


def test_nobody_sees_lanes_or_profiles_of_another_organisation(database: Database):
    console, _, now = filled(database, jwt_secret=SECRET)
    with database.write() as connection:
        connection.execute(
            t.organizations.insert().values(
                id="o", name="mill", profile_prefix="fan-", topic_prefix=None, created_at=now
            )
        )
    users.add(database, users.NewUser("bob@example.org", PASSWORD, "operator", "o"))
    client = client_of(console)
    head = bearer(client, "bob@example.org")
    html = head | {"Accept": "text/html"}

    page = client.get("/ui/explorer", headers=html).text
    assert lane_names(page) == ["features/fan-1"]
    assert "pump" not in page
    chosen = client.get("/ui/explorer?lane=features/pump-1&view=profile", headers=html).text
    assert ids(chosen) == []
    told = client.get("/api/v1/lanes", headers=head).text
    assert "fan-1" in told
    assert "pump" not in told
    assert client.get("/api/v1/profiles/search?q=pump", headers=head).json() == {"items": []}
    assert client.get("/ui/profiles/features/pump-1", headers=html).status_code == 404
    assert client.get("/ui/profiles/features/fan-1", headers=html).status_code == 200


def test_a_viewer_neither_acts_nor_labels_nor_sees_attributes(database: Database):
    console, _, _ = filled(database, jwt_secret=SECRET)
    users.add(database, users.NewUser("eve@example.org", PASSWORD, "viewer"))
    client = client_of(console)
    head = bearer(client, "eve@example.org")

    page = client.get("/ui/profiles/features/pump-1", headers=head | {"Accept": "text/html"}).text

    assert "data-command" not in page
    assert "forget-button" not in page
    assert "data-judge" not in page
    assert "data-room" not in page
    assert client.get("/api/v1/lanes?view=attribute:site", headers=head).status_code == 403


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text_in_explorer_and_profile(database: Database, name: str):
    console, now = made(database), now_ms()
    fill(
        console,
        model(0, name, features=[name], trained_at=now - HOUR, provenance={name: name}),
        event(0, "adopted", name, at=now - HOUR, version=1, detail=name),
        anomaly(0, name, score=0.9, scored_at=now - HOUR, reasons=reasons(name)),
        label(0, "telemetry.features-0-0", "normal", name, at=now, note=name),
    )
    client = client_of(console)
    explorer = get(client, "/ui/explorer")
    link = re.search(r'<a class="profile" href="([^"]*)"', explorer)
    assert link is not None

    profile = get(client, link[1])

    for page in (explorer, profile, get(client, f"{link[1]}?feature=x")):
        assert "<img src=x" not in page
        assert "<script>alert" not in page
    assert get(client, "/ui/explorer?" + _lane_link(explorer)).count("data-verdict=") == 1


def _lane_link(page: str) -> str:
    found = re.search(r'<th scope="row"><a href="/ui/explorer\?([^"]*)"', page)
    assert found is not None
    return found[1].replace("&amp;", "&")


def test_a_profile_shows_band_threshold_marks_versions_and_windows(database: Database):
    console, now = made(database), now_ms()
    fill(
        console,
        model(0, version=1, trained_at=now - 10 * HOUR),
        model(1, version=2, trained_at=now - 5 * HOUR, trigger="samples", figures={"auc": 0.93}),
        event(0, "suppressed", at=now - 4 * HOUR, detail=f"until {now - 2 * HOUR}: works"),
        event(1, "resumed", at=now - 3 * HOUR),
        verdict(0, score=0.2, scored_at=now - 3 * HOUR),
        anomaly(1, score=0.8, severity="high", scored_at=now - 2 * HOUR, reasons=reasons("cpu")),
        anomaly(2, score=0.9, suppressed=True, scored_at=now - 3 * HOUR - 60_000),
        one_in=1,
    )
    client = client_of(console)

    page = get(client, "/ui/profiles/features/p")

    chart = figure(page, "over-time")
    named = {trace["name"].strip("\u2068\u2069"): trace for trace in chart["data"]}
    assert set(named) == {"expected", "score", "threshold", "high"}
    assert named["threshold"]["y"] == [0.5, 0.5], "between 0.2, normal, and 0.8, an anomaly"
    assert named["high"]["marker"]["symbol"] == ["diamond-open", "diamond"]
    notes = {note["text"].strip("\u2068\u2069") for note in chart["layout"]["annotations"]}
    assert notes == {"version 1", "version 2", "maintenance"}
    rects = [shape for shape in chart["layout"]["shapes"] if shape["type"] == "rect"]
    assert "var(--chart-suppression)" in [shape["fillcolor"] for shape in rects]
    words = text_of(page)
    assert "auc" in words
    assert "Go back to 1" in words
    assert "active" in words


def test_a_feature_shows_its_values_and_what_is_usual(database: Database):
    _, client, _ = filled(database)

    page = get(client, "/ui/profiles/features/pump-1?feature=cpu")

    low, high, values, *_ = figure(page, "over-time")["data"]
    assert (low["y"], high["y"], values["y"]) == ([1.0], [2.0], [9.0])


def test_a_learning_profile_says_how_far_it_is(database: Database):
    console, now = made(database), now_ms()
    fill(
        console,
        verdict(0, status="learning", samples_seen=3, samples_needed=10, scored_at=now),
    )

    page = get(client_of(console), "/ui/profiles/features/p")

    assert "3 of 10 samples" in text_of(page)
    assert 'data-command="train"' in page
    assert 'data-command="retrain"' not in page


def test_a_shifted_profile_says_how_far_its_new_normal_is_and_can_be_adopted(database: Database):
    console, now = made(database), now_ms()
    figures = {"samples": 60, "needed": 200, "on_shift": "adopt"}
    fill(
        console,
        model(0, trained_at=now - 9 * HOUR),
        event(0, "shifted", at=now - HOUR, detail="30 of 40 are abnormal", figures=figures),
        anomaly(0, scored_at=now - HOUR // 2),
    )
    client = client_of(console)

    page = get(client, "/ui/profiles/features/p")

    assert "About 61 of 200 samples of the new normal" in text_of(page)
    assert 'data-command="adopt"' in page
    fill(console, event(1, "shift_ended", at=now - 60_000))
    assert 'data-command="adopt"' not in get(client, "/ui/profiles/features/p")


def test_a_level_that_the_detector_follows_is_neither_adopted_nor_held(database: Database):
    console, now = made(database), now_ms()
    figures = {"since": "telemetry.features-0-1", "on_shift": "follow"}
    fill(
        console,
        model(0, trained_at=now - 9 * HOUR),
        event(0, "shifted", at=now - HOUR, detail="112 of 160 lie above", figures=figures),
    )

    page = get(client_of(console), "/ui/profiles/features/p")

    assert "It is at another level than it has learnt since" in text_of(page)
    assert "112 of 160 lie above" in text_of(page)
    assert 'data-command="retrain"' in page
    assert 'data-command="adopt"' not in page
    assert 'data-command="hold"' not in page


def test_whoever_forgot_a_profile_reads_the_receipts_whatever_their_organisation(
    database: Database,
):
    console, _, now = filled(database, jwt_secret=SECRET)
    with database.write() as connection:
        connection.execute(
            t.organizations.insert().values(
                id="o", name="mill", profile_prefix="fan-", topic_prefix=None, created_at=now
            )
        )
    for email in ("bob@example.org", "eve@example.org"):
        users.add(database, users.NewUser(email, PASSWORD, "operator", "o"))
    client = client_of(console)
    bob, eve = (bearer(client, email) for email in ("bob@example.org", "eve@example.org"))
    subject = client.get("/api/v1/auth/me", headers=bob).json()["id"]
    with database.write() as connection:
        entry = {"id": "1", "at": now, "subject": subject, "action": "profile.forget"}
        connection.execute(
            t.audit_log.insert().values(**entry, object="c-1", request_id="", outcome="sent")
        )
    fill(console, event(0, "forgotten", "fan-1", role="scorer", at=now, command_id="c-1"))

    assert len(client.get("/api/v1/commands/c-1", headers=bob).json()["receipts"]) == 1
    assert client.get("/api/v1/commands/c-1", headers=eve).status_code == 404


def test_a_search_over_http_finds_a_part_of_an_id(database: Database):
    _, client, _ = filled(database)

    told = client.get("/api/v1/profiles/search?q=MP-1").json()

    assert told == {"items": [{"kind": "features", "profile_id": "pump-1", "state": "learning"}]}
    assert client.get("/api/v1/profiles/search?q=").status_code == 422
