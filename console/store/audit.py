"""The audit log: who did what. It is only ever added to."""

from __future__ import annotations

import uuid

from sqlalchemy import insert, select

from console.live.state import now_ms
from console.store import tables as t
from console.store.database import Database


def note(
    database: Database, subject: str, action: str, of: str, outcome: str, request_id: str = ""
) -> None:
    """Add an entry.

    Args:
        of: what it was done to; no id of a profile.
    """
    row = {
        "id": str(uuid.uuid4()),
        "at": now_ms(),
        "subject": subject,
        "action": action,
        "object": of,
        "request_id": request_id,
        "outcome": outcome,
    }
    with database.write() as connection:
        connection.execute(insert(t.audit_log).values(row))


def did(database: Database, subject: str, of: str) -> bool:
    """Whether somebody did anything to it."""
    held = t.audit_log.c
    query = select(held.id).where(held.object == of, held.subject == subject).limit(1)
    with database.read() as connection:
        return connection.execute(query).first() is not None
