"""Daily sketches of features in two periods, as the test of drift takes them."""

from __future__ import annotations

import numpy as np
import orjson
from sqlalchemy import Text, cast, select

from console.days.tables import BINS
from console.governance.reading.fleets import DAY_MS, Scope
from console.store import tables as t
from console.store.database import Database
from models.governance.monitoring.drift import Sketches

Feature = tuple[int, str, str]
"""Partition, profile and name."""

MOST_FEATURES = 20_000
"""That are compared at a time."""


def read_sketches(
    database: Database, reference: Scope, current: Scope
) -> tuple[list[Feature], tuple[Sketches, Sketches]]:
    """The features that have sketches in both periods, and these."""
    present = []
    for scope in (reference, current):
        held = t.feature_days.c
        query = (
            select(held.partition, held.profile_id, held.feature)
            .where(*scope.days(held))
            .distinct()
        )
        with database.read() as connection:
            present.append({(p, i, f) for p, i, f in connection.execute(query)})
    names = sorted(present[0] & present[1])[:MOST_FEATURES]
    if not names:
        empty = Sketches(
            np.empty((0, 1, BINS)), np.empty((0, 1)), np.empty((0, 1)), np.empty((0, 1))
        )
        return [], (empty, empty)
    return names, (_read(database, reference, names), _read(database, current, names))


def _read(database: Database, scope: Scope, names: list[Feature]) -> Sketches:
    days = (scope.end - scope.begin) // DAY_MS
    at = {name: place for place, name in enumerate(names)}
    bins = np.zeros((len(names), days, BINS), dtype=np.float32)
    missing, m2 = np.zeros((len(names), days)), np.zeros((len(names), days))
    means = np.full((len(names), days), np.nan)
    held = t.feature_days.c
    query = select(
        held.partition,
        held.profile_id,
        held.feature,
        held.day,
        held.missing,
        held.mean,
        held.m2,
        cast(held.bins, Text),
    ).where(*scope.days(held))
    with database.read() as connection:
        for p, i, f, day, absent, mean, squares, told in connection.execution_options(
            yield_per=5000
        ).execute(query):
            place = at.get((p, i, f))
            if place is None:
                continue
            column = (day - scope.begin) // DAY_MS
            bins[place, column] = orjson.loads(told)
            missing[place, column] = absent
            means[place, column] = np.nan if mean is None else mean
            m2[place, column] = 0.0 if squares is None else squares
    return Sketches(bins.astype(np.float64), missing, means, m2)
