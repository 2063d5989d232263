"""What a process knows of its partitions: profiles that learn, profiles that are active."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar, cast

from models.calibration.drift import NONE, Drift, drifting
from processor.columnar.profile_table import NO_ROW, DriftUpdates, ProfileTable
from processor.columnar.version_constants import VersionConstants, version_constants
from processor.records import ProfileKey, RecordOrigin
from processor.state.ring import Ring
from processor.state.shifts import NameWatch, Shift
from schemas import ModelRecord

T = TypeVar("T")

DRIFT_KIND = "features"
"""The kind of whose profiles a Step may change nothing but the drift: ``Delta.drift_updates``."""


@dataclass(frozen=True, slots=True)
class LearningProfile:
    """A profile before its first model.

    Attributes:
        retry_at: samples seen before training is tried again, after it failed.
    """

    ring: Ring
    retry_at: int = 0


class ActiveProfile(NamedTuple):
    """A profile with a model; a plain tuple, as one is made for each profile of a batch.

    Attributes:
        record: the newest announcement.
        since_anomaly: records since the last anomaly; None when unknown.
        drift: of this version, since the partition was assigned.
        standing: what follows from the announcement, once it was asked for.
        online: online state of a detector that judges points in their order; None before the
            first point since its training, and of all others.
    """

    record: ModelRecord
    since_anomaly: int | None = None
    drift: Drift = NONE
    standing: VersionConstants | None = None
    online: bytes | None = None

    def after_verdict(self, since_anomaly: int | None, drift: Drift) -> ActiveProfile:
        """The profile after one more verdict."""
        return ActiveProfile(self.record, since_anomaly, drift, self.standing, self.online)

    def with_constants(self) -> tuple[ActiveProfile, VersionConstants]:
        """The profile with its standing, and that."""
        if self.standing is not None:
            return self, self.standing
        standing = version_constants(self.record)
        return self._replace(standing=standing), standing


Profile = LearningProfile | ActiveProfile


@dataclass(frozen=True, slots=True)
class Suppression:
    """A maintenance window.

    Attributes:
        until: epoch milliseconds.
    """

    until: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class PendingDeletion:
    """A profile whose keys are cleared, while its artefacts and the receipt are still to come.

    Attributes:
        command_id: the command that asked for it, or a name for it where none did.
        command_offset: where that command stands in ``commands``; None where there is none.
        generation: the newest that is forgotten.
        version: of the model that was in force; None while it learnt.
        figures: what was cleared, for the receipt.
    """

    command_id: str
    command_offset: int | None
    generation: int
    version: int | None
    figures: Mapping[str, Any]


class Profiles(MutableMapping[ProfileKey, Profile]):
    """The profiles by their key; what changes with each record of one that is judged is in its row.

    Attributes:
        rows: of the active profiles that were judged together with others.
    """

    def __init__(self, profiles: Mapping[ProfileKey, Profile] | None = None) -> None:
        self.rows = ProfileTable()
        self._held: dict[ProfileKey, Profile] = dict(profiles or {})

    def __getitem__(self, key: ProfileKey) -> Profile:
        profile, row = self._held[key], self.rows.numbers.get(key, NO_ROW)
        if row == NO_ROW or not isinstance(profile, ActiveProfile):
            return profile
        drift, since = self.rows.get(row)
        standing = self.rows.standings[row]
        return ActiveProfile(profile.record, since, drift, standing, profile.online)

    def __setitem__(self, key: ProfileKey, profile: Profile) -> None:
        row = self.rows.row(key)
        if row != NO_ROW:
            match self._held[key], profile:
                case ActiveProfile(record=before), ActiveProfile(record=after) if before is after:
                    self.rows.set(row, profile.drift, profile.since_anomaly)
                    self._held[key] = profile
                    return
            self.rows.remove(key)
        self._held[key] = profile

    def __delitem__(self, key: ProfileKey) -> None:
        del self._held[key]
        self.rows.remove(key)

    def __iter__(self) -> Iterator[ProfileKey]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def is_active(self, key: ProfileKey) -> bool:
        """Whether a profile is there and has a model."""
        return isinstance(self._held.get(key), ActiveProfile)

    def at(self, row: int) -> tuple[ActiveProfile, VersionConstants]:
        """The profile of a row, with what holds of all its records."""
        # Only active profiles have one.
        return cast(ActiveProfile, self[self.rows.keys[row]]).with_constants()

    def online(self, row: int) -> bytes | None:
        """The online state of the profile of a row."""
        return cast(ActiveProfile, self._held[self.rows.keys[row]]).online

    def ensure_row(self, source: RecordOrigin, key: ProfileKey) -> int:
        """The row of a profile, given one if it is active and has none; else ``NO_ROW``.

        Args:
            source: where all of its records come from.
        """
        row, profile = self.rows.row(key), self._held.get(key)
        if row != NO_ROW or not isinstance(profile, ActiveProfile):
            return row
        active, standing = profile.with_constants()
        return self.rows.add(source, key, standing, active.drift, active.since_anomaly)


@dataclass
class Delta:
    """What a Step changes the scorer's state by; None removes.

    Attributes:
        profiles: those that are not in ``drift_updates``.
        drift_updates: of profiles that have a row.
        suppressions: maintenance windows.
        forgettings: what is being forgotten.
        shifts: what is known of a new normal.
        names: of profiles whose names differed lately.
        touched_profiles: those that the scorer learnt from, or scored, but for ``drift_updates``.
    """

    profiles: dict[ProfileKey, Profile | None] = field(default_factory=dict)
    drift_updates: DriftUpdates | None = None
    suppressions: dict[ProfileKey, Suppression | None] = field(default_factory=dict)
    forgettings: dict[ProfileKey, PendingDeletion | None] = field(default_factory=dict)
    shifts: dict[ProfileKey, Shift | None] = field(default_factory=dict)
    names: dict[ProfileKey, NameWatch | None] = field(default_factory=dict)
    touched_profiles: set[ProfileKey] = field(default_factory=set)


@dataclass
class State:
    """Profiles and maintenance windows of the assigned partitions."""

    profiles: Profiles = field(default_factory=Profiles)
    suppressions: dict[ProfileKey, Suppression] = field(default_factory=dict)
    forgettings: dict[ProfileKey, PendingDeletion] = field(default_factory=dict)
    shifts: dict[ProfileKey, Shift] = field(default_factory=dict)
    names: dict[ProfileKey, NameWatch] = field(default_factory=dict)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Profiles by (kind, ``learning``, ``active``, or of these ``drifting``, ``shifted``)."""
    shift_bytes: int = 0
    """Bytes of the samples of new normals."""
    learning: OrderedDict[ProfileKey, None] = field(default_factory=OrderedDict)
    """Those that learn, the one that learnt last at the end."""

    def apply(
        self,
        profiles: Mapping[ProfileKey, Profile | None],
        suppressions: Mapping[ProfileKey, Suppression | None],
        forgettings: Mapping[ProfileKey, PendingDeletion | None] | None = None,
        changes: DriftUpdates | None = None,
        shifts: Mapping[ProfileKey, Shift | None] | None = None,
        names: Mapping[ProfileKey, NameWatch | None] | None = None,
    ) -> None:
        """Take over the delta of a committed Step; None removes.

        Args:
            changes: of `features` profiles; none of them is among ``profiles``.
        """
        if changes is not None:
            self.counts[DRIFT_KIND, "drifting"] += self.profiles.rows.put(changes)
        for key, profile in profiles.items():
            before = self.profiles.get(key)
            if before is not None:
                self._count(key[1], before, -1)
            if profile is not None:
                self._count(key[1], profile, 1)
            if isinstance(profile, LearningProfile):
                self.learning[key] = None
                self.learning.move_to_end(key)
            elif isinstance(before, LearningProfile):
                self.learning.pop(key, None)
        _merge(self.profiles, profiles)
        _merge(self.suppressions, suppressions)
        _merge(self.forgettings, forgettings or {})
        for key, shift in (shifts or {}).items():
            known = self.shifts.get(key)
            told = (shift is not None and shift.shifted) - (known is not None and known.shifted)
            self.counts[key[1], "shifted"] += told
            self.shift_bytes += (shift.nbytes if shift else 0) - (known.nbytes if known else 0)
        _merge(self.shifts, shifts or {})
        _merge(self.names, names or {})

    def evict(self, keys: Iterable[ProfileKey]) -> None:
        """Let go of profiles that something else holds from here on."""
        self.apply(dict.fromkeys(keys), {})

    def _count(self, kind: str, profile: Profile, by: int) -> None:
        active = isinstance(profile, ActiveProfile)
        self.counts[kind, "active" if active else "learning"] += by
        if isinstance(profile, ActiveProfile) and drifting(profile.drift):
            self.counts[kind, "drifting"] += by


def _merge(target: MutableMapping[ProfileKey, T], delta: Mapping[ProfileKey, T | None]) -> None:
    for key, value in delta.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = value
