"""Nineteen kinds of simulated metric, clean and with one of each kind of anomaly planted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from models.evaluation.datasets.tasks import Series

Floats = NDArray[np.float64]
Draw = Callable[[int, Generator], tuple[Floats, Floats]]

START, DAY, STEP = 1_700_000_000.0, 86_400.0, 300.0
ANOMALIES = ("spike", "levelshift", "flat", "shape", "drift", "noise")
RELEARNED = 500


@dataclass(frozen=True)
class Planted:
    """A metric with anomalies: run i of ``series.anomalies`` is one of kind ``kinds[i]``."""

    series: Series
    kinds: tuple[str, ...] = ()


class Drawn(NamedTuple):
    """What kinds are made of: ``n`` points every five minutes, and what may be wanted of them.

    ``noise`` is white, ``phase`` that of the day in radians, ``daily`` a wave of two harmonics.
    """

    n: int
    random: Generator
    times: Floats
    phase: Floats
    daily: Floats
    noise: Floats


def _drawn(n: int, random: Generator, step: float = STEP) -> Drawn:
    times = START + step * np.arange(n, dtype=np.float64)
    phase, daily = _day(times)
    return Drawn(n, random, times, phase, daily, random.normal(size=n))


def _day(times: Floats) -> tuple[Floats, Floats]:
    phase = 2.0 * np.pi * (times % DAY) / DAY
    return phase, np.sin(phase) + 0.4 * np.sin(2.0 * phase + 1.0)


def _regular(values: Callable[[Drawn], Any]) -> Draw:
    """A metric every five minutes."""

    def draw(n: int, random: Generator) -> tuple[Floats, Floats]:
        drawn = _drawn(n, random)
        return drawn.times, np.asarray(values(drawn), dtype=np.float64)

    return draw


def _autoregressive(noise: Floats, factor: float) -> Floats:
    values = np.zeros(noise.size)
    for at in range(1, noise.size):
        values[at] = factor * values[at - 1] + noise[at]
    return values


def _shifted(d: Drawn) -> Floats:
    values = 0.5 * d.noise + 0.5 * d.daily
    for share in (0.4, 0.6, 0.8):
        values[int(d.n * share) :] += 4.0 * d.random.choice([-1, 1])
    return np.asarray(values)


def _weekly(n: int, random: Generator) -> tuple[Floats, Floats]:
    d = _drawn(n, random, 3600.0)
    workday = (d.times // DAY) % 7 < 5
    return d.times, 10.0 + (2.0 + 3.0 * workday) * (np.sin(d.phase) + 1.0) + 0.3 * d.noise


def _gaps(n: int, random: Generator) -> tuple[Floats, Floats]:
    d = _drawn(n, random)
    values = 10.0 + 3.0 * d.daily + 0.3 * d.noise
    kept = random.random(n) > 0.1
    for _ in range(5):
        first = random.integers(0, n - 100)
        kept[first : first + random.integers(20, 100)] = False
    return d.times[kept], values[kept]


def _irregular(n: int, random: Generator) -> tuple[Floats, Floats]:
    noise = random.normal(size=n)
    steps = np.cumsum(random.exponential(STEP, n)).astype(np.int64) + np.arange(n)
    times = START + steps.astype(np.float64)
    return times, 10.0 + 3.0 * _day(times)[1] + 0.3 * noise


def _levels(d: Drawn) -> Any:
    which = np.cumsum(d.random.random(d.n) < 0.02) % 3
    return np.array([0.0, 5.0, 9.0])[which] + 0.2 * d.noise


def _wave(d: Drawn) -> Any:
    turn = 2.0 * np.pi * np.arange(d.n) / 60.0
    return np.sin(turn) + 0.5 * np.sin(3.0 * turn + 1.0) + 0.05 * d.noise


def _uneven(d: Drawn) -> Any:
    return 10.0 + 3.0 * d.daily + (0.15 + 0.5 * (1.0 + np.sin(d.phase + 2.0))) * d.noise


def _intermittent(d: Drawn) -> Any:
    busy = d.random.random(d.n) < 0.08
    return np.where(busy, d.random.gamma(2, 5, d.n).round(), 0.0)


KINDS: dict[str, Draw] = {
    "white": _regular(lambda d: d.noise),
    "heavy": _regular(lambda d: d.random.standard_t(3, size=d.n)),
    "ar": _regular(lambda d: _autoregressive(d.noise, 0.9)),
    "randomwalk": _regular(lambda d: 0.3 * np.cumsum(d.noise)),
    "daily": _regular(lambda d: 10.0 + 3.0 * d.daily + 0.3 * d.noise),
    "weekly": _weekly,
    "trend": _regular(lambda d: 0.003 * np.arange(d.n) + 0.5 * d.noise + 0.5 * d.daily),
    "shift": _regular(_shifted),
    "hetero": _regular(_uneven),
    "counts": _regular(lambda d: d.random.poisson(np.exp(1.0 + 0.8 * d.daily))),
    "lowcounts": _regular(lambda d: d.random.poisson(np.exp(-1.5 + 0.5 * d.daily))),
    "intermittent": _regular(_intermittent),
    "constant": _regular(lambda d: np.full(d.n, 42.0)),
    "mostconst": _regular(lambda d: np.where(d.random.random(d.n) < 0.01, 6.0, 5.0)),
    "multimodal": _regular(_levels),
    "gaps": _gaps,
    "irregular": _irregular,
    "lognormal": _regular(
        lambda d: 100.0 * np.exp(_autoregressive(0.5 * d.noise, 0.8) + 0.7 * d.daily)
    ),
    "wave": _regular(_wave),
}
"""Name of a kind → size and generator to times, seconds, and values."""


def make_series(
    *, seed: int = 0, size: int = 3000, learned: int = 750, copies: int = 3
) -> tuple[list[Planted], list[Planted]]:
    """Clean metrics of every kind, and the same with anomalies.

    Args:
        seed: of all that is drawn.
        size: points, those learnt included; kinds with gaps have fewer.
        learned: points before the first that is judged.
        copies: metrics of each kind.
    """
    clean, dirty = [], []
    for number, (kind, draw) in enumerate(KINDS.items()):
        for copy in range(copies):
            random = np.random.default_rng([seed, number, copy])
            times, values = draw(size, random)
            clean.append(Planted(_series(kind, values, times, learned, ())))
            planted, runs, kinds = plant(values, random, learned)
            dirty.append(Planted(_series(kind, planted, times, learned, runs), kinds))
    return clean, dirty


def _series(
    kind: str, values: Floats, times: Floats, learned: int, runs: tuple[tuple[int, int], ...]
) -> Series:
    seconds = np.asarray(times, dtype=np.float64)
    return Series("synthetic", kind, values, learned, runs, RELEARNED, seconds)


def plant(
    values: Floats, random: Generator, learned: int
) -> tuple[Floats, tuple[tuple[int, int], ...], tuple[str, ...]]:
    """One anomaly of each kind behind the learnt points, far apart, sized by the local noise.

    A spike has ten deviations of the noise, noise four times as much; a level shift and a drift
    are at least as large as the learnt values vary.
    """
    planted, runs, kinds = values.copy(), [], []
    steps = np.diff(values)
    noise = 1.4826 * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2.0)
    if noise == 0.0:
        noise = steps.std() / np.sqrt(2.0) or 1.0
    spread = values[:learned].std() or 1.0
    slots = np.linspace(learned + 150, values.size - 250, len(ANOMALIES)).astype(int)
    for kind, slot in zip(random.permutation(ANOMALIES), slots, strict=True):
        first = int(slot + random.integers(0, 60))
        sign = random.choice([-1, 1])
        length = {"spike": 1, "flat": 60, "drift": 80}.get(str(kind), 40)
        run = planted[first : first + length]
        if kind == "spike":
            run += sign * 10.0 * noise
        elif kind == "levelshift":
            run += sign * max(5.0 * noise, spread)
        elif kind == "flat":
            run[:] = run[0]
        elif kind == "shape":
            run[:] = run[::-1].copy()
        elif kind == "drift":
            run += sign * np.linspace(0.0, max(6.0 * noise, 1.5 * spread), run.size)
        else:
            run += 4.0 * noise * random.normal(size=run.size)
        runs.append((first, first + run.size))
        kinds.append(str(kind))
    return planted, tuple(runs), tuple(kinds)
