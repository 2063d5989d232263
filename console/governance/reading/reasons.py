"""Alarms of profiles by the feature that they name first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import select

from console.store import tables as t
from console.store.database import Database
from models.governance.bias.fleet import Floats

if TYPE_CHECKING:
    from console.governance.reading.fleets import Key, Scope

MOST_ANOMALIES = 20_000
"""Whose first reasons are counted: the latest ones."""


def reasons_of(
    database: Database, scope: Scope, keys: list[Key]
) -> tuple[Floats | None, tuple[str, ...]]:
    """Alarms by the feature of their first reason."""
    held = t.verdicts.c
    query = (
        select(held.partition, held.profile_id, held.body)
        .where(
            *scope.of(held),
            held.anomaly,
            ~held.suppressed,
            held.scored_at >= scope.begin,
            held.scored_at < scope.end,
        )
        .order_by(held.scored_at.desc())
        .limit(MOST_ANOMALIES)
    )
    at = {key: place for place, key in enumerate(keys)}
    named: list[tuple[int, str]] = []
    with database.read() as connection:
        for partition, profile_id, body in connection.execute(query):
            place = at.get((partition, profile_id))
            reasons = body.get("reasons") or []
            if place is not None and reasons:
                named.append((place, str(reasons[0]["feature"])))
    names = sorted({name for _, name in named})
    if not names or len(names) > 200:
        return None, ()
    column = {name: place for place, name in enumerate(names)}
    found = np.zeros((len(keys), len(names)))
    for place, name in named:
        found[place, column[name]] += 1
    return found, tuple(names)
