"""Forgetting in the lab: rows of data sets, models trained on a profile, jobs that name it."""

from __future__ import annotations

import tempfile
from collections.abc import Set
from typing import Any, BinaryIO

from sqlalchemy import Connection, and_, or_, select, update

from console.jobs.tables import jobs
from console.lab.blobs import Blobs
from console.lab.tables import datasets, registered_models
from console.store.database import Database

SPOOLED = 1 << 22


def flag_models(connection: Connection, hashes: Set[str], at: int) -> int:
    """Flag the models that were trained on a profile; how many.

    Args:
        hashes: keyed, of the profile.
    """
    held = registered_models.c
    found = connection.execute(
        select(held.id, held.trained_on).where(held.flagged_at.is_(None), held.created_at <= at)
    ).all()
    ids = [row.id for row in found if hashes & set(row.trained_on)]
    if ids:
        connection.execute(update(registered_models).where(held.id.in_(ids)).values(flagged_at=at))
    return len(ids)


def hash_jobs(connection: Connection, profile: tuple[str, int, str], name: str) -> int:
    """Have jobs that were about a profile name it by a hash; how many.

    Args:
        profile: kind, partition and id.
        name: what stands in place of the id.
    """
    kind, _, profile_id = profile
    named = jobs.c.config["profile_id"].as_string() == profile_id
    found = connection.execute(select(jobs.c.id, jobs.c.config).where(named)).all()
    count = 0
    for row in found:
        if row.config.get("kind") in (None, kind):
            config = row.config | {"profile_id": name}
            connection.execute(update(jobs).where(jobs.c.id == row.id).values(config=config))
            count += 1
    return count


def forget_rows(database: Database, blobs: Blobs, kind: str, profile_id: str, at: int) -> int:
    """Write the data sets that hold rows of a profile again without them; how many rows went.

    Raises:
        OSError: a file cannot be read or written.
    """
    held = datasets.c
    of_kind = or_(held.kind.is_(None), held.kind == kind)
    query = select(datasets).where(
        and_(held.profile_column.is_not(None), of_kind, held.created_at <= at)
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
    return sum(_without(database, blobs, row, profile_id) for row in rows)


def _without(database: Database, blobs: Blobs, row: Any, profile_id: str) -> int:
    # pyarrow is loaded where a table is read, and nowhere else.
    from console.lab.data.rewriting import written_without
    from console.lab.data.summary import summarise
    from console.lab.data.tables import BadTable, batches

    name, _, packed = row.format.partition(".")
    with tempfile.SpooledTemporaryFile(SPOOLED) as spooled:
        target: BinaryIO = spooled  # type: ignore[assignment]
        try:
            with blobs.open(row.path) as file:
                found = batches(file, name, packed=bool(packed))
                gone = written_without(found, row.profile_column, profile_id, target)
        except FileNotFoundError:
            return 0
        if not gone:
            return 0
        left = row.rows - gone
        values: dict[str, Any] = {"rows": left, "format": "parquet", "columns": []}
        if left:
            target.seek(0)
            try:
                values["columns"] = summarise(
                    batches(target, "parquet", packed=False), 10**15
                ).shown()
            except BadTable:
                values["columns"] = row.columns
            target.seek(0)
        written = blobs.write(row.path, target)
    values |= {"bytes": written.bytes, "sha256": written.sha256}
    with database.write() as connection:
        connection.execute(update(datasets).where(datasets.c.id == row.id).values(values))
    return gone
