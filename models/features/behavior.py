"""`behavior`: a window of browser interaction as 52 numbers.

Three rules hold for all of them. A mean needs one value, a standard deviation (of the population)
two, a ratio a denominator above zero: else the feature is NaN. What only a broken clock can give
(time that stands still or runs back, a key up before it is down) is left out, not repaired. And a
count of zero is evidence as soon as the window holds any event.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import itemgetter
from string import ascii_uppercase
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.features.vectors import Extracted, Feature, Floats, bounded
from models.kernels.text.byte_strings import concat
from schemas.base import SECONDS
from schemas.telemetry.behavior import BehaviorTelemetry

DIRECTIONS: Final = (
    "right",
    "right_down",
    "down",
    "left_down",
    "left",
    "left_up",
    "up",
    "right_up",
)
"""Octants of movement on the screen, as the hands of a clock go."""

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
    Feature("path_rate", "per minute", "Paths of the pointer."),
    Feature("click_rate", "per minute", "Clicks."),
    Feature("key_rate", "per minute", "Keys."),
    Feature("scroll_rate", "per minute", "Scrolls."),
    Feature("step_time_avg", "ms", "Mean time between consecutive points of a path."),
    Feature("step_time_std", "ms", "Standard deviation of those times."),
    Feature("angular_speed_avg", "rad/s", "Mean speed of turning between steps that move."),
    Feature("curvature_avg", "rad/px", "Mean turn between such steps over their mean length."),
    Feature("slight_turn_share", "0–1", "Turns of 0.01 to 0.2 rad over all turns."),
    Feature("short_step_share", "0–1", "Steps to a neighbouring pixel over those that move."),
    Feature("still_step_share", "0–1", "Steps that do not move over all steps."),
    Feature("axis_step_share", "0–1", "Horizontal and vertical steps over those that move."),
    Feature("local_straightness_avg", "0–1", "Straight over travelled distance of eight steps."),
    Feature("local_straightness_std", "0–1", "Standard deviation of those ratios."),
    Feature("speed_peak_rate", "per second", "Peaks of the speed over the time on paths."),
    Feature("speed_peak_place_std", "0–1", "Deviation of where in a path it is fastest."),
    Feature("click_duration_std", "ms", "Standard deviation of the time a button was down."),
    Feature("click_to_move_avg", "ms", "Mean time from a click to the next point of a path."),
    Feature("click_to_move_std", "ms", "Standard deviation of those times."),
    *(
        Feature(f"direction_{name}", "0–1", "Steps in that direction over those that move.")
        for name in DIRECTIONS
    ),
    Feature("key_interval_avg", "ms", "Geometric mean time from key down to key down."),
    Feature("key_latency_avg", "ms", "Mean time from key up to the next key down."),
    Feature("key_overlap_share", "0–1", "Keys that go down before the one before is up."),
    Feature("letter_dwell_std", "ms", "Standard deviation of the time a letter was down."),
    Feature("left_dwell_avg", "ms", "Mean time that a letter of the left hand was down."),
    Feature("right_dwell_avg", "ms", "Mean time that a letter of the right hand was down."),
    Feature("space_dwell_avg", "ms", "Mean time that the space bar was down."),
    Feature("to_space_avg", "ms", "Mean time from key down to the space bar's."),
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

LEFT_HAND: Final = "QWERTASDFGZXCVB"
"""Letters that the left hand has on a QWERTY board; keys are told by their place on the board."""

_KEYS: Final = {f"Key{letter}": place for place, letter in enumerate(ascii_uppercase)} | {
    "Space": len(ascii_uppercase)
}
_COMMON: Final = np.zeros((len(_KEYS), len(_KEYS)), dtype=np.bool_)
for _pair in COMMON_PAIRS.split():
    _COMMON[_KEYS[f"Key{_pair[0]}"], _KEYS[f"Key{_pair[1]}"]] = True
_HANDS: Final = np.array([*(letter not in LEFT_HAND for letter in ascii_uppercase), 2], np.int64)

_RULES: Final = (_COMMON, _HANDS, DOUBLE_CLICK_MS, DOUBLE_CLICK_PX, LONGEST_FLIGHT_MS)

NAMES: Final = tuple(feature.name for feature in FEATURES)
_FOCUS_TYPES: Final = frozenset(("focus", "blur"))

_POINT: Final = itemgetter("t", "x", "y")
_CLICK: Final = itemgetter("t", "x", "y", "duration")
_SCROLL: Final = itemgetter("t", "dy")

AT_ONCE: Final = 64
"""Windows that are read one after another, while their text is in the caches."""


class ParsedWindows(NamedTuple):
    """Windows that were read from their text.

    Attributes:
        good: whether each is plainly valid, shape (n,); nothing else holds of the others.
        times: its time of observation in epoch milliseconds, -1 where it tells none, shape (n,).
        rows: the features, shape (n, 52).
    """

    good: NDArray[np.bool_]
    times: NDArray[np.int64]
    rows: Floats


def extract_behavior(telemetry: BehaviorTelemetry) -> Extracted:
    """One row with the features, shape (1, 52); all NaN if the window holds no event."""
    # Here, not above: numba takes half a second, and most commands extract nothing.
    from models.kernels.text import window_features

    paths = telemetry.mouse_paths or ()
    keys, changes = telemetry.key_events or (), telemetry.focus_changes or ()
    points = _table(map(_POINT, chain.from_iterable(paths)), 3)
    clicks = _table(map(_CLICK, telemetry.clicks or ()), 4)
    strokes = _table(((k["down_time"], k["up_time"], _KEYS.get(k["code"], -1)) for k in keys), 3)
    scrolls = _table(map(_SCROLL, telemetry.scroll_events or ()), 2)
    focus = _table(((change["t"],) for change in changes if change["type"] in _FOCUS_TYPES), 1)
    lengths = np.array([len(path) for path in paths], dtype=np.int64)
    span = telemetry.start_timestamp, telemetry.end_timestamp
    row = np.empty((1, len(FEATURES)))
    window_features.window(points, lengths, clicks, strokes, scrolls, focus, *span, *_RULES, row[0])
    return Extracted(NAMES, row)


def parse_windows(values: Sequence[bytes], keys: Sequence[bytes]) -> ParsedWindows:
    """What ``extract_behavior`` gives for the windows that are plainly valid, and their times.

    Args:
        values: records as they came, of any bytes.
        keys: the key of each, of which its profile has to be where it names one.
    """
    from models.kernels.memory import SLACK
    from models.kernels.text import read_window

    size = len(values)
    found = ParsedWindows(
        np.zeros(size, np.bool_), np.empty(size, np.int64), np.empty((size, len(NAMES)))
    )
    most = max(map(len, values), default=0) // read_window.SHORTEST + 2
    tables = [np.empty((most, width)) for width in read_window.WIDTHS[: read_window.LENGTHS_OF]]
    # A path without points takes three bytes.
    lengths = np.empty(5 * most, np.int64)
    counts, span = np.empty(7, np.int64), np.empty(4)
    for begin in range(0, size, AT_ONCE):
        some = slice(begin, begin + AT_ONCE)
        read_window.read_windows(
            *concat(values[some], 2 * SLACK), *concat(keys[some], SLACK), *tables, lengths, counts,
            span, *_RULES, *(column[some] for column in found),
        )  # fmt: skip
    # The decoder tells which unit these count in.
    found.good[(found.times >= SECONDS[0]) & (found.times <= SECONDS[1])] = False
    return found


def _table(rows: Iterable[tuple[float | None, ...]], width: int) -> Floats:
    """Rows of numbers, NaN for null; all are taken into one array at once."""
    numbers = list(chain.from_iterable(rows))
    return bounded(np.array(numbers, dtype=np.float64).reshape(-1, width))
