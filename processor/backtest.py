"""``telltale backtest``: the scorer's own Step over a file, with nothing read from or written to
Kafka or disk."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson

from models.artifacts import ArtifactError, Model
from processor.draft import Rules
from processor.names import Topics
from processor.produce import NotTelemetry, parse_line
from processor.records import Incoming
from processor.scorer import compute
from processor.settings import Settings
from processor.state import State
from schemas import ModelRecord


@dataclass
class Summary:
    """What a backtest came to.

    Attributes:
        profiles: verdicts of each profile by ``learning``, ``normal``, ``anomaly``, ``abstained``.
        dead_letters: records that got no verdict, by reason.
        skipped: numbers of the lines, from 1, that are no telemetry.
    """

    profiles: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    dead_letters: Counter[str] = field(default_factory=Counter)
    skipped: list[int] = field(default_factory=list)

    def total(self) -> Counter[str]:
        """Verdicts of all profiles."""
        return sum(self.profiles.values(), Counter())


def backtest(
    lines: Iterable[bytes], kind: str, settings: Settings, now: int, summary: Summary
) -> Iterator[dict[str, Any]]:
    """Verdicts on the records of a file, in their order, as a scorer that starts empty says them.

    Args:
        lines: JSON Lines as ``telltale produce`` takes them.
        now: epoch milliseconds; the clock of the whole run.
        summary: filled on the way.
    """
    topics = Topics()
    models: dict[str, Model] = {}

    def open_models(records: Iterable[ModelRecord]) -> dict[str, Model | ArtifactError]:
        return {record.sha256: models[record.sha256] for record in records}

    rules = Rules(settings, topics, open_models)
    state = State()
    records = _records(lines, topics.telemetry(kind), now, summary)
    while batch := list(islice(records, settings.batch_records)):
        while batch:
            step = compute(state, batch, now, rules)
            models |= step.models
            state.apply(step.profiles, step.suppressions)
            for out in step.outputs:
                if out.topic == topics.anomalies:
                    verdict = orjson.loads(out.value or b"{}")
                    summary.profiles[verdict["profile_id"]][_word(verdict)] += 1
                    yield verdict
                elif out.topic == topics.dead_letter:
                    reason = dict(out.headers)["telltale.reason"] or b""
                    summary.dead_letters[reason.decode()] += 1
            batch = list(step.rest)


def _records(lines: Iterable[bytes], topic: str, now: int, summary: Summary) -> Iterator[Incoming]:
    offset = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            key, value = parse_line(line)
        except NotTelemetry:
            summary.skipped.append(number)
            continue
        yield Incoming(topic, 0, offset, key, value, (), now)
        offset += 1


def _word(verdict: dict[str, Any]) -> str:
    if verdict["status"] != "scored":
        return str(verdict["status"])
    return "anomaly" if verdict["anomaly"] else "normal"
