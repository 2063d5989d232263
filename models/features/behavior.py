"""`behavior`: a window of browser interaction as 17 numbers.

Three rules hold for all of them. A mean needs one value, a standard deviation (of the population)
two, a ratio a denominator above zero: else the feature is NaN. What only a broken clock can give
(time that stands still or runs back, a key up before it is down) is left out, not repaired. And a
count of zero is evidence as soon as the window holds any event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from operator import attrgetter, itemgetter
from string import ascii_uppercase
from typing import Any, Final

import numpy as np

from models.features.extracted import Extracted, Feature, Floats, bounded
from schemas.behavior import BehaviorTelemetry
from schemas.window import Window

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

_PARTS: Final = (
    ("t", "x", "y"),
    ("t", "x", "y", "duration"),
    ("down_time", "up_time"),
    ("t", "dy"),
)
"""What is taken of a point, a click, a key and a scroll."""

_WIDTHS: Final = tuple(map(len, _PARTS))
_ITEMS: Final = tuple(itemgetter(*names) for names in _PARTS)
_ATTRIBUTES: Final = tuple(attrgetter(*names) for names in _PARTS)


def extract(telemetry: BehaviorTelemetry) -> Extracted:
    """One row with the 17 features, shape (1, 17); all NaN where the window holds no event."""
    codes = [key["code"] for key in telemetry.key_events or ()]
    changes = telemetry.focus_changes or ()
    focus = [change["t"] for change in changes if change["type"] in _FOCUS_TYPES]
    return _extract(telemetry, _ITEMS, codes, focus)


def extract_window(window: Window) -> Extracted:
    """What ``extract`` gives for a window that is plainly valid."""
    codes = [key.code for key in window.key_events or ()]
    changes = window.focus_changes or ()
    focus = [change.t for change in changes if change.type in _FOCUS_TYPES]
    return _extract(window, _ATTRIBUTES, codes, focus)


def _extract(
    window: BehaviorTelemetry | Window,
    getters: Sequence[Callable[[Any], tuple[float | None, ...]]],
    codes: Sequence[str],
    focus: Sequence[float],
) -> Extracted:
    # Here, not above: numba takes half a second, and most commands extract nothing.
    from models.features import _kernels_behavior

    paths: Sequence[Sequence[Any]] = window.mouse_paths or ()
    events: tuple[Sequence[Any], ...] = (
        list(chain.from_iterable(paths)),
        window.clicks or (),
        window.key_events or (),
        window.scroll_events or (),
    )
    points, clicks, keys, scrolls = _tables(events, getters)
    row = np.full((1, len(FEATURES)), np.nan)
    distance = _kernels_behavior.window(
        points,
        np.array([len(path) for path in paths], dtype=np.int64),
        clicks,
        keys,
        np.array([_LETTERS.get(code, -1) for code in codes], dtype=np.int64),
        _COMMON,
        scrolls,
        DOUBLE_CLICK_MS,
        DOUBLE_CLICK_PX,
        LONGEST_FLIGHT_MS,
        row[0],
    )
    lasted = window.end_timestamp - window.start_timestamp
    if not any(map(len, (*events, focus))):
        lasted = 0.0
    elif not lasted > 0:
        times = (points[:, 0], clicks[:, 0], keys.reshape(-1), scrolls[:, 0], np.array(focus))
        lasted = _span(np.concatenate(times))
    row[0, 15] = _per_minute(len(focus), lasted)
    interactions = len(clicks) + len(keys)
    row[0, 16] = distance / interactions if interactions else np.nan
    return Extracted(_NAMES, bounded(row))


def _tables(
    events: Sequence[Sequence[Any]],
    getters: Sequence[Callable[[Any], tuple[float | None, ...]]],
) -> list[Floats]:
    """A table of each sort of event; all numbers are taken into one array at once."""
    numbers = chain.from_iterable(
        chain.from_iterable(map(get, of_sort)) for of_sort, get in zip(events, getters, strict=True)
    )
    flat = bounded(np.array(list(numbers), dtype=np.float64))
    tables, begin = [], 0
    for of_sort, width in zip(events, _WIDTHS, strict=True):
        end = begin + len(of_sort) * width
        tables.append(flat[begin:end].reshape(-1, width))
        begin = end
    return tables


def _span(times: Floats) -> float:
    """From the first event to the last, ms: the length of a window whose own times are no use."""
    return float(np.nanmax(times) - np.nanmin(times))


def _per_minute(count: int, duration: float) -> float:
    return count / bounded(np.array(duration)).item() * 60_000 if duration > 0 else np.nan
