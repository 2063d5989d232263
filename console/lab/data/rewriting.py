"""A table written again without some of its rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet


def written_without(
    found: Iterable[pa.RecordBatch], column: str, profile_id: str, target: BinaryIO
) -> int:
    """Write rows as Parquet but for those of a profile; how many were left out.

    Args:
        column: that names the profile.
    """
    writer: pyarrow.parquet.ParquetWriter | None = None
    gone = 0
    try:
        for batch in found:
            kept = batch
            if column in batch.schema.names:
                names = pc.cast(batch.column(column), pa.string())
                own = pc.fill_null(pc.equal(names, profile_id), fill_value=False)
                gone += pc.sum(own).as_py() or 0
                kept = batch.filter(pc.invert(own))
            if writer is None:
                writer = pyarrow.parquet.ParquetWriter(target, batch.schema)
            writer.write_batch(_shaped(kept, writer.schema))
    finally:
        if writer is not None:
            writer.close()
    return gone


def _shaped(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch with the columns of the first one; what does not fit its type is null."""
    columns = []
    for wanted in schema:
        place = batch.schema.get_field_index(wanted.name)
        if place < 0:
            columns.append(pa.nulls(batch.num_rows, wanted.type))
            continue
        values = batch.column(place)
        try:
            columns.append(values.cast(wanted.type))
        except pa.ArrowException:
            columns.append(pa.nulls(batch.num_rows, wanted.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)
