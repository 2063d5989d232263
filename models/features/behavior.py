"""`behavior`: a window of browser interaction as 17 numbers.

Three rules hold for all of them. A mean needs one value, a standard deviation (of the population)
two, a ratio a denominator above zero: else the feature is NaN. What only a broken clock can give
(time that stands still or runs back, a key up before it is down) is left out, not repaired. And a
count of zero is evidence as soon as the window holds any event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import itemgetter
from string import ascii_uppercase
from typing import Any, Final

import numpy as np

from models.features.extracted import Extracted, Feature, Floats, bounded
from schemas.behavior import BehaviorTelemetry, FocusChange

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

_LETTERS: Final = {f"Key{letter}": place for place, letter in enumerate(ascii_uppercase)}
_COMMON: Final = np.zeros((len(_LETTERS), len(_LETTERS)), dtype=np.bool_)
for _pair in COMMON_PAIRS.split():
    _COMMON[_LETTERS[f"Key{_pair[0]}"], _LETTERS[f"Key{_pair[1]}"]] = True

_NAMES: Final = tuple(feature.name for feature in FEATURES)
_FOCUS_TYPES: Final = frozenset(("focus", "blur"))
_NOTHING: Final[tuple[()]] = ()

_POINT = itemgetter("t", "x", "y")
_CLICK = itemgetter("t", "x", "y", "duration")
_KEY = itemgetter("down_time", "up_time")
_SCROLL = itemgetter("t", "dy")


def extract(telemetry: BehaviorTelemetry) -> Extracted:
    """One row with the 17 features, shape (1, 17); all NaN where the window holds no event."""
    # Here, not above: numba takes half a second, and most commands extract nothing.
    from models.features import _kernels_behavior

    paths = telemetry.mouse_paths or _NOTHING
    clicks = telemetry.clicks or _NOTHING
    keys = telemetry.key_events or _NOTHING
    scrolls = telemetry.scroll_events or _NOTHING
    focus = [c for c in telemetry.focus_changes or _NOTHING if c["type"] in _FOCUS_TYPES]
    points = _table(_POINT, list(chain.from_iterable(paths)), 3)
    row = np.full((1, len(FEATURES)), np.nan)
    distance = _kernels_behavior.window(
        points,
        np.array([len(path) for path in paths], dtype=np.int64),
        _table(_CLICK, clicks, 4),
        _table(_KEY, keys, 2),
        np.array([_LETTERS.get(key["code"], -1) for key in keys], dtype=np.int64),
        _COMMON,
        _table(_SCROLL, scrolls, 2),
        DOUBLE_CLICK_MS,
        DOUBLE_CLICK_PX,
        LONGEST_FLIGHT_MS,
        row[0],
    )
    row[0, 15] = _per_minute(len(focus), _duration(telemetry, points, focus))
    interactions = len(clicks) + len(keys)
    row[0, 16] = distance / interactions if interactions else np.nan
    return Extracted(_NAMES, bounded(row))


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
    fields: Callable[[Any], Iterable[float | None]], events: Sequence[object], width: int
) -> Floats:
    flat = np.array(list(chain.from_iterable(map(fields, events))), dtype=np.float64)
    return bounded(flat).reshape(-1, width)
