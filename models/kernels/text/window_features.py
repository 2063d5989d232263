"""Compiled features of a window of browser interaction."""

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
def _bounded(value):
    """NaN stays NaN."""
    return value if value != value else min(max(value, -LIMIT), LIMIT)


@njit(nogil=True, cache=True)
def _mean_and_std(values, count, out, at):
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
def _mouse(points, lengths, out):
    """Speed, acceleration and straightness of the paths; the distance travelled on all of them."""
    speeds = np.empty(points.shape[0])
    changes = np.empty(points.shape[0])
    n_speeds = n_changes = moved = 0
    straight = far = 0.0
    first = 0
    for p in range(lengths.size):
        last = first + lengths[p] - 1
        travelled = 0.0
        speed_before, passed_before = np.nan, 0.0
        for k in range(first, last):
            distance = math.hypot(points[k + 1, 1] - points[k, 1], points[k + 1, 2] - points[k, 2])
            travelled += distance
            passed = points[k + 1, 0] - points[k, 0]
            speed = np.nan
            if passed > 0:
                speed = _bounded(distance / passed * 1e3)
                speeds[n_speeds] = speed
                n_speeds += 1
                # Two speeds belong to the middles of their steps; these have to share a point.
                if speed_before == speed_before:
                    change = (speed - speed_before) / (passed + passed_before) * 2e3
                    changes[n_changes] = _bounded(change)
                    n_changes += 1
            speed_before, passed_before = speed, passed
        if travelled > 0:
            whole = math.hypot(
                points[last, 1] - points[first, 1], points[last, 2] - points[first, 2]
            )
            straight += min(whole / travelled, 1.0)
            moved += 1
        far += travelled
        first = last + 1
    _mean_and_std(speeds, n_speeds, out, 0)
    _mean_and_std(changes, n_changes, out, 2)
    out[4] = straight / moved if moved > 0 else np.nan
    return far


@njit(nogil=True, cache=True)
def _clicks(clicks, soon, near, out):
    """Mean duration, and double clicks per click, of (t, x, y, duration)."""
    n = clicks.shape[0]
    out[5] = out[6] = np.nan
    if n == 0:
        return
    total, known = 0.0, 0
    for k in range(n):
        if clicks[k, 3] >= 0:
            total += clicks[k, 3]
            known += 1
    if known > 0:
        out[5] = total / known
    order = np.argsort(clicks[:, 0], kind="mergesort")
    double = 0
    for k in range(1, n):
        now, before = clicks[order[k]], clicks[order[k - 1]]
        away = math.hypot(now[1] - before[1], now[2] - before[2])
        if away <= near and now[0] - before[0] < soon:
            double += 1
    out[6] = double / n


@njit(nogil=True, cache=True)
def _keys(keys, common, longest, out):
    """Dwell of (down, up, letter), and flight between the keys of common pairs of letters."""
    n = keys.shape[0]
    found = np.empty(n)
    count = 0
    for k in range(n):
        dwell = keys[k, 1] - keys[k, 0]
        if dwell >= 0:
            found[count] = dwell
            count += 1
    _mean_and_std(found, count, out, 7)
    order = np.argsort(keys[:, 0], kind="mergesort")
    count = 0
    for k in range(1, n):
        before, now = np.int64(keys[order[k - 1], 2]), np.int64(keys[order[k], 2])
        if before >= 0 and now >= 0 and common[before, now]:
            flight = keys[order[k], 0] - keys[order[k - 1], 0]
            if flight <= longest:
                found[count] = flight
                count += 1
    _mean_and_std(found, count, out, 9)


@njit(nogil=True, cache=True)
def _ascending(values):
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


@njit(nogil=True, cache=True)
def _scrolls(scrolls, out):
    """Mean distance; deviation and mean of the intervals; share of downward scrolls."""
    n = scrolls.shape[0]
    out[11:15] = np.nan
    if n == 0:
        return
    times = _ascending(scrolls[:, 0])
    far, down = 0.0, 0
    for k in range(n):
        far += abs(scrolls[k, 1])
        down += scrolls[k, 1] > 0
    spread = np.empty(2)
    _mean_and_std(times[1:] - times[:-1], n - 1, spread, 0)
    out[11], out[12], out[13], out[14] = far / n, spread[1], spread[0], down / n


@njit(nogil=True, cache=True)
def _reach(times, reach):
    """The least and the greatest of times and of what was reached before, NaN left out."""
    least, most = reach
    for k in range(times.size):
        if times[k] == times[k]:
            least, most = min(least, times[k]), max(most, times[k])
    return least, most


@njit(nogil=True, cache=True)
def window(
    points, lengths, clicks, keys, scrolls, changes, start, end, common, soon, near, longest, out
):
    """The 17 features of a window into ``out``.

    Args:
        points, lengths: (t, x, y) of all paths, and how many are of each path.
        clicks: (t, x, y, duration).
        keys: (down, up, letter); the last is the place in the alphabet, or -1.
        scrolls: (t, dy).
        changes: gains and losses of the focus, of which the first column is t.
        start, end: of the window.
        common: whether two letters are a common pair, (26, 26).
        soon, near: what makes a double click, ms and px.
        longest: the longest flight, ms.
        out: (17,).
    """
    far = _mouse(points, lengths, out)
    _clicks(clicks, soon, near, out)
    _keys(keys, common, longest, out)
    _scrolls(scrolls, out)
    interactions = clicks.shape[0] + keys.shape[0]
    lasted = end - start
    if interactions + points.shape[0] + scrolls.shape[0] + changes.shape[0] == 0:
        lasted = 0.0
    elif not lasted > 0:
        # From the first event to the last: the window's own times are no use.
        reach = _reach(points[:, 0], (np.inf, -np.inf))
        reach = _reach(clicks[:, 0], reach)
        reach = _reach(keys[:, 0], reach)
        reach = _reach(keys[:, 1], reach)
        reach = _reach(scrolls[:, 0], reach)
        least, most = _reach(changes[:, 0], reach)
        lasted = most - least
    out[15] = changes.shape[0] / _bounded(lasted) * 60_000 if lasted > 0 else np.nan
    out[16] = far / interactions if interactions else np.nan
    for k in range(out.size):
        out[k] = _bounded(out[k])
