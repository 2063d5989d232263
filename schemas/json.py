"""The one strict JSON parser: every value that comes off a topic goes through it."""

from __future__ import annotations

from typing import Any, Final

import orjson

MAX_DEPTH: Final = 64
"""Deepest nesting of arrays and objects; the object at the top counts as 1."""

_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"\\'))


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
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _too_deep(raw, value):
        raise InvalidJson(f"nested deeper than {MAX_DEPTH}")
    return value


def _too_deep(raw: bytes, value: dict[str, Any]) -> bool:
    # Most records are settled without walking a million Python objects: with the strings gone,
    # each round of the loop takes away the one or two innermost levels. A string that holds a
    # bracket leaves a quote behind, and then only the walk can tell.
    brackets = raw.translate(None, _NOT_STRUCTURE).replace(b'""', b"")
    if b'"' not in brackets and b"\\" not in brackets:
        for _ in range(MAX_DEPTH // 2):
            brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
            if not brackets:
                return False
    return _deeper_than(value, MAX_DEPTH)


def _deeper_than(value: dict[str, Any], limit: int) -> bool:
    level: list[Any] = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return False
    return True


_JSON_NAMES: Final = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}
