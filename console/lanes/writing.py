"""Rows of the lanes: written with the projection, deleted with a profile and by age."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, and_, delete, func, select

from console.lanes.tables import lane_buckets, lane_pages
from console.live.events import Item, VerdictSeen
from console.live.profiles import Profiles
from console.store.database import Database

BUCKET_MS = 300_000
PAGE_MS = 900_000
"""Buckets that are read together."""


def write_lanes(
    database: Database, connection: Connection, profiles: Profiles, items: Iterable[Item]
) -> None:
    """Add the anomalies of a batch to their buckets; in the transaction of the offsets.

    Those in a maintenance window are left out: lanes show what deserves a look. A bucket is that
    of ``scored_at``, its feature the first reason's.
    """
    rows: dict[tuple[Any, ...], list[Any]] = {}
    for item in items:
        seen = item.seen
        if not isinstance(seen, VerdictSeen) or seen.normal:
            continue
        body, partition = seen.body, item.place[1]
        if body.get("suppressed") is True or body["severity"] == "none":
            continue
        if profiles.is_forgotten(seen.kind, partition, seen.profile_id, seen.scored_at):
            continue
        bucket = seen.scored_at // BUCKET_MS * BUCKET_MS
        feature, severity = _feature(body), body["severity"]
        at = (bucket, seen.kind, partition, seen.profile_id, feature, severity)
        given = body.get("score")
        score = float(given) if isinstance(given, int | float) else None
        held = rows.setdefault(at, [0, score])
        held[0] += 1
        if score is not None:
            held[1] = score if held[1] is None else max(held[1], score)
    if not rows:
        return
    names = [column.name for column in lane_buckets.columns]
    table = lane_buckets.c
    insert = database.insert(lane_buckets)
    more = insert.excluded
    larger = func.max if database.sqlite else func.greatest
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=list(lane_buckets.primary_key.columns),
            set_={
                "anomalies": table.anomalies + more["anomalies"],
                # Either may be absent, and then the larger one would be as well.
                "score": func.coalesce(
                    larger(table.score, more["score"]), table.score, more["score"]
                ),
            },
        ),
        [
            dict(zip(names, (*at, *held), strict=True))
            for at, held in sorted(rows.items(), key=_key)
        ],
    )
    _note(database, connection, {at[0] // PAGE_MS * PAGE_MS for at in rows})


def erase_lanes(
    database: Database, connection: Connection, profile: tuple[str, int, str], at: int
) -> int:
    """Delete the buckets of a profile that began until a time; how many.

    Args:
        profile: kind, partition and id.
        at: when it was forgotten, epoch milliseconds.
    """
    table = lane_buckets.c
    own = and_(
        table.kind == profile[0],
        table.partition == profile[1],
        table.profile_id == profile[2],
        table.bucket <= at,
    )
    buckets = connection.execute(select(table.bucket).where(own).distinct()).scalars()
    _note(database, connection, {bucket // PAGE_MS * PAGE_MS for bucket in buckets})
    return connection.execute(delete(lane_buckets).where(own)).rowcount


def clean_lanes(database: Database, before: int) -> None:
    """Delete what is over before a time, epoch milliseconds; little in each transaction."""
    table = lane_pages.c
    oldest = select(table.page).where(table.page <= before - PAGE_MS).order_by(table.page).limit(1)
    while True:
        with database.write() as connection:
            page = connection.execute(oldest).scalar()
            if page is None:
                return
            own = lane_buckets.c.bucket < page + PAGE_MS
            connection.execute(delete(lane_buckets).where(own))
            connection.execute(delete(lane_pages).where(table.page == page))


def _feature(body: dict[str, Any]) -> str:
    """The first reason's feature; the scorer lists the largest first."""
    reasons = body.get("reasons")
    first = reasons[0] if isinstance(reasons, list) and reasons else None
    name = first.get("feature") if isinstance(first, dict) else None
    return name if isinstance(name, str) else ""


def _key(row: tuple[tuple[Any, ...], Any]) -> tuple[Any, ...]:
    return row[0]


def _note(database: Database, connection: Connection, pages: set[int]) -> None:
    if not pages:
        return
    insert = database.insert(lane_pages)
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=["page"], set_={"changes": lane_pages.c.changes + 1}
        ),
        [{"page": page, "changes": 1} for page in sorted(pages)],
    )
