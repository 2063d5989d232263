"""What people say of verdicts and profiles, as rows; a row never goes back to an earlier record."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import Connection, delete, func, select

from console.live.events import Described, Labelled
from console.store import tables as t
from console.store.database import Database


def put_label(database: Database, connection: Connection, seen: Labelled, offset: int) -> None:
    """Write a label, or delete the one that was taken back, and note it in the history.

    Args:
        offset: of the record in ``labels``.
    """
    own = {
        "verdict_id": seen.verdict_id,
        "kind": seen.kind,
        "partition": seen.partition,
        "profile_id": seen.profile_id,
        "record_offset": offset,
    }
    label = seen.label
    history = own | {
        "label": None if label is None else label.label,
        "source": None if label is None else label.source,
        "by": None if label is None else label.by,
        "at": seen.at,
    }
    connection.execute(database.insert(t.label_history).values(history).on_conflict_do_nothing())
    if label is None:
        connection.execute(
            delete(t.labels).where(
                t.labels.c.verdict_id == seen.verdict_id, t.labels.c.record_offset < offset
            )
        )
        return
    insert = database.insert(t.labels).values(own | label.model_dump())
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=["verdict_id"],
            set_={c.name: insert.excluded[c.name] for c in t.labels.columns if not c.primary_key},
            where=t.labels.c.record_offset < offset,
        )
    )


def put_attributes(
    database: Database, connection: Connection, seen: Described, offset: int, source: str
) -> None:
    """Write all attributes of a profile in place of those it had.

    Args:
        offset: of the record in ``attributes``.
        source: who said so: the topic does not keep it.
    """
    table = t.profile_attributes
    of = (table.c.kind == seen.kind, table.c.profile_id == seen.profile_id)
    newest = connection.execute(select(func.max(table.c.record_offset)).where(*of)).scalar()
    if newest is not None and newest >= offset:
        return
    connection.execute(delete(table).where(*of))
    rows = [
        {
            "kind": seen.kind,
            "profile_id": seen.profile_id,
            "name": name,
            "value": orjson.dumps(value).decode(),
            "source": source,
            "updated_at": seen.at,
            "record_offset": offset,
        }
        for name, value in seen.values.items()
    ]
    if rows:
        connection.execute(database.insert(table).on_conflict_do_nothing(), rows)


def attributes_of(connection: Connection, kind: str, profile_id: str) -> dict[str, Any]:
    """The attributes of a profile by name."""
    held = t.profile_attributes.c
    rows = connection.execute(
        select(held.name, held.value)
        .where(held.kind == kind, held.profile_id == profile_id)
        .order_by(held.name)
    )
    return {row.name: orjson.loads(row.value) for row in rows}
