"""Bootstrap and permutation over units: sums of columns by group, many at a time.

The unit of chance is the profile: records of one profile depend on one another, so profiles are
drawn, never records (Efron, Tibshirani, 1993; Good, 2005).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.governance.bias.fleet import Booleans, Floats, Integers

CELLS = 2_000_000
"""Numbers of a block of draws that are held at a time: 16 MB."""

MANY_GROUPS = 16
"""With more, sums are counted group by group: a product of matrices would be mostly zeros."""

Generator = np.random.Generator


def group_sums(columns: Floats, index: Integers, groups: int) -> Floats:
    """Sums of columns (n, k) over the units of each group, shape (groups, k)."""
    sums = np.zeros((groups, columns.shape[1]))
    chosen = index >= 0
    np.add.at(sums, index[chosen], columns[chosen])
    return sums


def bootstrap_sums(
    columns: Floats, index: Integers, groups: int, times: int, generator: Generator
) -> Floats:
    """The same of units drawn with replacement within each group, shape (times, groups, k)."""
    found = np.empty((times, groups, columns.shape[1]))
    for group in range(groups):
        own = columns[index == group]
        size = own.shape[0]
        each = max(1, CELLS // max(size, 1))
        for begin in range(0, times, each):
            end = min(times, begin + each)
            drawn = generator.multinomial(size, np.full(size, 1.0 / size), size=end - begin)
            found[begin:end, group] = drawn.astype(np.float64) @ own
    return found


def permuted_sums(
    columns: Floats, index: Integers, groups: int, times: int, generator: Generator
) -> Floats:
    """The same of units whose groups were shuffled among them, shape (times, groups, k)."""
    chosen = index >= 0
    own, at = columns[chosen], index[chosen]
    size = own.shape[0]
    found = np.empty((times, groups, columns.shape[1]))
    many = groups > MANY_GROUPS
    each = max(1, CELLS // max(size * (1 if many else groups), 1))
    numbers = np.arange(groups)
    for begin in range(0, times, each):
        end = min(times, begin + each)
        shuffled = np.tile(at, (end - begin, 1))
        generator.permuted(shuffled, axis=1, out=shuffled)
        if many:
            found[begin:end] = _counted(shuffled, own, groups)
            continue
        members = (shuffled[:, None, :] == numbers[None, :, None]).astype(np.float64)
        found[begin:end] = (members.reshape(-1, size) @ own).reshape(end - begin, groups, -1)
    return found


def _counted(shuffled: Integers, own: Floats, groups: int) -> Floats:
    times = shuffled.shape[0]
    place = (shuffled + groups * np.arange(times)[:, None]).ravel()
    found = [
        np.bincount(place, weights=np.tile(column, times), minlength=times * groups)
        for column in own.T
    ]
    return np.asarray(np.stack(found, axis=-1).reshape(times, groups, -1), dtype=np.float64)


def percentiles(values: Floats, confidence: float) -> tuple[float, float]:
    """Lower and upper end of the percentile interval of resampled values.

    Of B values the ends are those at (B + 1) α, since a value that was not drawn falls as likely
    between any two neighbours (Davison, Hinkley, Bootstrap Methods, 1997, section 5.3).
    """
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    lower, upper = np.quantile(values, ends, method="weibull")
    return float(lower), float(upper)


def permutation_p_value(observed: float, permuted: Floats) -> float:
    """Share of permutations at least as far out; the observed one counts among them."""
    # Sums are added in another order: the last digits may differ.
    as_far = int((permuted >= observed - 1e-12 * max(1.0, abs(observed))).sum())
    return (1 + as_far) / (1 + permuted.size)


def benjamini_hochberg(p_values: Sequence[float] | Floats, rate: float = 0.05) -> Booleans:
    """Which hypotheses are rejected at a rate of false discoveries, shape as given.

    Source: Benjamini, Hochberg, 1995. NaN is never rejected.
    """
    held = np.where(np.isnan(p_values), 1.0, p_values)
    order = np.argsort(held)
    limits = rate * np.arange(1, held.size + 1) / max(held.size, 1)
    below = np.flatnonzero(held[order] <= limits)
    rejected: NDArray[np.bool_] = np.zeros(held.size, dtype=bool)
    if below.size:
        rejected[order[: below[-1] + 1]] = True
    return rejected & ~np.isnan(p_values)
