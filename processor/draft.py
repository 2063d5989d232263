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
from processor.state import Active, Learning, Profile, State, Suppression
from processor.step import Step
from schemas import ModelRecord

Floats = NDArray[np.float64]
OpenModels = Callable[[Iterable[ModelRecord]], Mapping[str, Model | ArtifactError]]


@dataclass(frozen=True)
class Rules:
    """What a Step depends on besides state, batch and clock."""

    settings: Settings
    topics: Topics
    open_models: OpenModels

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

    def suppressed(self, key: ProfileKey) -> bool:
        window = self.suppression(key)
        return window is not None and window.until > self.now
