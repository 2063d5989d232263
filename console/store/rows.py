"""Rows: what records say, as rows of one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, or_, select, update

from console.live.counts import Counts
from console.live.events import Announced, Happened, Item, Refused, VerdictSeen
from console.live.profiles import ProfileAt, Profiles, ProfileState, profile_hash
from console.store import tables as t
from console.store.database import Database

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

    def verdicts(self, items: Iterable[Item], one_in: int) -> None:
        """Anomalies, normal verdicts that were drawn, and those that somebody waits for."""
        wanted = set(self._connection.execute(select(t.awaited.c.verdict_id)).scalars())
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
            if event.event == "forgotten" and event.kind is not None:
                self._forget(event.kind, partition, event.profile_id, event.at, event.role)
                row["profile_id"] = self._hash(event.kind, partition, event.profile_id)
            elif event.kind is not None and self._profiles.is_forgotten(
                event.kind, partition, event.profile_id, event.at
            ):
                row["profile_id"] = self._hash(event.kind, partition, event.profile_id)
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
                    }
                )
        self._put(t.dead_letters, rows)

    def profiles(self, items: Iterable[Item]) -> list[ProfileState]:
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

    def _forget(
        self, kind: str, partition: int, profile_id: str, at: int, role: str | None
    ) -> None:
        if role != "scorer":
            return
        run, own = self._connection.execute, (kind, partition, profile_id)
        run(
            self._database.insert(t.forgotten)
            .values(profile_hash=profile_hash(self._profiles.key, *own), at=at)
            .on_conflict_do_update(index_elements=["profile_hash"], set_={"at": at})
        )
        for table, since in (
            (t.profiles, t.profiles.c.first_seen_at),
            (t.model_versions, t.model_versions.c.trained_at),
            (t.verdicts, t.verdicts.c.scored_at),
        ):
            run(delete(table).where(_of(table, *own), since <= at))
        run(delete(t.awaited).where(t.awaited.c.kind == kind, t.awaited.c.profile_id == profile_id))
        run(
            delete(t.commands).where(
                t.commands.c.profile_id == profile_id,
                or_(t.commands.c.kind == kind, t.commands.c.kind == ""),
            )
        )
        events = t.lifecycle_events
        run(
            update(events)
            .where(_of(events, *own), events.c.at <= at)
            .values(profile_id=self._hash(*own))
        )

    def _hash(self, kind: str, partition: int, profile_id: str) -> str:
        # No id of a profile can be mistaken for it: they hold no control characters.
        return "\x7f" + profile_hash(self._profiles.key, kind, partition, profile_id)

    def _put(self, table: Any, rows: list[dict[str, Any]]) -> None:
        if rows:
            self._connection.execute(self._database.insert(table).on_conflict_do_nothing(), rows)


def _of(table: Any, kind: str, partition: int, profile_id: str) -> Any:
    return and_(
        table.c.kind == kind, table.c.partition == partition, table.c.profile_id == profile_id
    )


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
        "observed_at": observed if type(observed) is int else seen.scored_at,
        "scored_at": seen.scored_at,
        "weight": weight,
        "body": body,
    }
