"""What was said and announced: versions, verdicts and dead letters as Kafka still holds them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from processor.backtest.report import Verdict
from processor.records import DeadLetter, ProfileKey
from schemas import InvalidJson, ModelRecord, parse_object

AGED_OUT = "no verdict found: it may have aged out"
NO_VERDICT = "no verdict found"
NOT_YET = "no verdict yet"

COMPARED: dict[str, Any] = {
    "verdict_id": str,
    "profile_id": str,
    "status": str,
    "anomaly": bool,
    "suppressed": bool,
    "generation": int | None,
    "model_version": int | None,
    "samples_needed": int,
}
"""Fields by which verdicts are compared, and their types."""


def verdict_of(value: bytes) -> Verdict | None:
    """The verdict that a record of ``anomalies`` holds; None if it is none."""
    try:
        found = parse_object(value)
    except InvalidJson:
        return None
    fits = all(name in found and isinstance(found[name], of) for name, of in COMPARED.items())
    return found if fits else None


@dataclass
class Versions:
    """The versions that announcements tell of, those that only a history names included."""

    known: dict[tuple[ProfileKey, int, int], ModelRecord] = field(default_factory=dict)

    def add(self, partition: int, record: ModelRecord) -> None:
        """Take an announcement; the older ones of a compacted topic may be gone."""
        key = (partition, record.kind, record.profile_id)
        self.known[key, record.generation, record.version or 1] = record
        for old in record.history:
            earlier = record.model_copy(
                update={
                    "version": old.version,
                    "artifact": old.artifact,
                    "sha256": old.sha256,
                    "decision_offset": old.decision_offset,
                    "trained_at": old.trained_at,
                    "history": [],
                }
            )
            self.known.setdefault((key, record.generation, old.version), earlier)

    def find(self, key: ProfileKey, generation: int | None, version: int) -> ModelRecord | None:
        return None if generation is None else self.known.get((key, generation, version))


@dataclass
class VerdictHistory:
    """What was said of the telemetry of one partition of a topic, by offset.

    Attributes:
        verdicts: as JSON.
        letters: reasons of dead letters.
        first: offset of the earliest record that has a verdict, with ``last``; None: none has.
    """

    verdicts: dict[int, bytes] = field(default_factory=dict)
    letters: dict[int, DeadLetter] = field(default_factory=dict)
    first: int | None = None
    last: int = -1

    def add(self, offset: int, verdict: bytes) -> None:
        """Take the verdict on the record of that offset."""
        self.verdicts[offset] = verdict
        self.first = offset if self.first is None else min(offset, self.first)
        self.last = max(offset, self.last)

    def of(self, offset: int) -> Verdict | DeadLetter | None:
        """The verdict on a record, or why it was a dead letter; None if nothing was found."""
        verdict = self.verdicts.get(offset)
        return self.letters.get(offset) if verdict is None else orjson.loads(verdict)

    def absence(self, offset: int) -> str:
        """What it means that nothing was found."""
        if self.first is None or offset < self.first:
            return AGED_OUT
        return NOT_YET if offset > self.last else NO_VERDICT
