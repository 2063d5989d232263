"""Topics filled as a scorer and a retrainer would have left them: many profiles in no time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.bed import PARTITIONS, Bed, Record, commit, fill, inputs
from benchmarks.workload import NAMES, feature_value
from models import artifacts
from models.learning.training import train
from models.naming import profile_directory
from processor.state import ring_codec
from processor.state.ring_codec import Slot
from schemas import ModelRecord

KIND = "features"
SAMPLES = 200
TEMPLATES = 256
VALUES = 200
NOW = 1_790_000_000_000
_TWIN = b"twin-00000000"
"""Stands in each template; a number in its place makes an artefact of a digest of its own."""


def begin(bed: Bed) -> None:
    """Commit offsets behind those that the prepared state says it came from."""
    inputs_of = {"scorer": inputs(bed.names), "retrainer": (bed.names.accepted,)}
    padded = (bed.names.telemetry(KIND), bed.names.accepted)
    fill(bed.settings, ((topic, p, b"x", b"x") for topic in padded for p in range(PARTITIONS)))
    for role, topics in inputs_of.items():
        offsets = {(topic, p): int(topic in padded) for topic in topics for p in range(PARTITIONS)}
        commit(bed.settings, f"{bed.settings.application}-{role}", offsets)


def rows(number: int, draw: int, count: int) -> np.ndarray:
    """Samples of a profile, shape (count, 17), by its number; each draw has others.

    Profiles differ as their templates do, so that the retrainer's gate can tell them apart.
    """
    template = np.random.default_rng(number % TEMPLATES)
    centre, spread = template.normal(50, 20, len(NAMES)), template.lognormal(0.5, 0.5, len(NAMES))
    return np.random.default_rng([number % TEMPLATES, draw]).normal(
        centre, spread, (count, len(NAMES))
    )


def values(draw: int) -> list[list[bytes]]:
    """Telemetry of each template, some hundred values."""
    return [
        [feature_value(row) for row in np.round(rows(number, draw, VALUES), 4)]
        for number in range(TEMPLATES)
    ]


def active(bed: Bed, count: int) -> None:
    """Active profiles ``profile-0`` and so on, each with an artefact of its own."""
    fill(bed.settings, _announcements(bed, count))


def _announcements(bed: Bed, count: int) -> Iterator[Record]:
    directory = Path(bed.settings.model_dir)
    for number in range(count):
        partition, profile = number % PARTITIONS, f"profile-{number}"
        template = _template(number % TEMPLATES)
        payload = template.replace(_TWIN, b"twin-%08d" % number)
        digest = hashlib.sha256(payload).hexdigest()
        path = f"{profile_directory(KIND, profile, partition)}/0-{digest[:16]}.joblib"
        # Not synced, unlike the product's: a hundred thousand would take minutes.
        (directory / path).parent.mkdir(parents=True)
        (directory / path).write_bytes(payload)
        record = ModelRecord(
            profile_id=profile,
            kind=KIND,
            partition=partition,
            generation=0,
            version=1,
            detector="blend",
            artifact=path,
            sha256=digest,
            features=list(NAMES),
            trained_on=SAMPLES,
            learned=SAMPLES,
            pool_count=0,
            alert_budget=0.01,
            decision_offset=-0.52,
            trigger="cold-start",
            trained_at=NOW,
            source_offset=0,
        )
        key = f"{KIND}:{profile}".encode()
        yield bed.names.models, partition, key, record.model_dump_json().encode()


@cache
def _template(number: int) -> bytes:
    model = train(
        "blend", rows(number, 0, SAMPLES), NAMES, alert_budget=0.01, seed=number,
        provenance={"trigger": "cold-start", "cold_start": SAMPLES, "twin": _TWIN.decode()},
    )  # fmt: skip
    packed = artifacts.pack(
        model, kind=KIND, profile_id="template", partition=0, generation=0
    ).payload
    if packed.count(_TWIN) != 1:
        raise RuntimeError("the mark of a template does not stand in it once")
    return packed


def learning(bed: Bed, count: int, samples: int, name: str = "profile") -> None:
    """Profiles that have learnt so many samples, from one record each as far as a slot knows."""
    fill(bed.settings, _rings(bed.names.cold_start, count, samples, name))


def pooled(bed: Bed, count: int, samples: int) -> None:
    """Pools of so many accepted samples of the profiles that ``active`` made."""
    fill(bed.settings, _rings(bed.names.pool, count, samples, "profile"))


def _rings(topic: str, count: int, samples: int, name: str) -> Iterator[Record]:
    stored = [
        ring_codec.encode_slot(Slot(0, 0, 0, 0, rows(template, 1, samples), NAMES))
        for template in range(TEMPLATES)
    ]
    for number in range(count):
        slot = stored[number % TEMPLATES]
        key = ring_codec.key(KIND, f"{name}-{number}", 0)
        yield topic, number % PARTITIONS, key, slot


def telemetry(bed: Bed, numbers: Iterator[int], name: str = "profile") -> Iterator[Record]:
    """A record of each of these profiles, in this order."""
    sent, topic = values(2), bed.names.telemetry(KIND)
    for place, number in enumerate(numbers):
        key = f"{name}-{number}".encode()
        yield topic, number % PARTITIONS, key, sent[number % TEMPLATES][place % VALUES]
