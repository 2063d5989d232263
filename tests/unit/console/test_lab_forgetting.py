"""What the lab knows of a profile goes with it."""

import io
from pathlib import Path
from typing import Any

from sqlalchemy import select

from console.jobs import queue
from console.jobs.queue import Owner
from console.lab.blobs import Blobs
from console.lab.forgetting import forget_rows
from console.lab.registry.storing import add_row
from console.live.profiles import profile_hash
from console.live.state import hash_key
from console.store import tables as t
from console.store.database import Database
from console.store.erasure import erase
from tests.unit.console.records import anomaly, model
from tests.unit.console.test_console_api import client_of, fill, made
from tests.unit.console.test_lab_api import TABLE, upload

ADA = ("features", 0, "ada")
LATER = 4_000_000_000_000


def registered(key: bytes, **wanted: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(c.name for c in t.registered_models.columns)
    row |= {"id": "m", "name": "m", "family": "triage", "algorithm": "mlp", "path": "p"}
    row |= {"sha256": "0", "features": [], "figures": {}, "stage": "none", "by": "a"}
    return row | {"created_at": 1, "trained_on": [profile_hash(key, *ADA)]} | wanted


def test_rooms_go_models_are_flagged_and_jobs_hold_a_hash(database: Database):
    console = made(database)
    fill(console, model(0, "ada"), model(1, "bob"), anomaly(2, "ada"))
    client = client_of(console)
    for room in ("features:ada", "telemetry.features-0-2", "features:bob"):
        client.post(f"/api/v1/rooms/{room}/messages", json={"text": "x"})
    key = hash_key(database)
    add_row(database, registered(key))
    add_row(database, registered(key, id="other", trained_on=[]))
    config = {"kind": "features", "profile_id": "ada"}
    job_id = queue.submit(database, "evaluate", config, Owner("a"))

    with database.write() as connection:
        erased = erase(database, connection, key, ADA, LATER)

    with database.read() as connection:
        rooms = connection.execute(select(t.messages.c.room)).scalars().all()
        flagged = connection.execute(
            select(t.registered_models.c.id).where(t.registered_models.c.flagged_at.is_not(None))
        )
        assert flagged.scalars().all() == ["m"]
        named = connection.execute(select(t.jobs.c.config).where(t.jobs.c.id == job_id)).scalar()
    assert rooms == ["features:bob"]
    assert erased.rows["messages"] == 2
    assert "ada" not in str(named)


def test_a_data_set_is_written_again_without_the_rows_of_a_profile(
    database: Database, tmp_path: Path
):
    client = client_of(made(database, data_dir=str(tmp_path)))
    kept = upload(client, TABLE, kind="features").json()["id"]
    other = upload(client, TABLE, kind="behavior").json()["id"]
    blobs = Blobs(str(tmp_path))

    gone = forget_rows(database, blobs, "features", "web-1", LATER)

    told = client.get(f"/api/v1/datasets/{kept}/preview?rows=200").json()
    assert (gone, told["rows"], len(told["preview"])) == (33, 67, 67)
    assert {row["profile_id"] for row in told["preview"]} == {"web-0", "web-2"}
    with blobs.open(f"datasets/{kept}") as file:
        assert b"web-1" not in io.BytesIO(file.read()).getvalue()
    assert client.get(f"/api/v1/datasets/{other}").json()["rows"] == 100
    assert forget_rows(database, blobs, "features", "web-1", LATER) == 0
