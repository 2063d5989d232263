"""Compiled means, deviations and orders of a window's numbers."""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numpy as np
from numba import njit

from models.kernels.limits import LIMIT

RUN = 8
"""Values that are sorted by insertion before runs of so many are merged."""


@njit(nogil=True, cache=True)
def within_limit(value):
    """NaN stays NaN."""
    return value if value != value else min(max(value, -LIMIT), LIMIT)


@njit(nogil=True, cache=True)
def mean_and_std(values, count, out, at):
    """Mean and deviation of the first values into two places; NaN where they are too few."""
    out[at] = out[at + 1] = np.nan
    if count == 0:
        return
    total = 0.0
    for k in range(count):
        total += values[k]
    mean = total / count
    out[at] = mean
    if count > 1:
        square = 0.0
        for k in range(count):
            square += (values[k] - mean) ** 2
        out[at + 1] = math.sqrt(square / count)


@njit(nogil=True, cache=True)
def ascending(values):
    """Values without NaN in ascending order, whatever order they come in: O(n log n) at worst.

    numba's ``np.sort`` is a quicksort: a producer can choose an order that takes it n² steps. This
    merges runs, bottom up; what is in order already takes one look.
    """
    n = values.size
    found = values.copy()
    k = 1
    while k < n and found[k - 1] <= found[k]:
        k += 1
    if k >= n:
        return found
    for first in range(0, n, RUN):
        for k in range(first + 1, min(first + RUN, n)):
            value, at = found[k], k
            while at > first and found[at - 1] > value:
                found[at] = found[at - 1]
                at -= 1
            found[at] = value
    merged = np.empty(n)
    width = RUN
    while width < n:
        for first in range(0, n, 2 * width):
            middle, last = min(first + width, n), min(first + 2 * width, n)
            left, right, at = first, middle, first
            # No branch on which of two is less: of values in no order it is foretold wrongly.
            while left < middle and right < last:
                one, two = found[left], found[right]
                less = int(two < one)
                merged[at] = two if less else one
                left += 1 - less
                right += less
                at += 1
            while left < middle:
                merged[at] = found[left]
                left, at = left + 1, at + 1
            while right < last:
                merged[at] = found[right]
                right, at = right + 1, at + 1
        found, merged = merged, found
        width *= 2
    return found
