"""The one strict JSON parser: every value that comes off a topic goes through it."""

from __future__ import annotations

from typing import Any, Final

import orjson

MAX_DEPTH: Final = 64
"""Deepest nesting of arrays and objects; the object at the top counts as 1."""

_QUOTE: Final = ord('"')
_STRUCTURE: Final = b'[]{}"'
_NOT_STRUCTURE: Final = bytes(set(range(256)) - set(_STRUCTURE))
# As signed bytes 1 opens a level and -1 closes one; a quote stays what it is.
_STEPS: Final = bytes(1 if sign in b"[{" else 255 if sign in b"]}" else sign for sign in range(256))


class InvalidJson(ValueError):
    """Bytes that are not one strict JSON object; the message tells people why."""


def parse_object(raw: bytes) -> dict[str, Any]:
    """The JSON object (RFC 8259) in UTF-8 bytes, nothing before or after it.

    Of a name that comes twice in an object the last value counts.

    Raises:
        InvalidJson: not UTF-8, a byte order mark, no JSON, text after it, NaN or Infinity, a
            number beyond float64, no object at the top, or nested deeper than 64.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise InvalidJson(f"not JSON: {error}") from None
    if type(value) is not dict:
        raise InvalidJson(f"not a JSON object, but {_JSON_NAMES[type(value)]}")
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _too_deep(raw):
        raise InvalidJson(f"nested deeper than {MAX_DEPTH}")
    return value


def _too_deep(raw: bytes) -> bool:
    """Whether valid JSON is nested too deep, in a time that grows with its bytes alone.

    The text counts, not what became of it: of a name that comes twice the first value is gone,
    however deep it was.
    """
    # Here, not above: most commands read no record.
    import numpy as np

    text = raw
    if b"\\" in raw:
        # A backslash stands in a string and begins an escape, or is the second of a pair.
        text = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    steps = np.frombuffer(text.translate(_STEPS, _NOT_STRUCTURE), dtype=np.int8)
    quotes = steps == _QUOTE
    # Behind an odd number of quotes begins a string, whose brackets do not count.
    outside = ~(np.bitwise_xor.accumulate(quotes) | quotes)
    return int(np.add.accumulate(steps[outside], dtype=np.int32).max()) > MAX_DEPTH


_JSON_NAMES: Final = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}
