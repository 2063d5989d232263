"""What a process knows of its partitions: profiles that learn, profiles that are active."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

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
    """

    record: ModelRecord
    since_anomaly: int | None = None


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
        command_id: the command that asked for it.
        command_offset: where that command stands in ``commands``.
        generation: the newest that is forgotten.
        version: of the model that was in force; None while it learnt.
        figures: what was cleared, for the receipt.
    """

    command_id: str
    command_offset: int
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
    """Profiles by (kind, ``learning`` or ``active``)."""

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
                self.counts[key[1], _stage(before)] -= 1
            if profile is not None:
                self.counts[key[1], _stage(profile)] += 1
        _merge(self.profiles, profiles)
        _merge(self.suppressions, suppressions)
        _merge(self.forgettings, forgettings or {})


def _stage(profile: Profile) -> str:
    return "active" if isinstance(profile, Active) else "learning"


def _merge(
    target: dict[int, dict[tuple[str, str], T]], delta: Mapping[ProfileKey, T | None]
) -> None:
    for (partition, kind, profile_id), value in delta.items():
        if value is None:
            target.get(partition, {}).pop((kind, profile_id), None)
        else:
            target.setdefault(partition, {})[kind, profile_id] = value
