"""Compiled features of a window of browser interaction."""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numpy as np
from numba import njit

from models.kernels.text.spread import ascending, mean_and_std, within_limit
from models.kernels.text.window_shapes import (
    CLICK_RATE,
    KEY_RATE,
    PATH_RATE,
    SCROLL_RATE,
    clicks_and_movement,
    movement,
    rhythm,
)


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
                speed = within_limit(distance / passed * 1e3)
                speeds[n_speeds] = speed
                n_speeds += 1
                # Two speeds belong to the middles of their steps; these have to share a point.
                if speed_before == speed_before:
                    change = (speed - speed_before) / (passed + passed_before) * 2e3
                    changes[n_changes] = within_limit(change)
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
    mean_and_std(speeds, n_speeds, out, 0)
    mean_and_std(changes, n_changes, out, 2)
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
def _keys(keys, order, common, longest, out):
    """Dwell of (down, up, letter), and flight between the keys of common pairs of letters."""
    n = keys.shape[0]
    found = np.empty(n)
    count = 0
    for k in range(n):
        dwell = keys[k, 1] - keys[k, 0]
        if dwell >= 0:
            found[count] = dwell
            count += 1
    mean_and_std(found, count, out, 7)
    count = 0
    for k in range(1, n):
        before, now = np.int64(keys[order[k - 1], 2]), np.int64(keys[order[k], 2])
        if before >= 0 and now >= 0 and common[before, now]:
            flight = keys[order[k], 0] - keys[order[k - 1], 0]
            if flight <= longest:
                found[count] = flight
                count += 1
    mean_and_std(found, count, out, 9)


@njit(nogil=True, cache=True)
def _scrolls(scrolls, out):
    """Mean distance; deviation and mean of the intervals; share of downward scrolls."""
    n = scrolls.shape[0]
    out[11:15] = np.nan
    if n == 0:
        return
    times = ascending(scrolls[:, 0])
    far, down = 0.0, 0
    for k in range(n):
        far += abs(scrolls[k, 1])
        down += scrolls[k, 1] > 0
    spread = np.empty(2)
    mean_and_std(times[1:] - times[:-1], n - 1, spread, 0)
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
    points, lengths, clicks, keys, scrolls, changes, start, end,
    common, hands, soon, near, longest, out,
):  # fmt: skip
    """The features of a window into ``out``.

    Args:
        points, lengths: (t, x, y) of all paths, and how many are of each path.
        clicks: (t, x, y, duration).
        keys: (down, up, key); the last is the place in the alphabet, 26 for the space bar, or -1.
        scrolls: (t, dy).
        changes: gains and losses of the focus, of which the first column is t.
        start, end: of the window.
        common: whether two keys are a common pair of letters, (27, 27).
        hands: which hand has each key, (27,), see ``rhythm``.
        soon, near: what makes a double click, ms and px.
        longest: the longest flight, ms.
        out: (52,).
    """
    far = _mouse(points, lengths, out)
    _clicks(clicks, soon, near, out)
    order = np.argsort(keys[:, 0], kind="mergesort")
    _keys(keys, order, common, longest, out)
    _scrolls(scrolls, out)
    movement(points, lengths, out)
    clicks_and_movement(clicks, points, out)
    rhythm(keys, order, hands, longest, out)
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
    a_minute = 60_000 / within_limit(lasted) if lasted > 0 else np.nan
    out[15] = changes.shape[0] / within_limit(lasted) * 60_000 if lasted > 0 else np.nan
    paths = 0
    for p in range(lengths.size):
        paths += lengths[p] > 0
    out[PATH_RATE], out[CLICK_RATE] = paths * a_minute, clicks.shape[0] * a_minute
    out[KEY_RATE], out[SCROLL_RATE] = keys.shape[0] * a_minute, scrolls.shape[0] * a_minute
    out[16] = far / interactions if interactions else np.nan
    for k in range(out.size):
        out[k] = within_limit(out[k])
