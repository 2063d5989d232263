"""What is old goes from the store."""

from __future__ import annotations

from sqlalchemy import delete, select

from console.store import tables as t
from console.store.database import Database

TURNS, ROWS = 100, 1000
"""Verdicts go in small transactions, so that nothing waits for long."""


def clean(database: Database, now: int, retention_ms: int) -> None:
    """Delete verdicts and dead letters beyond the retention, and whatever has expired.

    Args:
        now: epoch milliseconds.
    """
    table = t.verdicts
    old = select(table.c.verdict_id).where(table.c.scored_at < now - retention_ms).limit(ROWS)
    for _ in range(TURNS):
        with database.write() as connection:
            done = connection.execute(delete(table).where(table.c.verdict_id.in_(old)))
        if done.rowcount < ROWS:
            break
    with database.write() as connection:
        for expiring in (t.awaited, t.idempotency, t.tickets):
            connection.execute(delete(expiring).where(expiring.c.expires_at < now))
        connection.execute(delete(t.dead_letters).where(t.dead_letters.c.at < now - retention_ms))
