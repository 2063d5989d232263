"""Registered models in the store: added by jobs and uploads, found by whoever may see them."""

from __future__ import annotations

import io
import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, insert, select, update

from console.answers import plain
from console.auth.permissions import Caller
from console.jobs.context import Context
from console.lab.blobs import Blobs
from console.lab.tables import registered_models
from console.live.profiles import profile_hash
from console.live.state import hash_key, now_ms
from console.store.database import Database

IN_USE = "in_use"
STAGES = ("none", "staging", IN_USE, "archived")


def register(
    context: Context,
    model: Any,
    *,
    name: str,
    family: str,
    kind: str | None,
    algorithm: str,
    features: Sequence[str],
    figures: dict[str, Any],
    profiles: Sequence[tuple[str, int, str]],
    stage: str = "none",
) -> str:
    """Keep a model that a job trained; its id.

    Args:
        model: of scikit-learn, fitted.
        profiles: kind, partition and id of those that it was trained on.
    """
    from console.lab.registry.files import packed

    # The same job begun again registers the same model, not another one.
    model_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"telltale:{context.job_id}"))
    blobs = Blobs(context.settings.data_dir)
    written = blobs.write(f"models/{model_id}.skops", io.BytesIO(packed(model)))
    key = hash_key(context.database)
    row = {
        "id": model_id,
        "name": name,
        "family": family,
        "kind": kind,
        "algorithm": algorithm,
        "job_id": context.job_id,
        "path": written.path,
        "sha256": written.sha256,
        "features": list(features),
        "figures": figures,
        "trained_on": [profile_hash(key, *each) for each in profiles],
        "stage": stage,
        "by": context.owner.by,
        "organization_id": context.owner.organization_id,
        "created_at": now_ms(),
    }
    with context.database.write() as connection:
        inserting = context.database.insert(registered_models).values(row)
        connection.execute(inserting.on_conflict_do_nothing())
    if stage == IN_USE:
        put_stage(context.database, row, IN_USE)
    return model_id


def add_row(database: Database, row: dict[str, Any]) -> None:
    """Keep a model that was uploaded."""
    with database.write() as connection:
        connection.execute(insert(registered_models).values(row))


def visible(who: Caller) -> Any:
    """Which models a caller sees: its organisation's; without one, all of its topics."""
    if who.organization_id is None or who.topic_prefix:
        return registered_models.c.id.is_not(None)
    return registered_models.c.organization_id == who.organization_id


def model_row(database: Database, who: Caller, model_id: str) -> dict[str, Any] | None:
    """A registered model that the caller sees."""
    query = select(registered_models).where(registered_models.c.id == model_id, visible(who))
    with database.read() as connection:
        row = connection.execute(query).mappings().first()
    return None if row is None else plain(row)


def put_stage(database: Database, row: dict[str, Any], stage: str) -> None:
    """Set the stage of a model; the one that was in use before it is archived."""
    held = registered_models.c
    with database.write() as connection:
        if stage == IN_USE:
            others = and_(
                held.family == row["family"],
                held.organization_id == row["organization_id"]
                if row["organization_id"] is not None
                else held.organization_id.is_(None),
                held.stage == IN_USE,
                held.id != row["id"],
            )
            connection.execute(update(registered_models).where(others).values(stage="archived"))
        connection.execute(
            update(registered_models).where(held.id == row["id"]).values(stage=stage)
        )
