"""Tables in files, a batch at a time: CSV, JSON Lines (each also in gzip) and Parquet."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO, Final

import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

FORMATS: Final = ("csv", "parquet", "jsonl")
BLOCK: Final = 1 << 20
LINES: Final = 5000
MOST_COLUMNS: Final = 2000
LARGEST_LINE: Final = 10_000_000
_COLUMN = re.compile(r"In CSV column #(\d+)")


class BadTable(Exception):
    """What is wrong with a file, in a sentence."""


def format_of(name: str, head: bytes) -> tuple[str, bool]:
    """The format of a file and whether it is gzip, by its content and name.

    Args:
        head: its first bytes.

    Raises:
        BadTable: it is none of these.
    """
    lower, packed = name.lower(), head[:2] == b"\x1f\x8b"
    if head[:4] == b"PAR1":
        return "parquet", False
    lower = lower.removesuffix(".gz")
    if lower.endswith((".jsonl", ".ndjson", ".json")):
        return "jsonl", packed
    if lower.endswith((".csv", ".tsv", ".txt")):
        return "csv", packed
    raise BadTable(
        "file: expected CSV (.csv), Parquet, or JSON Lines (.jsonl), the text ones also as .gz"
    )


def batches(file: BinaryIO, table_format: str, *, packed: bool) -> Iterator[pa.RecordBatch]:
    """The rows of a file, in batches.

    Args:
        file: which can seek.

    Raises:
        BadTable: it cannot be read.
    """
    try:
        if table_format == "parquet":
            found = pyarrow.parquet.ParquetFile(file)
            _few(found.schema_arrow.names)
            yield from found.iter_batches(batch_size=16_384)
        elif table_format == "csv":
            yield from _csv(file, packed=packed)
        else:
            yield from _json_lines(file, packed=packed)
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError) as error:
        told = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise BadTable(f"file: expected {table_format} that can be read: {told}") from None


def _csv(file: BinaryIO, *, packed: bool) -> Iterator[pa.RecordBatch]:
    # Types are told by the first block; a column that a later one contradicts is text.
    texts: set[str] = set()
    sent = 0
    while True:
        file.seek(0)
        source: Any = gzip.GzipFile(fileobj=file, mode="rb") if packed else file
        options = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(texts, pa.string()), strings_can_be_null=True
        )
        names: list[str] = []
        try:
            reader = pyarrow.csv.open_csv(
                source,
                read_options=pyarrow.csv.ReadOptions(block_size=BLOCK, use_threads=True),
                convert_options=options,
            )
            names = reader.schema.names
            _few(names)
            for number, batch in enumerate(reader):
                if number >= sent:
                    sent = number + 1
                    yield batch
            return
        except pa.ArrowInvalid as error:
            wrong = _COLUMN.search(str(error))
            at = int(wrong[1]) if wrong is not None else -1
            if not 0 <= at < len(names) or names[at] in texts:
                raise
            texts.add(names[at])


def _json_lines(file: BinaryIO, *, packed: bool) -> Iterator[pa.RecordBatch]:
    file.seek(0)
    source: Any = gzip.GzipFile(fileobj=file, mode="rb") if packed else file
    number = 0
    while lines := list(islice(iter(lambda: source.readline(LARGEST_LINE), b""), LINES)):
        rows = []
        for line in lines:
            number += 1
            if not line.strip():
                continue
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise BadTable(f"line {number}: expected JSON: {error}") from None
            if not isinstance(row, dict):
                raise BadTable(f"line {number}: expected an object")
            rows.append(row)
        names = list(dict.fromkeys(name for row in rows for name in row))
        _few(names)
        columns = [_column([row.get(name) for row in rows]) for name in names]
        if names:
            yield pa.RecordBatch.from_arrays(columns, names=names)


def _column(values: list[Any]) -> pa.Array:
    """Values as a column: numbers, booleans or text; what is nested or mixed is JSON as text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} or kinds in ({bool}, {str}):
        try:
            return pa.array(
                [float(v) for v in values] if float in kinds and None not in values else values
            )
        except (pa.ArrowException, OverflowError):
            pass
    return pa.array(
        [
            value if value is None or isinstance(value, str) else orjson.dumps(value).decode()
            for value in values
        ],
        pa.string(),
    )


def _few(names: list[str]) -> None:
    if len(names) > MOST_COLUMNS:
        raise BadTable(f"columns: expected at most {MOST_COLUMNS}, got {len(names)}")
    twice = (
        {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()
    )
    if twice:
        raise BadTable(f"columns: expected each name once, got {sorted(twice)[0]!r} twice")
