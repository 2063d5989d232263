"""A second judgement of what is valid, with another JSON parser, to compare `decode` with.

The standard library's parser, made strict by hand; then the pydantic model of the kind.
"""

from __future__ import annotations

import json
import math
import unicodedata
from typing import Any, Final

from pydantic import ValidationError

from models.features import KINDS
from processor.records import ConsumerRecord

MAX_DEPTH: Final = 64
BLANK: Final = " \t\n\r"
DEPTHS: Final = {"[": 1, "{": 1, "]": -1, "}": -1}


class NotStrict(ValueError):
    """Not one strict JSON object."""


def judged(record: ConsumerRecord, kind: str, limits: tuple[int, int, int]) -> str | None:
    """The reason for which a record must be a dead letter whatever its profile; else None.

    Args:
        limits: bytes, features and samples of a record, at most.
    """
    identity = profile(record.key)
    if identity is None:
        return "invalid_key"
    if record.value is None:
        return "invalid_json"
    if len(record.value) > limits[0]:
        return "too_large"
    try:
        parsed = strict(record.value)
    except NotStrict:
        return "invalid_json"
    if too_many(parsed, kind, limits):
        return "too_large"
    try:
        telemetry = KINDS[kind].telemetry.model_validate(parsed)
    except ValidationError:
        return "invalid_record"
    if kind == "features" and not named(parsed["values"]):
        return "invalid_record"
    if telemetry.profile_id not in (None, identity):
        return "key_mismatch"
    return None if telemetry.kind in (None, kind) else "kind_mismatch"


def named(values: list[Any] | dict[str, Any]) -> bool:
    """Whether all features have names that would be valid keys."""
    return isinstance(values, list) or all(profile(name.encode()) is not None for name in values)


def profile(key: bytes | None) -> str | None:
    """The profile_id, or None where the key is none."""
    try:
        text = (key or b"").decode()
    except UnicodeDecodeError:
        return None
    control = any(unicodedata.category(sign) == "Cc" for sign in text)
    return text if 1 <= len(text.encode()) <= 256 and not control else None


def too_many(parsed: dict[str, Any], kind: str, limits: tuple[int, int, int]) -> bool:
    """Whether the field that holds features or samples has more of them than allowed."""
    if kind == "features":
        held, most = parsed.get("values"), limits[1]
    elif kind == "series":
        held, most = parsed.get("values"), limits[2]
    else:
        held, most = parsed.get("events") if kind == "drowsiness" else None, limits[2]
    return isinstance(held, list | dict) and len(held) > most


def strict(raw: bytes) -> dict[str, Any]:
    """The object in the bytes.

    Raises:
        NotStrict: by RFC 8259, or by the contract's context on top of it.
    """
    try:
        text = raw.decode()
        value, end = DECODER.raw_decode(text, len(text) - len(text.lstrip(BLANK)))
    except (ValueError, RecursionError) as error:
        raise NotStrict(str(error)) from None
    if text[end:].strip(BLANK) or not isinstance(value, dict):
        raise NotStrict("not one object")
    if depth(text) > MAX_DEPTH:
        raise NotStrict("too deep")
    if "\\u" in text and lone_surrogate(value):
        raise NotStrict("a lone surrogate")
    return value


def depth(text: str) -> int:
    """Deepest nesting of a JSON text."""
    deepest = now = 0
    quoted = escaped = False
    for sign in text:
        if escaped:
            escaped = False
        elif quoted:
            escaped, quoted = sign == "\\", sign != '"'
        elif sign == '"':
            quoted = True
        elif sign in DEPTHS:
            now += DEPTHS[sign]
            deepest = max(deepest, now)
    return deepest


def lone_surrogate(value: object) -> bool:
    if isinstance(value, str):
        return any("\ud800" <= sign <= "\udfff" for sign in value)
    if isinstance(value, dict):
        return any(map(lone_surrogate, value)) or any(map(lone_surrogate, value.values()))
    return isinstance(value, list) and any(map(lone_surrogate, value))


def finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise NotStrict(f"{text[:20]} is beyond float64")
    return value


def whole(text: str) -> int | float:
    """An integer of 64 bits, with a sign or without; larger ones are float64 as in any parser."""
    if len(text) > 20:
        return finite(text)
    value = int(text)
    return value if -(2**63) <= value < 2**64 else finite(text)


def refuse(text: str) -> float:
    raise NotStrict(f"{text} is no JSON")


DECODER: Final = json.JSONDecoder(parse_float=finite, parse_int=whole, parse_constant=refuse)
