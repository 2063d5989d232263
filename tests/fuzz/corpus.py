"""Valid telemetry to start from: simulated profiles, and real recordings where they are at hand."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from models.features import KINDS
from processor.simulation.simulator import Plan, simulate

RECORDINGS = {
    "behavior": ("behavior_aalto", "behavior_balabit"),
    "series": ("series_nab",),
    "drowsiness": ("drowsiness_ear",),
    "features": ("features_cmu",),
}
LESSONS = 40
"""Records of each profile that its model learns from."""

SEEDS = 60
"""Further records of each profile, which the payloads are made of."""

LARGEST_SEED = 40_000


@dataclass(frozen=True)
class Source:
    """One profile's valid records, as JSON.

    Attributes:
        name: where they come from: ``simulated``, or the name of a recording.
        lessons: what its model learns from.
        seeds: what payloads are made of.
    """

    kind: str
    name: str
    lessons: tuple[bytes, ...]
    seeds: tuple[bytes, ...]


def sources(recordings: Path | None) -> dict[str, list[Source]]:
    """Kind → its sources, the simulated one first.

    Args:
        recordings: folder of the recordings, or None for simulated telemetry alone.
    """
    found = {kind: [simulated(kind)] for kind in KINDS}
    if recordings is not None:
        for kind, names in RECORDINGS.items():
            found[kind] += [recorded(kind, name, recordings) for name in names]
    return found


def simulated(kind: str) -> Source:
    plan = Plan(
        profiles=1,
        kinds=(kind,),
        records=LESSONS + SEEDS,
        anomaly_rate=0.2,
        learning={kind: LESSONS * 5},
        seed=7,
    )
    made = [orjson.dumps(item.value) for item in simulate(plan)]
    return Source(kind, "simulated", tuple(made[:LESSONS]), tuple(made[LESSONS:]))


def recorded(kind: str, name: str, recordings: Path) -> Source:
    """The first records of a recording that are not too large to be made by the thousand.

    Raises:
        OSError: it is not there.
    """
    made: list[bytes] = []
    for value in _values(recordings / "telemetry" / f"{name}.jsonl.gz"):
        if len(value) <= LARGEST_SEED:
            made.append(value)
        if len(made) == LESSONS + SEEDS:
            break
    return Source(kind, name, tuple(made[:LESSONS]), tuple(made[LESSONS:]))


def _values(path: Path) -> Iterator[bytes]:
    with gzip.open(path) as lines:
        for line in lines:
            yield orjson.dumps(orjson.loads(line)["value"])
