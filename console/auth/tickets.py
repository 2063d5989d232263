"""Tickets: who has a token gets one, and opens one WebSocket with it within 30 s."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import asdict

from sqlalchemy import delete, insert

from console.auth.permissions import Caller
from console.live.state import now_ms
from console.store import tables as t
from console.store.database import Database

SECONDS = 30


def issue(database: Database, caller: Caller) -> str:
    """A ticket; the store keeps its hash alone."""
    ticket = secrets.token_urlsafe(32)
    row = {
        "ticket_hash": _hash(ticket),
        "caller": asdict(caller),
        "expires_at": now_ms() + SECONDS * 1000,
    }
    with database.write() as connection:
        connection.execute(insert(t.tickets).values(row))
    return ticket


def redeem(database: Database, ticket: str) -> Caller | None:
    """Whose ticket it is, once; None if it is no ticket, was used, or is too old."""
    table = t.tickets
    with database.write() as connection:
        row = connection.execute(
            delete(table)
            .where(table.c.ticket_hash == _hash(ticket))
            .returning(table.c.caller, table.c.expires_at)
        ).first()
    if row is None or row.expires_at < now_ms():
        return None
    return Caller(**row.caller)


def _hash(ticket: str) -> str:
    return hashlib.sha256(ticket.encode("utf-8", "replace")).hexdigest()
