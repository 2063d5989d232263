"""What is old goes from the store."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select, tuple_

from console.lanes.writing import clean_lanes
from console.store import tables as t
from console.store.database import Database

DAY_MS = 86_400_000
TURNS, ROWS = 100, 1000
"""Rows go in small transactions, so that nothing waits for long."""


def clean(database: Database, now: int, retention_ms: int) -> None:
    """Delete verdicts, days and dead letters beyond the retention, and whatever has expired.

    Args:
        now: epoch milliseconds.
    """
    before = now - retention_ms
    _clean(database, t.verdicts, t.verdicts.c.scored_at < before)
    for days in (t.profile_days, t.feature_days):
        _clean(database, days, days.c.day < before - DAY_MS)
    clean_lanes(database, before)
    with database.write() as connection:
        for expiring in (t.awaited, t.idempotency, t.tickets, t.ended_sessions):
            connection.execute(delete(expiring).where(expiring.c.expires_at < now))
        connection.execute(delete(t.dead_letters).where(t.dead_letters.c.at < before))


def _clean(database: Database, table: Any, old: Any) -> None:
    """Delete rows, some at a time."""
    key = tuple(table.primary_key.columns)
    some = select(*key).where(old).limit(ROWS)
    for _ in range(TURNS):
        with database.write() as connection:
            done = connection.execute(delete(table).where(tuple_(*key).in_(some)))
        if done.rowcount < ROWS:
            break
