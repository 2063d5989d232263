"""The scorer that payloads are fed to: profiles of all kinds, some that learn, some with models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from models.artifacts import Model, unpack
from models.errors import ArtifactError
from processor.columnar.fast_path import FastPath
from processor.records import ConsumerRecord, ProducerRecord
from processor.scorer import pipeline as scorer
from processor.scorer.step_builder import ScorerContext
from processor.settings import Settings
from processor.state.profiles import ActiveProfile, Profiles, State, Suppression
from processor.stream.step import Step
from schemas import ModelRecord
from tests.fuzz.corpus import Source
from tests.fuzz.payloads import NOW, PARTITION, TOPICS

COLD_START = 30
"""Samples before the first training, so that trainings happen in the midst of the fuzzing."""

SUPPRESSED = "new-0"
"""A profile in a maintenance window, in every kind."""


class Stage:
    """A scorer without a broker whose every batch begins in the same state."""

    def __init__(
        self, sources: Mapping[str, Sequence[Source]], fast_path: FastPath | None = None
    ) -> None:
        self.context = ScorerContext(
            Settings(_env_file=None, cold_start_samples=COLD_START),
            TOPICS,
            self._open,
            fast_path=fast_path or FastPath(),
        )
        self._models: dict[str, Model] = {}
        self._begin = State()
        self._now = State()
        for kind, of_kind in sources.items():
            self._teach(kind, of_kind)
        self._begin, self._taught = self._now, dict(self._models)

    def feed(self, batch: Sequence[ConsumerRecord]) -> list[ProducerRecord]:
        """Commit the Steps of a batch on the state that all batches begin with; what they wrote."""
        self._now = State(
            Profiles(self._begin.profiles),
            self._begin.suppressions,
            counts=self._begin.counts.copy(),
            learning=self._begin.learning.copy(),
        )
        self._models = dict(self._taught)
        return self._run(batch)

    @property
    def state(self) -> State:
        """The state after the last batch."""
        return self._now

    def lose(self, profile_id: str) -> None:
        """Have the models of a profile lost for the batches to come."""
        for profile in self._begin.profiles.values():
            if isinstance(profile, ActiveProfile) and profile.record.profile_id == profile_id:
                self._taught.pop(profile.record.sha256, None)

    def trained(self) -> int:
        """Models that the last batch has brought."""
        return len(self._models) - len(self._taught)

    def _run(self, batch: Sequence[ConsumerRecord]) -> list[ProducerRecord]:
        written: list[ProducerRecord] = []
        while batch:
            step = scorer.compute(self._now, batch, NOW, self.context)
            self._keep(step)
            self._now.apply(
                step.delta.profiles,
                step.delta.suppressions,
                step.delta.forgettings,
                step.delta.drift_updates,
            )
            written += step.outputs
            batch = step.unprocessed
        return written

    def _keep(self, step: Step[object]) -> None:
        for _, artifact in step.artifacts:
            self._models[artifact.sha256] = unpack(artifact.payload, artifact.sha256)

    def _open(self, records: Iterable[ModelRecord]) -> Mapping[str, Model | ArtifactError]:
        lost = ArtifactError("not there")
        return {record.sha256: self._models.get(record.sha256, lost) for record in records}

    def _teach(self, kind: str, of_kind: Sequence[Source]) -> None:
        for source in of_kind:
            for name, lessons in (
                (f"{source.name}-active", source.lessons),
                (f"{source.name}-learning", source.lessons[:3]),
            ):
                self._run([lesson(kind, name, n, value) for n, value in enumerate(lessons)])
        window = Suppression(NOW + 1, "fuzzing")
        self._now.apply({}, {(PARTITION, kind, SUPPRESSED): window})


def lesson(kind: str, name: str, offset: int, value: bytes) -> ConsumerRecord:
    return ConsumerRecord(TOPICS.telemetry(kind), PARTITION, offset, name.encode(), value, (), NOW)
