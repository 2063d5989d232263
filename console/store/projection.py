"""The projection: what records say, as rows, in one transaction with the offsets behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, tuple_, update

from console.lanes.writing import write_lanes
from console.live.counts import Counts, count
from console.live.events import Item, Place
from console.live.normals import Normals
from console.live.normals import joined as both
from console.live.profiles import Profiles
from console.store import tables as t
from console.store.database import Database
from console.store.rows import Rows


class StoreBehind(Exception):
    """The store is at an earlier offset than what was read: it was set back meanwhile."""


@dataclass(frozen=True)
class Batch:
    """What was read together.

    Attributes:
        items: in the order of each partition.
        begins: place → offset from which on nothing was left out.
        ends: place → the offset to go on with.
        normals: verdicts that are not among the items.
    """

    items: Sequence[Item]
    begins: Mapping[Place, int]
    ends: Mapping[Place, int]
    normals: Normals | None = None

    def __len__(self) -> int:
        return len(self.items) + (0 if self.normals is None else self.normals.size)

    def joined(self, later: Batch) -> Batch:
        """This one and what was read next."""
        one, other = self.normals, later.normals
        return Batch(
            [*self.items, *later.items],
            {**later.begins, **self.begins},
            {**self.ends, **later.ends},
            one if other is None else other if one is None else both(one, other),
        )


def project(
    database: Database, batch: Batch, profiles: Profiles, one_in: int, now: int
) -> tuple[Counts, bool]:
    """Write a batch; records that another replica has written already are left out.

    Args:
        profiles: memory, into which the batch was folded already.
        one_in: one normal verdict in so many becomes a row.
        now: epoch milliseconds.

    Returns:
        What was counted, and whether another replica had written some of it.

    Raises:
        StoreBehind: records before the batch are missing in the store.
    """
    with database.write() as connection:
        held = _held(database, connection, batch, now)
        for place, begin in batch.begins.items():
            if held[place] < begin:
                raise StoreBehind(
                    f"{place[0]} [{place[1]}]: the store is at offset {held[place]}, read was on "
                    f"from {begin}"
                )
        items = [item for item in batch.items if item.offset >= held[item.place]]
        normals = batch.normals
        find = organization_of(connection)
        counts = count(items, find)
        writer = Rows(database, connection, profiles, now)
        # Those that another replica has written too: here somebody may have begun to wait for one.
        writer.verdicts(batch.items, one_in, normals)
        if normals is not None:
            normals = normals.since(held)
            counts.verdicts.update(normals.counts(find).verdicts)
        writer.versions(items)
        writer.events(items)
        writer.dead_letters(items)
        writer.annotations(items)
        stored = writer.profiles(items, normals)
        writer.counts(counts)
        write_lanes(database, connection, profiles, items)
        connection.execute(
            update(t.projections)
            .where(
                t.projections.c.topic == bindparam("of_topic"),
                t.projections.c.partition == bindparam("of_partition"),
                t.projections.c.next_offset < bindparam("end"),
            )
            .values(next_offset=bindparam("end"), updated_at=now),
            [
                {"of_topic": topic, "of_partition": partition, "end": end}
                for (topic, partition), end in sorted(batch.ends.items())
            ],
        )
    for state in stored:
        state.stored_at = state.updated_at
    return counts, any(held[place] > begin for place, begin in batch.begins.items())


def offsets(connection: Connection) -> dict[Place, int]:
    """Place → the offset to go on with."""
    table = t.projections.c
    rows = connection.execute(select(table.topic, table.partition, table.next_offset))
    return {(row.topic, row.partition): row.next_offset for row in rows}


def organization_of(connection: Connection) -> Callable[[str], str]:
    """Profile id → id of its organisation, empty without one; the longest prefix counts."""
    held = t.organizations.c
    rows = connection.execute(
        select(held.profile_prefix, held.id).where(held.profile_prefix.is_not(None))
    ).all()
    prefixes = sorted(((row.profile_prefix, row.id) for row in rows), key=lambda p: -len(p[0]))
    if not prefixes:
        return lambda _: ""
    known: dict[str, str] = {}

    def find(profile_id: str) -> str:
        name = known.get(profile_id)
        if name is None:
            found = (own for prefix, own in prefixes if profile_id.startswith(prefix))
            name = known[profile_id] = next(found, "")
        return name

    return find


def _held(database: Database, connection: Connection, batch: Batch, now: int) -> dict[Place, int]:
    """The offsets in the store, locked until the transaction ends, in an order that all keep."""
    table = t.projections
    places = sorted(batch.ends)
    connection.execute(
        database.insert(table).on_conflict_do_nothing(),
        [
            {
                "topic": topic,
                "partition": partition,
                "next_offset": batch.begins[topic, partition],
                "updated_at": now,
            }
            for topic, partition in places
        ],
    )
    rows = connection.execute(
        select(table.c.topic, table.c.partition, table.c.next_offset)
        .where(tuple_(table.c.topic, table.c.partition).in_(places))
        .order_by(table.c.topic, table.c.partition)
        .with_for_update()
    )
    return {(row.topic, row.partition): row.next_offset for row in rows}
