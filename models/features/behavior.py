"""`behavior`: a window of browser interaction as 17 numbers.

Three rules hold for all of them. A mean needs one value, a standard deviation (of the population)
two, a ratio a denominator above zero: else the feature is NaN. What only a broken clock can give
(time that stands still or runs back, a key up before it is down) is left out, not repaired. And a
count of zero is evidence as soon as the window holds any event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, pairwise
from operator import itemgetter
from typing import Any, Final

import numpy as np

from models.features.extracted import Extracted, Feature, Floats, bounded
from schemas.behavior import BehaviorTelemetry, Click, FocusChange, KeyEvent, ScrollEvent

FEATURES: Final = (
    Feature("mouse_speed_avg", "px/s", "Mean speed between consecutive points of a path."),
    Feature("mouse_speed_std", "px/s", "Standard deviation of those speeds."),
    Feature("mouse_acceleration_avg", "px/s²", "Mean change of speed inside a path."),
    Feature("mouse_acceleration_std", "px/s²", "Standard deviation of those changes."),
    Feature("path_straightness", "0–1", "Straight over travelled distance, mean over paths."),
    Feature("click_duration_avg", "ms", "Mean time that a button was down."),
    Feature("double_click_rate", "per click", "Clicks that follow another at once and in place."),
    Feature("dwell_time_avg", "ms", "Mean time that a key was down."),
    Feature("dwell_time_std", "ms", "Standard deviation of those times."),
    Feature("digraph_flight_avg", "ms", "Mean time from key down to key down, common pairs."),
    Feature("digraph_flight_std", "ms", "Standard deviation of those times."),
    Feature("scroll_magnitude_avg", "px", "Mean distance of a scroll."),
    Feature("scroll_burstiness", "ms", "Standard deviation of the time between scrolls."),
    Feature("scroll_interval_avg", "ms", "Mean time between scrolls."),
    Feature("scroll_down_ratio", "0–1", "Downward scrolls over scrolls."),
    Feature("focus_change_rate", "per minute", "Gains and losses of the focus."),
    Feature("mouse_to_interaction", "px", "Travelled distance over clicks and keys."),
)

DOUBLE_CLICK_MS: Final = 500.0
DOUBLE_CLICK_PX: Final = 10.0
"""A second click sooner and nearer than this makes a double click."""

LONGEST_FLIGHT_MS: Final = 1000.0
"""A longer flight is a pause for thought, not the rhythm of the hand."""

COMMON_PAIRS: Final = (
    "TH HE IN ER AN RE ON AT EN ND TI ES OR TE OF ED IS IT AL AR ST TO NT NG SE HA AS OU IO LE"
)
"""The 30 most frequent letter pairs of English."""

_DIGRAPHS: Final = frozenset((f"Key{pair[0]}", f"Key{pair[1]}") for pair in COMMON_PAIRS.split())

_NAMES: Final = tuple(feature.name for feature in FEATURES)
_FOCUS_TYPES: Final = frozenset(("focus", "blur"))
_NOTHING: Final[tuple[()]] = ()

_POINT = itemgetter("t", "x", "y")
_CLICK = itemgetter("t", "x", "y")
_SCROLL = itemgetter("t", "dy")


def extract(telemetry: BehaviorTelemetry) -> Extracted:
    """One row with the 17 features, shape (1, 17); all NaN where the window holds no event."""
    paths = telemetry.mouse_paths or _NOTHING
    clicks = telemetry.clicks or _NOTHING
    keys = telemetry.key_events or _NOTHING
    scrolls = telemetry.scroll_events or _NOTHING
    focus = [c for c in telemetry.focus_changes or _NOTHING if c["type"] in _FOCUS_TYPES]
    points = _table(_POINT, list(chain.from_iterable(paths)), 3)
    row = np.full((1, len(FEATURES)), np.nan)
    # Coordinates and times are cut at ±1e100, so only a quotient of these can still overflow.
    with np.errstate(over="ignore"):
        row[0, 0:5], distance = _mouse(points, [len(path) for path in paths])
        row[0, 5:7] = _clicks(clicks)
        row[0, 7:11] = _keys(keys)
        row[0, 11:15] = _scrolls(scrolls)
        row[0, 15] = _per_minute(len(focus), _duration(telemetry, points, focus))
        interactions = len(clicks) + len(keys)
        row[0, 16] = distance / interactions if interactions else np.nan
    return Extracted(_NAMES, bounded(row))


def _mouse(points: Floats, lengths: list[int]) -> tuple[Floats, float]:
    """The five features of the paths, and the distance travelled on all of them, px."""
    features = np.full(5, np.nan)
    if len(points) < 2:
        return features, 0.0
    path = np.repeat(np.arange(len(lengths)), lengths)
    step = points[1:] - points[:-1]
    passed = step[:, 0]
    inside = path[1:] == path[:-1]
    distance = np.hypot(step[:, 1], step[:, 2]) * inside
    timed = inside & (passed > 0)
    speed = bounded(
        np.divide(distance, passed, out=np.full_like(passed, np.nan), where=timed) * 1e3
    )
    # Two speeds belong to the middles of their steps; only steps that share a point count.
    both = timed[1:] & timed[:-1]
    change = (speed[1:] - speed[:-1])[both] / (passed[1:] + passed[:-1])[both] * 2e3
    features[0:2] = _mean_and_std(speed[timed])
    features[2:4] = _mean_and_std(bounded(change))
    travelled = np.bincount(path[1:], weights=distance, minlength=len(lengths))
    ends = np.cumsum(lengths)
    moved = travelled > 0
    whole = points[ends[moved] - 1] - points[ends[moved] - np.array(lengths)[moved]]
    straight = np.hypot(whole[:, 1], whole[:, 2]) / travelled[moved]
    features[4] = _mean(np.minimum(straight, 1.0))
    return features, float(travelled.sum())


def _clicks(clicks: Sequence[Click]) -> tuple[float, float]:
    """Mean duration, ms, and double clicks per click."""
    if not clicks:
        return np.nan, np.nan
    lasted = np.array([click["duration"] for click in clicks], dtype=np.float64)
    at = _table(_CLICK, clicks, 3)
    step = np.diff(at[np.argsort(at[:, 0], kind="stable")], axis=0)
    near = np.hypot(step[:, 1], step[:, 2]) <= DOUBLE_CLICK_PX
    double = np.count_nonzero(near & (step[:, 0] < DOUBLE_CLICK_MS))
    return _mean(bounded(lasted[lasted >= 0])), double / len(clicks)


def _keys(keys: Sequence[KeyEvent]) -> tuple[float, float, float, float]:
    """Mean and deviation of the dwell time, then of the digraph flight time, ms."""
    if not keys:
        return np.nan, np.nan, np.nan, np.nan
    down = bounded(np.array([key["down_time"] for key in keys], dtype=np.float64))
    up = bounded(np.array([key["up_time"] for key in keys], dtype=np.float64))
    dwell = up - down
    order = np.argsort(down, kind="stable")
    codes = [keys[place]["code"] for place in order]
    common = [pair in _DIGRAPHS for pair in pairwise(codes)]
    flight = np.diff(down[order])[np.array(common, dtype=bool)]
    return (
        *_mean_and_std(dwell[dwell >= 0]),
        *_mean_and_std(flight[flight <= LONGEST_FLIGHT_MS]),
    )


def _scrolls(scrolls: Sequence[ScrollEvent]) -> tuple[float, float, float, float]:
    """Mean distance, px; deviation and mean of the intervals, ms; share of downward scrolls."""
    if not scrolls:
        return np.nan, np.nan, np.nan, np.nan
    table = _table(_SCROLL, scrolls, 2)
    interval, burstiness = _mean_and_std(np.diff(np.sort(table[:, 0])))
    down = np.count_nonzero(table[:, 1] > 0) / len(scrolls)
    return _mean(np.abs(table[:, 1])), burstiness, interval, down


def _duration(telemetry: BehaviorTelemetry, points: Floats, focus: Sequence[FocusChange]) -> float:
    """Length of the window, ms: 0 where it holds no event; that of its events where its end is
    not after its start.
    """
    others = (telemetry.clicks, telemetry.scroll_events, focus, telemetry.key_events)
    if not len(points) and not any(others):
        return 0.0
    lasted = telemetry.end_timestamp - telemetry.start_timestamp
    if lasted > 0:
        return lasted
    times = points[:, 0].tolist()
    for timed in others[:3]:
        times += [event["t"] for event in timed or _NOTHING]
    for key in telemetry.key_events or _NOTHING:
        times.append(key["down_time"])
        if key["up_time"] is not None:
            times.append(key["up_time"])
    return float(max(times) - min(times))


def _per_minute(count: int, duration: float) -> float:
    return count / bounded(np.array(duration)).item() * 60_000 if duration > 0 else np.nan


def _table(
    fields: Callable[[Any], Iterable[float]], events: Sequence[object], width: int
) -> Floats:
    flat = np.fromiter(chain.from_iterable(map(fields, events)), np.float64, width * len(events))
    return bounded(flat).reshape(-1, width)


def _mean(values: Floats) -> float:
    return float(np.add.reduce(values)) / len(values) if len(values) else np.nan


def _mean_and_std(values: Floats) -> tuple[float, float]:
    if len(values) < 2:
        return _mean(values), np.nan
    mean = _mean(values)
    away = values - mean
    return mean, float(np.sqrt(np.dot(away, away) / len(values)))
