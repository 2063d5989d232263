"""Candidates: when a profile is retrained, and how what the gate lets pass is proposed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from models import artifacts
from models.artifacts import GATE, Artifact, Model
from models.features import KINDS
from models.quality import constant_features
from models.retraining import Candidate, detector_name, retrain
from models.training import seed_of
from processor.draft import Rules
from processor.gallery import Gallery
from processor.names import OUTPUT_LIMIT
from processor.pools import Pool
from processor.records import Outgoing, ProfileKey
from processor.step import Step
from schemas import LifecycleEvent, ModelRecord

DAY_MS = 24 * 3600 * 1000


@dataclass
class Known:
    """What the retrainer knows.

    Attributes:
        pools: of the profiles of its partitions.
        announced: the newest announcement of each profile; it may lag behind the batch.
        gone: generation of the announcement that was seen last, of profiles that have none any
            more and whose mark has not come yet.
        gallery: samples of other profiles.
    """

    pools: dict[ProfileKey, Pool] = field(default_factory=dict)
    announced: dict[ProfileKey, ModelRecord] = field(default_factory=dict)
    gone: dict[ProfileKey, int] = field(default_factory=dict)
    gallery: Gallery = field(default_factory=Gallery)


class Training(NamedTuple):
    """A training that is due: on what, with which model in force, and why."""

    key: ProfileKey
    base: ModelRecord
    current: Model
    pool: Pool
    why: str


@dataclass
class Work:
    """A Step while it is being made; lookups see the delta before what was known."""

    known: Known
    rules: Rules
    now: int
    refused: frozenset[ProfileKey]
    step: Step[Pool] = field(default_factory=lambda: Step[Pool]())
    noted: list[Training] = field(default_factory=list)
    caught_up: set[int] = field(default_factory=set)
    """Partitions whose announcements were read to their end in this Step."""

    def pool(self, key: ProfileKey) -> Pool | None:
        delta = self.step.profiles
        return delta[key] if key in delta else self.known.pools.get(key)

    def announced(self, key: ProfileKey, generation: int | None = None) -> ModelRecord | None:
        """The announcement of a profile as ``models`` has it now.

        Args:
            generation: of this one an announcement will do that may be an older version's.

        Raises:
            Unavailable: ``models`` cannot be read to its end now.
        """
        partition, known = key[0], self.known.announced
        base = known.get(key)
        if base is not None and base.generation == generation:
            return base
        if partition not in self.caught_up:
            self.rules.catch_up(partition)
            self.caught_up.add(partition)
        return known.get(key)

    @property
    def full(self) -> bool:
        return len(self.noted) >= self.rules.settings.trainings_per_step


def trigger(work: Work, key: ProfileKey) -> str | None:
    """Why a profile is to be retrained now, or None."""
    pool, base = work.pool(key), work.known.announced.get(key)
    if pool is None or base is None or base.generation != pool.generation:
        return None
    if not pool.ring.slots or pool.ring.names != tuple(base.features):
        return None
    if pool.asked:
        return pool.asked
    settings = work.rules.settings
    fresh = pool.accepted - max(base.pool_count, pool.tried)
    if fresh >= settings.retrain_samples:
        return "samples"
    age = work.now - max(base.trained_at, pool.tried_at)
    return "age" if fresh > 0 and age >= settings.retrain_days * DAY_MS else None


def train_if_due(work: Work, key: ProfileKey) -> None:
    """Where a trigger fires, note a training; ``train_noted`` does it at the end of the Step."""
    why, pool = trigger(work, key), work.pool(key)
    if why is None or pool is None:
        return
    base = work.known.announced[key]
    tried = replace(pool, asked=None, tried=pool.accepted, tried_at=work.now)
    work.step.profiles[key] = tried
    current = work.rules.open_models([base])[base.sha256]
    if key in work.refused or not isinstance(current, Model):
        reason = "the artefact could not be written" if key in work.refused else str(current)
        fail(work, key, base, why, reason)
        return
    work.noted.append(Training(key, base, current, tried, why))


def train_noted(work: Work) -> None:
    """Train and judge what was noted, on all cores, and propose what the gate lets pass.

    A profile that was cleared after its training was noted gets no candidate.
    """
    for training, (candidate, artifact, constant) in zip(
        work.noted, work.rules.map(partial(trained, work), work.noted), strict=True
    ):
        key, base, _, was, why = training
        pool = work.pool(key)
        if pool is None or pool.generation != was.generation:
            continue
        if artifact is not None:
            work.step.profiles[key] = replace(pool, refused=0)
            propose(work, training, candidate, artifact, constant)
            continue
        work.step.profiles[key] = replace(pool, refused=pool.refused + 1)
        work.step.count("trainings", key[1], why, "refused")
        tell(
            work,
            key,
            "refused",
            f"the gate refused a candidate of version {base.version}: {candidate.outcome.why}; "
            f"{pool.refused + 1} in a row",
            generation=base.generation,
            version=base.version,
            figures=dict(candidate.outcome.figures),
        )


def trained(work: Work, training: Training) -> tuple[Candidate, Artifact | None, int]:
    """The candidate, judged, and packed where the gate lets it pass; its constant features.

    Safe in any thread.
    """
    key, base, current, pool, why = training
    partition, kind, profile_id = key
    settings = work.rules.settings
    cold = int(current.provenance["cold_start"])
    pooled = pool.ring.samples()[-settings.pool_samples :]
    version = (base.version or 0) + 1
    candidate = retrain(
        current,
        pooled,
        work.known.gallery.strangers(key, pool.ring.names),
        policy=settings.retrain_policy,
        cold_start=cold,
        alert_budget=settings.alert_budget,
        seed=seed_of(settings.seed, kind, profile_id, base.generation, version),
        detector=settings.detector_for(kind, KINDS[kind].detector),
        provenance={
            "trigger": why,
            "cold_start": cold,
            "pool": int(pooled.shape[0]),
            "base_version": base.version,
            "partition": partition,
            "pool_offset": pool.offset,
        },
    )
    if not candidate.outcome.passed:
        return candidate, None, 0
    provenance = {**candidate.model.provenance, GATE: dict(candidate.outcome.figures)}
    packed = artifacts.pack(
        replace(candidate.model, provenance=provenance),
        kind=kind,
        profile_id=profile_id,
        partition=partition,
        generation=base.generation,
    )
    constant = constant_features(candidate.model.samples, candidate.model.features)
    return candidate, packed, len(constant)


def propose(
    work: Work, training: Training, candidate: Candidate, artifact: Artifact, constant: int
) -> None:
    """Write the candidate, with so many constant features."""
    key, base, _, pool, why = training
    partition, kind, profile_id = key
    model = candidate.model
    record = base.model_copy(
        update={
            "version": None,
            "base_version": base.version,
            "detector": detector_name(model),
            "artifact": artifact.path,
            "sha256": artifact.sha256,
            "trained_on": int(model.provenance["samples"]),
            "pool_count": pool.accepted,
            "alert_budget": work.rules.settings.alert_budget,
            "decision_offset": float(model.detector.offset_),
            "trigger": why,
            "trained_at": work.now,
            "history": [],
            "provenance": dict(model.provenance),
            "figures": dict(candidate.outcome.figures),
        }
    )
    value = record.model_dump_json().encode()
    out = Outgoing(work.rules.topics.candidates, value, profile_id.encode(), partition)
    if out.size > OUTPUT_LIMIT:
        fail(work, key, base, why, f"the candidate's record exceeds {OUTPUT_LIMIT} bytes")
        return
    work.step.artifacts.append((key, artifact))
    work.step.outputs.append(out)
    work.step.count("trainings", kind, why, "proposed")
    work.step.count("constant_features", kind, by=constant)


def fail(work: Work, key: ProfileKey, base: ModelRecord, why: str, reason: str) -> None:
    """Say that a training failed; it is tried again after as many samples as before."""
    work.step.count("trainings", key[1], why, "failed")
    tell(
        work,
        key,
        "training_failed",
        reason,
        generation=base.generation,
        version=base.version,
    )


def tell(
    work: Work,
    key: ProfileKey,
    event: str,
    detail: str,
    *,
    generation: int,
    version: int | None = None,
    command_id: str | None = None,
    figures: Mapping[str, Any] | None = None,
) -> None:
    """Write a lifecycle event on the profile's partition."""
    partition, kind, profile_id = key
    said = LifecycleEvent(
        event=event,
        profile_id=profile_id,
        kind=kind,
        generation=generation,
        version=version,
        command_id=command_id,
        role="retrainer",
        detail=detail,
        figures=None if figures is None else dict(figures),
        at=work.now,
    )
    value = said.model_dump_json().encode()
    topic = work.rules.topics.lifecycle
    work.step.outputs.append(Outgoing(topic, value, profile_id.encode(), partition))
