"""Shares that say how good the data of a period are, as cases and all by profile."""

from __future__ import annotations

import numpy as np
import orjson
from sqlalchemy import Text, case, cast, func, select

from console.governance.reading.fleets import Scope
from console.store import tables as t
from console.store.database import Database
from models.governance.bias.fleet import Floats

Shares = dict[str, tuple[Floats, Floats]]
LATE_MS = 3_600_000


def shares_of(database: Database, scope: Scope, reference: Scope) -> Shares:
    """Missing, constant, beyond training range, silent, late, and dead letters by reason.

    ``unknown_names`` and ``repeated`` are counted by the roles alone: see their metrics.
    """
    return {
        **_of_features(database, scope),
        **_silent(database, scope, reference),
        **_late(database, scope),
        **_dead_letters(database, scope),
    }


def _of_features(database: Database, scope: Scope) -> Shares:
    held = t.feature_days.c
    constant = case(((held.n > 1) & (held.least == held.most), 1), else_=0)
    query = (
        select(
            held.partition,
            held.profile_id,
            func.sum(held.missing),
            func.sum(held.n),
            func.sum(constant),
            func.count(),
        )
        .where(*scope.days(held))
        .group_by(held.partition, held.profile_id)
    )
    outside: dict[tuple[int, str], list[float]] = {}
    bins = select(held.partition, held.profile_id, cast(held.bins, Text)).where(*scope.days(held))
    with database.read() as connection:
        rows = connection.execute(query).all()
        for partition, profile_id, told in connection.execution_options(yield_per=5000).execute(
            bins
        ):
            counts = orjson.loads(told)
            own = outside.setdefault((partition, profile_id), [0.0, 0.0])
            own[0] += counts[0] + counts[-1]
            own[1] += sum(counts)
    if not rows:
        return {}
    table = np.array([[float(value) for value in row[2:]] for row in rows])
    beyond = np.array(list(outside.values()))
    return {
        "missing": (table[:, 0], table[:, 0] + table[:, 1]),
        "constant": (table[:, 2], table[:, 3]),
        "out_of_range": (beyond[:, 0], beyond[:, 1]),
    }


def _silent(database: Database, scope: Scope, reference: Scope) -> Shares:
    """Of the profiles that were there by the end of the reference: those without a record."""
    held, days = t.profiles.c, t.profile_days.c
    known = select(held.partition, held.profile_id).where(
        *scope.of(held), held.first_seen_at < reference.end
    )
    heard = select(days.partition, days.profile_id).where(*scope.days(days)).distinct()
    with database.read() as connection:
        there = {(p, i) for p, i in connection.execute(known)}
        told = {(p, i) for p, i in connection.execute(heard)}
    if not there:
        return {}
    silent = np.array([float(key not in told) for key in sorted(there)])
    return {"silent": (silent, np.ones(silent.size))}


def _late(database: Database, scope: Scope) -> Shares:
    """Of verdicts that are rows, each with its weight."""
    held = t.verdicts.c
    late = case((held.scored_at - held.observed_at > LATE_MS, held.weight), else_=0.0)
    query = (
        select(held.partition, held.profile_id, func.sum(late), func.sum(held.weight))
        .where(*scope.of(held), held.observed_at >= scope.begin, held.observed_at < scope.end)
        .group_by(held.partition, held.profile_id)
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
    if not rows:
        return {}
    table = np.array([[float(value) for value in row[2:]] for row in rows])
    return {"late": (table[:, 0], table[:, 1])}


def _dead_letters(database: Database, scope: Scope) -> Shares:
    """By reason, of all records of the kind; of nobody who sees some of the profiles alone."""
    if scope.prefix or scope.profile_id is not None:
        return {}
    held, days = t.dead_letters.c, t.profile_days.c
    query = (
        select(held.partition, held.reason, func.count())
        .where(
            held.at >= scope.begin,
            held.at < scope.end,
            held.source.like(f"%telemetry.{scope.kind}-%"),
        )
        .group_by(held.partition, held.reason)
    )
    answered = (
        select(days.partition, func.sum(days.scored + days.learning + days.abstained))
        .where(*scope.days(days))
        .group_by(days.partition)
    )
    with database.read() as connection:
        counts = connection.execute(query).all()
        records = {p: float(n) for p, n in connection.execute(answered)}
    partitions = sorted({*records, *(row[0] for row in counts)})
    at = {partition: place for place, partition in enumerate(partitions)}
    every = np.array([records.get(p, 0.0) for p in partitions])
    dead: dict[str, Floats] = {"all": np.zeros(len(partitions))}
    for partition, reason, number in counts:
        dead.setdefault(reason, np.zeros(len(partitions)))[at[partition]] += number
        dead["all"][at[partition]] += number
    if not partitions:
        return {}
    # Letters have no profile: what varies is taken by partition.
    return {
        f"dead_letters {reason}": (number, every + dead["all"]) for reason, number in dead.items()
    }
