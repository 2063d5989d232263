"""Which model an id names, and whether the caller may see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from console.answers import plain
from console.auth.permissions import Caller
from console.governance.reading.sources import Sources
from console.problems import Problem, not_found
from console.store import tables as t
from models.features import KINDS

FLEET = "fleet"


@dataclass(frozen=True)
class ModelRef:
    """What an id of a model names.

    Attributes:
        profile_id: None for all models of the kind.
        version: None for the one in force.
    """

    kind: str
    profile_id: str | None = None
    version: int | None = None


def forbidden() -> Problem:
    """403: it is another organisation's."""
    return Problem(403, "forbidden", "expected a model or an analysis of your organisation")


def model_of(console: Sources, who: Caller, model_id: str, *, registered: bool = False) -> ModelRef:
    """The model that an id names: ``fleet:<kind>``, ``<kind>:<profile_id>``, ``…@<version>``.

    Args:
        registered: whether the id of an uploaded or triage model will do, for its kind.

    Raises:
        Problem: 404, there is none; 403, it is another organisation's.
    """
    kind, _, name = model_id.partition(":")
    if kind == FLEET and name in KINDS:
        return ModelRef(name)
    if registered and not name:
        held = t.registered_models.c
        query = select(held.kind, held.organization_id).where(held.id == model_id)
        with console.database.read() as connection:
            row = connection.execute(query).first()
        if row is not None:
            if who.profile_prefix and row.organization_id != who.organization_id:
                raise forbidden()
            return ModelRef(row.kind if row.kind in KINDS else next(iter(KINDS)))
    if kind not in KINDS or not name:
        raise not_found("there is no such model: expected fleet:<kind> or <kind>:<profile_id>")
    if not who.sees(name):
        raise forbidden()
    for profile_id, version in _readings(name):
        if _exists(console, kind, profile_id, version):
            return ModelRef(kind, profile_id, version)
    raise not_found("there is no such model: the profile has none yet, or the version is gone")


def _readings(name: str) -> list[tuple[str, int | None]]:
    """An id may itself hold an @: it is read as a whole first."""
    found: list[tuple[str, int | None]] = [(name, None)]
    head, at, tail = name.rpartition("@")
    if at and head and tail.isascii() and tail.isdigit() and len(tail) < 10:
        found.append((head, int(tail)))
    return found


def _exists(console: Sources, kind: str, profile_id: str, version: int | None) -> bool:
    held = t.model_versions.c
    query = select(held.version).where(held.kind == kind, held.profile_id == profile_id)
    if version is not None:
        query = query.where(held.version == version)
    with console.database.read() as connection:
        return connection.execute(query.limit(1)).first() is not None


def may_see(who: Caller, row: Any) -> bool:
    """Whether a report or a monitor is the caller's to see."""
    if not who.profile_prefix:
        return True
    return bool(
        row["organization_id"] == who.organization_id
        and row["profile_prefix"].startswith(who.profile_prefix)
    )


def visible(who: Caller, table: Any) -> list[Any]:
    """The same as conditions of a query."""
    if not who.profile_prefix:
        return []
    return [
        table.c.organization_id == who.organization_id,
        table.c.profile_prefix.startswith(who.profile_prefix, autoescape=True),
    ]


def report_row(console: Sources, who: Caller, report_type: str, report_id: str) -> dict[str, Any]:
    """A report of a type.

    Raises:
        Problem: 404, there is none; 403, it is another organisation's.
    """
    held = t.reports
    with console.database.read() as connection:
        row = (
            connection.execute(
                select(held).where(held.c.id == report_id, held.c.type == report_type)
            )
            .mappings()
            .first()
        )
    if row is None:
        raise not_found("there is no such analysis")
    if not may_see(who, row):
        raise forbidden()
    return plain(row)
