"""The scorer as a role of the worker: its topics, its state, and its models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

from models.errors import ArtifactUnavailable
from models.features import KINDS
from processor.artifacts.model_store import ModelStore
from processor.artifacts.orphans import OrphanCollector
from processor.artifacts.owner import Owner
from processor.columnar.fast_path import FastPath
from processor.metrics.metrics import Metrics
from processor.offsets.partitions import parts
from processor.records import ConsumerRecord, Partition, ProfileKey
from processor.scorer.commands import executed
from processor.scorer.pipeline import compute
from processor.scorer.restore import Restored
from processor.scorer.step_builder import ScorerContext
from processor.settings import Settings
from processor.state.expiry import ProfileTtl
from processor.state.inactivity import InactivityMonitor
from processor.state.profiles import ActiveProfile, Delta, LearningProfile, Profile, State
from processor.state.spill import Spill, make_room
from processor.stream.step import Step, with_artifacts_written
from processor.topics import Topics


class ScorerRole:
    """Scores telemetry, executes commands, adopts candidates."""

    name = "scorer"
    divide = staticmethod(parts)

    def __init__(
        self,
        settings: Settings,
        store: ModelStore,
        metrics: Metrics,
        log: Any,
        retention: Callable[[Settings, Topics], Mapping[str, int | None]],
    ) -> None:
        topics = Topics(settings.topic_prefix)
        self.inputs = (*topics.kind_of, topics.commands, topics.candidates)
        self.priority_inputs = (topics.commands,)
        self.changelogs = (topics.models, topics.cold_start, topics.profiles)
        self._topics = topics
        self._settings = settings
        self._store = store
        self._metrics = metrics
        self._log = log
        self._spill = Spill(settings.spill_bytes, log)
        self._expiry = ProfileTtl(settings.profile_ttl_days)
        self._context = ScorerContext(
            settings,
            topics,
            store.open,
            store.erase,
            retention=lambda: retention(settings, topics),
            recall=self._spill.get,
            expired=self._silent,
            secret=store.secret,
            fast_path=FastPath(store.cache),
        )
        self._state = State()
        self._sweep = OrphanCollector(self._store.storage)
        self._silence = InactivityMonitor()
        self._now = 0
        self._restored = Restored(settings, topics, log)
        self._ahead: Step[Delta] | None = None

    def load(self, record: ConsumerRecord) -> None:
        self._restored.load(record)

    def restored(self, partitions: Iterable[int]) -> None:
        """State of these partitions from their models, rings and maintenance windows."""
        self._restored.into(self._state, self._expiry, self._make_room, partitions)
        counts = self._state.counts
        self._log.info(
            "state",
            active=sum(n for (_, state), n in counts.items() if state == "active"),
            learning=sum(n for (_, state), n in counts.items() if state == "learning")
            + self._spill.counts.total(),
        )

    def admit(self, owner: Owner) -> str:
        return self._store.admit(owner)

    def check_models(self) -> None:
        held = self._state.profiles.values()
        announced = (each.record for each in held if isinstance(each, ActiveProfile))
        self._store.check(announced, self._settings.lost_models, self._log)
        with suppress(ArtifactUnavailable):
            # Not with the first mark only: that would wait for a store that is away by then. And
            # not before the look: it is made where there is none yet.
            self._store.secret()

    def restored_offsets(self) -> dict[Partition, int]:
        return self._restored.offsets

    def compute(self, batch: Sequence[ConsumerRecord], now: int) -> Step[Delta]:
        """The Step of a batch; a profile whose artefact cannot be written goes on learning."""

        self._now = now
        self._expiry.turn(now)

        def make(refused: frozenset[ProfileKey]) -> Step[Delta]:
            return compute(self._state, batch, now, self._context, refused)

        step = with_artifacts_written(self._store, make, self._log)
        step.outputs += executed(step.offsets, self._topics)
        self._store.cache.unpin_all()
        return step

    def apply_speculatively(self, step: Step[Delta]) -> Callable[[], None] | None:
        """Only where all that changes is what profiles have seen: no model, window or receipt."""
        if (
            step.unprocessed
            or step.artifacts
            or step.artifacts_to_delete
            or step.delta.suppressions
            or step.delta.forgettings
        ):
            return None
        before = {key: self._state.profiles.get(key) for key in step.delta.profiles}
        if None in before.values() and self._spill.counts.total():
            # It may wait in the file, which lets go of it with the commit.
            return None
        if not all(same_kind(held, step.delta.profiles[key]) for key, held in before.items()):
            return None
        changes, rows = step.delta.drift_updates, self._state.profiles.rows
        undone = None if changes is None else rows.changes(changes.rows)
        shifts = {key: self._state.shifts.get(key) for key in step.delta.shifts}
        names = {key: self._state.names.get(key) for key in step.delta.names}
        delta = step.delta
        self._state.apply(
            delta.profiles, {}, changes=changes, shifts=delta.shifts, names=delta.names
        )
        self._expiry.hear(self._heard(step), self._now)
        self._ahead = step

        def undo() -> None:
            self._state.apply(before, {}, changes=undone, shifts=shifts, names=names)
            self._ahead = None

        return undo

    def apply(self, step: Step[Delta]) -> None:
        failures = self._spill.failures
        if self._ahead is not step:
            self._take_over(step)
        self._ahead = None
        if step.timestamps:
            profiles, at = self._state.profiles, min(max(step.timestamps), self._now)
            self._silence.hear([*filter(profiles.is_active, step.delta.touched_profiles)], at)
            if step.delta.drift_updates is not None:
                self._silence.hear_rows(profiles.rows, step.delta.drift_updates.rows, at)
        gone = [key for key, profile in step.delta.profiles.items() if profile is None]
        for key in gone:
            self._silence.forget(key)
        self._expiry.hear(self._heard(step), self._now)
        self._expiry.forget(gone)
        self._make_room()
        if self._spill.failures > failures:
            step.count("spill_failures")
        for path in step.artifacts_to_delete:
            self._store.discard(path)

    def _heard(self, step: Step[Delta]) -> Iterable[ProfileKey]:
        """The profiles that a Step learnt from, or scored."""
        return chain(step.delta.touched_profiles, self._scored(step))

    def _scored(self, step: Step[Delta]) -> Iterable[ProfileKey]:
        """The profiles that a Step scored together with others."""
        return (
            ()
            if step.delta.drift_updates is None
            else self._state.profiles.rows.of(step.delta.drift_updates)
        )

    def _take_over(self, step: Step[Delta]) -> None:
        """State, models and spill as a committed Step leaves them."""
        for key, profile in step.delta.profiles.items():
            before = self._state.profiles.get(key)
            if isinstance(before, ActiveProfile) and not same_model(before, profile):
                self._store.replaced(before.record.sha256)
        self._spill.drop(
            key for key in step.delta.profiles if self._state.profiles.get(key) is None
        )
        self._state.apply(
            step.delta.profiles,
            step.delta.suppressions,
            step.delta.forgettings,
            step.delta.drift_updates,
            step.delta.shifts,
            step.delta.names,
        )
        self._store.cache.beside = self._state.shift_bytes
        self._store.keep(step.models)

    def drop(self) -> None:
        self._state = State()
        self._sweep = OrphanCollector(self._store.storage)
        self._silence = InactivityMonitor()
        self._expiry = ProfileTtl(self._settings.profile_ttl_days)
        self._spill.clear()
        self._restored.clear()
        self._ahead = None

    def idle(self, now: int) -> Step[Delta] | None:
        """Sweep some orphans, and forget some profiles that are silent for too long."""
        self._sweep.collect_some(self._state.profiles, self._announced, now)
        self._silence.passed(now)
        step = self.compute([], now) if self._expiry.enabled else None
        return step if step is not None and step.outputs else None

    def set_watermark(self, until: int) -> None:
        self._expiry.answered(until)

    def _announced(self, key: ProfileKey) -> set[str] | None:
        """Artefacts of a profile that announcements name; None if there is no such profile."""
        profile = self._state.profiles.get(key)
        if not isinstance(profile, ActiveProfile):
            return None if profile is None else set()
        return {profile.record.artifact, *(old.artifact for old in profile.record.history)}

    def update_gauges(self) -> None:
        gauge = self._metrics.profiles.labels
        counts = self._state.counts
        self._silence.sweep(self._expected)
        for kind in KINDS:
            spilled = self._spill.counts[kind]
            gauge(self.name, kind, "active").set(counts[kind, "active"])
            gauge(self.name, kind, "learning").set(counts[kind, "learning"] + spilled)
            gauge(self.name, kind, "shifted").set(counts[kind, "shifted"])
            self._metrics.spilled_profiles.labels(self.name, kind).set(spilled)
            self._metrics.drifting_profiles.labels(self.name, kind).set(counts[kind, "drifting"])
            silent = self._silence.silent[kind]
            self._metrics.silent_profiles.labels(self.name, kind).set(silent)
        self._metrics.model_memory_bytes.labels(self.name).set(self._store.nbytes)
        self._metrics.shift_bytes.labels(self.name).set(self._state.shift_bytes)
        self._metrics.spill_bytes.labels(self.name).set(self._spill.nbytes)

    def close(self) -> None:
        """Let go of the local files."""
        self._spill.clear()
        self._restored.clear()

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


def same_kind(before: Profile | None, after: Profile | None) -> bool:
    """Whether a profile goes on to learn, or to be judged by the same model."""
    if isinstance(before, ActiveProfile):
        return same_model(before, after)
    return isinstance(after, LearningProfile)


def same_model(before: ActiveProfile, after: Profile | None) -> bool:
    """Whether a profile is judged by the model that judged it before."""
    if not isinstance(after, ActiveProfile):
        return False
    return after.record is before.record or after.record.sha256 == before.record.sha256
