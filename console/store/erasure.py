"""Forgetting in the store: all rows of a profile go, and what is left is its keyed hash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, and_, delete, func, literal, or_, select, text, update

from console.lab.forgetting import flag_models, hash_jobs
from console.lanes.writing import erase_lanes
from console.live.profiles import profile_hash
from console.store import tables as t
from console.store.data_files import paths_of
from console.store.database import Database

ANY_PARTITION = -1
"""In place of a partition, for what is known of an id wherever it lives."""

GONE = {
    "type": "/problems/gone",
    "title": "Gone",
    "status": 410,
    "detail": "the profile of this answer was forgotten",
}


@dataclass(frozen=True)
class Erased:
    """What was deleted.

    Attributes:
        rows: table → how many.
        verdict_ids: of labels, whose records in Kafka are to be deleted as well.
        files: of points that series were fitted on, which are to be deleted as well.
    """

    rows: dict[str, int]
    verdict_ids: list[str]
    files: list[str]


def shown_hash(key: bytes, kind: str, partition: int, profile_id: str) -> str:
    """What stands in place of the id of a forgotten profile."""
    # No id of a profile can be mistaken for it: they hold no control characters.
    return "\x7f" + profile_hash(key, kind, partition, profile_id)


def erase(
    database: Database,
    connection: Connection,
    key: bytes,
    profile: tuple[str, int, str],
    at: int,
) -> Erased:
    """Delete the rows of a profile that are not younger than its forgetting.

    Args:
        key: of the hashes.
        profile: kind, partition and id.
        at: when it was forgotten, epoch milliseconds.
    """
    kind, partition, profile_id = profile
    run = connection.execute
    for number in (partition, ANY_PARTITION):
        run(
            database.insert(t.forgotten)
            .values(profile_hash=profile_hash(key, kind, number, profile_id), at=at)
            .on_conflict_do_update(index_elements=["profile_hash"], set_={"at": at})
        )
    labelled = run(
        select(t.labels.c.verdict_id).where(_of(t.labels, *profile), t.labels.c.at <= at)
    )
    verdict_ids = list(labelled.scalars())
    versions = t.model_versions
    files = paths_of(connection, and_(_of(versions, *profile), versions.c.trained_at <= at))
    rows: dict[str, int] = {}
    for table, since in (
        (t.profiles, t.profiles.c.first_seen_at),
        (t.model_versions, t.model_versions.c.trained_at),
        (t.verdicts, t.verdicts.c.scored_at),
        (t.labels, t.labels.c.at),
        (t.label_history, t.label_history.c.at),
        (t.acceptances, t.acceptances.c.at),
    ):
        rows[table.name] = run(delete(table).where(_of(table, *profile), since <= at)).rowcount
    rows["lane_buckets"] = erase_lanes(database, connection, profile, at)
    for table, of in (
        (t.profile_attributes, t.profile_attributes.c.updated_at <= at),
        (t.awaited, literal(True)),
    ):
        own = and_(table.c.kind == kind, table.c.profile_id == profile_id, of)
        rows[table.name] = run(delete(table).where(own)).rowcount
    for table in (t.reports, t.monitors, t.monitor_alerts):
        # What is about this profile alone; other reports hold groups.
        about = and_(table.c.kind == kind, table.c.profile_id == profile_id)
        rows[table.name] = run(delete(table).where(about)).rowcount
    for table in (t.profile_days, t.feature_days, t.feature_edges):
        # A day is that of the observation, which says little about when it was judged.
        rows[table.name] = run(delete(table).where(_of(table, *profile))).rowcount
    sent = and_(
        t.commands.c.profile_id == profile_id,
        or_(t.commands.c.kind == kind, t.commands.c.kind == ""),
    )
    rows["commands"] = run(delete(t.commands).where(sent)).rowcount
    said = t.messages
    own = and_(said.c.kind == kind, said.c.profile_id == profile_id, said.c.at <= at)
    rows["messages"] = run(delete(said).where(own)).rowcount
    hashes = {profile_hash(key, kind, number, profile_id) for number in (partition, ANY_PARTITION)}
    rows["registered_models (flagged)"] = flag_models(connection, hashes, at)
    rows["jobs (hashed)"] = hash_jobs(connection, profile, shown_hash(key, *profile))
    rows["idempotency"] = _forget_answers(database, connection, profile_id)
    events = t.lifecycle_events
    told = run(
        update(events)
        .where(_of(events, *profile), events.c.at <= at)
        .values(profile_id=shown_hash(key, *profile))
    )
    rows["lifecycle_events (hashed)"] = told.rowcount
    return Erased({name: count for name, count in rows.items() if count}, verdict_ids, files)


def _forget_answers(database: Database, connection: Connection, profile_id: str) -> int:
    """Answers that are kept for a day hold verdicts: those of the profile say 410 from now on."""
    held = t.idempotency.c.answer
    wanted = orjson.dumps({"profile_id": profile_id})[1:-1]
    found = (
        func.instr(held, wanted) > 0
        if database.sqlite
        else text("position(:wanted in idempotency.answer) > 0").bindparams(wanted=wanted)
    )
    done = connection.execute(
        update(t.idempotency)
        .where(held.is_not(None), found)
        .values(status=410, answer=orjson.dumps(GONE), headers={})
    )
    return done.rowcount


def _of(table: Any, kind: str, partition: int, profile_id: str) -> Any:
    return and_(
        table.c.kind == kind, table.c.partition == partition, table.c.profile_id == profile_id
    )
