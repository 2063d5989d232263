"""Comparison: telemetry judged again by the very models that judged it, held against the verdicts.

Pure but for opening models. Records of a profile come in the order of their partition.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from models.artifacts import Model
from processor.backtest.history import VerdictHistory, Versions
from processor.backtest.replay import Replay
from processor.backtest.report import (
    ASIDE,
    ReplayOutcome,
    Report,
    Verdict,
    cause,
    fields_changed,
    only_budget,
)
from processor.records import ConsumerRecord, DeadLetter, ProfileKey, profile_id
from processor.scorer.commands import FOREVER_MS
from processor.scorer.verdicts import verdict_id
from processor.settings import Settings
from processor.state.profiles import ActiveProfile, LearningProfile, Suppression
from schemas import ModelRecord

NO_BEGINNING = "the telemetry that its learning began with is gone"


@dataclass(frozen=True)
class ComparisonPlan:
    """How the replay departs from what happened.

    Attributes:
        fresh: profiles learn again from the telemetry, whatever models there are.
        retrain: they are retrained on the way; only with ``fresh``.
        version: judge by this version, whichever judged then.
    """

    fresh: bool = False
    retrain: bool = False
    version: int | None = None


@dataclass(frozen=True, slots=True)
class ModelInForce:
    """What a verdict was judged by; ``version`` None is a profile that learns, or has no model."""

    generation: int | None
    version: int | None
    suppressed: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record of the batch, with what was said of it."""

    record: ConsumerRecord
    then: Verdict | DeadLetter | None
    key: ProfileKey | None
    counted: bool


class Comparison:
    """Judges the telemetry of one partition of a topic again and compares."""

    def __init__(
        self,
        replay: Replay,
        versions: Versions,
        said: VerdictHistory,
        plan: ComparisonPlan,
        report: Report,
    ) -> None:
        self._replay = replay
        self._settings: Settings = replay.context.settings
        self._kinds = replay.context.topics.kinds()
        self._versions = versions
        self._said = said
        self._plan = plan
        self._report = report
        self._batch: list[Waiting] = []
        self._bases: dict[ProfileKey, ModelInForce | None] = {}
        self._settled: set[tuple[ProfileKey, int]] = set()
        self._aside = ASIDE if plan.version is None else ASIDE | {"model_version"}

    def run(self, records: Iterable[tuple[ConsumerRecord, bool]]) -> Iterator[ReplayOutcome]:
        """The outcomes of records; those marked False are only learnt from, and have none.

        Raises:
            ArtifactUnavailable: the model directory does not answer.
        """
        for record, counted in records:
            for outcome in self._take(record, counted):
                self._report.add(outcome)
                yield outcome
        for outcome in self._flush():
            self._report.add(outcome)
            yield outcome

    def _take(self, record: ConsumerRecord, counted: bool) -> Iterator[ReplayOutcome]:
        then = self._said.of(record.offset)
        name = profile_id(record.key)
        key = (record.partition, self._kinds[record.topic], name) if isinstance(name, str) else None
        waiting = Waiting(record, then, key, counted)
        if key is not None:
            basis = self._basis(then) if isinstance(then, dict) else self._bases.get(key)
            if key in self._bases and (self._plan.retrain or self._bases[key] != basis):
                yield from self._flush()
            if key not in self._bases:
                why = None if basis is None else self._prepare(key, basis, record.offset)
                if why is not None:
                    if counted:
                        yield self._outcome(waiting, None, why)
                    return
                self._bases[key] = basis
        self._batch.append(waiting)
        if len(self._batch) >= self._settings.batch_records:
            yield from self._flush()

    def _basis(self, then: Verdict) -> ModelInForce:
        version = None if self._plan.fresh else then["model_version"]
        return ModelInForce(then["generation"], version, then["suppressed"])

    def _prepare(self, key: ProfileKey, basis: ModelInForce, offset: int) -> str | None:
        """Put the profile where it was when it was judged; why that cannot be, or None."""
        state = self._replay.state
        window = Suppression(FOREVER_MS) if basis.suppressed else None
        state.apply({}, {key: window})
        profile = state.profiles.get(key)
        if basis.version is not None:
            self._settle(profile)
            found = self._version(key, basis.generation, self._plan.version or basis.version)
            if isinstance(found, str):
                return found
            # The points of before are those that were judged then, too.
            goes_on = (
                isinstance(profile, ActiveProfile) and _generation(profile) == found.generation
            )
            online = profile.online if isinstance(profile, ActiveProfile) and goes_on else None
            state.apply({key: ActiveProfile(found, online=online)}, {})
        elif basis.generation in (None, offset):
            state.apply({key: None}, {})
        elif not self._plan.fresh and _generation(profile) != basis.generation:
            state.apply({key: None}, {})
            return NO_BEGINNING
        return None

    def _settle(self, profile: object) -> None:
        """Note whether training version 1 again gave the announced bytes; keep it where needed."""
        trained = self._replay.trained
        if not isinstance(profile, ActiveProfile) or profile.record.sha256 not in trained:
            return
        record = profile.record
        key = (record.partition or 0, record.kind, record.profile_id)
        if (key, record.generation) in self._settled:
            return
        self._settled.add((key, record.generation))
        announced = self._versions.find(key, record.generation, 1)
        if announced is None:
            self._versions.add(key[0], record)
            return
        if (announced.alert_budget, announced.trained_on) == (
            record.alert_budget,
            record.trained_on,
        ):
            self._report.trained["same" if announced.sha256 == record.sha256 else "other"] += 1
        model = trained.pop(record.sha256)
        if announced.sha256 == record.sha256 and not self._opens(announced):
            trained[record.sha256] = model

    def _version(self, key: ProfileKey, generation: int | None, version: int) -> ModelRecord | str:
        found = self._versions.find(key, generation, version)
        if found is None:
            return f"model version {version} is gone: no announcement of it is left"
        if not self._opens(found):
            return f"model version {version} is gone: its artefact is missing or altered"
        return found

    def _opens(self, record: ModelRecord) -> bool:
        return isinstance(self._replay.open([record])[record.sha256], Model)

    def _flush(self) -> Iterator[ReplayOutcome]:
        batch, self._batch, self._bases = self._batch, [], {}
        answers = dict(self._replay.feed([waiting.record for waiting in batch]))
        judged = [(w, answers[verdict_id(w.record)]) for w in batch if w.counted]
        budgets = self._budgets([(w, now) for w, now in judged if only_budget(w.then, now)])
        for waiting, now in judged:
            yield self._outcome(waiting, now, budgets.get(waiting.record.offset, ""))

    def _budgets(self, changed: list[tuple[Waiting, Any]]) -> dict[int, str]:
        """Why records differ that have the same scores: the budget at training is tried out."""
        current = self._settings.alert_budget
        groups: dict[float | None, list[Waiting]] = {}
        for waiting, _ in changed:
            record = self._judged_by(waiting)
            groups.setdefault(None if record is None else record.alert_budget, []).append(waiting)
        found: dict[int, str] = {}
        for budget, group in groups.items():
            answers: Mapping[str, Any] = {}
            if budget is not None and 0 < budget < 0.5:
                tried = self._settings.model_copy(update={"alert_budget": budget})
                answers = dict(self._replay.again([w.record for w in group], tried))
            for waiting in group:
                now = answers.get(verdict_id(waiting.record))
                alike = now is not None and not fields_changed(waiting.then, now, self._aside)
                before = f"{budget:g}" if alike else "another"
                found[waiting.record.offset] = f"alert budget is {current:g} now, {before} then"
        return found

    def _judged_by(self, waiting: Waiting) -> ModelRecord | None:
        """The version that judged a record then, where it is known."""
        then = waiting.then
        if waiting.key is None or not isinstance(then, dict) or then["model_version"] is None:
            return None
        return self._versions.find(waiting.key, then["generation"], then["model_version"])

    def _outcome(
        self, waiting: Waiting, now: Verdict | DeadLetter | None, why: str
    ) -> ReplayOutcome:
        record, then = waiting.record, waiting.then
        name = waiting.key[2] if waiting.key else (record.key or b"").decode("utf-8", "replace")
        place = (verdict_id(record), name, self._kinds[record.topic])
        if now is None:
            return ReplayOutcome(*place, "not compared", then, None, why)
        if isinstance(then, dict):
            if isinstance(now, dict) and not fields_changed(then, now, self._aside):
                return ReplayOutcome(*place, "same", then, now)
            return ReplayOutcome(
                *place, "changed", then, now, why or cause(then, now, self._pair(waiting))
            )
        if then is None:
            return ReplayOutcome(
                *place, "not compared", None, now, self._said.absence(record.offset)
            )
        if isinstance(now, DeadLetter):
            if now.reason == then.reason:
                return ReplayOutcome(*place, "same", then, now)
            return ReplayOutcome(
                *place, "changed", then, now, f"a dead letter: {now.reason} now, {then.reason} then"
            )
        return ReplayOutcome(
            *place, "changed", then, now, f"a dead letter then: {then.reason}, {now['status']} now"
        )

    def _pair(self, waiting: Waiting) -> tuple[ModelRecord | None, ModelRecord | None]:
        """The versions that judged a record then and now, where they are known."""
        profile = None if waiting.key is None else self._replay.state.profiles.get(waiting.key)
        return self._judged_by(waiting), profile.record if isinstance(
            profile, ActiveProfile
        ) else None


def _generation(profile: object) -> int | None:
    if isinstance(profile, ActiveProfile):
        return profile.record.generation
    return profile.ring.generation if isinstance(profile, LearningProfile) else None
