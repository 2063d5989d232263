"""JSON: any one strict value (RFC 8259)."""

from __future__ import annotations

from typing import Any

import orjson

from processor.ingest.formats.schema import Undecodable


def parse_json(data: bytes) -> Any:
    """The value.

    Raises:
        Undecodable: it is no JSON, or holds NaN or Infinity.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Undecodable(f"not JSON: {error}") from None
