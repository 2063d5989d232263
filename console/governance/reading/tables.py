"""Columns of an uploaded table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from console.governance.reading.sources import Sources
from console.lab.blobs import Blobs
from console.problems import Problem, not_found
from console.store import tables as t

MOST_ROWS = 1_000_000


def columns_of(console: Sources, dataset_id: str) -> Mapping[str, Sequence[object]]:
    """The columns of an uploaded table by name; whoever asked was let see it before.

    Raises:
        Problem: 404, there is none; 410, its file is gone; 422, it is too large, or unreadable.
    """
    # Here, not above: the console need not wait until pyarrow is imported.
    from console.lab.data.tables import BadTable, batches

    held = t.datasets.c
    query = select(held.path, held.format, held.rows).where(held.id == dataset_id)
    with console.database.read() as connection:
        row = connection.execute(query).first()
    if row is None:
        raise not_found(
            "there is no such data set: expected verdicts:<period> or an uploaded table"
        )
    if row.rows > MOST_ROWS:
        raise Problem(
            422, "invalid_request", f"dataset_id: {row.rows} rows, expected at most {MOST_ROWS}"
        )
    found: dict[str, list[Any]] = {}
    read = 0
    try:
        with Blobs(console.settings.data_dir).open(row.path) as file:
            name, _, packed = row.format.partition(".")
            for batch in batches(file, name, packed=bool(packed)):
                for column, values in batch.to_pydict().items():
                    own = found.setdefault(column, [None] * read)
                    own.extend(values)
                read += batch.num_rows
                # A row of JSON Lines names what it has.
                for own in found.values():
                    own.extend([None] * (read - len(own)))
    except FileNotFoundError:
        raise Problem(410, "gone", "the file of the data set is gone") from None
    except BadTable as error:
        raise Problem(422, "invalid_request", str(error)) from None
    return found
