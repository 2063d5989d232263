"""A Step while it is being made, and what it depends on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.artifacts import ArtifactError, Model, Stored
from models.features.layout import Layouts
from processor.decode import Decoded, Limits
from processor.model_cache import ModelCache
from processor.names import Topics
from processor.proof import Secret, no_secret
from processor.records import Incoming, Outgoing, ProfileKey
from processor.rows import NO_ROW
from processor.settings import Settings
from processor.state import Active, Forgetting, Learning, Profile, State, Suppression
from processor.step import Step

Floats = NDArray[np.float64]
OpenModels = Callable[[Iterable[Stored]], Mapping[str, Model | ArtifactError]]
Erase = Callable[[str, int], list[str]]
"""Deletes what a directory holds of a generation and those before it; names of what it held."""
Recall = Callable[[Iterable[ProfileKey]], Mapping[ProfileKey, Learning]]
"""Those of some profiles that learn and are not in memory."""
Silent = Callable[[int], Iterable[ProfileKey]]
"""At most so many of the profiles that were silent for longer than one may be."""
Retention = Callable[[], Mapping[str, int | None]]
"""Milliseconds that each topic which only ages out keeps its records; None where unknown."""
CatchUp = Callable[[int], None]
"""Brings what is known of a partition's announcements to the end that ``models`` has now."""

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""As the built-in ``map``: results in the order of the arguments."""


def erase_nothing(_directory: str, _generation: int) -> list[str]:
    """For a Step that writes nothing."""
    return []


def nothing_spilled(_keys: Iterable[ProfileKey]) -> Mapping[ProfileKey, Learning]:
    """For a Step whose state is all in memory."""
    return {}


def never_silent(_most: int) -> Iterable[ProfileKey]:
    """For a Step that forgets only what it is told to."""
    return ()


def unknown_retention() -> Mapping[str, int | None]:
    """For a Step that asks no broker."""
    return {}


def at_the_end(_partition: int) -> None:
    """For a Step whose announcements are known to their end."""


@dataclass(frozen=True)
class Rules:
    """What a Step depends on besides state, batch and clock.

    Attributes:
        open_models: the models of announcements, by SHA-256.
        erase: deletes a forgotten profile's artefacts; doing so again does no harm.
        retention: how long topics that only age out keep a forgotten profile's records.
        recall: reads back profiles that learn and whose rings wait on the local disk.
        silent: profiles to be forgotten because nothing came from them for so long.
        secret: what proves that a mark is the scorer's.
        catch_up: reads on in ``models``; raises ``Unavailable`` where that takes too long.
        map: calls a pure function with each of some arguments, maybe in several threads.
        layouts: how records were laid out that were read before; what is read does not depend on
            it, only how soon.
        cache: the models that are in memory; of what it gives the same holds.
    """

    settings: Settings
    topics: Topics
    open_models: OpenModels
    erase: Erase = erase_nothing
    retention: Retention = unknown_retention
    recall: Recall = nothing_spilled
    silent: Silent = never_silent
    secret: Secret = no_secret
    catch_up: CatchUp = at_the_end
    map: Map = map
    layouts: Layouts = field(default_factory=Layouts)
    cache: ModelCache = field(default_factory=ModelCache)

    @property
    def limits(self) -> Limits:
        settings = self.settings
        return Limits(settings.max_record_bytes, settings.max_features, settings.max_samples)


FIRST = np.zeros(1, dtype=np.int64)
"""The place of a record's only row."""


class Pending(NamedTuple):
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
    answers: list[list[Outgoing]] = field(default_factory=list)
    """What each record of the batch is answered with, beside what ``Normals`` writes."""
    waiting: dict[int, Pending] = field(default_factory=dict)
    """Records that wait for their score, by their place in the batch."""
    models: dict[str, Model] = field(default_factory=dict)
    told: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Verdicts by kind, status and severity."""
    trainings: int = 0
    trained_samples: int = 0
    recalled: dict[ProfileKey, Learning] = field(default_factory=dict)
    rows: dict[str, list[Floats]] = field(default_factory=dict)
    """Samples by kind, for what is counted of the whole batch."""

    @property
    def windows(self) -> bool:
        """Whether there is any maintenance window, or was before the Step."""
        return bool(self.state.suppressions or self.step.suppressions)

    def profile(self, key: ProfileKey) -> Profile | None:
        if key in self.step.profiles:
            return self.step.profiles[key]
        return self.state.profiles.get(key) or self.recalled.get(key)

    def recall(self, keys: Iterable[ProfileKey]) -> None:
        """Have at hand those of some profiles that are not in memory."""
        missing = [key for key in set(keys) if self.profile(key) is None]
        if missing:
            found = self.rules.recall(missing)
            self.recalled |= found
            for _, kind, _ in found:
                self.step.count("recalled", kind)

    def may_train(self, samples: int) -> bool:
        """Count one more training; False where the Step has to end before it."""
        settings = self.rules.settings
        trained = self.trained_samples + samples
        if self.trainings and (
            self.trainings >= settings.trainings_per_step
            or trained > settings.training_samples_per_step
        ):
            return False
        self.trainings += 1
        self.trained_samples = trained
        return True

    def generation(self, key: ProfileKey) -> int | None:
        profile = self.profile(key)
        if isinstance(profile, Active):
            return profile.record.generation
        return profile.ring.generation if isinstance(profile, Learning) else None

    def heard(self, key: ProfileKey) -> bool:
        """Whether the Step learns from a profile, or scores it."""
        row, changes = self.state.profiles.rows.row(key), self.step.changes
        scored = changes is not None and row != NO_ROW and bool((changes.rows == row).any())
        return scored or key in self.step.heard

    def suppression(self, key: ProfileKey) -> Suppression | None:
        delta = self.step.suppressions
        return delta[key] if key in delta else self.state.suppressions.get(key)

    def forgetting(self, key: ProfileKey) -> Forgetting | None:
        delta = self.step.forgettings
        return delta[key] if key in delta else self.state.forgettings.get(key)

    def suppressed(self, key: ProfileKey) -> bool:
        if not self.windows:
            return False
        window = self.suppression(key)
        return window is not None and window.until > self.now
