"""Shapley values of one sample: how much each feature moved f from its mean over a background.

Source: Štrumbelj, Kononenko, 2014 (by permutations); antithetic pairs: Mitchell, Cooper, Frank,
Holmes, 2022. Up to ``EXACT`` present features all coalitions are asked instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Function = Callable[[Floats], Floats]
"""Rows (n, d) → abnormality (n,), the higher, the more abnormal."""

MOST_BACKGROUND = 100
MOST_PERMUTATIONS = 512
TOLERANCE = 0.01
"""Of f(x) − E f: sampling ends when no value's standard error is above."""

EXACT = 6
ROWS = 20_000
"""Rows that are asked of f at a time."""


class NothingToExplain(ValueError):
    """Why a sample cannot be explained: one sentence."""


@dataclass(frozen=True)
class Shapley:
    """Values of one sample.

    Attributes:
        values: shape (d,); their sum is ``value`` − ``base_value``; 0 for absent features.
        base_value: mean of f over the background.
        value: f of the sample.
        errors: shape (d,), standard errors of the values; 0 where they are exact.
        permutations: that were walked; 0 if all coalitions were asked.
        background: samples of it.
    """

    values: Floats
    base_value: float
    value: float
    errors: Floats
    permutations: int
    background: int


def shapley(f: Function, x: Floats, background: Floats, generator: np.random.Generator) -> Shapley:
    """Shapley values of ``x`` against a background, the features absent from it left absent.

    Args:
        x: shape (d,), NaN where absent.
        background: shape (m, d), the model's own training samples; at most 100 are used.

    Raises:
        NothingToExplain: ``x`` holds no feature, or no background sample can be scored without
            the features that ``x`` lacks.

    Example:
        >>> f = lambda rows: rows @ np.array([2.0, 1.0, 0.0])
        >>> found = shapley(f, np.ones(3), np.zeros((3, 3)), np.random.default_rng(0))
        >>> found.values.round(9).tolist()
        [2.0, 1.0, 0.0]
    """
    present = np.flatnonzero(~np.isnan(x))
    if not present.size:
        raise NothingToExplain("the sample holds no feature to explain")
    if background.shape[0] > MOST_BACKGROUND:
        chosen = generator.choice(background.shape[0], MOST_BACKGROUND, replace=False)
        background = background[np.sort(chosen)]
    others = np.full((background.shape[0], x.size), np.nan)
    others[:, present] = background[:, present]
    known = ~np.isnan(others).all(axis=1)
    ends = np.full(others.shape[0], np.nan)
    if known.any():
        ends[known] = f(others[known])
    kept = ~np.isnan(ends)
    value = float(f(x[None, :])[0])
    if not kept.any() or np.isnan(value):
        raise NothingToExplain(
            "no training sample of the model can be scored by the features that the sample has"
        )
    others, ends = others[kept], ends[kept]
    values, errors = np.zeros(x.size), np.zeros(x.size)
    if present.size <= EXACT:
        values[present] = _exact(f, x, others, present)
        walked = 0
    else:
        values[present], errors[present], walked = _sampled(
            f, x, others, ends, value, present, generator
        )
    base = float(ends.mean())
    # What rounding left over goes where it is smallest beside the value.
    values[int(np.argmax(np.abs(values)))] += (value - base) - float(values.sum())
    return Shapley(values, base, value, errors, walked, others.shape[0])


def _asked(f: Function, rows: Floats) -> Floats:
    return np.concatenate([f(rows[at : at + ROWS]) for at in range(0, rows.shape[0], ROWS)])


def _exact(f: Function, x: Floats, others: Floats, present: NDArray[np.intp]) -> Floats:
    """By all coalitions of the present features, shape (present,)."""
    d = present.size
    coalitions = [c for size in range(d + 1) for c in combinations(range(d), size)]
    rows = np.repeat(others[None], len(coalitions), axis=0)
    for at, coalition in enumerate(coalitions):
        columns = present[list(coalition)]
        rows[at][:, columns] = x[columns]
    worth = _asked(f, rows.reshape(-1, x.size)).reshape(len(coalitions), -1).mean(axis=1)
    of = dict(zip(coalitions, worth, strict=True))
    found = np.zeros(d)
    for feature in range(d):
        for coalition in coalitions:
            if feature in coalition:
                continue
            weight = 1.0 / (d * comb(d - 1, len(coalition)))
            with_it = tuple(sorted((*coalition, feature)))
            found[feature] += weight * (of[with_it] - of[coalition])
    return found


def _sampled(
    f: Function,
    x: Floats,
    others: Floats,
    ends: Floats,
    value: float,
    present: NDArray[np.intp],
    generator: np.random.Generator,
) -> tuple[Floats, Floats, int]:
    """By antithetic permutations; every background sample is walked from equally often.

    So the values sum to f(x) − E f however few permutations there are.
    """
    rounds: list[Floats] = []
    pairs = others.shape[0]
    wanted = TOLERANCE * abs(value - float(ends.mean()))
    while True:
        rounds.append(_walk_all(f, x, others, ends, value, present, generator))
        each = np.concatenate(rounds)
        walked = 2 * each.shape[0]
        errors = np.asarray(each.std(axis=0, ddof=1) / np.sqrt(each.shape[0]))
        if pairs < 2:
            errors = np.zeros(present.size)
        if errors.max() <= wanted or walked + 2 * pairs > MOST_PERMUTATIONS:
            return each.mean(axis=0), errors, walked


def _walk_all(
    f: Function,
    x: Floats,
    others: Floats,
    ends: Floats,
    value: float,
    present: NDArray[np.intp],
    generator: np.random.Generator,
) -> Floats:
    """From each background sample to ``x`` by a permutation and its reverse, (m, present)."""
    m, d = others.shape[0], present.size
    orders = generator.permuted(np.tile(np.arange(d), (m, 1)), axis=1)
    found = np.zeros((m, d))
    for walk in (orders, orders[:, ::-1]):
        rank = np.argsort(walk, axis=1)
        rows = np.repeat(others[:, None, :], d - 1, axis=1)
        taken = rank[:, None, :] <= np.arange(d - 1)[None, :, None]
        rows[:, :, present] = np.where(taken, x[present], rows[:, :, present])
        between = _asked(f, rows.reshape(-1, x.size)).reshape(m, d - 1)
        path = np.concatenate([ends[:, None], between, np.full((m, 1), value)], axis=1)
        np.put_along_axis(steps := np.empty((m, d)), walk, np.diff(path, axis=1), axis=1)
        found += steps / 2
    return found
