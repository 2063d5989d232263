"""Documents attached for compliance, over HTTP and from the command line, on both databases.

S4-65, S4-66, S4-93, S4-113: a control's evidence may be attached; who attached it, when, and how
old it is are said.
"""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from console.auth import users
from console.governance import reports
from console.governance.cli import app
from console.live.state import now_ms
from console.services import Services
from console.store import tables as t
from console.store.database import Database
from tests.unit.console.fleets import FLEET, fill_days
from tests.unit.console.test_console_api import PASSWORD, bearer, client_of, made, signed_in

GOOD = {"same": 500, "changed": 0, "not_compared": 0, "kinds": {"features": {}}}
PATH = "/api/v1/compliance/evidence"


@pytest.fixture(autouse=True)
def without_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no broker to ask here, and asking takes seconds."""
    monkeypatch.setattr("console.governance.making.complying.of_surroundings", lambda _: {})


def body_of(control: str, document: dict[str, Any], days: float = 1) -> dict[str, Any]:
    made_at = datetime.fromtimestamp(now_ms() / 1000, UTC) - timedelta(days=days)
    return {
        "model_id": FLEET,
        "control": control,
        "made_at": made_at.isoformat(),
        "document": document,
    }


def controls(client: Any, console: Services, **headers: str) -> dict[str, dict[str, Any]]:
    """The controls of an assessment that is made now."""
    told = client.post(
        "/api/v1/compliance",
        json={"model_id": FLEET},
        headers={"Prefer": "respond-async"} | headers,
    )
    assert told.status_code == 202, told.text
    for report_id in reports.queued(console):
        reports.make_report(console, report_id)
    found = client.get(told.headers["Location"], headers=headers).json()
    return {each["id"]: each for each in found["controls"]}


def test_an_attached_document_is_evidence_until_it_is_old(database: Database):
    console = made(database)
    client = client_of(console)

    old = client.post(PATH, json=body_of("T3", GOOD, days=40))
    before = controls(client, console)["T3"]
    new = client.post(PATH, json=body_of("T3", GOOD, days=2))
    after = controls(client, console)

    assert (old.status_code, old.json()["status"]) == (201, "unknown")
    assert "40 days ago: only up to 30 days count" in before["evidence"]
    assert new.json() | {"evidence_id": "", "made_at": "", "attached_at": ""} == {
        "evidence_id": "",
        "model_id": FLEET,
        "control": "T3",
        "status": "pass",
        "evidence": after["T3"]["evidence"],
        "facts": {"same": 500, "changed": 0, "not_compared": 0},
        "document_sha256": new.json()["document_sha256"],
        "made_at": "",
        "attached_at": "",
        "attached_by": "local",
        "organization_id": None,
    }
    assert after["T3"]["status"] == "pass"
    assert {after[name]["status"] for name in ("T5", "R4", "R7")} == {"unknown"}
    with database.read() as connection:
        noted = connection.execute(select(t.audit_log.c.action, t.audit_log.c.object)).all()
    assert ("evidence.create", new.json()["evidence_id"]) in noted


def test_a_later_failure_counts_whatever_is_attached_after_it(database: Database):
    console = made(database)
    client = client_of(console)

    client.post(PATH, json=body_of("T3", GOOD | {"changed": 1}, days=1))
    client.post(PATH, json=body_of("T3", GOOD, days=2))

    told = controls(client, console)["T3"]
    assert told["status"] == "fail"
    assert "1 changed" in told["evidence"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"document": {"same": 1}}, "document.kinds"),
        ({"made_at": "2999-01-01T00:00:00Z"}, "made_at"),
        ({"made_at": "2020-01-01T00:00:00"}, "made_at"),
        ({"control": "T1"}, "control"),
    ],
)
def test_a_document_that_does_not_fit_is_refused(
    database: Database, changed: dict[str, Any], said: str
):
    client = client_of(made(database))

    told = client.post(PATH, json=body_of("T3", GOOD) | changed)

    assert told.status_code == 422
    assert said in json.dumps(told.json())
    assert client.get(f"{PATH}/model/{FLEET}").json() == []


def test_attached_documents_are_listed_and_deleted(database: Database):
    console = made(database)
    client = client_of(console)
    first = client.post(PATH, json=body_of("R4", {"committed": 99, "aborted": 1})).json()

    listed = client.get(f"{PATH}/model/{FLEET}").json()
    page = client.get("/ui/governance")
    deleted = client.delete(f"{PATH}/{first['evidence_id']}")
    again = client.delete(f"{PATH}/{first['evidence_id']}")

    assert [each["evidence_id"] for each in listed] == [first["evidence_id"]]
    assert first["status"] == "fail"
    # The page lists reports; a document is none.
    assert (page.status_code, first["evidence_id"] in page.text) == (200, False)
    assert deleted.json() == {"message": "Evidence deleted successfully"}
    assert again.status_code == 404
    assert controls(client, console)["R4"]["status"] == "unknown"


def test_documents_are_of_an_organisation_and_for_auditors(database: Database):
    with signed_in(database, "admin") as (console, client, admin):
        own = {}
        for name in ("Mill", "Farm"):
            body = {"name": name, "profile_prefix": f"{name.lower()}-"}
            told = client.post("/api/v1/organizations", json=body, headers=admin).json()
            users.add(
                database, users.NewUser(f"eve@{name}.org".lower(), PASSWORD, "auditor", told["id"])
            )
            own[name] = bearer(client, f"eve@{name}.org".lower())
        users.add(database, users.NewUser("ann@mill.org", PASSWORD, "analyst", None))
        analyst = bearer(client, "ann@mill.org")
        chaos = {
            "version": reports.code_version(),
            "rounds": 10,
            "records": 100,
            "lost": 0,
            "doubled": 0,
            "wrong": 0,
        }

        refused = client.post(PATH, json=body_of("T3", GOOD), headers=analyst)
        mill = client.post(PATH, json=body_of("T3", GOOD), headers=own["Mill"])
        whole = client.post(PATH, json=body_of("R7", chaos), headers=admin)
        foreign = client.delete(f"{PATH}/{mill.json()['evidence_id']}", headers=own["Farm"])

        assert (refused.status_code, mill.status_code) == (403, 201)
        assert (whole.status_code, foreign.status_code) == (201, 403)
        assert client.get(f"{PATH}/model/{FLEET}", headers=own["Farm"]).json() == []
        seen = {name: controls(client, console, **header) for name, header in own.items()}
        assert (seen["Mill"]["T3"]["status"], seen["Farm"]["T3"]["status"]) == ("pass", "unknown")
        # A fault test is of the installation that all of them use.
        assert (seen["Mill"]["R7"]["status"], seen["Farm"]["R7"]["status"]) == ("pass", "pass")


def test_a_model_card_is_made_and_attached_from_the_command_line(
    database: Database, store_url: str, tmp_path: Path
):
    database.upgrade()
    fill_days(database, {"Graz": 1, "Wien": 1}, days=1)
    run = CliRunner(env={"TELLTALE_DATABASE_URL": store_url})
    file = tmp_path / "T5.json"

    card = run.invoke(app, ["card", FLEET])
    file.write_text(card.stdout)
    attached = run.invoke(app, ["attach", FLEET, "T5", str(file)])
    broken = run.invoke(app, ["attach", FLEET, "T3", str(file)])

    assert card.exit_code == 0, card.output
    told = json.loads(card.stdout)
    assert (told["kind"], told["models"], told["detectors"]) == ("features", 40, {"blend": 40})
    assert "200 samples in the median" in told["training_data"]
    assert attached.exit_code == 0, attached.output
    assert attached.stdout.startswith("T5 pass: attached model card of 0 days ago")
    assert broken.exit_code != 0
    assert "document.kinds: expected verdicts of features" in str(broken.exception)
    with database.read() as connection:
        (row,) = connection.execute(select(t.reports).where(t.reports.c.type == "evidence")).all()
        noted = connection.execute(select(t.audit_log.c.action)).scalars().all()
    assert (row.by, row.model_id, row.status) == ("local", FLEET, "completed")
    assert list(noted) == ["evidence.create"]
