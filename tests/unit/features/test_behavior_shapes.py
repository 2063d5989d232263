"""The features behind the 17th, by hand and beside a plain reading of the documentation."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from models.features.behavior import DIRECTIONS, LEFT_HAND, NAMES
from tests.unit.features.test_features_behavior import (
    PLAIN,
    clicks,
    features,
    keys,
    points,
    same,
    scrolls,
    windows,
)


def mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def deviation(values: list[float]) -> float:
    return float(np.std(values)) if len(values) > 1 else math.nan


def ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan


def of_paths(paths: list[list[dict[str, float]]]) -> dict[str, float]:
    """Shapes and rhythm of paths, as the documentation defines them."""
    times, turns, curves, angular, local, places, headings, lengths = ([] for _ in range(8))
    steps = still = axis = peaks = 0
    lasted = 0.0
    for path in paths:
        track = [(one["t"], one["x"], one["y"]) for one in path]
        moves = [(b[0] - a[0], b[1] - a[1], b[2] - a[2]) for a, b in pairwise(track)]
        far = [math.hypot(x, y) for _, x, y in moves]
        steps += len(moves)
        still += sum(one == 0 for one in far)
        lasted += track[-1][0] - track[0][0] if moves else 0.0
        timed = [(at, far[at] / one[0]) for at, one in enumerate(moves) if one[0] > 0]
        times += [one[0] for one in moves if one[0] > 0]
        speeds = [speed for _, speed in timed]
        peaks += sum(a < b >= c for a, b, c in zip(speeds, speeds[1:], speeds[2:], strict=False))
        if timed:
            places.append(timed[int(np.argmax(speeds))][0] / len(moves))
        moving = [(*one, length) for one, length in zip(moves, far, strict=True) if length > 0]
        axis += sum(x == 0 or y == 0 for _, x, y, _ in moving)
        lengths += [one[3] for one in moving]
        headings += [math.atan2(y, x) for _, x, y, _ in moving]
        for (ta, xa, ya, fa), (tb, xb, yb, fb) in pairwise(moving):
            turn = abs(math.atan2(yb, xb) - math.atan2(ya, xa))
            turn = min(turn, 2 * math.pi - turn)
            turns.append(turn)
            curves.append(turn / ((fa + fb) / 2))
            if ta + tb > 0:
                angular.append(turn / ((ta + tb) / 2e3))
        for begin in range(len(moves) - 7):
            along = sum(far[begin : begin + 8])
            if along > 0:
                (_, xa, ya), (_, xb, yb) = track[begin], track[begin + 8]
                local.append(min(math.hypot(xb - xa, yb - ya) / along, 1.0))
    octants = [math.floor(4 * heading / math.pi + 0.5) % 8 for heading in headings]
    return {
        "step_time_avg": mean(times),
        "step_time_std": deviation(times),
        "angular_speed_avg": mean(angular),
        "curvature_avg": mean(curves),
        "slight_turn_share": mean([0.01 <= turn < 0.2 for turn in turns]),
        "short_step_share": mean([length < 1.5 for length in lengths]),
        "still_step_share": ratio(still, steps),
        "axis_step_share": ratio(axis, len(lengths)),
        "local_straightness_avg": mean(local),
        "local_straightness_std": deviation(local),
        "speed_peak_rate": ratio(1e3 * peaks, lasted),
        "speed_peak_place_std": deviation(places),
    } | {
        f"direction_{name}": mean([octant == at for octant in octants])
        for at, name in enumerate(DIRECTIONS)
    }


def of_keys(pressed: list[dict[str, Any]]) -> dict[str, float]:
    """Dwell by hand and the time between neighbouring keys."""
    order = sorted(pressed, key=lambda key: key["downTime"])
    dwell: dict[str, list[float]] = {"left": [], "right": [], "space": []}
    for key in pressed:
        code, up = key["code"], key.get("upTime")
        letter = code.removeprefix("Key")
        hand = "space" if code == "Space" else "left" if letter in LEFT_HAND else "right"
        if code and code != "ShiftLeft" and up is not None and up >= key["downTime"]:
            dwell[hand].append(up - key["downTime"])
    passed, latencies, to_space, overlaps = [], [], [], []
    for before, now in pairwise(order):
        between = now["downTime"] - before["downTime"]
        up = before.get("upTime")
        if up is not None:
            overlaps.append(now["downTime"] < up)
        if between <= 1000:
            passed += [between] if between > 0 else []
            latencies += [] if up is None else [now["downTime"] - up]
            to_space += [between] if now["code"] == "Space" else []
    return {
        "key_interval_avg": math.exp(mean([math.log(one) for one in passed])),
        "key_latency_avg": mean(latencies),
        "key_overlap_share": mean(overlaps),
        "letter_dwell_std": deviation(dwell["left"] + dwell["right"]),
        "left_dwell_avg": mean(dwell["left"]),
        "right_dwell_avg": mean(dwell["right"]),
        "space_dwell_avg": mean(dwell["space"]),
        "to_space_avg": mean(to_space),
    }


def of_clicks(pressed: list[dict[str, Any]], seen: list[float]) -> dict[str, float]:
    """Clicks, and the first point of any path behind each."""
    held = [one["duration"] for one in pressed if one.get("duration") is not None]
    behind = [[time - one["t"] for time in seen if time > one["t"]] for one in pressed]
    waits = [min(times) for times in behind if times]
    return {
        "click_duration_std": deviation([one for one in held if one >= 0]),
        "click_to_move_avg": mean(waits),
        "click_to_move_std": deviation(waits),
    }


@given(windows(PLAIN))
def test_any_window_is_as_a_plain_reading_of_the_documentation_has_it(window):
    paths = window.get("mousePaths", [])
    seen = [one["t"] for path in paths for one in path]
    expected = of_paths(paths) | of_keys(window.get("keyEvents", []))
    expected |= of_clicks(window.get("clicks", []), seen)

    found = features(**window)

    assert set(expected) == set(NAMES[21:])
    assert same({name: found[name] for name in expected}, expected)


def test_a_long_path_is_as_a_plain_reading_has_it() -> None:
    rng = np.random.default_rng(4)
    walk = np.cumsum(np.rint(rng.normal(0, 3, (400, 2))), axis=0)
    times = np.cumsum(rng.integers(0, 30, 400))
    path = points(*((float(t), x, y) for t, (x, y) in zip(times, walk.tolist(), strict=True)))

    found = features(mousePaths=[path, path[:40]])

    expected = of_paths([path, path[:40]])
    assert same({name: found[name] for name in expected}, expected)


def test_events_are_counted_per_minute_of_the_window() -> None:
    window = features(
        endTimestamp=120_000,
        mousePaths=[points((0, 0, 0)), [], points((5, 1, 1), (9, 2, 2))],
        clicks=clicks((1, 0, 0, 5)),
        keyEvents=keys(("KeyA", 0, 1), ("KeyB", 2, 3), ("KeyC", 4, 5)),
        scrollEvents=scrolls((1, 1), (2, 1), (3, 1), (4, 1)),
    )
    rates = [window[name] for name in ("path_rate", "click_rate", "key_rate", "scroll_rate")]
    assert rates == pytest.approx([1.0, 0.5, 1.5, 2.0])


def test_a_window_with_any_event_has_all_rates() -> None:
    window = features(clicks=clicks((1, 0, 0, 5)))
    assert (window["path_rate"], window["key_rate"], window["scroll_rate"]) == (0, 0, 0)


@pytest.mark.parametrize(("at", "step"), list(enumerate([(9, 1), (5, 5), (1, 9), (-5, 5)])))
def test_directions_are_octants_of_the_screen(at: int, step: tuple[float, float]) -> None:
    window = features(mousePaths=[points((0, 50, 50), (10, 50 + step[0], 50 + step[1]))])
    assert [window[f"direction_{name}"] for name in DIRECTIONS] == np.eye(8)[at].tolist()


def test_a_right_angle_is_a_turn_of_half_pi_at_its_speed() -> None:
    window = features(mousePaths=[points((0, 0, 0), (100, 10, 0), (300, 10, 30))])
    assert window["angular_speed_avg"] == pytest.approx(math.pi / 2 / 0.15)
    assert window["curvature_avg"] == pytest.approx(math.pi / 2 / 20)
    assert (window["slight_turn_share"], window["axis_step_share"]) == (0, 1)


def test_the_pointer_is_seen_again_at_the_first_point_behind_a_click() -> None:
    window = features(
        clicks=clicks((100, 0, 0, 40), (50, 0, 0, 60), (900, 0, 0, 60)),
        mousePaths=[points((100, 0, 0), (160, 1, 1)), points((70, 2, 2))],
    )
    assert window["click_to_move_avg"] == pytest.approx((20 + 60) / 2)
    assert window["click_duration_std"] == pytest.approx(np.std([40, 60, 60]))
