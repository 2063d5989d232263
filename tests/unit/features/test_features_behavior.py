"""The features of a window of browser interaction, by hand and by their invariants."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.features import KINDS
from models.features.behavior import COMMON_PAIRS, FEATURES
from schemas import BehaviorTelemetry

NAMES = [feature.name for feature in FEATURES]


def features(**lists: Any) -> dict[str, float]:
    window = {"startTimestamp": 0, "endTimestamp": 60_000} | lists
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extracted = KINDS["behavior"].extract(BehaviorTelemetry.model_validate(window))
    assert extracted.rows.shape == (1, len(NAMES))
    return dict(zip(extracted.names, extracted.rows[0].tolist(), strict=True))


def points(*txy: tuple[float, float, float]) -> list[dict[str, float]]:
    return [{"t": t, "x": x, "y": y} for t, x, y in txy]


def keys(*events: tuple[str, float, float | None]) -> list[dict[str, Any]]:
    return [{"code": code, "downTime": down, "upTime": up} for code, down, up in events]


def clicks(*events: tuple[float, float, float, float | None]) -> list[dict[str, Any]]:
    return [{"t": t, "x": x, "y": y, "duration": duration} for t, x, y, duration in events]


def scrolls(*events: tuple[float, float]) -> list[dict[str, float]]:
    return [{"t": t, "dy": dy} for t, dy in events]


def nan(value: float) -> bool:
    return math.isnan(value)


def test_the_features_are_those_of_the_design_in_its_order():
    assert NAMES[:17] == [
        "mouse_speed_avg",
        "mouse_speed_std",
        "mouse_acceleration_avg",
        "mouse_acceleration_std",
        "path_straightness",
        "click_duration_avg",
        "double_click_rate",
        "dwell_time_avg",
        "dwell_time_std",
        "digraph_flight_avg",
        "digraph_flight_std",
        "scroll_magnitude_avg",
        "scroll_burstiness",
        "scroll_interval_avg",
        "scroll_down_ratio",
        "focus_change_rate",
        "mouse_to_interaction",
    ]
    assert KINDS["behavior"].features == FEATURES


@pytest.mark.parametrize(
    "lists",
    [
        {},
        {"mousePaths": [], "clicks": [], "keyEvents": [], "scrollEvents": [], "focusChanges": []},
        {"mousePaths": [[], []]},
        {"mousePaths": None, "clicks": None},
        {"focusChanges": [{"type": "visibilitychange", "t": 5}]},
        {"startTimestamp": 9, "endTimestamp": 3},
    ],
)
def test_a_window_without_events_holds_no_evidence(lists):
    assert all(nan(value) for value in features(**lists).values())


def test_speed_is_that_of_the_steps_inside_each_path():
    # Steps of 5 px in 100 ms and 10 px in 100 ms; the leap between the paths is no step.
    window = features(
        mousePaths=[points((0, 0, 0), (100, 3, 4)), points((200, 900, 0), (300, 900, 10))]
    )
    assert window["mouse_speed_avg"] == pytest.approx(75)
    assert window["mouse_speed_std"] == pytest.approx(25)
    assert nan(window["mouse_acceleration_avg"])


def test_acceleration_is_the_change_of_speed_over_the_time_between_the_steps_middles():
    # 100, 300 and 200 px/s; the middles of the steps lie 150 ms and 200 ms apart.
    window = features(mousePaths=[points((0, 0, 0), (100, 10, 0), (300, 70, 0), (500, 110, 0))])
    first, second = 200 / 0.15, -100 / 0.2
    assert window["mouse_acceleration_avg"] == pytest.approx((first + second) / 2)
    assert window["mouse_acceleration_std"] == pytest.approx((first - second) / 2)


def test_straightness_is_straight_over_travelled_distance_averaged_over_moving_paths():
    window = features(
        mousePaths=[
            points((0, 0, 0), (10, 3, 0), (20, 3, 4)),
            points((0, 5, 5), (10, 5, 5)),
            points((0, 0, 0), (10, 1, 0)),
            points((0, 7, 7)),
        ]
    )
    assert window["path_straightness"] == pytest.approx((5 / 7 + 1) / 2)


def test_straightness_is_at_most_one_though_distances_are_rounded():
    path = points(*((i, 0.1 * i, 0.6 * i) for i in range(4)))
    assert features(mousePaths=[path])["path_straightness"] == 1


def test_click_duration_leaves_out_what_is_absent_or_negative():
    window = features(
        clicks=clicks((0, 0, 0, 80), (5e3, 0, 0, 120), (9e3, 0, 0, None), (2e4, 0, 0, -5))
    )
    assert window["click_duration_avg"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("second", "doubled"),
    [
        ((499, 6, 8), True),
        ((0, 0, 0), True),
        ((500, 0, 0), False),
        ((100, 10.1, 0), False),
    ],
)
def test_a_double_click_is_soon_and_near(second: tuple[float, float, float], doubled: bool):
    window = features(clicks=clicks((*second, 1), (0, 0, 0, 1)))
    assert window["double_click_rate"] == (0.5 if doubled else 0.0)


def test_one_click_is_evidence_of_no_double_click_and_no_click_of_nothing():
    assert features(clicks=clicks((0, 0, 0, 1)))["double_click_rate"] == 0
    assert nan(features(scrollEvents=scrolls((0, 1)))["double_click_rate"])


def test_dwell_time_leaves_out_held_keys_and_keys_up_before_they_are_down():
    window = features(
        keyEvents=keys(("KeyA", 0, 90), ("KeyB", 60, 170), ("KeyC", 500, None), ("KeyD", 900, 800))
    )
    assert window["dwell_time_avg"] == pytest.approx(100)
    assert window["dwell_time_std"] == pytest.approx(10)


def test_flight_is_from_down_to_down_of_common_pairs_in_the_order_of_time():
    # T–H 100 ms and H–E 200 ms, though the keys overlap; E–Q is no common pair.
    window = features(
        keyEvents=keys(("KeyQ", 350, 380), ("KeyT", 0, 150), ("KeyE", 300, 340), ("KeyH", 100, 320))
    )
    assert window["digraph_flight_avg"] == pytest.approx(150)
    assert window["digraph_flight_std"] == pytest.approx(50)


def test_a_pause_of_more_than_a_second_is_no_flight():
    window = features(keyEvents=keys(("KeyT", 0, 1), ("KeyH", 1000, 1001), ("KeyE", 2001, 2002)))
    assert window["digraph_flight_avg"] == pytest.approx(1000)
    assert nan(window["digraph_flight_std"])


def test_the_common_pairs_are_thirty_of_two_letters():
    pairs = COMMON_PAIRS.split()
    assert len(set(pairs)) == len(pairs) == 30
    assert all(len(pair) == 2 and pair.isalpha() and pair.isupper() for pair in pairs)


def test_scrolls_give_distance_intervals_and_direction():
    # Intervals of 100, 300 and 200 ms, given out of order.
    window = features(scrollEvents=scrolls((400, 100), (0, 100), (100, -50), (600, 50)))
    assert window["scroll_magnitude_avg"] == pytest.approx(75)
    assert window["scroll_interval_avg"] == pytest.approx(200)
    assert window["scroll_burstiness"] == pytest.approx(math.sqrt(20_000 / 3))
    assert window["scroll_down_ratio"] == pytest.approx(0.75)


def test_two_scrolls_have_one_interval_and_no_burstiness():
    window = features(scrollEvents=scrolls((0, 1), (100, 1)))
    assert window["scroll_interval_avg"] == 100
    assert nan(window["scroll_burstiness"])


def test_focus_changes_are_counted_per_minute_of_the_window():
    changes = [{"type": kind, "t": 5} for kind in ("focus", "blur", "focus", "visibilitychange")]
    assert features(focusChanges=changes, endTimestamp=120_000)["focus_change_rate"] == 1.5


@pytest.mark.parametrize(
    "lists",
    [
        {"scrollEvents": scrolls((0, 1))},
        {"clicks": clicks((0, 0, 0, 1))},
        {"keyEvents": keys(("KeyA", 0, 1))},
        {"mousePaths": [points((0, 0, 0))]},
    ],
)
def test_any_event_makes_the_absence_of_focus_changes_evidence(lists):
    assert features(**lists)["focus_change_rate"] == 0


@pytest.mark.parametrize("end", [5_000, 10_000])
def test_a_window_that_does_not_end_after_it_starts_lasts_as_long_as_its_events(end: int):
    window = features(
        startTimestamp=10_000,
        endTimestamp=end,
        keyEvents=keys(("KeyA", 1_000, 31_000), ("KeyB", 2_000, None)),
        focusChanges=[{"type": "blur", "t": 2_000}],
    )
    assert window["focus_change_rate"] == pytest.approx(2)


def test_a_window_of_no_duration_has_no_rate():
    window = features(endTimestamp=0, focusChanges=[{"type": "blur", "t": 2_000}])
    assert nan(window["focus_change_rate"])


def test_movement_is_set_against_clicks_and_keys():
    paths = [points((0, 0, 0), (10, 3, 4)), points((20, 0, 0), (30, 0, 10))]
    window = features(
        mousePaths=paths,
        clicks=clicks((0, 0, 0, 1)),
        keyEvents=keys(("KeyA", 0, 1), ("KeyB", 2, 3)),
    )
    assert window["mouse_to_interaction"] == pytest.approx(5)
    assert nan(features(mousePaths=paths)["mouse_to_interaction"])


def test_a_window_of_keys_alone_is_evidence_of_no_movement():
    assert features(keyEvents=keys(("KeyA", 0, 1)))["mouse_to_interaction"] == 0


def test_paths_of_one_point_say_nothing_about_movement():
    window = features(mousePaths=[points((0, 1, 1)), points((5, 9, 9))])
    assert all(nan(window[name]) for name in NAMES[:5])


def test_a_repeated_timestamp_adds_distance_but_no_speed():
    window = features(
        mousePaths=[points((0, 0, 0), (100, 10, 0), (100, 10, 10), (200, 20, 10))],
        clicks=clicks((0, 0, 0, 1)),
    )
    assert window["mouse_speed_avg"] == pytest.approx(100)
    assert nan(window["mouse_acceleration_avg"])
    assert window["path_straightness"] == pytest.approx(math.hypot(20, 10) / 30)
    assert window["mouse_to_interaction"] == pytest.approx(30)


def test_acceleration_leaves_out_the_neighbours_of_an_untimed_step():
    window = features(
        mousePaths=[points((0, 0, 0), (100, 10, 0), (200, 30, 0), (200, 35, 0), (300, 90, 0))]
    )
    assert window["mouse_acceleration_avg"] == pytest.approx(1000)


def test_a_clock_that_jumps_back_adds_distance_but_no_speed():
    window = features(
        mousePaths=[points((1000, 0, 0), (1100, 10, 0), (50, 20, 0), (150, 40, 0))],
        clicks=clicks((0, 0, 0, 1)),
    )
    assert window["mouse_speed_avg"] == pytest.approx(150)
    assert window["mouse_speed_std"] == pytest.approx(50)
    assert nan(window["mouse_acceleration_avg"])
    assert window["mouse_to_interaction"] == pytest.approx(40)


NUMBER = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [0.0, -0.0, 5e-324, -5e-324, 1e-300, 1.7e308, -1.7e308, 1e100, 1.4e12]
)
PLAIN = st.integers(0, 100_000).map(float)


def windows(number: st.SearchStrategy[float]) -> st.SearchStrategy[dict[str, Any]]:
    point = st.fixed_dictionaries({"t": number, "x": number, "y": number})
    code = st.sampled_from(["KeyT", "KeyH", "KeyE", "Space", "ShiftLeft", ""])
    key = st.fixed_dictionaries(
        {"code": code, "downTime": number}, optional={"upTime": number | st.none()}
    )
    click = st.fixed_dictionaries(
        {"t": number, "x": number, "y": number},
        optional={"button": st.integers(0, 4), "duration": number | st.none()},
    )
    return st.fixed_dictionaries(
        {"startTimestamp": number, "endTimestamp": number},
        optional={
            "mousePaths": st.lists(st.lists(point, max_size=6), max_size=4),
            "keyEvents": st.lists(key, max_size=6),
            "clicks": st.lists(click, max_size=5),
            "scrollEvents": st.lists(
                st.fixed_dictionaries({"t": number, "dy": number}), max_size=5
            ),
            "focusChanges": st.lists(
                st.fixed_dictionaries({"type": st.sampled_from(["focus", "blur"]), "t": number}),
                max_size=3,
            ),
        },
    )


def moved(value: Any, by: dict[str, float]) -> Any:
    if isinstance(value, dict):
        return {
            name: inner + by[name] if name in by and inner is not None else moved(inner, by)
            for name, inner in value.items()
        }
    return [moved(inner, by) for inner in value] if isinstance(value, list) else value


def scaled(value: Any, times: dict[str, float]) -> Any:
    if isinstance(value, dict):
        return {
            name: inner * times[name]
            if name in times and inner is not None
            else scaled(inner, times)
            for name, inner in value.items()
        }
    return [scaled(inner, times) for inner in value] if isinstance(value, list) else value


def same(left: dict[str, float], right: dict[str, float]) -> bool:
    return bool(
        np.allclose([*left.values()], [*right.values()], rtol=1e-6, atol=1e-6, equal_nan=True)
    )


TIMES = ("t", "downTime", "upTime", "startTimestamp", "endTimestamp")


@given(windows(NUMBER))
def test_any_finite_window_gives_finite_values_or_nan_without_a_warning(window):
    values = np.array([*features(**window).values()])
    assert not np.isinf(values).any()
    assert (np.abs(values[~np.isnan(values)]) <= 1e100).all()


@given(windows(NUMBER))
def test_ratios_stay_in_their_range_and_spreads_are_never_negative(window):
    values = features(**window)
    shares = {feature.name for feature in FEATURES if feature.unit == "0–1"}
    for name in sorted(shares | {"double_click_rate"}):
        assert nan(values[name]) or 0 <= values[name] <= 1
    for name in NAMES:
        # Keys may go down before the one before is up.
        if name not in ("mouse_acceleration_avg", "key_latency_avg"):
            assert nan(values[name]) or values[name] >= 0


@given(windows(PLAIN), st.integers(-10_000, 1_000_000_000))
def test_shifting_all_times_changes_nothing(window, by: int):
    assert same(features(**window), features(**moved(window, dict.fromkeys(TIMES, float(by)))))


@given(windows(PLAIN), st.integers(-5000, 5000), st.integers(-5000, 5000))
def test_moving_all_places_changes_nothing(window, x: int, y: int):
    assert same(features(**window), features(**moved(window, {"x": float(x), "y": float(y)})))


@given(windows(PLAIN), st.sampled_from([0.5, 2.0, 8.0]))
def test_magnifying_the_mouse_paths_scales_speeds_and_distances_alone(window, times: float):
    paths = scaled(window.get("mousePaths", []), {"x": times, "y": times})
    before = features(**window)
    after = features(**window | {"mousePaths": paths})
    grows = {*NAMES[:4], "mouse_to_interaction"}
    expected = {name: value * times if name in grows else value for name, value in before.items()}
    expected["curvature_avg"] /= times
    # What is short is short on the screen.
    expected["short_step_share"] = after["short_step_share"]
    assert same(after, expected)


@given(windows(PLAIN), st.randoms())
def test_the_order_of_paths_clicks_scrolls_and_focus_changes_does_not_matter(window, random):
    shuffled = {
        name: random.sample(value, len(value))
        if name in ("mousePaths", "scrollEvents", "focusChanges")
        else value
        for name, value in window.items()
    }
    assert same(features(**window), features(**shuffled))


@given(windows(PLAIN))
def test_a_path_of_one_point_and_an_empty_path_change_no_movement(window):
    paths = window.get("mousePaths", [])
    more = [[], points((5, 5, 5)), *paths, points((7, 0, 0)), []]
    before, after = features(**window), features(**window | {"mousePaths": more})
    # But for rates, and how soon after a click the pointer is seen.
    there = [*NAMES[:15], *NAMES[21:33], *NAMES[36:]]
    assert same({name: before[name] for name in there}, {name: after[name] for name in there})


@given(windows(PLAIN))
def test_each_list_is_the_only_one_behind_its_features(window):
    whole = features(**window)
    owners = {"mousePaths": NAMES[:5], "clicks": NAMES[5:7], "keyEvents": NAMES[7:11]}
    owners["scrollEvents"] = NAMES[11:15]
    owners["mousePaths"] += NAMES[21:33] + NAMES[36:44]
    owners["clicks"] += NAMES[33:34]
    owners["keyEvents"] += NAMES[44:]
    for field, names in owners.items():
        alone = features(
            startTimestamp=window["startTimestamp"],
            endTimestamp=window["endTimestamp"],
            **({field: window[field]} if field in window else {}),
        )
        assert same({n: whole[n] for n in names}, {n: alone[n] for n in names})
