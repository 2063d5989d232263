"""Bodies of requests with telemetry: what is in them, and how OpenAPI shows them."""

from __future__ import annotations

from typing import Any

import orjson

from console.auth.callers import known_kind
from console.gateway.submit import Submission, refusal
from console.problems import Problem
from schemas import InvalidJson, parse_object
from schemas.base import id_fault
from schemas.telemetry import TELEMETRY

MOST_RECORDS = 1000
EYES = frozenset(("ear_value", "is_drowsy", "duration_ms"))

_EXAMPLES = {
    "features": {"summary": "features", "value": {"values": {"cpu": 0.31, "memory": 131.5}}},
    "series": {
        "summary": "series",
        "value": {"timestamps": [1, 2, 3], "values": [10.0, 10.4, 9.8]},
    },
    "drowsiness": {
        "summary": "drowsiness",
        "value": {"ear_value": 0.27, "is_drowsy": False, "duration_ms": 120},
    },
    "behavior": {
        "summary": "behavior",
        "value": {
            "startTimestamp": 0,
            "endTimestamp": 5000,
            "keyEvents": [{"code": "KeyT", "downTime": 100, "upTime": 180}],
            "mousePaths": [[{"t": 0, "x": 10, "y": 10}, {"t": 20, "x": 14, "y": 12}]],
        },
    },
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The verdict."},
    202: {"description": "Accepted; `Location` has the verdict when it comes."},
}
RECORD_BODY: dict[str, Any] = {
    "responses": _ANSWERS,
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "object"}, "examples": _EXAMPLES}},
        }
    },
}
BATCH_BODY: dict[str, Any] = {
    "responses": _ANSWERS,
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"oneOf": [{"type": "object"}, {"type": "array"}]},
                    "example": {
                        "events": [
                            {"kind": "features", "profile_id": "web-1", "values": {"cpu": 0.3}},
                            {"kind": "features", "profile_id": "web-2", "values": {"cpu": 0.4}},
                        ]
                    },
                },
                "application/x-ndjson": {"schema": {"type": "string"}},
            },
        }
    },
}


def one_of(value: bytes, default: str) -> Submission:
    """One record; kind and profile are those that it names, else drowsiness and ``default``.

    Raises:
        Problem: 422, it is no JSON object, or names no kind or profile that there is.
    """
    item = _parsed(value)
    return _submission({"kind": "drowsiness", "profile_id": default} | item, value)


def records_of(value: bytes, *, lines: bool) -> list[Submission | Problem]:
    """The records of a body: JSON Lines, an array, or an object with ``events``.

    Raises:
        Problem: 413 for too many, 422 for a body that is none of these.
    """
    found: list[Submission | Problem] = []
    if lines:
        held = [line for line in value.split(b"\n") if line.strip()]
        _bounded(held)
        for line in held:
            try:
                found.append(_submission(_parsed(line), line))
            except Problem as problem:
                found.append(problem)
        return found
    for item in _items(value):
        try:
            found.append(_submission(item, _dumped(item)))
        except Problem as problem:
            found.append(problem)
    return found


def by_profile(value: bytes, default: str) -> list[Submission | Problem]:
    """The records of a body in which observations of the eyes are gathered by profile.

    Records of other kinds stay as they are. The order is that of each profile's first.

    Raises:
        Problem: as ``records_of``.
    """
    found: list[Submission | Problem] = []
    places: dict[str, int] = {}
    gathered: dict[int, tuple[str, list[Any]]] = {}
    for item in _items(value):
        try:
            if not isinstance(item, dict):
                raise refusal("invalid_record", "expected objects in events")
            kind, profile = item.get("kind", "drowsiness"), item.get("profile_id", default)
            plain = kind == "drowsiness" and item.keys() >= EYES and "observed_at" not in item
            if not plain or not isinstance(profile, str) or id_fault(profile) is not None:
                whole = {"kind": "drowsiness", "profile_id": default} | item
                found.append(_submission(whole, _dumped(whole)))
                continue
            place = places.setdefault(profile, len(found))
            if place == len(found):
                found.append(refusal("invalid_record", "not yet gathered"))
                gathered[place] = (profile, [])
            gathered[place][1].append({name: item[name] for name in EYES})
        except Problem as problem:
            found.append(problem)
    for place, (profile, events) in gathered.items():
        found[place] = Submission("drowsiness", profile, _dumped({"events": events}))
    return found


def _items(value: bytes) -> list[Any]:
    body = _parsed(b'{"events":' + value + b"}" if value.lstrip()[:1] == b"[" else value)
    items = body.get("events")
    if not isinstance(items, list):
        raise refusal("invalid_request", "events: expected an array of records")
    _bounded(items)
    return items


def _bounded(items: list[Any]) -> None:
    if len(items) > MOST_RECORDS:
        raise refusal("too_large", f"events: {len(items)} records, expected at most {MOST_RECORDS}")


def _submission(item: Any, value: bytes) -> Submission:
    if not isinstance(item, dict):
        raise refusal("invalid_record", "expected an object")
    kind, profile = item.get("kind"), item.get("profile_id")
    try:
        known_kind(kind if isinstance(kind, str) else "")
    except ValueError as error:
        raise refusal("invalid_record", f"kind: {error}") from None
    if not isinstance(profile, str):
        raise refusal("invalid_key", "profile_id: expected a string")
    fault = id_fault(profile)
    if fault is not None:
        raise refusal("invalid_key", f"profile_id: {fault}")
    return Submission(kind if kind in TELEMETRY else "", profile, value)


def _parsed(value: bytes) -> dict[str, Any]:
    try:
        return parse_object(value)
    except InvalidJson as error:
        raise refusal("invalid_json", f"value: {error}") from None


def _dumped(item: Any) -> bytes:
    try:
        return orjson.dumps(item)
    except (orjson.JSONEncodeError, TypeError):
        raise refusal("invalid_record", "value: holds a number that is too large") from None
