"""The scorer as a role of the worker: its topics, its state, and its models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from models.features import KINDS
from processor import forgetting, ring
from processor.changelog import Table
from processor.draft import Rules
from processor.metrics import Metrics
from processor.model_store import ModelStore
from processor.names import Topics
from processor.records import Incoming, ProfileKey
from processor.records import TopicPartition as Place
from processor.retention import retention
from processor.scorer import compute
from processor.settings import Settings
from processor.state import Active, Forgetting, Learning, Profile, State, Suppression
from processor.step import Step
from processor.sweep import Sweep


class ScorerRole:
    """Scores telemetry, executes commands, adopts candidates."""

    name = "scorer"

    def __init__(
        self,
        settings: Settings,
        store: ModelStore,
        metrics: Metrics,
        log: Any,
        retention: Callable[[Settings, Topics], Mapping[str, int | None]] = retention,
    ) -> None:
        topics = Topics(settings.topic_prefix)
        self.inputs = (*topics.kinds(), topics.commands, topics.candidates)
        self.urgent = (topics.commands,)
        self.changelogs = (topics.models, topics.cold_start, topics.profiles)
        self._topics = topics
        self._settings = settings
        self._store = store
        self._metrics = metrics
        self._log = log
        self._rules = Rules(
            settings, topics, store.open, store.erase, lambda: retention(settings, topics)
        )
        self._state = State()
        self._sweep = Sweep(self._store.storage)
        self._loaded = Table()
        self._newest: dict[Place, int] = {}

    def load(self, record: Incoming) -> None:
        self._loaded.load(record)

    def restored(self, partitions: Iterable[int]) -> None:
        """State of these partitions from their models, rings and maintenance windows."""
        for partition in partitions:
            rings = self._loaded.rings(self._topics.cold_start, partition, self._log)
            for record in self._loaded.models(self._topics.models, partition, self._log):
                key = (partition, record.kind, record.profile_id)
                self._note(record.kind, partition, record.source_offset)
                held = rings.get((record.kind, record.profile_id), {})
                if not any(slot.generation > record.generation for slot in held.values()):
                    rings.pop((record.kind, record.profile_id), None)
                    self._state.apply({key: Active(record)}, {})
            for (kind, profile_id), held in rings.items():
                self._note(kind, partition, max(slot.offset for slot in held.values()))
                whole = ring.restored(held, self._settings.cold_start(kind))
                profile = None if whole is None else Learning(whole)
                self._state.apply({(partition, kind, profile_id): profile}, {})
            windows, forgettings = self._kept(partition)
            self._loaded.drop(partition)
            self._state.apply({}, windows, forgettings)
        self._loaded = Table()
        counts = self._state.counts
        self._log.info(
            "state",
            active=sum(n for (_, state), n in counts.items() if state == "active"),
            learning=sum(n for (_, state), n in counts.items() if state == "learning"),
        )

    def newest(self) -> dict[Place, int]:
        return self._newest

    def compute(self, batch: Sequence[Incoming], now: int) -> Step[Profile]:
        """The Step of a batch; a profile whose artefact cannot be written goes on learning."""

        def make(refused: frozenset[ProfileKey]) -> Step[Profile]:
            return compute(self._state, batch, now, self._rules, refused)

        return self._store.written(make, self._log)

    def apply(self, step: Step[Profile]) -> None:
        self._state.apply(step.profiles, step.suppressions, step.forgettings)
        self._store.keep(step.models)
        for path in step.discards:
            self._store.discard(path)

    def drop(self) -> None:
        self._state = State()
        self._sweep = Sweep(self._store.storage)
        self._loaded = Table()
        self._newest.clear()

    def idle(self, now: int) -> Step[Profile] | None:
        """Sweep some orphans; a record brings all else that the scorer does."""
        self._sweep.some(self._state, now)
        return None

    def observe(self) -> None:
        gauge = self._metrics.profiles.labels
        counts = self._state.counts
        for kind in KINDS:
            for state in ("learning", "active"):
                gauge(self.name, kind, state).set(counts[kind, state])
        self._metrics.model_memory_bytes.labels(self.name).set(self._store.nbytes)

    def close(self) -> None:
        """Nothing is held beyond memory."""

    def _note(self, kind: str, partition: int, offset: int | None) -> None:
        place = (self._topics.telemetry(kind), partition)
        if offset is not None:
            self._newest[place] = max(offset, self._newest.get(place, -1))

    def _kept(
        self, partition: int
    ) -> tuple[dict[ProfileKey, Suppression | None], dict[ProfileKey, Forgetting | None]]:
        """What ``profiles`` keeps: maintenance windows, and what is being forgotten."""
        windows: dict[ProfileKey, Suppression | None] = {}
        forgettings: dict[ProfileKey, Forgetting | None] = {}
        for key, value in self._loaded.items(self._topics.profiles, partition):
            try:
                kind, _, profile_id = key.decode().partition(":")
                kept = orjson.loads(value)
                place = (partition, kind, profile_id)
                if "forgetting" in kept:
                    forgettings[place] = forgetting.decode(kept["forgetting"])
                else:
                    windows[place] = Suppression(int(kept["until"]), kept.get("reason"))
            except (ValueError, KeyError, TypeError) as error:
                self._log.error("profile_unreadable", key=repr(key[:80]), error=repr(error))
        return windows, forgettings
