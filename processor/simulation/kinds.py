"""Simulated telemetry by kind: what a profile's normal is, and what can be wrong with a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from processor.simulation import behavior

HOUR_MS: Final = 3_600_000
POINTS: Final = 3
GAP_DAYS, GAP_HOURS = 4, 6
LEVEL_HOURS: Final = 21 * 24
EVENTS: Final = 3
FACTORS: Final = 4
NAMES: Final = (
    "cpu_user", "cpu_system", "cpu_wait", "memory_used", "swap_used", "disk_read", "disk_write",
    "disk_queue", "net_in", "net_out", "packets_in", "packets_out", "connections", "threads",
    "open_files", "temperature", "fan_speed",
)  # fmt: skip


@dataclass(frozen=True)
class Moment:
    """What a record is made for.

    Attributes:
        index: running number of the record in its profile, from 0.
        at: epoch milliseconds.
        drift: how far the profile's normal has moved, in its own standard deviations.
        what: name of the anomaly, or None for a normal record.
    """

    index: int
    at: int
    drift: float
    what: str | None


Make = Callable[[Moment], dict[str, Any]]


@dataclass(frozen=True)
class Simulation:
    """How profiles of one kind are simulated.

    Attributes:
        profile: a new profile out of the population: a function that makes its records.
        anomalies: what can be wrong → ``gross`` or ``subtle``.
        samples: samples of each record.
        profile_id: a running number to a name.
    """

    profile: Callable[[np.random.Generator], Make]
    anomalies: Mapping[str, str]
    samples: int
    profile_id: Callable[[int], str]


def behavior_profile(rng: np.random.Generator) -> Make:
    """A person at a browser."""
    usual = behavior.hand(rng)

    def make(moment: Moment) -> dict[str, Any]:
        used = behavior.changed(behavior.drifted(usual, moment.drift), moment.what, rng)
        return behavior.simulated_window(used, rng, moment.at)

    return make


def series_profile(rng: np.random.Generator) -> Make:
    """A metric with a daily wave, a point an hour, several points a record.

    Some have quiet weekends, some a trend, some a new level every three weeks, and some skip the
    hours of a night now and then; none of these is an anomaly.
    """
    level = rng.uniform(50, 500)
    wave = level * rng.uniform(0.05, 0.2)
    noise = wave * rng.uniform(0.2, 0.5)
    phase = rng.uniform(0, 2 * np.pi)
    sort = rng.choice(("day", "day", "week", "trend", "levels", "gaps"))

    def make(moment: Moment) -> dict[str, Any]:
        hours = moment.index * POINTS + np.arange(POINTS)
        if sort == "gaps":
            hours += GAP_HOURS * (hours // (GAP_DAYS * 24))
        daily = wave * np.sin(2 * np.pi * hours / 24 + phase)
        if sort == "week":
            daily[hours // 24 % 7 >= 5] *= 0.3
        usual = level + daily
        if sort == "trend":
            usual += 0.002 * noise * hours
        elif sort == "levels":
            usual += 2 * noise * (hours // LEVEL_HOURS % 2)
        values = usual + moment.drift * noise + rng.normal(0.0, noise, POINTS)
        away = wave + noise
        if moment.what == "spike":
            values[rng.integers(POINTS)] += 12 * away * rng.choice((-1, 1))
        elif moment.what == "outage":
            values[:] = 0.0 if level > 8 * away else level - 12 * away
        elif moment.what == "bump":
            values[rng.integers(POINTS)] += 2.0 * away
        start = moment.at - moment.at % HOUR_MS
        return {
            "timestamps": (start + HOUR_MS * hours).tolist(),
            "values": [round(value, 4) for value in values.tolist()],
        }

    return make


def drowsiness_profile(rng: np.random.Generator) -> Make:
    """A driver: open eyes and blinks, several events a record."""
    open_ear = rng.uniform(0.27, 0.35)
    blinks = rng.uniform(0.05, 0.15)
    blink_ms = rng.uniform(110, 170)

    def event(moment: Moment) -> dict[str, Any]:
        blink = rng.random() < blinks
        ear = rng.normal(0.11 if blink else open_ear, 0.012) - 0.005 * moment.drift
        lasted = blink_ms * rng.lognormal(0, 0.15) if blink else 1000 * rng.lognormal(0.8, 0.35)
        drowsy = False
        if moment.what == "microsleep":
            ear, lasted, drowsy = rng.uniform(0.02, 0.08), rng.uniform(1500, 4000), True
        elif moment.what == "nodding off":
            ear, drowsy = open_ear * rng.uniform(0.5, 0.6), True
        elif moment.what == "heavy lids":
            ear = open_ear * rng.uniform(0.86, 0.94)
        return {
            "ear_value": round(min(max(float(ear), 0.0), 1.0), 4),
            "is_drowsy": drowsy,
            "duration_ms": round(float(lasted), 1),
        }

    def make(moment: Moment) -> dict[str, Any]:
        return {"events": [event(moment) for _ in range(EVENTS)]}

    return make


def features_profile(rng: np.random.Generator) -> Make:
    """A machine: 17 correlated measurements, a value missing now and then."""
    mean = rng.uniform(20, 200, len(NAMES))
    spread = mean * rng.uniform(0.03, 0.12, len(NAMES))
    loads = rng.normal(0.0, 1.0, (len(NAMES), FACTORS))
    loads *= 0.8 / np.linalg.norm(loads, axis=1, keepdims=True)
    trend = rng.choice((-1.0, 0.0, 1.0), len(NAMES))

    def make(moment: Moment) -> dict[str, Any]:
        common = loads @ rng.normal(0.0, 1.0, FACTORS)
        away = common + rng.normal(0.0, 0.6, len(NAMES)) + moment.drift * trend
        if moment.what == "spike":
            away[rng.choice(len(NAMES), 3, replace=False)] += 14 * rng.choice((-1, 1))
        elif moment.what == "overload":
            away += 8.0
        elif moment.what == "strange mixture":
            away = rng.permutation(away) * 1.2
        values: list[float | None] = [round(v, 4) for v in (mean + spread * away).tolist()]
        if moment.what is None and rng.random() < 0.03:
            values[rng.integers(len(NAMES))] = None
        return {"values": dict(zip(NAMES, values, strict=True))}

    return make


SIMULATIONS: Final[Mapping[str, Simulation]] = {
    "behavior": Simulation(
        behavior_profile, behavior.ANOMALIES, 1, lambda number: f"person-{number:03d}"
    ),
    "series": Simulation(
        series_profile,
        {"spike": "gross", "outage": "gross", "bump": "subtle"},
        POINTS,
        lambda number: f"metric-{number:03d}",
    ),
    "drowsiness": Simulation(
        drowsiness_profile,
        {"microsleep": "gross", "nodding off": "gross", "heavy lids": "subtle"},
        EVENTS,
        lambda number: f"driver-{number:03d}",
    ),
    "features": Simulation(
        features_profile,
        {"spike": "gross", "overload": "gross", "strange mixture": "subtle"},
        1,
        lambda number: f"machine-{number:03d}",
    ),
}
"""Kind → how its profiles are simulated, in the order of the kinds."""
