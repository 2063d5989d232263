"""The one strict JSON parser: every value that comes off a topic goes through it."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Any, Final

import orjson

MAX_DEPTH: Final = 64
"""Deepest nesting of arrays and objects; the object at the top counts as 1."""

_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"\\'))
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"')
_LEVELS = [(sign in b"[{") - (sign in b"]}") for sign in range(256)]


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
    # The text counts, not what became of it: of a name that comes twice the first value is gone,
    # however deep it was. Where no string holds a bracket, a quote or an escape, all strings are
    # pairs of quotes now; else they are taken out one by one.
    brackets = raw.translate(None, _NOT_STRUCTURE).replace(b'""', b"")
    if b'"' in brackets or b"\\" in brackets:
        brackets = _STRING.sub(b"", raw).translate(None, _NOT_STRUCTURE)
    # Each round takes away the one or two innermost levels: most records are settled by it.
    left = brackets
    for _ in range(MAX_DEPTH // 2):
        left = left.replace(b"[]", b"").replace(b"{}", b"")
        if not left:
            return False
    return max(accumulate(map(_LEVELS.__getitem__, brackets))) > MAX_DEPTH


_JSON_NAMES: Final = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}
