"""Sums of days into the store: rows and the offset behind them in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from sqlalchemy import Connection, select, tuple_, update

from console.days.features import FeatureOf, FeatureSums, Sketch
from console.days.sums import COLUMNS, ProfileSums
from console.days.tables import feature_days, feature_edges, profile_days
from console.live.events import Place
from console.live.profiles import profile_hash
from console.store import tables as t
from console.store.database import Database

PREFIX = "days/"
"""Before a topic's name in ``projections``: no topic has such a name."""

CHUNK = 200


class Moved(Exception):
    """The store is not where these sums began, or a profile in them was forgotten meanwhile."""


class Taken(Moved):
    """Another process has counted on."""


def held_offsets(database: Database, topics: Iterable[str]) -> dict[Place, int]:
    """Place → the offset from which on days are to be counted."""
    table = t.projections.c
    names = [PREFIX + topic for topic in topics]
    with database.read() as connection:
        rows = connection.execute(
            select(table.topic, table.partition, table.next_offset).where(table.topic.in_(names))
        ).all()
    return {(row.topic.removeprefix(PREFIX), row.partition): row.next_offset for row in rows}


def flush(
    database: Database,
    place: Place,
    begin: int,
    end: int,
    sums: ProfileSums | FeatureSums,
    *,
    lifecycle: str,
    known: Mapping[str, int],
    since: int,
    key: bytes,
    edges: Mapping[FeatureOf, tuple[list[float], str]],
    now: int,
) -> None:
    """Add what was counted between two offsets of a partition.

    Args:
        lifecycle: topic whose projection deletes what is forgotten.
        known: hashes of the forgotten profiles, and when, that were left out from the beginning.
        since: time of the oldest record, epoch milliseconds.
        key: of the hashes of forgotten profiles.
        edges: new ones, and where they are from.

    Raises:
        Moved: nothing was added; count again from what ``held_offsets`` says.
    """
    topic, partition = place
    table = t.projections
    row = {"topic": PREFIX + topic, "partition": partition, "next_offset": begin, "updated_at": now}
    with database.write() as connection:
        connection.execute(database.insert(table).values(row).on_conflict_do_nothing())
        # What is forgotten meanwhile waits for this transaction, or this one for that.
        wanted = [(PREFIX + topic, partition), (lifecycle, partition)]
        rows = connection.execute(
            select(table.c.topic, table.c.next_offset)
            .where(tuple_(table.c.topic, table.c.partition).in_(wanted))
            .order_by(table.c.topic, table.c.partition)
            .with_for_update()
        )
        if {r.topic: r.next_offset for r in rows}[PREFIX + topic] != begin:
            raise Taken(f"{topic} [{partition}]: another one has counted on from offset {begin}")
        recent = select(t.forgotten).where(t.forgotten.c.at >= since)
        told = connection.execute(recent).all()
        gone = {row.profile_hash for row in told if known.get(row.profile_hash) != row.at}
        if isinstance(sums, ProfileSums):
            totals = sums.totals()
            _refuse(gone, key, partition, {(kind, name) for kind, name, _ in totals})
            _add_profiles(database, connection, partition, totals)
        else:
            _refuse(gone, key, partition, sums.profiles())
            _put_edges(database, connection, partition, edges, now)
            held = _edges(connection, partition, sums.profiles())
            _add_features(database, connection, partition, sums.sketches(held))
        connection.execute(
            update(table)
            .where(table.c.topic == PREFIX + topic, table.c.partition == partition)
            .values(next_offset=end, updated_at=now)
        )


def profiles_with_edges(
    database: Database, partition: int, profiles: Iterable[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Those of some kinds and profiles whose edges the store holds."""
    with database.read() as connection:
        return {(kind, name) for kind, name, _ in _edges(connection, partition, profiles)}


def _refuse(
    gone: set[str], key: bytes, partition: int, profiles: Iterable[tuple[str, str]]
) -> None:
    if gone and any(profile_hash(key, kind, partition, name) in gone for kind, name in profiles):
        raise Moved("a profile was forgotten meanwhile")


def _chunks(keys: Iterable[Any]) -> Iterator[list[Any]]:
    """Sorted keys, some at a time: rows of all at once would take a lot of memory."""
    left = iter(sorted(keys))
    while some := list(islice(left, CHUNK)):
        yield some


def _add_profiles(
    database: Database, connection: Connection, partition: int, totals: Mapping[Any, list[int]]
) -> None:
    c = profile_days.c
    for keys in _chunks(totals):
        query = select(profile_days).where(c.partition == partition)
        held = {
            (row.kind, row.profile_id, row.day): row
            for row in connection.execute(
                query.where(tuple_(c.kind, c.profile_id, c.day).in_(keys))
            )
        }
        rows = []
        for of in keys:
            added, row, (kind, profile_id, day) = totals[of], held.get(of), of
            if row is not None:
                before = [*(getattr(row, name) for name in COLUMNS), *row.p_values]
                added = [a + b for a, b in zip(before, added, strict=True)]
            named = {"day": day, "kind": kind, "partition": partition, "profile_id": profile_id}
            counts = dict(zip(COLUMNS, added, strict=False))
            rows.append(named | counts | {"p_values": added[len(COLUMNS) :]})
        _upsert(database, connection, profile_days, rows)


def _add_features(
    database: Database, connection: Connection, partition: int, sketches: Mapping[Any, Sketch]
) -> None:
    c = feature_days.c
    for keys in _chunks(sketches):
        days = sorted({(kind, profile_id, day) for kind, profile_id, day, _ in keys})
        query = select(feature_days).where(c.partition == partition)
        held = {
            (row.kind, row.profile_id, row.day, row.feature): Sketch(
                *(getattr(row, name) for name in Sketch._fields)
            )
            for row in connection.execute(
                query.where(tuple_(c.kind, c.profile_id, c.day).in_(days))
            )
        }
        rows = []
        for of in keys:
            before, (kind, profile_id, day, feature) = held.get(of), of
            merged = sketches[of] if before is None else before.merged(sketches[of])
            named = {"kind": kind, "profile_id": profile_id, "day": day, "feature": feature}
            rows.append(named | {"partition": partition} | merged._asdict())
        _upsert(database, connection, feature_days, rows)


def _edges(
    connection: Connection, partition: int, profiles: Iterable[tuple[str, str]]
) -> dict[FeatureOf, list[float]]:
    c = feature_edges.c
    query = select(c.kind, c.profile_id, c.feature, c.edges).where(c.partition == partition)
    return {
        (row.kind, row.profile_id, row.feature): row.edges
        for keys in _chunks(profiles)
        for row in connection.execute(query.where(tuple_(c.kind, c.profile_id).in_(keys)))
    }


def _put_edges(
    database: Database,
    connection: Connection,
    partition: int,
    edges: Mapping[FeatureOf, tuple[list[float], str]],
    now: int,
) -> None:
    rows = [
        {"kind": kind, "partition": partition, "profile_id": profile_id, "feature": feature}
        | {"edges": found, "source": source, "at": now}
        for (kind, profile_id, feature), (found, source) in edges.items()
    ]
    if rows:
        connection.execute(database.insert(feature_edges).on_conflict_do_nothing(), rows)


def _upsert(
    database: Database, connection: Connection, table: Any, rows: list[dict[str, Any]]
) -> None:
    if not rows:
        return
    insert = database.insert(table)
    changed = {c.name: insert.excluded[c.name] for c in table.columns if not c.primary_key}
    connection.execute(
        insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=changed),
        rows,
    )
