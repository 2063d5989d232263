"""Builders for tests without a broker: records, contexts, and roles."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import structlog

from models import artifacts
from models.artifacts import Model, unpack
from models.errors import ArtifactError
from models.learning.training import train
from models.naming import generation_of
from processor.artifacts import proof
from processor.records import ConsumerRecord, ProducerRecord, ProfileKey
from processor.retrainer import pipeline as retrainer
from processor.retrainer.pool import Pool, PoolDelta
from processor.retrainer.step_builder import RetrainerState
from processor.scorer import pipeline as scorer
from processor.scorer.restore import Restored
from processor.scorer.step_builder import ScorerContext
from processor.settings import Settings
from processor.state.expiry import ProfileTtl
from processor.state.profiles import Delta, Profile, State
from processor.stream.step import Step
from processor.topics import Topics
from schemas import AcceptedSample, LifecycleEvent, ModelRecord, Verdict

NOW = 1_700_000_000_000
TOPICS = Topics()
NOWHERE = Path("does-not-exist")
SECRET = b"s" * proof.BYTES
"""What both roles of these tests share."""


def settings(**wanted: Any) -> Settings:
    """Settings with small cold starts, whatever the environment's ``.env`` says."""
    chosen = {"cold_start_samples": 5, "detector": "gaussian"} | wanted
    return Settings(_env_file=None, **chosen)


@dataclass
class Memory:
    """Artefacts in memory, as the model directory holds them: their bytes, by digest."""

    payloads: dict[str, bytes] = field(default_factory=dict)
    opened: dict[str, Model] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)

    def keep(self, step: Step[Any]) -> None:
        for _, artifact in step.artifacts:
            self.payloads[artifact.sha256] = artifact.payload
            self.paths[artifact.sha256] = artifact.path

    def lose(self, sha256: str) -> None:
        del self.payloads[sha256]
        self.paths.pop(sha256, None)
        self.opened.pop(sha256, None)

    def erase(self, directory: str, generation: int) -> list[str]:
        """Delete what a directory holds of a generation and those before it."""
        chosen = [
            (digest, path)
            for digest, path in self.paths.items()
            if path.rpartition("/")[0] == directory
            and generation_of(path.rpartition("/")[2]) <= generation
        ]
        for digest, _ in chosen:
            self.lose(digest)
        return sorted(path.rpartition("/")[2] for _, path in chosen)

    def open(self, records: Iterable[ModelRecord]) -> Mapping[str, Model | ArtifactError]:
        found: dict[str, Model | ArtifactError] = {}
        for record in records:
            if record.sha256 in self.opened:
                found[record.sha256] = self.opened[record.sha256]
            elif record.sha256 in self.payloads:
                model = unpack(self.payloads[record.sha256], record.sha256)
                found[record.sha256] = self.opened[record.sha256] = model
            else:
                found[record.sha256] = ArtifactError(f"{record.artifact}: not there")
        return found


def context(memory: Memory | None = None, **wanted: Any) -> ScorerContext:
    held = memory or Memory()
    return ScorerContext(settings(**wanted), TOPICS, held.open, held.erase, secret=lambda: SECRET)


def record(
    value: Any,
    *,
    kind: str = "features",
    topic: str | None = None,
    key: str | bytes | None = "p",
    partition: int = 0,
    offset: int = 0,
    timestamp: int = NOW,
    headers: tuple[tuple[str, bytes | None], ...] = (),
) -> ConsumerRecord:
    """A telemetry record; bytes and None are taken as they are, all else becomes JSON."""
    raw = value if value is None or isinstance(value, bytes) else orjson.dumps(value)
    name = key.encode() if isinstance(key, str) else key
    return ConsumerRecord(
        topic or TOPICS.telemetry(kind), partition, offset, name, raw, headers, timestamp
    )


def vector(*values: float | None) -> dict[str, Any]:
    """A ``features`` value with the names a, b, c, …"""
    return {"values": {chr(97 + i): value for i, value in enumerate(values)}}


def normal(count: int, *, seed: int = 0, width: int = 3) -> list[dict[str, Any]]:
    """Ordinary ``features`` values."""
    drawn = np.random.default_rng(seed).normal(10.0, 1.0, (count, width))
    return [vector(*row.tolist()) for row in drawn]


GROSS = vector(1000.0, -1000.0, 1000.0)


def stream(values: Iterable[Any], *, first: int = 0, **wanted: Any) -> list[ConsumerRecord]:
    """Telemetry records of one profile with running offsets."""
    return [record(value, offset=first + i, **wanted) for i, value in enumerate(values)]


def command(name: str, *, profile: str = "p", partition: int = 0, offset: int = 0, **more: Any):
    said = {"command_id": f"c-{name}", "command": name, "profile_id": profile, "issued_at": NOW}
    return record(
        said | more, topic=TOPICS.commands, key=profile, partition=partition, offset=offset
    )


def of(step: Step[Any] | Sequence[ProducerRecord], topic: str) -> list[ProducerRecord]:
    outputs = step.outputs if isinstance(step, Step) else step
    return [out for out in outputs if out.topic == topic]


def parsed(outputs: Sequence[ProducerRecord]) -> list[Any]:
    return [orjson.loads(out.value) for out in outputs if out.value is not None]


def verdicts(step: Step[Any] | Sequence[ProducerRecord]) -> list[Verdict]:
    """The verdicts of a Step; each is checked against its schema."""
    return [Verdict.model_validate(said) for said in parsed(of(step, TOPICS.anomalies))]


def accepted(step: Step[Any] | Sequence[ProducerRecord]) -> list[AcceptedSample]:
    said = parsed(of(step, TOPICS.accepted))
    return [AcceptedSample.model_validate(item) for item in said if "mark" not in item]


def announced(step: Step[Any] | Sequence[ProducerRecord]) -> list[ModelRecord]:
    return [ModelRecord.model_validate(said) for said in parsed(of(step, TOPICS.models))]


def events(step: Step[Any] | Sequence[ProducerRecord]) -> list[LifecycleEvent]:
    return [LifecycleEvent.model_validate(said) for said in parsed(of(step, TOPICS.lifecycle))]


def reasons(step: Step[Any] | Sequence[ProducerRecord]) -> list[str]:
    """The reasons of the dead letters, in order."""
    letters = of(step, TOPICS.dead_letter)
    return [dict(letter.headers or ())["telltale.reason"].decode() for letter in letters]


def mutated(value: Any, tokens: Sequence[bytes], draw: random.Random) -> bytes:
    """The JSON of a value with one to three changes: bytes, or tokens instead of values."""
    raw = bytearray(orjson.dumps(value))
    for _ in range(draw.choice([1, 1, 2, 3])):
        at = draw.randrange(len(raw))
        how = draw.random()
        if how < 0.2:
            raw[at] = draw.randrange(256)
        elif how < 0.35:
            del raw[at : at + draw.choice([1, 1, 2, 5])]
        elif how < 0.6:
            raw[at:at] = draw.choice(tokens)
        else:
            begin = raw.find(b":", at) + 1
            end = begin
            while end < len(raw) and raw[end : end + 1] not in (b",", b"}", b"]"):
                end += 1
            raw[begin:end] = draw.choice(tokens)
    return bytes(raw)


class Scorer:
    """A scorer without a broker: its Steps are committed to a list."""

    def __init__(self, **wanted: Any) -> None:
        self.memory = Memory()
        self.context = context(self.memory, **wanted)
        self.state = State()
        self.outputs: list[ProducerRecord] = []

    def step(
        self, batch: Sequence[ConsumerRecord], now: int = NOW, refused: Iterable[ProfileKey] = ()
    ) -> Step[Delta]:
        """The Step of a batch, dropped."""
        return scorer.compute(self.state, batch, now, self.context, frozenset(refused))

    def feed(
        self, batch: Sequence[ConsumerRecord], now: int = NOW, refused: Iterable[ProfileKey] = ()
    ) -> list[ProducerRecord]:
        """Commit the Steps of a batch to its end; what they wrote."""
        written: list[ProducerRecord] = []
        while batch:
            step = self.step(batch, now, refused)
            self.memory.keep(step)
            self.commit(step)
            written += step.outputs
            batch = step.unprocessed
        self.outputs += written
        return written

    def commit(self, step: Step[Delta]) -> None:
        """Take over what a Step changes."""
        self.state.apply(
            step.delta.profiles,
            step.delta.suppressions,
            step.delta.forgettings,
            step.delta.drift_updates,
            step.delta.shifts,
            step.delta.names,
        )

    def changed(self, step: Step[Delta]) -> dict[ProfileKey, Profile | None]:
        """The profiles that a Step changes, as they are behind it."""
        found, profiles = dict(step.delta.profiles), self.state.profiles
        if step.delta.drift_updates is not None:
            before = profiles.rows.changes(step.delta.drift_updates.rows)
            profiles.rows.put(step.delta.drift_updates)
            found |= {key: profiles[key] for key in profiles.rows.of(step.delta.drift_updates)}
            profiles.rows.put(before)
        return {key: then for key, then in found.items() if then != self.state.profiles.get(key)}

    def heard(self, step: Step[Delta]) -> set[ProfileKey]:
        """The profiles that a Step learnt from, or scored."""
        scored = (
            ()
            if step.delta.drift_updates is None
            else self.state.profiles.rows.of(step.delta.drift_updates)
        )
        return {*step.delta.touched_profiles, *scored}

    def current(self, key: ProfileKey) -> ModelRecord:
        profile = self.state.profiles.get(key)
        assert profile is not None
        return profile.record

    def taught(self, *, profile: str = "p", partition: int = 0, first: int = 0) -> ModelRecord:
        """Have a ``features`` profile learn; its announcement."""
        needed = self.context.settings.cold_start("features")
        batch = stream(normal(needed), key=profile, partition=partition, first=first)
        return announced(self.feed(batch))[-1]


class Retrainer:
    """A retrainer without a broker, beside a scorer whose artefacts it shares."""

    def __init__(self, memory: Memory, **wanted: Any) -> None:
        self.memory = memory
        self.context = replace(context(memory, **wanted), catch_up=self._catch_up)
        self.known = RetrainerState()
        self.ahead: list[ModelRecord | tuple[ProfileKey, None]] = []
        """What ``models`` has, and the retrainer has not read."""
        self.caught_up = 0

    def _catch_up(self, _partition: int) -> None:
        self.caught_up += 1
        for record in self.ahead:
            if isinstance(record, ModelRecord):
                self.know(record)
            else:
                self.lose(record[0])
        self.ahead = []

    def lose(self, key: ProfileKey) -> None:
        """Read a tombstone of ``models``."""
        self.known.gone[key] = self.announced.pop(key).generation

    @property
    def pools(self) -> dict[ProfileKey, Pool]:
        return self.known.pools

    @property
    def announced(self) -> dict[ProfileKey, ModelRecord]:
        return self.known.announced

    def know(self, record: ModelRecord) -> None:
        self.announced[record.partition or 0, record.kind, record.profile_id] = record

    def step(
        self, batch: Sequence[ConsumerRecord], now: int = NOW, refused: Iterable[ProfileKey] = ()
    ) -> Step[PoolDelta]:
        return retrainer.compute(self.known, batch, now, self.context, frozenset(refused))

    def apply(self, step: Step[PoolDelta]) -> Step[PoolDelta]:
        self.memory.keep(step)
        for key, pool in step.delta.items():
            if pool is None:
                self.pools.pop(key, None)
                self.known.gone.pop(key, None)
            else:
                self.pools[key] = pool
        return step

    def feed(self, batch: Sequence[ConsumerRecord], now: int = NOW) -> list[ProducerRecord]:
        written: list[ProducerRecord] = []
        while batch:
            step = self.apply(self.step(batch, now))
            written += step.outputs
            batch = step.unprocessed
        return written


def consumed(
    outputs: Sequence[ProducerRecord], topic: str, *, first: int = 0
) -> list[ConsumerRecord]:
    """What was written to a topic, as a reader of it polls it."""
    return [
        ConsumerRecord(
            out.topic,
            out.partition,
            first + i,
            out.key,
            out.value,
            tuple(out.headers or ()),
            out.timestamp,
        )
        for i, out in enumerate(of(outputs, topic))
    ]


def proposed(
    scorer: Scorer, *, around: float = 10.0, offset: int = 0, **changed: Any
) -> ConsumerRecord:
    """A candidate for profile p, its artefact written, trained on samples near a value."""
    base = scorer.current((0, "features", "p"))
    samples = np.random.default_rng(int(around)).normal(around, 1.0, (30, 3))
    samples += (base.version or 0) * 1e-3
    model = train(
        "gaussian",
        samples,
        tuple(base.features),
        alert_budget=0.01,
        seed=0,
        provenance={"cold_start": 5, "pool": 25},
    )
    artifact = artifacts.pack(
        model, kind="features", profile_id="p", partition=0, generation=base.generation
    )
    scorer.memory.keep(Step(None, artifacts=[((0, "features", "p"), artifact)]))
    candidate = base.model_copy(
        update={
            "version": None,
            "base_version": base.version,
            "artifact": artifact.path,
            "sha256": artifact.sha256,
            "trained_on": 30,
            "pool_count": 25,
            "trigger": "samples",
            "trained_at": NOW + 7,
            "history": [],
            "figures": {"gate": 1},
        }
        | changed
    )
    value = candidate.model_dump_json().encode()
    return record(value, topic=TOPICS.candidates, key="p", offset=offset)


def restarted(scorer: Scorer) -> Scorer:
    """The scorer that another process restores from what this one wrote."""
    again = Scorer()
    again.memory, again.context = scorer.memory, scorer.context
    restored = Restored(scorer.context.settings, TOPICS, structlog.get_logger())
    for topic in (TOPICS.models, TOPICS.cold_start, TOPICS.profiles):
        for each in consumed(scorer.outputs, topic):
            restored.load(each)
    again.state = State()
    restored.into(again.state, ProfileTtl(0), lambda: None, [0])
    again.outputs = list(scorer.outputs)
    return again
