"""What is in a table: types, missing shares, ranges, how the labels are spread."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from console.lab.data.tables import BadTable

MOST_VALUES: Final = 20
"""Different values of a column that are counted; with more it is not described by them."""

SAMPLED_ROWS: Final = 50_000
"""Values of a column are counted among so many first rows."""


@dataclass
class Column:
    """What is known of a column so far."""

    name: str
    type: str
    missing: int = 0
    least: Any = None
    most: Any = None
    values: Counter[str] | None = field(default_factory=Counter)


@dataclass
class Summary:
    """What is known of a table so far."""

    rows: int = 0
    size: int = 0
    columns: dict[str, Column] = field(default_factory=dict)

    def add(self, batch: pa.RecordBatch) -> None:
        """Look at a batch."""
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            column = self.columns.get(name)
            if column is None:
                # A name that the rows before did not have.
                column = self.columns[name] = Column(name, _type(values.type), self.rows)
            self._look(column, values)
        for name in self.columns.keys() - set(batch.schema.names):
            self.columns[name].missing += batch.num_rows
        self.rows += batch.num_rows
        self.size += batch.nbytes

    def _look(self, column: Column, values: pa.Array) -> None:
        kind = _type(values.type)
        if kind != column.type and values.null_count < len(values):
            numbers = {"integer", "number"}
            both = {kind, column.type}
            known = column.missing < self.rows
            column.type = kind if not known else "number" if both <= numbers else "text"
        column.missing += values.null_count
        if kind in ("integer", "number", "time"):
            bounds = pc.min_max(values).as_py()
            for name, better in (("least", min), ("most", max)):
                found, held = bounds["min" if name == "least" else "max"], getattr(column, name)
                if found is not None and not (isinstance(found, float) and math.isnan(found)):
                    same = held is None or type(held) is not str
                    setattr(
                        column, name, found if held is None or not same else better(held, found)
                    )
        if column.values is not None and self.rows < SAMPLED_ROWS and kind != "nested":
            for each in pc.value_counts(values.slice(0, SAMPLED_ROWS)):
                value = each["values"].as_py()
                if value is not None:
                    column.values[str(value)[:100]] += each["counts"].as_py()
            if len(column.values) > MOST_VALUES:
                column.values = None

    def shown(self) -> list[dict[str, Any]]:
        """The columns as the API has them."""
        return [
            {
                "name": each.name,
                "type": each.type,
                "missing": each.missing,
                "missing_share": each.missing / self.rows if self.rows else 0.0,
                "min": _plain(each.least),
                "max": _plain(each.most),
                "values": None if each.values is None else dict(each.values.most_common()),
            }
            for each in self.columns.values()
        ]


def summarise(found: Iterable[pa.RecordBatch], most_bytes: int) -> Summary:
    """Look at all rows.

    Args:
        most_bytes: of all rows unpacked: a small file may hold a great deal.

    Raises:
        BadTable: it cannot be read, is too large, or has no rows.
    """
    summary = Summary()
    for batch in found:
        summary.add(batch)
        if summary.size > most_bytes:
            raise BadTable(f"file: expected at most {most_bytes} bytes unpacked")
    if not summary.rows or not summary.columns:
        raise BadTable("file: expected at least one row")
    return summary


def _type(of: pa.DataType) -> str:
    if pa.types.is_boolean(of):
        return "boolean"
    if pa.types.is_integer(of):
        return "integer"
    if pa.types.is_floating(of) or pa.types.is_decimal(of):
        return "number"
    if pa.types.is_temporal(of):
        return "time"
    if pa.types.is_nested(of):
        return "nested"
    return "text"


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, int | str):
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    number = float(value)
    return number if math.isfinite(number) else None


def plain_rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Rows as JSON has them."""
    return [
        {
            name: value if isinstance(value, bool) else _plain_deep(value)
            for name, value in row.items()
        }
        for row in batch.to_pylist()
    ]


def _plain_deep(value: Any) -> Any:
    if isinstance(value, list | dict | bytes):
        return str(value)[:1000]
    return value[:1000] if isinstance(value, str) else _plain(value)
