"""The scorer as a role of the worker: its topics, its state, and its models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import orjson

from models.artifacts import ArtifactUnavailable
from models.features import KINDS
from processor import forgetting, ring
from processor.changelog import Table
from processor.commands import EXECUTED, executed
from processor.draft import Rules
from processor.expiry import Expiry
from processor.loaded_slots import LoadedSlots
from processor.metrics import Metrics
from processor.model_store import ModelStore
from processor.names import Topics
from processor.omitted import Omitted
from processor.owner import Owner
from processor.records import Incoming, ProfileKey
from processor.records import TopicPartition as Place
from processor.retention import retention
from processor.scorer import compute
from processor.settings import Settings
from processor.shown import key_digest
from processor.silence import Silence
from processor.slots import Slot
from processor.spill import Spill, make_room
from processor.state import Active, Forgetting, Learning, Profile, State, Suppression
from processor.step import Step
from processor.sweep import Sweep

ROOM_FOR = 500
"""Profiles restored before the spill takes what is too much."""


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
        self._detectors = {
            name: settings.detector_for(name, kind.detector) for name, kind in KINDS.items()
        }
        self._store = store
        self._metrics = metrics
        self._log = log
        self._spill = Spill(settings.spill_bytes, log)
        self._expiry = Expiry(settings.profile_ttl_days)
        self._rules = Rules(
            settings,
            topics,
            store.open,
            store.erase,
            lambda: retention(settings, topics),
            self._spill.get,
            self._silent,
            secret=store.secret,
            cache=store.cache,
        )
        self._state = State()
        self._sweep = Sweep(self._store.storage)
        self._silence = Silence()
        self._now = 0
        self._loaded = Table()
        self._slots = LoadedSlots(self._settings.spill_bytes, self._log)
        self._newest: dict[Place, int] = {}
        self._ahead: Step[Profile] | None = None

    def load(self, record: Incoming) -> None:
        if record.topic == self._topics.cold_start:
            self._slots.load(record)
        else:
            self._loaded.load(record)

    def restored(self, partitions: Iterable[int]) -> None:
        """State of these partitions from their models, rings and maintenance windows."""
        omitted, others = Omitted(), Counter[str]()
        for partition in partitions:
            for record in self._loaded.models(self._topics.models, partition, self._log):
                key = (partition, record.kind, record.profile_id)
                self._note(record.kind, partition, record.source_offset)
                self._state.apply({key: Active(record)}, {})
                self._expiry.load(key, None)
                if record.detector != self._detectors[record.kind]:
                    others[record.kind] += 1
            for (kind, profile_id), held, stored in self._slots.rings(partition):
                omitted.note(kind, self._learns((partition, kind, profile_id), held, stored))
            windows, forgettings = self._kept(partition)
            self._loaded.drop(partition)
            self._state.apply({}, windows, forgettings)
            self._make_room()
        self._loaded = Table()
        self._slots.clear()
        omitted.tell(self._log, self._topics.cold_start, "TELLTALE_COLD_START_SAMPLES")
        for kind, profiles in others.items():
            self._log.warning(
                "detector_differs",
                kind=kind,
                configured=self._detectors[kind],
                profiles=profiles,
                detail="they keep their detector until they are retrained, which moves them over: "
                f"telltale profile retrain --all --kind {kind}",
            )
        counts = self._state.counts
        self._log.info(
            "state",
            active=sum(n for (_, state), n in counts.items() if state == "active"),
            learning=sum(n for (_, state), n in counts.items() if state == "learning")
            + self._spill.counts.total(),
        )

    def _learns(self, key: ProfileKey, held: Mapping[int, Slot], stored: int) -> int:
        """Take the ring of a profile, unless its model is as new; samples that it leaves out.

        Args:
            stored: epoch milliseconds of its newest record.
        """
        kind, before = key[1], self._state.profiles.get(key)
        if kind not in KINDS:
            return 0
        newest = max(slot.generation for slot in held.values())
        if isinstance(before, Active) and before.record.generation >= newest:
            return 0
        self._note(kind, key[0], max(slot.offset for slot in held.values()))
        whole = ring.restored(held, self._settings.cold_start(kind))
        self._state.apply({key: None if whole is None else Learning(whole)}, {})
        self._expiry.load(key, stored)
        if len(self._state.learning) % ROOM_FOR == 0:
            self._make_room()
        return 0 if whole is None else ring.left_out(held, whole)

    def admit(self, owner: Owner) -> str:
        return self._store.admit(owner)

    def check_models(self) -> None:
        held = self._state.profiles.values()
        announced = (each.record for each in held if isinstance(each, Active))
        self._store.check(announced, self._settings.lost_models, self._log)
        with suppress(ArtifactUnavailable):
            # Not with the first mark only: that would wait for a store that is away by then. And
            # not before the look: it is made where there is none yet.
            self._store.secret()

    def newest(self) -> dict[Place, int]:
        return self._newest

    def compute(self, batch: Sequence[Incoming], now: int) -> Step[Profile]:
        """The Step of a batch; a profile whose artefact cannot be written goes on learning."""

        self._now = now
        self._expiry.turn(now)

        def make(refused: frozenset[ProfileKey]) -> Step[Profile]:
            return compute(self._state, batch, now, self._rules, refused)

        step = self._store.written(make, self._log)
        step.outputs += executed(step.offsets, self._topics)
        self._store.cache.settle()
        return step

    def ahead(self, step: Step[Profile]) -> Callable[[], None] | None:
        """Only where all that changes is what profiles have seen: no model, window or receipt."""
        if step.rest or step.artifacts or step.discards or step.suppressions or step.forgettings:
            return None
        before = {key: self._state.profiles.get(key) for key in step.profiles}
        if None in before.values() and self._spill.counts.total():
            # It may wait in the file, which lets go of it with the commit.
            return None
        if not all(same_kind(held, step.profiles[key]) for key, held in before.items()):
            return None
        changes, rows = step.changes, self._state.profiles.rows
        undone = None if changes is None else rows.changes(changes.rows)
        self._state.apply(step.profiles, {}, changes=changes)
        self._expiry.hear(self._heard(step), self._now)
        self._ahead = step

        def undo() -> None:
            self._state.apply(before, {}, changes=undone)
            self._ahead = None

        return undo

    def apply(self, step: Step[Profile]) -> None:
        failures = self._spill.failures
        if self._ahead is not step:
            self._take_over(step)
        self._ahead = None
        if step.timestamps:
            profiles, at = self._state.profiles, min(max(step.timestamps), self._now)
            self._silence.hear([*filter(profiles.is_active, step.heard)], at)
            if step.changes is not None:
                self._silence.hear_rows(profiles.rows, step.changes.rows, at)
        gone = [key for key, profile in step.profiles.items() if profile is None]
        for key in gone:
            self._silence.forget(key)
        self._expiry.hear(self._heard(step), self._now)
        self._expiry.forget(gone)
        self._make_room()
        if self._spill.failures > failures:
            step.count("spill_failures")
        for path in step.discards:
            self._store.discard(path)

    def _heard(self, step: Step[Profile]) -> Iterable[ProfileKey]:
        """The profiles that a Step learnt from, or scored."""
        return chain(step.heard, self._scored(step))

    def _scored(self, step: Step[Profile]) -> Iterable[ProfileKey]:
        """The profiles that a Step scored together with others."""
        return () if step.changes is None else self._state.profiles.rows.of(step.changes)

    def _take_over(self, step: Step[Profile]) -> None:
        """State, models and spill as a committed Step leaves them."""
        for key, profile in step.profiles.items():
            before = self._state.profiles.get(key)
            if isinstance(before, Active) and not same_model(before, profile):
                self._store.replaced(before.record.sha256)
        self._spill.drop(key for key in step.profiles if self._state.profiles.get(key) is None)
        self._state.apply(step.profiles, step.suppressions, step.forgettings, step.changes)
        self._store.keep(step.models)

    def drop(self) -> None:
        self._state = State()
        self._sweep = Sweep(self._store.storage)
        self._silence = Silence()
        self._expiry = Expiry(self._settings.profile_ttl_days)
        self._spill.clear()
        self._loaded = Table()
        self._slots.clear()
        self._newest.clear()
        self._ahead = None

    def idle(self, now: int) -> Step[Profile] | None:
        """Sweep some orphans, and forget some profiles that are silent for too long."""
        self._sweep.some(self._state, now)
        self._silence.passed(now)
        step = self.compute([], now) if self._expiry.enabled else None
        return step if step is not None and step.outputs else None

    def answered(self, until: int) -> None:
        self._expiry.answered(until)

    def observe(self) -> None:
        gauge = self._metrics.profiles.labels
        counts = self._state.counts
        self._silence.sweep(self._expected)
        for kind in KINDS:
            spilled = self._spill.counts[kind]
            gauge(self.name, kind, "active").set(counts[kind, "active"])
            gauge(self.name, kind, "learning").set(counts[kind, "learning"] + spilled)
            self._metrics.spilled_profiles.labels(self.name, kind).set(spilled)
            self._metrics.drifting_profiles.labels(self.name, kind).set(counts[kind, "drifting"])
            silent = self._silence.silent[kind]
            self._metrics.silent_profiles.labels(self.name, kind).set(silent)
        self._metrics.model_memory_bytes.labels(self.name).set(self._store.nbytes)
        self._metrics.spill_bytes.labels(self.name).set(self._spill.nbytes)

    def close(self) -> None:
        """Let go of the local files."""
        self._spill.clear()
        self._slots.clear()

    def _make_room(self) -> None:
        """Keep no more learning profiles in memory than allowed; the spill takes the coldest."""
        limit = self._settings.max_learning_profiles
        self._expiry.forget(make_room(self._state, self._spill, limit, self._expiry.heard))

    def _silent(self, most: int) -> list[ProfileKey]:
        """Profiles silent for too long, except in a maintenance window, which begins it anew."""
        until = self._expiry.until
        if not until:
            return []
        cold = self._spill.silent(until, most)
        found = self._expiry.silent(most - len(cold))
        quiet = [key for key in (*cold, *found) if self._in_window(key)]
        self._spill.see(set(quiet).intersection(cold), self._now)
        self._expiry.hear(set(quiet).intersection(found), self._now)
        return [key for key in (*cold, *found) if key not in quiet]

    def _in_window(self, key: ProfileKey) -> bool:
        window = self._state.suppressions.get(key)
        return window is not None and window.until > self._now

    def _expected(self, key: ProfileKey) -> bool:
        """Whether something should be heard of a profile."""
        return not self._in_window(key) and self._state.profiles.is_active(key)

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
                if key == EXECUTED:
                    self._newest[self._topics.commands, partition] = int(kept["commands"])
                elif "forgetting" in kept:
                    forgettings[place] = forgetting.decode(kept["forgetting"])
                else:
                    windows[place] = Suppression(int(kept["until"]), kept.get("reason"))
            except (ValueError, KeyError, TypeError) as error:
                # The text of the error may hold the id: the log names no profile.
                self._log.error(
                    "profile_unreadable",
                    partition=partition,
                    key_sha256=key_digest(key),
                    error=type(error).__name__,
                )
        return windows, forgettings


def same_kind(before: Profile | None, after: Profile | None) -> bool:
    """Whether a profile goes on to learn, or to be judged by the same model."""
    if isinstance(before, Active):
        return same_model(before, after)
    return isinstance(after, Learning)


def same_model(before: Active, after: Profile | None) -> bool:
    """Whether a profile is judged by the model that judged it before."""
    if not isinstance(after, Active):
        return False
    return after.record is before.record or after.record.sha256 == before.record.sha256
