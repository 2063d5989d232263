"""Replay: the scorer's own Step over telemetry, with nothing written to Kafka or to the models."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson

from models.artifacts import Model
from models.errors import ArtifactError
from processor.artifacts.proof import no_secret
from processor.backtest.retraining import Retraining
from processor.operations.produce import NotTelemetry, parse_line
from processor.records import ConsumerRecord, DeadLetter, ProducerRecord
from processor.scorer.pipeline import compute
from processor.scorer.step_builder import ScorerContext
from processor.settings import Settings
from processor.state.profiles import Delta, State
from processor.stream.step import OpenModels, Step
from processor.topics import Topics

Answer = tuple[str, dict[str, Any] | DeadLetter]
"""The verdict_id of a telemetry record, and its verdict or why there is none."""


def nothing_stored(records: Iterable[Any]) -> Mapping[str, Model | ArtifactError]:
    """What opens models where there are none but those that the replay trains itself."""
    return {record.sha256: ArtifactError("no model directory") for record in records}


class Replay:
    """A scorer's state, and Steps that are applied to it and go nowhere else.

    Attributes:
        state: what is known after the Steps so far; whoever replays may set profiles in it.
        trained: models that the replay trained, by SHA-256.
    """

    def __init__(
        self,
        settings: Settings,
        topics: Topics,
        now: int,
        stored: OpenModels = nothing_stored,
        retraining: Retraining | None = None,
    ) -> None:
        secret = no_secret if retraining is None else retraining.store.secret
        self.context = ScorerContext(settings, topics, self.open, secret=secret)
        self.state = State()
        self.trained: dict[str, Model] = {}
        self._stored = stored if retraining is None else retraining.store.open
        self._now = now
        self._retraining = retraining
        self._candidates: list[ConsumerRecord] = []

    def open(self, records: Iterable[Any]) -> dict[str, Model | ArtifactError]:
        """Open models: those trained here first, then those of the model directory.

        Raises:
            ArtifactUnavailable: the directory does not answer.
        """
        wanted = {record.sha256: record for record in records}
        found: dict[str, Model | ArtifactError] = {
            sha256: self.trained[sha256] for sha256 in wanted if sha256 in self.trained
        }
        return found | dict(self._stored(r for s, r in wanted.items() if s not in found))

    def feed(self, batch: Sequence[ConsumerRecord]) -> Iterator[Answer]:
        """The answers to telemetry records, in their order.

        With retraining the clock is that of the records, and a profile's next record is judged by
        the candidate that the one before led to.
        """
        if self._retraining is None:
            while batch:
                batch = yield from self._step(batch, self._now)
            return
        for part in once_a_profile(batch):
            now = max(record.timestamp for record in part)
            rest: Sequence[ConsumerRecord] = part
            while rest:
                candidates, self._candidates = self._candidates, []
                rest = yield from self._step([*candidates, *rest], now)

    def _step(self, batch: Sequence[ConsumerRecord], now: int) -> Generator[Answer, None, Any]:
        step = compute(self.state, batch, now, self.context)
        self.state.apply(
            step.delta.profiles,
            step.delta.suppressions,
            changes=step.delta.drift_updates,
            shifts=step.delta.shifts,
            names=step.delta.names,
        )
        if self._retraining is None:
            self.trained |= step.models
        else:
            self._candidates += self._retraining.answer(step, now)
        yield from self._answers(step.outputs)
        return step.unprocessed

    def told(self, accepted: ProducerRecord, now: int) -> None:
        """Give the retrainer what somebody else than the scorer wrote to the accepted samples."""
        if self._retraining is not None:
            written: Step[Delta] = Step(Delta(), outputs=[accepted])
            self._candidates += self._retraining.answer(written, now)

    def again(self, batch: Sequence[ConsumerRecord], settings: Settings) -> Iterator[Answer]:
        """What other settings would answer now; the state stays as it is."""
        context = ScorerContext(settings, self.context.topics, self.open)
        yield from self._answers(compute(self.state, batch, self._now, context).outputs)

    def _answers(self, outputs: Iterable[Any]) -> Iterator[Answer]:
        topics = self.context.topics
        for out in outputs:
            if out.topic == topics.anomalies:
                verdict = orjson.loads(out.value)
                yield verdict["verdict_id"], verdict
            elif out.topic == topics.dead_letter:
                # The last header of a name is the scorer's: an earlier one is the producer's.
                headers = dict(out.headers or ())
                topic, partition, offset, reason, detail = (
                    (headers[f"telltale.{name}"] or b"").decode("utf-8", "replace")
                    for name in ("topic", "partition", "offset", "reason", "detail")
                )
                yield f"{topic}-{partition}-{offset}", DeadLetter(reason, detail)


def once_a_profile(batch: Sequence[ConsumerRecord]) -> Iterator[list[ConsumerRecord]]:
    """The batch in parts, none of which holds two records of a key."""
    part: list[ConsumerRecord] = []
    keys: set[tuple[str, int, bytes | None]] = set()
    for record in batch:
        key = (record.topic, record.partition, record.key)
        if key in keys:
            yield part
            part, keys = [], set()
        part.append(record)
        keys.add(key)
    if part:
        yield part


@dataclass
class Summary:
    """What the backtest of a file came to.

    Attributes:
        profiles: verdicts of each profile by ``learning``, ``normal``, ``anomaly``, ``abstained``.
        dead_letters: records that got no verdict, by reason.
        skipped: numbers of the lines, from 1, that are no telemetry.
        retrained: what became of retrainings, by lifecycle event.
    """

    profiles: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    dead_letters: Counter[str] = field(default_factory=Counter)
    skipped: list[int] = field(default_factory=list)
    retrained: Counter[str] = field(default_factory=Counter)

    def total(self) -> Counter[str]:
        """Verdicts of all profiles."""
        return sum(self.profiles.values(), Counter())


def backtest(
    lines: Iterable[bytes],
    kind: str,
    settings: Settings,
    now: int,
    summary: Summary,
    retraining: Retraining | None = None,
) -> Iterator[dict[str, Any]]:
    """Verdicts on the records of a file, in their order, as a scorer that starts empty says them.

    Args:
        lines: JSON Lines as ``telltale produce`` takes them.
        now: epoch milliseconds; the clock of the whole run.
        summary: filled on the way.
        retraining: the retrainer beside it; without, every profile stays with version 1.
    """
    topics = Topics(settings.topic_prefix)
    replay = Replay(settings, topics, now, retraining=retraining)
    records = _records(lines, topics.telemetry(kind), now, summary)
    while batch := list(islice(records, settings.batch_records)):
        for _, said in replay.feed(batch):
            if isinstance(said, DeadLetter):
                summary.dead_letters[said.reason] += 1
            else:
                summary.profiles[said["profile_id"]][_word(said)] += 1
                yield said


def _records(
    lines: Iterable[bytes], topic: str, now: int, summary: Summary
) -> Iterator[ConsumerRecord]:
    offset = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            key, value = parse_line(line)
        except NotTelemetry:
            summary.skipped.append(number)
            continue
        yield ConsumerRecord(topic, 0, offset, key, value, (), now)
        offset += 1


def _word(verdict: dict[str, Any]) -> str:
    if verdict["status"] != "scored":
        return str(verdict["status"])
    return "anomaly" if verdict["anomaly"] else "normal"
