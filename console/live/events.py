"""Records of the topics that the console reads, as values; whatever is unreadable is None."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeGuard
from zlib import crc32

import orjson
from pydantic import ValidationError

from processor.dead_letter import letter
from processor.records import ConsumerRecord
from processor.text.escaping import printable
from processor.topics import Topics
from schemas import Label, LifecycleEvent, ModelRecord
from schemas.annotation import Attributes
from schemas.base import MAX_EPOCH_MS

STATUSES = frozenset(("learning", "scored", "abstained"))
SEVERITIES = frozenset(("none", "low", "medium", "high", "critical"))

_PLACE = re.compile(r".+-(\d{1,9})-\d{1,18}")
"""A verdict's id: topic, partition and offset of its record."""

Place = tuple[str, int]
"""Topic and partition."""


class VerdictSeen(NamedTuple):
    """A verdict as it came; a plain tuple, as one is made for every record.

    Attributes:
        body: what the scorer wrote.
        drawn: whether it is one of the normal verdicts that become rows.
    """

    body: dict[str, Any]
    verdict_id: str
    kind: str
    profile_id: str
    normal: bool
    scored_at: int
    drawn: bool = False


@dataclass(frozen=True, slots=True)
class Announced:
    """A version in force; ``record`` is None for a profile that was forgotten."""

    kind: str
    profile_id: str
    record: ModelRecord | None


@dataclass(frozen=True, slots=True)
class Happened:
    """A lifecycle event."""

    event: LifecycleEvent


@dataclass(frozen=True, slots=True)
class Refused:
    """A dead letter, without its key and value.

    Attributes:
        source: topic-partition-offset of the record that could not be answered.
        kind, profile_id: whose it was, as far as that can be said.
        replayed: how often it was sent back before.
    """

    reason: str
    detail: str
    source: str
    kind: str
    profile_id: str | None
    at: int
    replayed: int = 0


@dataclass(frozen=True, slots=True)
class Labelled:
    """What somebody says of a verdict; ``label`` is None where it was taken back."""

    verdict_id: str
    kind: str
    partition: int
    profile_id: str
    label: Label | None
    at: int


@dataclass(frozen=True, slots=True)
class Described:
    """All attributes of a profile by name."""

    kind: str
    profile_id: str
    values: dict[str, Any]
    at: int


Seen = VerdictSeen | Announced | Happened | Refused | Labelled | Described


class Item(NamedTuple):
    """What one record holds, and where it lies."""

    place: Place
    offset: int
    seen: Seen | None


def is_time(value: Any) -> TypeGuard[int]:
    """Whether a value is epoch milliseconds."""
    return type(value) is int and 0 <= value <= MAX_EPOCH_MS


def is_drawn(verdict_id: str, one_in: int) -> bool:
    """Whether a normal verdict becomes a row: decided by its id, so the same in every replica."""
    # Ids that follow one another differ by a few bits: the product spreads them.
    number = crc32(verdict_id.encode("utf-8", "replace")) * 0x9E3779B1 & 0xFFFFFFFF
    return number * one_in >> 32 == 0


def read(record: ConsumerRecord, topics: Topics, one_in: int) -> Item:
    """What a record holds; never raises.

    Args:
        one_in: one normal verdict in so many is drawn.
    """
    place = (record.topic, record.partition)
    seen: Seen | None
    if record.topic == topics.anomalies:
        seen = _verdict(record, one_in)
    elif record.topic == topics.models:
        seen = _announced(record)
    elif record.topic == topics.lifecycle:
        seen = _happened(record)
    elif record.topic == topics.labels:
        seen = _labelled(record)
    elif record.topic == topics.attributes:
        seen = _described(record)
    else:
        seen = _refused(record, topics)
    return Item(place, record.offset, seen)


def _verdict(record: ConsumerRecord, one_in: int) -> VerdictSeen | None:
    try:
        body = orjson.loads(record.value or b"")
        verdict_id, kind, profile = body["verdict_id"], body["kind"], body["profile_id"]
        scored_at, status, anomaly = body["scored_at"], body["status"], body["anomaly"]
        severity, rule = body["severity"], body.get("rule_severity")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None
    if not (type(verdict_id) is str and type(kind) is str and type(profile) is str):
        return None
    if type(status) is not str or type(severity) is not str or type(rule or "") is not str:
        return None
    if not is_time(scored_at) or type(anomaly) is not bool:
        return None
    # Keys of tables of counts: only the words that there are, so that these stay few.
    if status not in STATUSES or severity not in SEVERITIES or (rule and rule not in SEVERITIES):
        return None
    drawn = not anomaly and status == "scored" and is_drawn(verdict_id, one_in)
    return VerdictSeen(body, verdict_id, kind, profile, not anomaly, scored_at, drawn)


def _announced(record: ConsumerRecord) -> Announced | None:
    kind, _, profile = (record.key or b"").decode("utf-8", "replace").partition(":")
    if record.value is None:
        return Announced(kind, profile, None) if profile else None
    try:
        told = ModelRecord.model_validate_json(record.value)
    except ValidationError:
        return None
    if told.version is None or not _fits(told.model_dump()):
        return None
    return Announced(told.kind, told.profile_id, told)


def _happened(record: ConsumerRecord) -> Happened | None:
    try:
        event = LifecycleEvent.model_validate_json(record.value or b"")
    except ValidationError:
        return None
    return Happened(event) if _fits(event.model_dump()) else None


def _refused(record: ConsumerRecord, topics: Topics) -> Refused:
    found = letter(record)
    key = record.key
    try:
        profile = None if key is None or len(key) > 256 else key.decode("utf-8")
    except UnicodeDecodeError:
        profile = None
    return Refused(
        printable(found.reason),
        printable(found.detail),
        printable(found.came_from),
        topics.kinds().get(found.topic, ""),
        profile,
        _time_of(record),
        min(found.replayed, 2**31),
    )


def _labelled(record: ConsumerRecord) -> Labelled | None:
    # A profile's id may hold colons, a kind and a verdict's id do not.
    kind, _, rest = (record.key or b"").decode("utf-8", "replace").partition(":")
    profile_id, _, verdict_id = rest.rpartition(":")
    place = _PLACE.fullmatch(verdict_id)
    if not profile_id or place is None:
        return None
    try:
        label = None if record.value is None else Label.model_validate_json(record.value)
    except ValidationError:
        return None
    at = _time_of(record) if label is None else label.at
    return Labelled(verdict_id, kind, int(place[1]), profile_id, label, at)


def _described(record: ConsumerRecord) -> Described | None:
    kind, _, profile_id = (record.key or b"").decode("utf-8", "replace").partition(":")
    if not profile_id:
        return None
    try:
        values = {} if record.value is None else Attributes.model_validate_json(record.value).root
    except ValidationError:
        return None
    if not _fits(values):
        return None
    return Described(kind, profile_id, dict(values), _time_of(record))


def _fits(value: Any) -> bool:
    """Whether every whole number in a value has 64 bits: neither store takes a longer one."""
    if isinstance(value, dict):
        return all(map(_fits, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_fits, value))
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def _time_of(record: ConsumerRecord) -> int:
    return min(max(record.timestamp, 0), MAX_EPOCH_MS)
