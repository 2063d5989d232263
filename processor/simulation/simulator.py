"""Simulated profiles of every kind, with drift and with anomalies whose truth is known.

Pure and seeded: the same plan gives the same records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

import numpy as np

from processor.simulation.kinds import SIMULATIONS, Moment

DRIFT_RECORDS: Final = 1000
PERIOD_MS: Final = 15_000


@dataclass(frozen=True)
class Plan:
    """What is simulated.

    Attributes:
        profiles: how many, spread evenly over the kinds.
        kinds: names of the kinds.
        records: of each profile; None goes on for ever.
        anomaly_rate: share of abnormal records once a profile has learnt, 0–1.
        learning: kind → samples at a profile's beginning that stay without anomalies.
        drift: standard deviations by which normal moves over 1000 records.
        seed: of everything random.
        start: epoch milliseconds of the first record; a profile's records are 15 s apart.
    """

    profiles: int
    kinds: tuple[str, ...]
    records: int | None
    anomaly_rate: float
    learning: Mapping[str, int]
    drift: float = 0.5
    seed: int = 0
    start: int = 1_767_225_600_000


@dataclass(frozen=True, slots=True)
class Simulated:
    """A record and the truth about it.

    Attributes:
        index: running number of the record in its profile, from 0.
        value: the telemetry.
        what: what is wrong with it; None if it is normal.
        grade: ``gross`` or ``subtle``; None if it is normal.
    """

    kind: str
    profile_id: str
    index: int
    value: dict[str, Any]
    what: str | None
    grade: str | None

    def truth(self) -> dict[str, Any]:
        """What is known about the record, as plain JSON values."""
        return {
            "kind": self.kind,
            "profile_id": self.profile_id,
            "index": self.index,
            "anomaly": self.what is not None,
            "what": self.what,
            "grade": self.grade,
        }


def simulate(plan: Plan) -> Iterator[Simulated]:
    """The records of all profiles, one of each in turn."""
    profiles = [
        _records(plan, plan.kinds[number % len(plan.kinds)], number)
        for number in range(plan.profiles)
    ]
    for _ in count() if plan.records is None else range(plan.records):
        for profile in profiles:
            yield next(profile)


def _records(plan: Plan, kind: str, number: int) -> Iterator[Simulated]:
    simulation = SIMULATIONS[kind]
    rng = np.random.default_rng([plan.seed, number])
    make = simulation.profile(rng)
    names = list(simulation.anomalies)
    identity = simulation.profile_id(number // len(plan.kinds))
    for index in count():
        learnt = index * simulation.samples >= plan.learning[kind]
        wrong = learnt and rng.random() < plan.anomaly_rate
        what = names[int(rng.integers(len(names)))] if wrong else None
        at = plan.start + index * PERIOD_MS
        drift = plan.drift * index / DRIFT_RECORDS
        value = make(Moment(index, at, drift, what))
        grade = None if what is None else simulation.anomalies[what]
        yield Simulated(kind, identity, index, value, what, grade)
