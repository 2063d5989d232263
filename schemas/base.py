"""What all kinds of telemetry share: strict numbers, the time of observation, readable errors."""

from __future__ import annotations

import re
import reprlib
import unicodedata
from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Any, ClassVar, Final

import orjson
from pydantic import (
    AllowInfNan,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    WithJsonSchema,
)

from schemas.times import rfc3339_ms

MAX_EPOCH_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""

STRICT: Final = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)

Number = Annotated[float, Strict(), AllowInfNan(False)]
"""A finite JSON number; neither a boolean nor a string."""

EpochMs = Annotated[int, Strict(), Field(ge=0, le=MAX_EPOCH_MS)]
"""Milliseconds since 1970-01-01T00:00:00Z, up to the year 9999."""

MAX_ID_BYTES: Final = 256
"""The longest key of a record, and so the longest id."""


def id_fault(text: str) -> str | None:
    """What is wrong with an id or a name: 1 to 256 bytes of UTF-8 without control characters.

    The rule of a record's key holds for whatever is copied into keys, receipts and file names.
    ASCII only. Never raises.
    """
    if not text:
        return "expected 1 to 256 bytes, got none"
    # At most four bytes a character: most ids need no second look.
    if len(text) > MAX_ID_BYTES // 4 or not text.isascii():
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            return f"not UTF-8 at character {error.start}"
        if size > MAX_ID_BYTES:
            return f"expected at most {MAX_ID_BYTES} bytes, got {size}"
    if text.isascii() and text.isprintable():
        return None
    for position, character in enumerate(text):
        if unicodedata.category(character) == "Cc":
            return f"control character U+{ord(character):04X} at character {position}"
    return None


SECONDS: Final = (946_684_800, 4_102_444_800)
"""The years 2000 to 2100 in seconds; as milliseconds all of it lies in early 1970."""

_UNITS: Final = (("seconds", 1), ("microseconds", 1_000_000), ("nanoseconds", 1_000_000_000))


def unit_fault(time: int) -> str | None:
    """Which unit a time between 2000 and 2100 counts in if it is not milliseconds; else None."""
    for unit, factor in _UNITS:
        if SECONDS[0] * factor <= time <= SECONDS[1] * factor:
            return f"looks like {unit}: expected epoch milliseconds, got {time}"
    return None


def _as_epoch_ms(value: Any) -> Any:
    if type(value) is int:
        fault = unit_fault(value)
        if fault is not None:
            raise ValueError(fault)
    return rfc3339_ms(value) if isinstance(value, str) else value


ObservedAt = Annotated[
    EpochMs | None,
    BeforeValidator(_as_epoch_ms),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": MAX_EPOCH_MS},
                {"type": "string", "format": "date-time"},
                {"type": "null"},
            ]
        }
    ),
]


class Telemetry(BaseModel):
    """What a record of any kind may carry beside its own fields. Unknown fields are ignored."""

    summary: ClassVar[str]
    """What the topic holds."""

    model_config = STRICT

    profile_id: str | None = Field(
        default=None, description="Whose telemetry it is; where given, equal to the record's key."
    )
    kind: str | None = Field(
        default=None, description="Kind of telemetry; where given, equal to the topic's."
    )
    observed_at: ObservedAt = Field(
        default=None,
        description="When it was observed: epoch milliseconds or RFC 3339 with zone; else the "
        "record's Kafka timestamp counts. Kept as epoch milliseconds.",
    )

    def observed_at_ms(self) -> int | None:
        """Time of observation in epoch milliseconds; None where the record does not say."""
        return self.observed_at


class Record(BaseModel):
    """A record that Telltale itself or its operators write. Unknown fields are ignored."""

    model_config = STRICT


class _Short(reprlib.Repr):
    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        # All names would be sorted, of which three are shown.
        return super().repr_dict(dict(islice(x.items(), self.maxdict + 1)), level)

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to print an integer of more than 4300 digits.
        bits = x.bit_length()
        return f"an integer of {bits} bits" if bits > 1024 else super().repr_int(x, level)


_short = _Short()
_short.maxstring = _short.maxother = _short.maxlong = 60
_short.maxlist = _short.maxdict = 3
_short.maxlevel = 2

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_EXPLAINED: Final = 3

OBJECT_TAG: Final = "{}"
ARRAY_TAG: Final = "[]"
"""Tags of the two forms of a union; they are no part of the path of a field."""


def _path(location: tuple[int | str, ...]) -> str:
    parts = ["$"]
    for step in location[:12]:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        elif _IDENTIFIER.fullmatch(step) and len(step) <= 60:
            parts.append(f".{step}")
        elif step not in (OBJECT_TAG, ARRAY_TAG):
            parts.append(f"[{_shown(step)}]")
    return "".join(parts)


def _shown(value: Any) -> str:
    text = _short.repr(value).encode("ascii", "backslashreplace").decode("ascii")
    return text if len(text) <= 80 else f"{text[:77]}..."


def names_fault(names: Iterable[str]) -> str | None:
    """What is wrong with names of features, for which the rule of keys holds; ASCII only."""
    every = tuple(names)
    text = "".join(every)
    # Most are plain: one look at all of them together is enough.
    if text.isascii() and text.isprintable() and all(every):
        longest = len(text) if len(text) <= MAX_ID_BYTES else max(map(len, every))
        if longest <= MAX_ID_BYTES:
            return None
    for number, name in enumerate(every):
        fault = id_fault(name)
        if fault is not None:
            return f"name {number}: {fault}"
    return None


def profile_id_of(key: bytes | None) -> str:
    """The profile that a record's key names: 1 to 256 bytes of UTF-8, no control characters.

    Raises:
        ValueError: it names none; the message says why.
    """
    if not key:
        raise ValueError("key: expected a profile_id of 1 to 256 bytes, got none")
    if len(key) > MAX_ID_BYTES:
        raise ValueError(f"key: expected at most 256 bytes, got {len(key)}")
    try:
        text = key.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"key: not UTF-8 at byte {error.start}") from None
    fault = id_fault(text)
    if fault is None and text[0] == "{":
        fault = _object_fault(text)
    if fault is not None:
        raise ValueError(f"key: {fault}")
    return text


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


def _object_fault(text: str) -> str | None:
    """Why a key that is a JSON object is no profile_id; None if it is none."""
    try:
        held = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(held, dict):
        return None
    if held.keys() >= {"schema", "payload"}:
        return (
            "expected a profile_id, got an envelope of Kafka Connect: have the connector write "
            "keys with org.apache.kafka.connect.storage.StringConverter"
        )
    return "expected a profile_id, got a JSON object: have the producer write the id alone"
