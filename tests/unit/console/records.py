"""Records of the topics, as the roles write them."""

import json
from typing import Any

from console.live.events import Item, read
from console.store.projection import Batch
from processor.records import ConsumerRecord
from processor.topics import Topics

TOPICS = Topics()
HOUR = 3_600_000
NOON = 1_800_000_000_000 // HOUR * HOUR


def verdict(offset: int, profile: str = "p", **wanted: Any) -> ConsumerRecord:
    """A record of ``anomalies``; its place is that of the telemetry."""
    partition = wanted.pop("partition", 0)
    body = {
        "verdict_id": f"telemetry.features-{partition}-{offset}",
        "profile_id": profile,
        "kind": "features",
        "status": "scored",
        "anomaly": False,
        "severity": "none",
        "decision": 0.1,
        "generation": 0,
        "model_version": 1,
        "samples_seen": 10,
        "samples_needed": 10,
        "suppressed": False,
        "observed_at": NOON,
        "scored_at": NOON,
    } | wanted
    value = json.dumps(body).encode()
    return ConsumerRecord(TOPICS.anomalies, partition, offset, profile.encode(), value, (), NOON)


def anomaly(offset: int, profile: str = "p", **wanted: Any) -> ConsumerRecord:
    """A verdict that is an anomaly."""
    said = {"anomaly": True, "severity": "high", "decision": -0.2} | wanted
    return verdict(offset, profile, **said)


def event(offset: int, name: str, profile: str = "p", **wanted: Any) -> ConsumerRecord:
    """A record of ``lifecycle``."""
    partition = wanted.pop("partition", 0)
    body = {"event": name, "profile_id": profile, "kind": "features", "at": NOON} | wanted
    value = json.dumps(body).encode()
    return ConsumerRecord(TOPICS.lifecycle, partition, offset, profile.encode(), value, (), NOON)


def model(offset: int, profile: str = "p", **wanted: Any) -> ConsumerRecord:
    """A record of ``models``."""
    body = {
        "profile_id": profile,
        "kind": "features",
        "generation": 0,
        "version": 1,
        "detector": "gaussian",
        "artifact": "features/p/1.joblib",
        "sha256": "0" * 64,
        "features": ["a"],
        "trained_on": 10,
        "learned": 10,
        "alert_budget": 0.01,
        "trigger": "cold-start",
        "trained_at": NOON,
    } | wanted
    key = f"features:{profile}".encode()
    return ConsumerRecord(TOPICS.models, 0, offset, key, json.dumps(body).encode(), (), NOON)


def dead_letter(offset: int, source: int, profile: str = "p") -> ConsumerRecord:
    """A record of ``dead-letter``."""
    headers = (
        ("telltale.reason", b"invalid_record"),
        ("telltale.detail", b"$.values is missing"),
        ("telltale.topic", b"telemetry.features"),
        ("telltale.partition", b"0"),
        ("telltale.offset", str(source).encode()),
    )
    return ConsumerRecord(TOPICS.dead_letter, 0, offset, profile.encode(), b"{}", headers, NOON)


def items(*records: ConsumerRecord, one_in: int = 10**9) -> list[Item]:
    """What records hold."""
    return [read(record, TOPICS, one_in) for record in records]


def batch(*records: ConsumerRecord, one_in: int = 10**9) -> Batch:
    """Records that were read together, none of any partition left out."""
    found = items(*records, one_in=one_in)
    begins: dict[tuple[str, int], int] = {}
    ends: dict[tuple[str, int], int] = {}
    for item in found:
        begins.setdefault(item.place, item.offset)
        ends[item.place] = item.offset + 1
    return Batch(found, begins, ends)


def label(
    offset: int, verdict_id: str, name: str | None, profile: str = "p", **wanted: Any
) -> ConsumerRecord:
    """A record of ``labels``; without a name, what was said is taken back."""
    key = f"features:{profile}:{verdict_id}".encode()
    body = {"label": name, "by": "u", "at": NOON} | wanted
    value = None if name is None else json.dumps(body).encode()
    return ConsumerRecord(TOPICS.labels, 0, offset, key, value, (), NOON)


def attributes(offset: int, values: dict[str, Any] | None, profile: str = "p") -> ConsumerRecord:
    """A record of ``attributes``; without values, a tombstone."""
    value = None if values is None else json.dumps(values).encode()
    key = f"features:{profile}".encode()
    return ConsumerRecord(TOPICS.attributes, 0, offset, key, value, (), NOON)
