"""The retrainer in a replay: accepted samples in, candidates out, artefacts in a directory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import structlog
from prometheus_client import CollectorRegistry

from processor.artifacts.directory import Directory
from processor.artifacts.model_store import ModelStore
from processor.metrics.metrics import Metrics
from processor.records import ConsumerRecord, Partition, ProducerRecord
from processor.retrainer.role import RetrainerRole
from processor.settings import Settings
from processor.state.profiles import Delta
from processor.stream.step import Step
from processor.topics import Topics

EVENTS = ("adopted", "refused", "training_failed")


class Retraining:
    """The retrainer's role without Kafka: it answers each of the scorer's Steps at once.

    Attributes:
        store: the models of the replay, those of both roles.
        events: what became of trainings: ``adopted``, ``refused``, ``training_failed``.
        on_event: told every lifecycle event of both roles.
    """

    def __init__(
        self,
        settings: Settings,
        directory: Path,
        events: Counter[str],
        partition: int = 0,
        on_event: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.events = events
        self._on_event = on_event
        self.store = ModelStore(Directory(directory), settings.model_memory)
        self._topics = Topics(settings.topic_prefix)
        self._announced: list[ConsumerRecord] = []
        self._offsets = 0
        self._log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[])
        metrics = Metrics(CollectorRegistry())
        self._role = RetrainerRole(settings, self.store, metrics, self._log, lambda *_: self)
        self._role.restored([partition])

    def poll(self) -> list[ConsumerRecord]:
        """The announcements since the last look, as the retrainer follows them."""
        found, self._announced = self._announced, []
        return found

    def reach(self, _place: Partition) -> list[ConsumerRecord]:
        """The same: what was announced is there at once."""
        return self.poll()

    def close(self) -> None:
        """There is nothing to stop."""

    def answer(self, step: Step[Delta], now: int) -> list[ConsumerRecord]:
        """The candidates that a Step of the scorer leads to.

        Args:
            now: epoch milliseconds.
        """
        self.store.write_all(step.artifacts, self._log)
        self._announced += self._read(step.outputs, self._topics.models)
        self._tell(step.outputs)
        batch: Sequence[ConsumerRecord] = self._read(step.outputs, self._topics.accepted)
        found: list[ConsumerRecord] = []
        while batch:
            trained = self._role.compute(batch, now)
            self._role.apply(trained)
            self._tell(trained.outputs)
            found += self._read(trained.outputs, self._topics.candidates)
            batch = trained.unprocessed
        return found

    def _tell(self, outputs: Sequence[ProducerRecord]) -> None:
        for out in self._read(outputs, self._topics.lifecycle):
            said = orjson.loads(out.value or b"{}")
            if said["event"] in EVENTS:
                self.events[said["event"]] += 1
            if self._on_event is not None:
                self._on_event(said)

    def _read(self, outputs: Sequence[ProducerRecord], topic: str) -> list[ConsumerRecord]:
        """What was written to a topic, as a reader of it polls it."""
        found = []
        for out in outputs:
            if out.topic == topic:
                found.append(
                    ConsumerRecord(
                        topic,
                        out.partition,
                        self._offsets,
                        out.key,
                        out.value,
                        tuple(out.headers or ()),
                        out.timestamp,
                    )
                )
                self._offsets += 1
        return found
