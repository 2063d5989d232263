"""A Step while it is being made, and what it depends on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.artifacts import Model
from processor.artifacts import proof
from processor.columnar.fast_path import COLUMNAR_KINDS, FastPath
from processor.columnar.profile_table import NO_ROW
from processor.dead_letter import dead_letter
from processor.lifecycle import lifecycle_record
from processor.record_batch import RecordBatch
from processor.records import ConsumerRecord, DeadLetter, Partition, ProducerRecord, ProfileKey
from processor.scorer.decode import Decoded
from processor.state import ring
from processor.state.profile_codec import Note, encode_note, note_key, shift_key
from processor.state.profiles import (
    ActiveProfile,
    Delta,
    LearningProfile,
    PendingDeletion,
    Profile,
    State,
    Suppression,
)
from processor.state.shifts import Shift
from processor.stream.step import Context, Step
from schemas import LifecycleEvent, Mark, MarkName, ModelRecord

Floats = NDArray[np.float64]
LoadSpilled = Callable[[Iterable[ProfileKey]], Mapping[ProfileKey, LearningProfile]]
"""Those of some profiles that learn and are not in memory."""
Expired = Callable[[int], Sequence[ProfileKey]]
"""At most so many of the profiles that were silent for longer than one may be."""
Retention = Callable[[], Mapping[str, int | None]]
"""Milliseconds that each topic which only ages out keeps its records; None where unknown."""


@dataclass(frozen=True)
class ScorerContext(Context):
    """What a Step of the scorer depends on besides state, batch and clock.

    Attributes:
        retention: how long topics that only age out keep a forgotten profile's records.
        recall: reads back profiles that learn and whose rings wait on the local disk.
        expired: profiles to be forgotten because nothing came from them for so long.
        fast_path: answers most records in columns; the answers do not depend on it.
    """

    retention: Retention = dict
    recall: LoadSpilled = lambda _keys: {}
    expired: Expired = lambda _most: ()
    fast_path: FastPath = field(default_factory=FastPath)

    @cached_property
    def columnar_kinds(self) -> Mapping[str, str]:
        """Topic → kind, of the kinds that the fast path reads."""
        return {self.topics.telemetry(kind): kind for kind in COLUMNAR_KINDS}


SINGLE_ROW = np.zeros(1, dtype=np.int64)
"""The place of a record's only row."""


class AwaitingScore(NamedTuple):
    """A record of an active profile that waits for the scores of the batch."""

    record: ConsumerRecord
    decoded: Decoded
    key: ProfileKey
    active: ActiveProfile
    rows: Floats
    indices: NDArray[np.int64]


Waiting = list[tuple[int, AwaitingScore]]
"""Records of one profile in their order, with their positions in the batch."""


@dataclass
class StepBuilder:
    """A Step while it is being made; lookups see the delta before the state."""

    state: State
    context: ScorerContext
    now: int
    refused: frozenset[ProfileKey]
    step: Step[Delta] = field(default_factory=lambda: Step(Delta()))
    telemetry: RecordBatch = field(default_factory=lambda: RecordBatch.of(()))
    """What the Step answers."""
    answers: list[list[ProducerRecord]] = field(default_factory=list)
    """What each record of the batch is answered with, beside what ``Normals`` writes."""
    waiting: dict[int, AwaitingScore] = field(default_factory=dict)
    """Records that wait for their score, by their place in the batch."""
    models: dict[str, Model] = field(default_factory=dict)
    verdict_counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Verdicts by kind, status and severity."""
    trainings: int = 0
    trained_samples: int = 0
    trained_at: set[Partition] = field(default_factory=set)
    """Partitions of which a record has led to a training."""
    recalled: dict[ProfileKey, LearningProfile] = field(default_factory=dict)
    renamed: set[ProfileKey] = field(default_factory=set)
    """Active profiles of which a record has other names than their own."""
    rejected: set[tuple[ProfileKey, int]] = field(default_factory=set)
    """Abnormal records of these, by profile and offset."""
    rows: dict[str, list[Floats]] = field(default_factory=dict)
    """Samples by kind, for what is counted of the whole batch."""

    @property
    def delta(self) -> Delta:
        """What the state changes by."""
        return self.step.delta

    def count(self, name: str, *labels: str, by: int = 1) -> None:
        """Let a counter grow once the Step is committed."""
        self.step.counts[name, labels] += by

    @cached_property
    def late_before(self) -> int:
        """Records observed before are history, epoch milliseconds."""
        return self.now - round(self.context.settings.late_minutes * 60_000)

    @property
    def windows(self) -> bool:
        """Whether there is any maintenance window, or was before the Step."""
        return bool(self.state.suppressions or self.delta.suppressions)

    def profile(self, key: ProfileKey) -> Profile | None:
        if key in self.delta.profiles:
            return self.delta.profiles[key]
        return self.state.profiles.get(key) or self.recalled.get(key)

    def recall(self, keys: Iterable[ProfileKey]) -> None:
        """Have at hand those of some profiles that are not in memory."""
        missing = [key for key in set(keys) if self.profile(key) is None]
        if missing:
            found = self.context.recall(missing)
            self.recalled |= found
            for _, kind, _ in found:
                self.count("recalled", kind)

    def may_train(self, place: Partition, samples: int) -> bool:
        """Count one more training; False if its partition has to wait for the next Step.

        One is always allowed each partition, so that none waits for what others train.
        """
        settings = self.context.settings
        trained = self.trained_samples + samples
        if place in self.trained_at and (
            self.trainings >= settings.trainings_per_step
            or trained > settings.training_samples_per_step
        ):
            return False
        self.trained_at.add(place)
        self.trainings += 1
        self.trained_samples = trained
        return True

    def generation(self, key: ProfileKey) -> int | None:
        profile = self.profile(key)
        if isinstance(profile, ActiveProfile):
            return profile.record.generation
        return profile.ring.generation if isinstance(profile, LearningProfile) else None

    def heard(self, key: ProfileKey) -> bool:
        """Whether the Step learns from a profile, or scores it."""
        row, changes = self.state.profiles.rows.row(key), self.delta.drift_updates
        scored = changes is not None and row != NO_ROW and bool((changes.rows == row).any())
        return scored or key in self.delta.touched_profiles

    def suppression(self, key: ProfileKey) -> Suppression | None:
        delta = self.delta.suppressions
        return delta[key] if key in delta else self.state.suppressions.get(key)

    def forgetting(self, key: ProfileKey) -> PendingDeletion | None:
        delta = self.delta.forgettings
        return delta[key] if key in delta else self.state.forgettings.get(key)

    def shift(self, key: ProfileKey) -> Shift | None:
        delta = self.delta.shifts
        return delta[key] if key in delta else self.state.shifts.get(key)

    def watched(self, key: ProfileKey) -> bool:
        """Whether each record of a profile counts for a new normal."""
        shift = self.shift(key)
        return shift is not None and shift.recent.seen > 0

    def shifted(self, key: ProfileKey) -> bool:
        """Whether a profile's records are abnormal in one and the same way."""
        shift = self.shift(key)
        return shift is not None and shift.shifted

    def regime(self, key: ProfileKey) -> str | None:
        """``shifted`` or ``usual``; None while a profile learns."""
        if not isinstance(self.profile(key), ActiveProfile):
            return None
        return "shifted" if self.shifted(key) else "usual"

    def suppressed(self, key: ProfileKey) -> bool:
        if not self.windows:
            return False
        window = self.suppression(key)
        return window is not None and window.until > self.now

    def emit(self, *outputs: ProducerRecord) -> None:
        """Have records written when the Step is committed, in this order."""
        self.step.outputs += outputs

    def emit_lifecycle(self, key: ProfileKey, event: str, detail: str, **fields: Any) -> None:
        """Write a lifecycle event on the profile's partition."""
        partition, kind, profile_id = key
        written = LifecycleEvent(
            event=event,
            profile_id=profile_id,
            kind=kind,
            role="scorer",
            detail=detail,
            at=self.now,
            **fields,
        )
        self.emit(lifecycle_record(self.context.topics.lifecycle, written, partition))

    def emit_note(
        self, key: ProfileKey, note: Note | None, named: Callable[[str, str], bytes] = note_key
    ) -> None:
        """Keep a note of a profile in ``profiles``, under a key of its own; None clears it."""
        value = None if note is None else encode_note(note)
        topic = self.context.topics.profiles
        self.emit(ProducerRecord(topic, value, named(*key[1:]), key[0]))

    def drop_shift(self, key: ProfileKey, shift: Shift) -> list[ProducerRecord]:
        """Let go of a new normal, and of a hold; the tombstones of its ring."""
        self.emit_note(key, None, shift_key)
        self.delta.shifts[key] = None
        return ring.tombstones(self.context.topics.cold_start, key, shift.ring)

    def announcement(self, key: ProfileKey, record: ModelRecord) -> ProducerRecord:
        """The record that announces a version."""
        partition, kind, profile_id = key
        value = record.model_dump_json().encode()
        name = f"{kind}:{profile_id}".encode()
        return ProducerRecord(self.context.topics.models, value, name, partition)

    def announce(self, key: ProfileKey, record: ModelRecord) -> None:
        """Make a version the profile's current one."""
        self.emit(self.announcement(key, record))
        before = self.profile(key)
        after = ActiveProfile(record)
        if isinstance(before, ActiveProfile):
            # The next version takes its online state over.
            after = after._replace(since_anomaly=before.since_anomaly, online=before.online)
            if before.record.features != record.features:
                self.delta.names[key] = None
        self.delta.profiles[key] = after

    def mark(self, key: ProfileKey, word: MarkName, **more: Any) -> ProducerRecord:
        """A word to the retrainer, in order with the profile's accepted samples.

        Raises:
            ArtifactUnavailable: the store does not give the secret that proves it.
        """
        partition, kind, profile_id = key
        said = Mark(
            mark=word,
            profile_id=profile_id,
            kind=kind,
            generation=self.generation(key) or 0,
            **more,
        )
        name, value = profile_id.encode(), said.model_dump_json().encode()
        out = ProducerRecord(self.context.topics.accepted, value, name, partition)
        if word == "forget":
            # The tombstone in the same transaction proves it, and it must not wait for the store.
            return out
        told = proof.prove(self.context.secret(), partition, name, value)
        return out._replace(headers=[(proof.HEADER, told)])

    def count_verdict(self, record: ConsumerRecord, kind: str, status: str, severity: str) -> None:
        """Count a verdict."""
        self.verdict_counts[kind, status, severity] += 1
        self.step.timestamps.append(record.timestamp)

    def dead_letter(self, record: ConsumerRecord, why: DeadLetter) -> list[ProducerRecord]:
        """The answer to a telemetry record that cannot be decoded or answered."""
        kind = self.context.topics.kind_of[record.topic]
        self.count("records", kind, "dead_letter")
        self.count("dead_letters", why.reason)
        return [dead_letter(record, why, self.context.topics.dead_letter)]
