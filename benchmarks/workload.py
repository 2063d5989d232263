"""What the benchmarks send: telemetry of trained profiles, and the peers' models of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import orjson
import sklearn.ensemble

from benchmarks.bed import Record
from benchmarks.peers.behavior import Window
from benchmarks.peers.behavior import extract as peer_extract
from benchmarks.peers.loop import LESSONS
from processor.simulation.kinds import SIMULATIONS, Moment
from processor.simulation.simulator import PERIOD_MS

NAMES = tuple(f"feature_{number:02d}" for number in range(17))
TREES = 100
START = 1_790_000_000_000
WINDOW_BYTES = range(4_600, 5_401)
LOOKED_AT = 8


@dataclass(frozen=True)
class Workload:
    """Telemetry of one kind.

    Attributes:
        learning: the values that each profile learns from, in their order.
        later: the values that come afterwards, again and again.
    """

    kind: str
    learning: dict[str, list[bytes]]
    later: dict[str, list[bytes]]

    @property
    def samples(self) -> int:
        """Records that each profile learns from."""
        return len(next(iter(self.learning.values())))

    @property
    def record_bytes(self) -> float:
        """Mean size of a value."""
        return float(np.mean([len(value) for held in self.later.values() for value in held]))

    def lessons(self, topic: str, partitions: int) -> Iterator[Record]:
        """What is learnt from, one record of each profile in turn."""
        for number in range(self.samples):
            for place, (profile, values) in enumerate(self.learning.items()):
                yield topic, place % partitions, profile.encode(), values[number]

    def backlog(self, topic: str, partitions: int, count: int) -> Iterator[Record]:
        """So many records, of profiles chosen at random."""
        rng = np.random.default_rng(0)
        pools = [
            (place % partitions, profile.encode(), itertools.cycle(values))
            for place, (profile, values) in enumerate(self.later.items())
        ]
        for chosen in rng.integers(len(pools), size=count).tolist():
            partition, key, values = pools[chosen]
            yield topic, partition, key, next(values)

    def fit_peers(self, directory: Path, most: int) -> None:
        """scikit-learn's forests on what the profiles learn from, ``<profile>.joblib`` each; of
        metrics also the points themselves, for peers that learn by themselves.

        Beyond so many forests, which take their time, profiles get the same again.
        """
        directory.mkdir()
        if self.kind == "series":
            lessons = {
                profile: [point for value in values for point in vector(self.kind, value)]
                for profile, values in self.learning.items()
            }
            (directory / LESSONS).write_bytes(orjson.dumps(lessons))
        for number, (profile, values) in enumerate(self.learning.items()):
            if number >= most:
                twin = directory / f"{list(self.learning)[number % most]}.joblib"
                (directory / f"{profile}.joblib").write_bytes(twin.read_bytes())
                continue
            rows = np.array([vector(self.kind, value) for value in values])
            forest = sklearn.ensemble.IsolationForest(n_estimators=TREES, random_state=0)
            joblib.dump(forest.fit(rows), directory / f"{profile}.joblib")


def vector(kind: str, value: bytes) -> list[float]:
    if kind == "behavior":
        return peer_extract(Window.model_validate_json(value))
    values = orjson.loads(value)["values"]
    return list(values.values()) if isinstance(values, dict) else values


def features(profiles: int, samples: int = 200, later: int = 50) -> Workload:
    """``features`` of 17 values, each profile about a centre of its own; about 330 bytes."""
    rng = np.random.default_rng(1)
    learning, following = {}, {}
    for number in range(profiles):
        centre, spread = rng.normal(50, 20, len(NAMES)), rng.lognormal(0.5, 0.5, len(NAMES))
        rows = np.round(rng.normal(centre, spread, (samples + later, len(NAMES))), 4)
        values = [feature_value(row) for row in rows]
        learning[f"profile-{number}"] = values[:samples]
        following[f"profile-{number}"] = values[samples:]
    return Workload("features", learning, following)


def feature_value(row: np.ndarray) -> bytes:
    """One record's value."""
    return orjson.dumps({"values": dict(zip(NAMES, row.tolist(), strict=True))})


def series(profiles: int, samples: int = 200, later: int = 1500) -> Workload:
    """Metrics with a daily wave, a point every five minutes, one in each record."""
    rng = np.random.default_rng(1)
    learning, following = {}, {}
    for number in range(profiles):
        at = np.arange(samples + later)
        points = rng.uniform(50, 500) * (1 + 0.1 * np.sin(at / 46.0 + rng.uniform(0, 6)))
        points = np.round(points + rng.normal(0, 1, at.size), 3).tolist()
        times = (START + 300_000 * at).tolist()
        values = [
            orjson.dumps({"timestamps": [time], "values": [point]})
            for time, point in zip(times, points, strict=True)
        ]
        learning[f"metric-{number}"] = values[:samples]
        following[f"metric-{number}"] = values[samples:]
    return Workload("series", learning, following)


def behavior(profiles: int, samples: int = 200, later: int = 20) -> Workload:
    """Simulated windows of browser interaction, of profiles whose windows are about 5 KB."""
    simulation = SIMULATIONS["behavior"]
    learning, following = {}, {}
    for number in itertools.count():
        make = simulation.profile(np.random.default_rng(number))
        moments = (Moment(n, START + n * PERIOD_MS, 0.0, None) for n in itertools.count())
        windows = (orjson.dumps(make(moment)) for moment in moments)
        first = list(itertools.islice(windows, LOOKED_AT))
        if len(b"".join(first)) // LOOKED_AT not in WINDOW_BYTES:
            continue
        values = first + list(itertools.islice(windows, samples + later - LOOKED_AT))
        learning[f"person-{number}"] = values[:samples]
        following[f"person-{number}"] = values[samples:]
        if len(learning) == profiles:
            break
    return Workload("behavior", learning, following)
