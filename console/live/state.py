"""The live state of a console: what it holds in memory, and how the store fills it at the start."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass, field
from time import time_ns

from sqlalchemy import Connection, select

from console.lanes.memory import LaneMemory
from console.live.counts import Counts, EventKey, Totals, VerdictKey
from console.live.events import Happened, Item, Labelled, Place, VerdictSeen
from console.live.labels import Labels
from console.live.profiles import Profiles
from console.live.recent import Recent
from console.live.waiting import Waiting
from console.store import projection
from console.store import tables as t
from console.store.database import Database

DAY_MS = 86_400_000


def now_ms() -> int:
    """Epoch milliseconds."""
    return time_ns() // 1_000_000


@dataclass
class LiveState:
    """What requests are answered from.

    Attributes:
        roles: role → when it was last heard of since the start, epoch milliseconds.
    """

    profiles: Profiles
    totals: Totals
    recent: Recent
    waiting: Waiting
    offsets: dict[Place, int]
    since: int
    labels: Labels
    roles: dict[str, int] = field(default_factory=dict)
    lag: dict[str, int] = field(default_factory=dict)
    lanes: LaneMemory = field(default_factory=LaneMemory)


def load(database: Database, recent: int) -> LiveState:
    """The state that the store holds.

    Args:
        recent: events that are kept in memory.
    """
    key = hash_key(database)
    with database.read() as connection:
        gone = {row.profile_hash: row.at for row in connection.execute(select(t.forgotten))}
        profiles = Profiles(key, gone)
        profiles.load(connection.execute(select(t.profiles)).mappings())
        totals = Totals()
        totals.replace(counts_of(connection))
        offsets = projection.offsets(connection)
        hours = connection.execute(
            select(t.verdict_hours.c.hour).order_by(t.verdict_hours.c.hour).limit(1)
        )
        since = hours.scalar() or now_ms()
        labels = Labels()
        held = t.labels.c
        for row in connection.execute(
            select(held.verdict_id, held.kind, held.profile_id, held.label)
        ):
            labels.put(*row)
    state = LiveState(profiles, totals, Recent(recent), Waiting(), offsets, since, labels)
    # The latest day is what pages ask for first: read here, nobody waits for it.
    now = now_ms()
    state.lanes.rows(database, now - DAY_MS, now)
    return state


def counts_of(connection: Connection) -> Counts:
    """All counts in the store."""
    found = Counts(Counter(), Counter())
    for row in connection.execute(select(t.verdict_hours)):
        *key, records = row
        found.verdicts[VerdictKey(*key)] = records
    for row in connection.execute(select(t.event_hours)):
        *key, records = row
        found.events[EventKey(*key)] = records
    return found


def show(state: LiveState, items: list[Item]) -> None:
    """Take in what was read: profiles, those who wait, recent events.

    What is told of an event is told after profiles know it: who waits may ask at once.
    """
    for item in items:
        state.profiles.fold(item.place[1], item.seen)
    _note_roles(state, items)
    for item in items:
        awaited = state.waiting.deliver(item) if state.waiting else False
        seen = item.seen
        if isinstance(seen, VerdictSeen):
            if awaited or seen.drawn or not seen.normal:
                state.recent.add("verdict", seen.profile_id, seen.body)
        elif isinstance(seen, Happened):
            event = seen.event
            if event.event == "forgotten":
                if event.role == "scorer" and event.kind is not None:
                    state.recent.forget(event.kind, event.profile_id)
                    state.labels.forget(event.kind, event.profile_id)
                    state.lanes.forget(event.kind, event.profile_id)
            else:
                state.recent.add("lifecycle", event.profile_id, event.model_dump(mode="json"))

        elif isinstance(seen, Labelled):
            if seen.label is None:
                state.labels.drop(seen.verdict_id)
            elif not state.profiles.is_forgotten(
                seen.kind, seen.partition, seen.profile_id, seen.at
            ):
                state.labels.put(seen.verdict_id, seen.kind, seen.profile_id, seen.label.label)


def _note_roles(state: LiveState, items: list[Item]) -> None:
    """Verdicts are the scorer's; lifecycle events name their role."""
    for item in items:
        seen = item.seen
        if isinstance(seen, VerdictSeen):
            state.roles["scorer"] = max(seen.scored_at, state.roles.get("scorer", 0))
        elif isinstance(seen, Happened) and (role := seen.event.role) is not None:
            state.roles[role] = max(seen.event.at, state.roles.get(role, 0))


def hash_key(database: Database) -> bytes:
    """The key of the hashes of forgotten profiles, made at the first start."""
    with database.write() as connection:
        connection.execute(
            database.insert(t.keys)
            .values(name="forgotten", value=secrets.token_bytes(32))
            .on_conflict_do_nothing()
        )
        found = connection.execute(select(t.keys.c.value).where(t.keys.c.name == "forgotten"))
        return bytes(found.scalar_one())
