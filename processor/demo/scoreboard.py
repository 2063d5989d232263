"""What the demo has seen: profiles, rates, anomalies, retrainings, and how they meet the truth."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import orjson

from processor.operations import tail
from processor.records import ConsumerRecord
from processor.simulation.simulator import Simulated
from processor.text.escaping import printable
from processor.topics import Topics

LATEST = 8
RATE_SECONDS = 3.0


@dataclass(frozen=True)
class Score:
    """How the verdicts of one kind meet the truth.

    Attributes:
        gross: abnormal records of that grade that were scored; ``found`` of them were told.
        normal: normal records that were scored; ``false_alarms`` of them were called anomalous.
    """

    gross: int = 0
    gross_found: int = 0
    subtle: int = 0
    subtle_found: int = 0
    normal: int = 0
    false_alarms: int = 0


@dataclass
class Board:
    """Fed by the sender (the truth) and by the reader (verdicts and lifecycle events)."""

    alert_budget: float
    truth: dict[str, Simulated] = field(default_factory=dict)
    verdicts: dict[str, bool | None] = field(default_factory=dict)
    learning: dict[tuple[str, str], float] = field(default_factory=dict)
    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    events: Counter[str] = field(default_factory=Counter)
    anomalies: deque[tuple[str, dict[str, Any]]] = field(
        default_factory=lambda: deque(maxlen=LATEST)
    )
    retrainings: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=LATEST))
    fresh: list[str] = field(default_factory=list)
    began: float = field(default_factory=monotonic)
    _arrivals: deque[tuple[float, int]] = field(default_factory=deque)

    def begin(self) -> None:
        """Telemetry flows from now on."""
        self.began = monotonic()

    def sent(self, record: Simulated, verdict_id: str) -> None:
        """A record was taken by the broker."""
        self.truth[verdict_id] = record

    @property
    def answered(self) -> int:
        return len(self.verdicts)

    @property
    def complete(self) -> bool:
        """Whether every record that was sent has its verdict."""
        return len(self.verdicts) >= len(self.truth)

    def rate(self) -> float:
        """Verdicts a second, lately."""
        now = monotonic()
        while self._arrivals and now - self._arrivals[0][0] > RATE_SECONDS:
            self._arrivals.popleft()
        passed = min(RATE_SECONDS, max(now - self.began, 0.1))
        return sum(count for _, count in self._arrivals) / passed

    def take(self, record: ConsumerRecord, topics: Topics) -> None:
        """A verdict or a lifecycle event arrived."""
        value = orjson.loads(record.value or b"{}")
        if record.topic == topics.lifecycle:
            self._event(value)
        else:
            self._arrivals.append((monotonic(), 1))
            self._verdict(value)

    def _event(self, event: dict[str, Any]) -> None:
        self.events[event["event"]] += 1
        profile = (event["kind"], event["profile_id"])
        if event["event"] in ("trained", "adopted"):
            self.versions[profile] = event["version"]
            self.learning.pop(profile, None)
        if event["event"] != "trained":
            self.retrainings.append(event)
            told = f"{event['event']}: {event['kind']} {event['profile_id']}, {event['detail']}"
            self.fresh.append(printable(told))

    def _verdict(self, verdict: dict[str, Any]) -> None:
        scored = verdict["status"] == "scored"
        self.verdicts[verdict["verdict_id"]] = verdict["anomaly"] if scored else None
        profile = (verdict["kind"], verdict["profile_id"])
        if verdict["status"] == "learning" and profile not in self.versions:
            self.learning[profile] = verdict["samples_seen"] / verdict["samples_needed"]
        if verdict["anomaly"]:
            known = self.truth.get(verdict["verdict_id"])
            told = "" if known is None else known.what or "false alarm"
            self.anomalies.append((told, verdict))
            self.fresh.append(f"{tail.line(verdict).plain}  ({told})")

    def profiles(self, kind: str) -> tuple[int, float, int, int]:
        """Learning profiles of a kind, their mean progress, active ones, highest version."""
        progress = [share for (k, _), share in self.learning.items() if k == kind]
        versions = [version for (k, _), version in self.versions.items() if k == kind]
        mean = sum(progress) / len(progress) if progress else 1.0
        return len(progress), min(mean, 1.0), len(versions), max(versions, default=0)

    def take_fresh(self) -> list[str]:
        """What came since the last call, as plain lines."""
        fresh, self.fresh = self.fresh, []
        return fresh

    def score(self, kind: str) -> Score:
        """How the verdicts of a kind meet the truth."""
        counts: Counter[str] = Counter()
        for verdict_id, anomaly in self.verdicts.items():
            known = self.truth.get(verdict_id)
            if anomaly is None or known is None or known.kind != kind:
                continue
            grade = known.grade or "normal"
            counts[grade] += 1
            if anomaly:
                counts["false_alarms" if grade == "normal" else f"{grade}_found"] += 1
        return Score(**counts)
