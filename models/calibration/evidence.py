"""Which training samples are evidence of their own, and whether neighbours depend on one another.

Three things make samples say more than they know: a value that was read again before it was
measured again, resemblance of neighbours in time, and a few anomalies of one sort among what is
learnt. Without clear signs of them nothing is changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from models.kernels.fit.dependence import neighbor_correlation

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

SURPRISE = 4.0
"""Deviations beyond chance from which on equal neighbours are one sample that was repeated."""

NEW = 0.9
"""Share of the runs of equal samples that have to differ from all other runs: states, counts and
rounded values come again by themselves."""

RUNS = 10
"""Fewer runs than these may be levels that each lasted for a while."""

IN_A_ROW = 0.9
"""Share of the copies of the commonest sample in one run that shows that it was held."""

FEW = 3
"""So many other samples than the commonest one are needed to tell what normal is."""

MANY = 20
"""Below so many samples the commonest one is never left out."""

INSIDE = (0.2, 0.8)
"""Quantiles of the others between which the commonest sample is one of them."""

POLLUTED = 0.06
"""Share of the samples that may be left out as far out, at most."""

FAR_FROM = 50
"""Below so many samples none is left out as far out: nobody knows how far others will go."""

SOME = 3
"""So many far ones that resemble one another are anomalies of one sort; others are tails."""

FAR = 6.0
"""Robust deviations from which on a sample can be far out; all others lie within."""

DEVIATION = 1.4826
"""Standard deviation of normal values, in medians of how far they lie from their own median."""

GAP = 1.75
"""Samples that are far out lie so many times as far as all others."""

ALIKE = 4.0
"""Far ones resemble one another that lie so many robust deviations apart in each feature, at most:
as normal samples do. The far ends of a heavy tail lie further apart."""

CUT = 2.0
"""Deviations at which values are cut before they are compared with their neighbours."""

DEPENDENT = 0.6
"""Correlation of a sample with the next, the mean over the features, from which on they depend on
one another. People's typing has 0.1 to 0.45: habits change slowly, and calibration allows for it.
"""

RUN = 50
"""Length of the runs of samples in which neighbours are compared."""

WHOLE = 0.98
"""Dependence is not believed beyond this correlation: it would leave no sample at all."""

LARGEST = 1e140
"""Beyond this values count as this: their squares stay finite."""


@dataclass(frozen=True)
class Evidence:
    """What is learnt of samples, and what they are worth.

    Attributes:
        kept: which samples are learnt, shape (n,).
        repeated: how many were left out as copies of others.
        far_out: how many were left out as anomalies.
        worth: how many independent samples each of the others stands for, above 0 to 1.
        vouched: which samples an analyst accepted, shape (n,).
    """

    kept: Mask
    repeated: int
    far_out: int
    worth: float
    vouched: Mask

    def learnt(self) -> NDArray[np.int64]:
        """Positions of what is learnt, in the order of time.

        What an analyst accepted is spread evenly among the others: of its sort any time is as good.
        """
        own, told = np.flatnonzero(self.kept & ~self.vouched), np.flatnonzero(self.vouched)
        times = [(np.arange(some.size) + 0.5) / max(some.size, 1) for some in (own, told)]
        return np.concatenate([own, told])[np.argsort(np.concatenate(times), kind="stable")]

    def of(self, some: NDArray[np.int64]) -> Evidence:
        """The same of samples at these positions."""
        return Evidence(
            self.kept[some], self.repeated, self.far_out, self.worth, self.vouched[some]
        )


def weigh(samples: Floats, originals: int | None = None, vouched: int = 0) -> Evidence:
    """What training samples, shape (n, d) in the order of time, are worth as evidence.

    Args:
        originals: only the first so many say whether neighbours depend on one another, and only
            they can be left out as far out: a model has judged and chosen the others. None: all.
        vouched: the last so many of the originals are what an analyst accepted: all of it is
            learnt, and it says nothing of the others.
    """
    if np.fmax.reduce(np.abs(samples), axis=None) > LARGEST:
        samples = np.clip(samples, -LARGEST, LARGEST)
    end = samples.shape[0] if originals is None else originals
    told = np.zeros(samples.shape[0], dtype=np.bool_)
    told[end - vouched : end] = True
    kept = distinct(samples) | told
    repeated = int((~kept).sum())
    first = np.flatnonzero(kept[: end - vouched])
    away = far_out(samples[first])
    kept[first[away]] = False
    return Evidence(kept, repeated, int(away.sum()), worth(samples[first[~away]]), told)


def distinct(samples: Floats) -> Mask:
    """All samples but repetitions, (n,): runs of equal ones that are longer than by chance.

    A sample that makes more than half of all counts once if it lies among the others, and not at
    all if it does not and nearly all of its copies stand in one run: nothing was measured then.
    With fewer than ``FEW`` others it counts once if such a run is over: of how far normal goes
    nothing is known but how far they lie from it.
    """
    n = samples.shape[0]
    kept = np.ones(n, dtype=np.bool_)
    if n <= FEW:
        return kept
    first = samples[:, 0]
    same = first[1:] == first[:-1]
    if not same.any() and not np.isnan(first).any():
        # As nearly always: a feature that never stays the same is enough to know.
        return kept
    plain = np.nan_to_num(samples, nan=np.inf)
    again = (plain[1:] == plain[:-1]).all(axis=1)
    if not again.any():
        return kept
    _, which, counts = np.unique(plain, axis=0, return_inverse=True, return_counts=True)
    which = which.reshape(-1)
    changes, expected = n - 1 - again.sum(), n - 1 - (counts * (counts - 1)).sum() / n
    rare = changes < expected - SURPRISE * np.sqrt(expected)
    if rare and changes + 1 >= RUNS and counts.size >= NEW * (changes + 1):
        kept[1:] = ~again
    commonest = int(counts.argmax())
    copies = (which == commonest) & kept
    others = kept & (which != commonest)
    if n >= MANY and 2 * counts[commonest] > n and others.any():
        held = _longest(which == commonest) >= IN_A_ROW * counts[commonest]
        if others.sum() < FEW:
            if held and which[-1] != commonest:
                kept[np.flatnonzero(copies)[1:]] = False
            return kept
        among = _among(plain[which == commonest][0], plain[others])
        if held or among:
            kept[np.flatnonzero(copies)[1:]] = False
        if held and not among:
            kept[copies] = False
    return kept


def _longest(said: Mask) -> int:
    """Length of the longest run of what is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], said.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max())


def _among(sample: Floats, others: Floats) -> bool:
    low, high = np.quantile(others, INSIDE, axis=0, method="nearest")
    return bool(((low <= sample) & (sample <= high)).all())


def far_out(samples: Floats, *, alike: bool = True) -> Mask:
    """Samples that are few, resemble one another and lie far beyond all others, (n,).

    Features that more than half of the samples have the same value of are not asked: what is rare
    there is often normal.

    Args:
        alike: only those that resemble one another; others are tails.
    """
    n = samples.shape[0]
    none = np.zeros(n, dtype=np.bool_)
    if n < FAR_FROM:
        return none
    # A row for each feature, as medians are found by sorting.
    columns = np.ascontiguousarray(samples.T)
    ordered = np.sort(columns, axis=1)
    count = n - np.isnan(ordered).sum(axis=1)
    middle = _middles(ordered, count)
    if _within_reach(ordered, count, middle):
        return none
    aside = columns - middle[:, None]
    scale = DEVIATION * _middles(np.sort(np.abs(aside), axis=1), count)
    used = (scale > 0.0) & (count > n // 2)
    if not used.any():
        return none
    z = aside[used] / scale[used, None]
    reach = np.fmax.reduce(np.abs(z), axis=0, initial=0.0)
    order = np.argsort(-reach, kind="stable")[: int(POLLUTED * n) + 1]
    farthest = reach[order]
    gaps = (farthest[1:] < FAR) & (farthest[:-1] >= np.maximum(FAR, GAP * farthest[1:]))
    if not gaps.any():
        return none
    far = order[: int(np.flatnonzero(gaps)[-1]) + 1]
    if not alike:
        none[far] = True
        return none
    if far.size < SOME:
        return none
    told = np.nan_to_num(z[:, far].T)
    apart = np.abs(told[:, None] - told).max(axis=2)
    np.fill_diagonal(apart, np.inf)
    if (apart.min(axis=1) <= ALIKE).all():
        none[far] = True
    return none


def _middles(ordered: Floats, count: NDArray[np.int64]) -> Floats:
    """Median of each row, shape (d,), of ascending values with NaN behind them; NaN of nothing."""
    rows, known = np.arange(ordered.shape[0]), np.maximum(count, 1)
    return np.asarray(0.5 * ordered[rows, (known - 1) // 2] + 0.5 * ordered[rows, known // 2])


def _within_reach(ordered: Floats, count: NDArray[np.int64], middle: Floats) -> bool:
    """Whether surely no value lies ``FAR`` robust deviations away, by the quartiles of each row.

    Less than half of the values lie within the nearer quartile: the median deviation is no less.
    """
    rows, last = np.arange(ordered.shape[0]), np.maximum(count - 1, 0)
    near = np.minimum(middle - ordered[rows, count // 4], ordered[rows, 3 * count // 4] - middle)
    furthest = np.maximum(middle - ordered[:, 0], ordered[rows, last] - middle)
    return bool((furthest < FAR * DEVIATION * near).all())


def worth(samples: Floats) -> float:
    """How many independent samples each stands for, above 0 to 1, by the correlation of neighbours.

    Of the mean of n samples with correlation ρ from one to the next (AR(1)) the variance is that of
    n (1 − ρ) / (1 + ρ) independent ones. ρ is the mean over the features within a run of ``RUN``
    samples, the median over the runs: a level that changes once is no dependence. Below
    ``DEPENDENT`` each sample stands for itself.
    """
    n = samples.shape[0]
    if n < MANY:
        return 1.0
    runs = max(1, n // RUN)
    size = n // runs
    each = np.empty(runs)
    own = np.require(samples[n - runs * size :], np.float64, ["C", "W"])
    neighbor_correlation(own, size, CUT, each)
    told = [rho for rho in each.tolist() if rho == rho]
    if not told:
        return 1.0
    rho = median(told)
    # Without its bias, (1 + 3 ρ) / n (Kendall, 1954).
    rho = min(rho + (1.0 + 3.0 * rho) / size, WHOLE)
    return 1.0 if rho < DEPENDENT else (1.0 - rho) / (1.0 + rho)
