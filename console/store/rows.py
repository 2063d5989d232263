"""Rows: what records say, as rows of one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update

from console.live.counts import Counts
from console.live.events import (
    Announced,
    Described,
    Happened,
    Item,
    Labelled,
    Refused,
    VerdictSeen,
    is_time,
)
from console.live.normals import Normals
from console.live.profiles import ProfileAt, Profiles, ProfileState
from console.store import tables as t
from console.store.annotations import put_attributes, put_label
from console.store.database import Database
from console.store.erasure import ANY_PARTITION, erase, shown_hash

STORED_MS = 60_000
"""So much older may the time of a profile's last normal verdict be in the store."""


class Rows:
    """Writes the rows of a batch in one transaction."""

    def __init__(
        self, database: Database, connection: Connection, profiles: Profiles, now: int
    ) -> None:
        self._database = database
        self._connection = connection
        self._profiles = profiles
        self._now = now

    def verdicts(self, items: Iterable[Item], one_in: int, normals: Normals | None = None) -> None:
        """Anomalies, normal verdicts that were drawn, and those that somebody waits for."""
        held = t.awaited.c
        found = self._connection.execute(select(held.verdict_id, held.kind, held.profile_id)).all()
        wanted = {row.verdict_id for row in found}
        if found and normals is not None:
            items = [*items, *normals.find([(r.verdict_id, r.kind, r.profile_id) for r in found])]
        rows = []
        for item in items:
            seen = item.seen
            if not isinstance(seen, VerdictSeen):
                continue
            if seen.normal and not seen.drawn and seen.verdict_id not in wanted:
                continue
            if self._profiles.is_forgotten(
                seen.kind, item.place[1], seen.profile_id, seen.scored_at
            ):
                continue
            weight = 1.0 if not seen.normal else float(one_in) if seen.drawn else 0.0
            rows.append(verdict_row(seen, item.place[1], weight))
        self._put(t.verdicts, rows)
        answered = [row["verdict_id"] for row in rows if row["verdict_id"] in wanted]
        if answered:
            self._connection.execute(
                delete(t.awaited).where(t.awaited.c.verdict_id == bindparam("answered")),
                [{"answered": verdict_id} for verdict_id in answered],
            )

    def versions(self, items: Iterable[Item]) -> None:
        """Versions that were announced; the last one of a profile is in force."""
        rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        for item in items:
            seen, partition = item.seen, item.place[1]
            if not isinstance(seen, Announced) or seen.record is None:
                continue
            told = seen.record
            if self._profiles.is_forgotten(told.kind, partition, told.profile_id, told.trained_at):
                continue
            row = told.model_dump(mode="json", exclude={"history", "partition", "base_version"}) | {
                "partition": partition,
                "data_path": None,
                "in_force": True,
                "created_at": self._now,
                "updated_at": self._now,
            }
            for other in rows.values():
                if (other["kind"], other["partition"], other["profile_id"]) == (
                    told.kind,
                    partition,
                    told.profile_id,
                ):
                    other["in_force"] = False
            rows[told.kind, partition, told.profile_id, told.generation, told.version] = row
        if not rows:
            return
        table = t.model_versions
        own = list({(row["kind"], row["partition"], row["profile_id"]) for row in rows.values()})
        self._connection.execute(
            update(table)
            .where(
                table.c.kind == bindparam("of_kind"),
                table.c.partition == bindparam("of_partition"),
                table.c.profile_id == bindparam("of_profile"),
                table.c.in_force,
            )
            .values(in_force=False, updated_at=self._now),
            [{"of_kind": k, "of_partition": p, "of_profile": i} for k, p, i in own],
        )
        insert = self._database.insert(table)
        self._connection.execute(
            insert.on_conflict_do_update(
                index_elements=list(table.primary_key.columns),
                set_={
                    c.name: insert.excluded[c.name]
                    for c in table.columns
                    if not c.primary_key and c.name not in ("created_at", "data_path")
                },
            ),
            list(rows.values()),
        )

    def events(self, items: Iterable[Item]) -> None:
        """Lifecycle events; what the scorer says is forgotten goes."""
        rows = []
        for item in items:
            if not isinstance(item.seen, Happened):
                continue
            event, (_, partition) = item.seen.event, item.place
            row = event.model_dump(mode="json") | {"partition": partition, "offset": item.offset}
            if event.kind is not None:
                profile = (event.kind, partition, event.profile_id)
                if event.event == "forgotten" and event.role == "scorer":
                    self._erase(item.offset, profile, event.at)
                if event.event == "forgotten" or self._profiles.is_forgotten(*profile, event.at):
                    row["profile_id"] = shown_hash(self._profiles.key, *profile)
            rows.append(row)
        self._put(t.lifecycle_events, rows)

    def dead_letters(self, items: Iterable[Item]) -> None:
        """Where records lie that could not be answered, and why."""
        rows = []
        for item in items:
            seen = item.seen
            if isinstance(seen, Refused):
                rows.append(
                    {
                        "partition": item.place[1],
                        "offset": item.offset,
                        "reason": seen.reason,
                        "detail": seen.detail,
                        "source": seen.source,
                        "at": seen.at,
                        "replayed": seen.replayed,
                    }
                )
        self._put(t.dead_letters, rows)

    def annotations(self, items: Iterable[Item]) -> None:
        """Labels and attributes, but for those of profiles that were forgotten since."""
        gone = self._profiles.is_forgotten
        for item in items:
            seen = item.seen
            if isinstance(seen, Labelled):
                if not gone(seen.kind, seen.partition, seen.profile_id, seen.at):
                    put_label(self._database, self._connection, seen, item.offset)
            elif isinstance(seen, Described) and not gone(
                seen.kind, ANY_PARTITION, seen.profile_id, seen.at
            ):
                put_attributes(self._database, self._connection, seen, item.offset, "topic")

    def profiles(self, items: Iterable[Item], normals: Normals | None = None) -> list[ProfileState]:
        """The profiles that the batch is about, as they are in memory now; those written.

        Of a normal verdict only its time is new: it is written once a minute.
        """
        told: dict[ProfileAt, bool] = {}
        for item in items:
            seen, partition = item.seen, item.place[1]
            if isinstance(seen, VerdictSeen):
                only_time = seen.normal and seen.body["status"] != "learning"
                at = (seen.kind, partition, seen.profile_id)
                told[at] = told.get(at, False) or not only_time
            elif isinstance(seen, Announced):
                told[seen.kind, partition, seen.profile_id] = True
            elif isinstance(seen, Happened) and seen.event.kind is not None:
                told[seen.event.kind, partition, seen.event.profile_id] = True
        if normals is not None:
            due = [s for s in normals.states if s.updated_at - s.stored_at >= STORED_MS]
            told |= {s.at: True for s in (*normals.learning(), *due)}
        found = [
            state
            for at in sorted(told)
            if (state := self._profiles.at(*at)) is not None
            and (told[at] or state.updated_at - state.stored_at >= STORED_MS)
        ]
        rows = [state.row() for state in found]
        if not rows:
            return []
        insert = self._database.insert(t.profiles)
        self._connection.execute(
            insert.on_conflict_do_update(
                index_elements=list(t.profiles.primary_key.columns),
                set_={
                    c.name: insert.excluded[c.name] for c in t.profiles.columns if not c.primary_key
                },
            ),
            rows,
        )
        return found

    def counts(self, counts: Counts) -> None:
        """Add to the counts by hour."""
        verdicts = [key._asdict() | {"records": n} for key, n in sorted(counts.verdicts.items())]
        events = [key._asdict() | {"records": n} for key, n in sorted(counts.events.items())]
        for table, rows in ((t.verdict_hours, verdicts), (t.event_hours, events)):
            if not rows:
                continue
            insert = self._database.insert(table)
            self._connection.execute(
                insert.on_conflict_do_update(
                    index_elements=list(table.primary_key.columns),
                    set_={"records": table.c.records + insert.excluded["records"]},
                ),
                rows,
            )

    def _erase(self, offset: int, profile: ProfileAt, at: int) -> None:
        erased = erase(self._database, self._connection, self._profiles.key, profile, at)
        row = {
            "partition": profile[1],
            "offset": offset,
            "rows": erased.rows,
            "verdict_ids": erased.verdict_ids,
            "files": erased.files,
            "at": self._now,
            "told": False,
        }
        self._put(t.erasures, [row])

    def _put(self, table: Any, rows: list[dict[str, Any]]) -> None:
        if rows:
            self._connection.execute(self._database.insert(table).on_conflict_do_nothing(), rows)


def verdict_row(seen: VerdictSeen, partition: int, weight: float) -> dict[str, Any]:
    """A verdict as a row.

    Args:
        weight: one divided by the chance that it had of becoming one; 0 if only asked for.
    """
    body = seen.body
    observed = body.get("observed_at")
    return {
        "verdict_id": seen.verdict_id,
        "kind": seen.kind,
        "partition": partition,
        "profile_id": seen.profile_id,
        "status": body["status"],
        "anomaly": not seen.normal,
        "severity": body["severity"],
        "suppressed": body.get("suppressed") is True,
        "observed_at": observed if is_time(observed) else seen.scored_at,
        "scored_at": seen.scored_at,
        "weight": weight,
        "body": body,
    }
