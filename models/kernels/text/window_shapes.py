"""Compiled shapes and rhythms of a window of browser interaction: the features behind the 17th.

Each list is gone through once. Places and times are finite and at most ``LIMIT`` in magnitude.
"""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

import math

import numpy as np
from numba import njit

from models.kernels.text.spread import ascending, mean_and_std, within_limit

DIRECTIONS = 8
"""Octants of movement, from right on as the hands of a clock go, since y grows downwards."""

SLIGHT_TURN, LARGE_TURN = 0.01, 0.2
"""A turn between two steps from here on and below there is a slight one, radians."""

SHORT_STEP = 1.5
"""A shorter step, in pixels, goes to a neighbouring pixel."""

LOCAL_STEPS = 8
"""Straightness is measured over so many steps."""

LEFT, RIGHT, SPACE = range(3)
"""Which hand has a key on a QWERTY board; the last is the space bar's."""

PATH_RATE, CLICK_RATE, KEY_RATE, SCROLL_RATE = range(17, 21)
STEP_TIME, ANGULAR, CURVATURE, SLIGHT, SHORT, STILL, AXIS = 21, 23, 24, 25, 26, 27, 28
LOCAL, PEAK_RATE, PEAK_PLACE, CLICK_STD, CLICK_MOVE, DIRECTION = 29, 31, 32, 33, 34, 36
INTERVAL, LATENCY, OVERLAP, LETTER, OF_LEFT, OF_RIGHT, OF_SPACE, TO_SPACE = range(44, 52)
"""Places of the features, of pairs of mean and deviation that of the first."""


@njit(nogil=True, cache=True)
def movement(points, lengths, out):
    """Directions, turns, straightness and rhythm of the steps of all paths.

    Args:
        points, lengths: (t, x, y) of all paths, and how many are of each path.
        out: features of the window, (52,).
    """
    n = points.shape[0]
    times, local, travelled = np.empty(n), np.empty(n), np.empty(n)
    peaks_at = np.empty(lengths.size)
    octants = np.zeros(DIRECTIONS)
    n_times = n_local = n_places = n_steps = n_moved = n_turns = n_timed_turns = 0
    slight = short = still = axis = peaks = 0
    angular = curved = lasted = 0.0
    first = 0
    for p in range(lengths.size):
        last = first + lengths[p] - 1
        if last > first:
            lasted += points[last, 0] - points[first, 0]
            travelled[first] = 0.0
        angle = far_before = passed_before = 0.0
        before, two_before = np.nan, np.nan
        moving = False
        fastest, place = -1.0, -1
        for k in range(first, last):
            right, down = points[k + 1, 1] - points[k, 1], points[k + 1, 2] - points[k, 2]
            passed = points[k + 1, 0] - points[k, 0]
            far = math.sqrt(right * right + down * down)
            travelled[k + 1] = travelled[k] + far
            n_steps += 1
            if passed > 0:
                times[n_times] = passed
                n_times += 1
                speed = far / passed
                if speed > fastest:
                    fastest, place = speed, k - first
                peaks += two_before < before and before >= speed
                two_before, before = before, speed
            if far > 0:
                heading = math.atan2(down, right)
                octant = math.floor(heading * (4.0 / math.pi) + 0.5) % DIRECTIONS
                octants[octant] += 1.0
                n_moved += 1
                short += far < SHORT_STEP
                axis += right == 0 or down == 0
                if moving:
                    turn = abs(heading - angle)
                    turn = min(turn, 2.0 * math.pi - turn)
                    slight += SLIGHT_TURN <= turn < LARGE_TURN
                    curved += within_limit(2.0 * turn / (far + far_before))
                    n_turns += 1
                    if passed + passed_before > 0:
                        angular += within_limit(turn / (passed + passed_before) * 2e3)
                        n_timed_turns += 1
                angle, far_before, passed_before, moving = heading, far, passed, True
            else:
                still += 1
            if k - first >= LOCAL_STEPS - 1:
                begin = k + 1 - LOCAL_STEPS
                along = travelled[k + 1] - travelled[begin]
                if along > 0:
                    across = points[k + 1, 1] - points[begin, 1]
                    along_y = points[k + 1, 2] - points[begin, 2]
                    whole = math.sqrt(across * across + along_y * along_y)
                    local[n_local] = min(whole / along, 1.0)
                    n_local += 1
        if place >= 0:
            peaks_at[n_places] = place / (last - first)
            n_places += 1
        first = last + 1
    mean_and_std(times, n_times, out, STEP_TIME)
    mean_and_std(local, n_local, out, LOCAL)
    spread = np.empty(2)
    mean_and_std(peaks_at, n_places, spread, 0)
    out[PEAK_PLACE] = spread[1]
    out[PEAK_RATE] = peaks / lasted * 1e3 if lasted > 0 else np.nan
    out[ANGULAR] = angular / n_timed_turns if n_timed_turns else np.nan
    out[CURVATURE] = curved / n_turns if n_turns else np.nan
    out[SLIGHT] = slight / n_turns if n_turns else np.nan
    out[SHORT] = short / n_moved if n_moved else np.nan
    out[AXIS] = axis / n_moved if n_moved else np.nan
    out[STILL] = still / n_steps if n_steps else np.nan
    for octant in range(DIRECTIONS):
        out[DIRECTION + octant] = octants[octant] / n_moved if n_moved else np.nan


@njit(nogil=True, cache=True)
def clicks_and_movement(clicks, points, out):
    """Deviation of the clicks' durations; how long after a click the pointer is seen again."""
    n = clicks.shape[0]
    found, spread = np.empty(n), np.empty(2)
    known = 0
    for k in range(n):
        if clicks[k, 3] >= 0:
            found[known] = clicks[k, 3]
            known += 1
    mean_and_std(found, known, spread, 0)
    out[CLICK_STD] = spread[1]
    known = at = 0
    if n > 0 and points.shape[0] > 0:
        pressed, seen = ascending(clicks[:, 0]), ascending(points[:, 0])
        for k in range(n):
            while at < seen.size and seen[at] <= pressed[k]:
                at += 1
            if at < seen.size:
                found[known] = seen[at] - pressed[k]
                known += 1
    mean_and_std(found, known, out, CLICK_MOVE)


@njit(nogil=True, cache=True)
def rhythm(keys, order, hands, longest, out):
    """Dwell by hand, and the time between neighbouring keys.

    Args:
        keys: (down, up, key): the place in the alphabet, behind it the space bar, or -1.
        order: of the keys by the time that they go down.
        hands: ``LEFT``, ``RIGHT`` or ``SPACE`` of each of these keys, (27,).
        longest: the longest time from key down to key down, ms.
    """
    n = keys.shape[0]
    letters, dwell, count = np.empty(n), np.zeros(3), np.zeros(3, np.int64)
    n_letters = 0
    for k in range(n):
        held, key = keys[k, 1] - keys[k, 0], np.int64(keys[k, 2])
        if key >= 0 and held >= 0:
            hand = hands[key]
            dwell[hand] += held
            count[hand] += 1
            if hand != SPACE:
                letters[n_letters] = held
                n_letters += 1
    spread = np.empty(2)
    mean_and_std(letters, n_letters, spread, 0)
    out[LETTER] = spread[1]
    for hand in range(3):
        out[OF_LEFT + hand] = dwell[hand] / count[hand] if count[hand] else np.nan
    logs = latency = to_space = 0.0
    n_logs = n_latencies = n_spaces = n_known = overlaps = 0
    for k in range(1, n):
        before, now = order[k - 1], order[k]
        passed, released = keys[now, 0] - keys[before, 0], keys[now, 0] - keys[before, 1]
        known = released == released
        if known:
            n_known += 1
            overlaps += released < 0
        if passed <= longest:
            if passed > 0:
                logs += math.log(passed)
                n_logs += 1
            if known:
                latency += released
                n_latencies += 1
            key = np.int64(keys[now, 2])
            if key >= 0 and hands[key] == SPACE:
                to_space += passed
                n_spaces += 1
    out[INTERVAL] = math.exp(logs / n_logs) if n_logs else np.nan
    out[LATENCY] = latency / n_latencies if n_latencies else np.nan
    out[OVERLAP] = overlaps / n_known if n_known else np.nan
    out[TO_SPACE] = to_space / n_spaces if n_spaces else np.nan
