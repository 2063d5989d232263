"""What a process knows of its partitions: profiles that learn, profiles that are active."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from models.drift import NONE, Drift, drifting
from processor.records import ProfileKey
from processor.ring import Ring
from schemas import ModelRecord

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Learning:
    """A profile before its first model.

    Attributes:
        retry_at: samples seen before training is tried again, after it failed.
    """

    ring: Ring
    retry_at: int = 0


@dataclass(frozen=True, slots=True)
class Active:
    """A profile with a model.

    Attributes:
        record: the newest announcement.
        since_anomaly: records since the last anomaly; None when unknown.
        drift: of this version, since the partition was assigned.
    """

    record: ModelRecord
    since_anomaly: int | None = None
    drift: Drift = NONE

    def judged(self, since_anomaly: int | None, drift: Drift) -> Active:
        """The profile after one more verdict; half the time of ``dataclasses.replace``."""
        return Active(self.record, since_anomaly, drift)


Profile = Learning | Active


@dataclass(frozen=True, slots=True)
class Suppression:
    """A maintenance window.

    Attributes:
        until: epoch milliseconds.
    """

    until: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Forgetting:
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


@dataclass
class State:
    """Profiles and maintenance windows of the assigned partitions."""

    profiles: dict[int, dict[tuple[str, str], Profile]] = field(default_factory=dict)
    suppressions: dict[int, dict[tuple[str, str], Suppression]] = field(default_factory=dict)
    forgettings: dict[int, dict[tuple[str, str], Forgetting]] = field(default_factory=dict)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Profiles by (kind, ``learning`` or ``active``), and of the active ones the ``drifting``."""
    learning: OrderedDict[ProfileKey, None] = field(default_factory=OrderedDict)
    """Those that learn, the one that learnt last at the end."""

    def profile(self, key: ProfileKey) -> Profile | None:
        partition, kind, profile_id = key
        return self.profiles.get(partition, {}).get((kind, profile_id))

    def suppression(self, key: ProfileKey) -> Suppression | None:
        partition, kind, profile_id = key
        return self.suppressions.get(partition, {}).get((kind, profile_id))

    def forgetting(self, key: ProfileKey) -> Forgetting | None:
        partition, kind, profile_id = key
        return self.forgettings.get(partition, {}).get((kind, profile_id))

    def keys(self) -> list[ProfileKey]:
        """Where the profiles live."""
        return [(p, *identity) for p, held in self.profiles.items() for identity in held]

    def apply(
        self,
        profiles: Mapping[ProfileKey, Profile | None],
        suppressions: Mapping[ProfileKey, Suppression | None],
        forgettings: Mapping[ProfileKey, Forgetting | None] | None = None,
    ) -> None:
        """Take over the delta of a committed Step; None removes."""
        for key, profile in profiles.items():
            before = self.profile(key)
            if before is not None:
                self._count(key[1], before, -1)
            if profile is not None:
                self._count(key[1], profile, 1)
            if isinstance(profile, Learning):
                self.learning[key] = None
                self.learning.move_to_end(key)
            elif isinstance(before, Learning):
                self.learning.pop(key, None)
        _merge(self.profiles, profiles)
        _merge(self.suppressions, suppressions)
        _merge(self.forgettings, forgettings or {})

    def evict(self, keys: Iterable[ProfileKey]) -> None:
        """Let go of profiles that something else holds from here on."""
        self.apply(dict.fromkeys(keys), {})

    def _count(self, kind: str, profile: Profile, by: int) -> None:
        active = isinstance(profile, Active)
        self.counts[kind, "active" if active else "learning"] += by
        if isinstance(profile, Active) and drifting(profile.drift):
            self.counts[kind, "drifting"] += by


def _merge(
    target: dict[int, dict[tuple[str, str], T]], delta: Mapping[ProfileKey, T | None]
) -> None:
    for (partition, kind, profile_id), value in delta.items():
        if value is None:
            target.get(partition, {}).pop((kind, profile_id), None)
        else:
            target.setdefault(partition, {})[kind, profile_id] = value
