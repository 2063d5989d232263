"""Deletion of data sets: on request, and when their time is over."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, delete, select

from console.lab.blobs import Blobs
from console.lab.tables import datasets
from console.store.database import Database


def removed(database: Database, blobs: Blobs, row: Any) -> None:
    """Delete a data set: its file first, so that none is left without a row."""
    blobs.delete(row["path"])
    with database.write() as connection:
        connection.execute(delete(datasets).where(datasets.c.id == row["id"]))


def expire(database: Database, blobs: Blobs, now: int) -> int:
    """Delete the data sets whose time is over; how many."""
    held = datasets.c
    query = select(datasets).where(and_(held.expires_at.is_not(None), held.expires_at < now))
    with database.read() as connection:
        rows = [dict(row) for row in connection.execute(query.limit(100)).mappings()]
    for row in rows:
        removed(database, blobs, row)
    return len(rows)
