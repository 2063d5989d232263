"""Avro: data of a writer's schema, through fastavro."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

import fastavro
import orjson

from processor.ingest.formats.schema import InvalidSchema, Read, SchemaText, Undecodable

SORT: Final = "AVRO"
_KEPT: Final = "decimal"


def compile_avro(schema: SchemaText) -> Read:
    """How data of a schema is read. Times and dates stay the numbers that they are written as.

    Raises:
        InvalidSchema: it is none of Avro's.
    """
    named: dict[str, Any] = {}
    try:
        for _, text in schema.references:
            fastavro.parse_schema(_plain(_loaded(text)), named_schemas=named)
        parsed = fastavro.parse_schema(_plain(_loaded(schema.text)), named_schemas=named)
    except Exception as error:
        raise InvalidSchema(f"expected an Avro schema: {str(error)[:200]}") from None
    read = fastavro.schemaless_reader

    def avro(data: bytes, _: tuple[int, ...]) -> Any:
        stream = BytesIO(data)
        try:
            found = read(stream, parsed, None)
        # Which errors damaged bytes lead to is fastavro's own affair.
        except Exception as error:
            raise Undecodable(
                f"Avro: {type(error).__name__} at byte {stream.tell()}: {str(error)[:200]}"
            ) from None
        if stream.tell() != len(data):
            left = len(data) - stream.tell()
            raise Undecodable(f"Avro: {left} bytes after the value: another schema wrote it")
        return found

    return avro


def _loaded(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        # A primitive may be written without quotes.
        return text.strip()


def _plain(schema: Any) -> Any:
    """The schema without logical types but decimals, which fastavro would make objects of."""
    if isinstance(schema, list):
        return [_plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _plain(held) if name in ("type", "fields", "items", "values") else held
        for name, held in schema.items()
        if name != "logicalType" or held == _KEPT
    }
