"""Local users and organisations in the store; passwords are kept as argon2 hashes."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import func, select

from console.auth.permissions import ROLES, Caller
from console.live.state import now_ms
from console.store import tables as t
from console.store.database import Database

LEAST_PASSWORD, MOST_PASSWORD = 12, 1024
_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,255}")
_hasher = PasswordHasher()
_NOBODY = _hasher.hash("a password that nobody has")
"""Checked for an unknown e-mail, so that it takes as long as a known one."""


class InvalidUser(ValueError):
    """Why a user cannot be added: one sentence."""


@dataclass(frozen=True)
class NewUser:
    """A user to be added."""

    email: str
    password: str
    role: str
    organization_id: str | None = None


def add(database: Database, user: NewUser) -> str:
    """Add a user; the new id.

    Raises:
        InvalidUser: the e-mail is none or taken, the role or organisation is unknown, or the
            password has a length that is not taken.
    """
    email = user.email.strip().lower()
    if not _EMAIL.fullmatch(email):
        raise InvalidUser(f"email: expected an address, got {user.email!r}")
    if user.role not in ROLES:
        raise InvalidUser(f"role: expected one of {', '.join(ROLES)}, got {user.role!r}")
    if not LEAST_PASSWORD <= len(user.password) <= MOST_PASSWORD:
        raise InvalidUser(
            f"password: expected {LEAST_PASSWORD} to {MOST_PASSWORD} characters, "
            f"got {len(user.password)}"
        )
    row = {
        "id": str(uuid.uuid4()),
        "email": email,
        "password_hash": _hasher.hash(user.password),
        "role": user.role,
        "organization_id": user.organization_id,
        "disabled": False,
        "created_at": now_ms(),
    }
    with database.write() as connection:
        if user.organization_id is not None:
            of = t.organizations.c.id == user.organization_id
            if connection.execute(select(t.organizations.c.id).where(of)).first() is None:
                raise InvalidUser("organization_id: there is no such organisation")
        if not database.add(connection, t.users, row):
            raise InvalidUser(f"email: there is a user {email} already")
    return str(row["id"])


def count(database: Database) -> int:
    """How many users there are."""
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(t.users)).scalar_one()


def check(database: Database, email: str, password: str) -> Caller | None:
    """The user of an e-mail and a password; None where they do not belong together."""
    row = _row(database, t.users.c.email == email.strip().lower())
    held = _NOBODY if row is None else row.password_hash
    try:
        _hasher.verify(held, password[:MOST_PASSWORD])
    except (VerificationError, InvalidHashError):
        return None
    return None if row is None or row.disabled else _caller(row)


def find(database: Database, user_id: str) -> Caller | None:
    """A user by id; None where deleted or disabled."""
    row = _row(database, t.users.c.id == user_id)
    return None if row is None or row.disabled else _caller(row)


def prefixes_of(database: Database, organization_id: str) -> tuple[str, str] | None:
    """Prefix of the profile ids and of the topics of an organisation; None if there is none."""
    held = t.organizations.c
    with database.read() as connection:
        row = connection.execute(
            select(held.profile_prefix, held.topic_prefix).where(held.id == organization_id)
        ).first()
    return None if row is None else (row.profile_prefix or "", row.topic_prefix or "")


def _row(database: Database, condition: Any) -> Any:
    joined = t.users.outerjoin(t.organizations, t.users.c.organization_id == t.organizations.c.id)
    prefixes = (t.organizations.c.profile_prefix, t.organizations.c.topic_prefix)
    query = select(t.users, *prefixes).select_from(joined).where(condition)
    with database.read() as connection:
        return connection.execute(query).first()


def _caller(row: Any) -> Caller:
    prefixes = (row.profile_prefix or "", row.topic_prefix or "")
    return Caller(row.id, row.email, row.role, row.organization_id, *prefixes, local=True)
