"""A Step while it is being made, and what it depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.artifacts import ArtifactError, Model
from processor.decode import Decoded, Limits
from processor.names import Topics
from processor.records import Incoming, Outgoing, ProfileKey
from processor.settings import Settings
from processor.state import Active, Forgetting, Learning, Profile, State, Suppression
from processor.step import Step
from schemas import ModelRecord

Floats = NDArray[np.float64]
OpenModels = Callable[[Iterable[ModelRecord]], Mapping[str, Model | ArtifactError]]
Erase = Callable[[str, int], list[str]]
"""Deletes what a directory holds of a generation and those before it; names of what it held."""
Retention = Callable[[], Mapping[str, int | None]]
"""Milliseconds that each topic which only ages out keeps its records; None where unknown."""


def erase_nothing(_directory: str, _generation: int) -> list[str]:
    """For a Step that writes nothing."""
    return []


def unknown_retention() -> Mapping[str, int | None]:
    """For a Step that asks no broker."""
    return {}


@dataclass(frozen=True)
class Rules:
    """What a Step depends on besides state, batch and clock.

    Attributes:
        open_models: the models of announcements, by SHA-256.
        erase: deletes a forgotten profile's artefacts; doing so again does no harm.
        retention: how long topics that only age out keep a forgotten profile's records.
    """

    settings: Settings
    topics: Topics
    open_models: OpenModels
    erase: Erase = erase_nothing
    retention: Retention = unknown_retention

    @property
    def limits(self) -> Limits:
        settings = self.settings
        return Limits(settings.max_record_bytes, settings.max_features, settings.max_samples)


@dataclass(frozen=True, slots=True)
class Pending:
    """A record of an active profile that waits for the scores of the batch."""

    record: Incoming
    decoded: Decoded
    key: ProfileKey
    active: Active
    rows: Floats
    indices: NDArray[np.int64]


@dataclass
class Draft:
    """A Step while it is being made; lookups see the delta before the state."""

    state: State
    rules: Rules
    now: int
    refused: frozenset[ProfileKey]
    step: Step[Profile] = field(default_factory=lambda: Step[Profile]())
    answers: list[list[Outgoing] | Pending] = field(default_factory=list)
    models: dict[str, Model] = field(default_factory=dict)
    trainings: int = 0

    def profile(self, key: ProfileKey) -> Profile | None:
        return self.step.profiles[key] if key in self.step.profiles else self.state.profile(key)

    def generation(self, key: ProfileKey) -> int | None:
        profile = self.profile(key)
        if isinstance(profile, Active):
            return profile.record.generation
        return profile.ring.generation if isinstance(profile, Learning) else None

    def suppression(self, key: ProfileKey) -> Suppression | None:
        delta = self.step.suppressions
        return delta[key] if key in delta else self.state.suppression(key)

    def forgetting(self, key: ProfileKey) -> Forgetting | None:
        delta = self.step.forgettings
        return delta[key] if key in delta else self.state.forgetting(key)

    def suppressed(self, key: ProfileKey) -> bool:
        window = self.suppression(key)
        return window is not None and window.until > self.now
