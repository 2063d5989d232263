"""Series, drowsiness and the producer's own vectors as samples; how vectors fit a profile."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.features import KINDS, Aligned, Extracted, Mismatch, align, rule_severity
from schemas import DrowsinessTelemetry, FeaturesTelemetry, SeriesTelemetry

NUMBER = st.floats(allow_nan=False, allow_infinity=False)
NAME = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=4)


def extract(kind: str, value: dict) -> Extracted:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return KINDS[kind].extract(KINDS[kind].telemetry.model_validate(value))


def event(ear: float, drowsy: bool = False, duration: float = 0.0) -> dict:
    return {"ear_value": ear, "is_drowsy": drowsy, "duration_ms": duration}


def test_the_kinds_are_the_four_of_the_design_with_their_detectors():
    assert {name: kind.detector for name, kind in KINDS.items()} == {
        "behavior": "blend",
        "series": "forecast",
        "drowsiness": "blend",
        "features": "blend",
    }
    assert all(name == kind.name for name, kind in KINDS.items())
    assert KINDS["features"].features is None


@pytest.mark.parametrize("kind", ["behavior", "series", "drowsiness"])
def test_the_columns_have_different_names_and_are_described(kind: str):
    columns = KINDS[kind].features
    assert columns is not None
    assert len({column.name for column in columns}) == len(columns)
    assert all(column.unit and column.description for column in columns)


def test_each_point_of_a_series_is_a_sample():
    extracted = extract("series", {"timestamps": [1, 2, 9], "values": [3, -4.5, 1e300]})
    assert extracted.names == ("value",)
    assert extracted.rows.tolist() == [[3.0], [-4.5], [1e100]]


def test_a_series_without_points_holds_no_samples():
    assert extract("series", {"timestamps": [], "values": []}).rows.shape == (0, 1)


@given(st.lists(NUMBER, max_size=20), st.integers(0, 20))
def test_a_series_cut_in_two_gives_the_same_samples(values, cut: int):
    def rows(start: int, end: int) -> np.ndarray:
        part = values[start:end]
        stamps = list(range(start, start + len(part)))
        return extract("series", {"timestamps": stamps, "values": part}).rows

    whole = rows(0, len(values))
    assert np.array_equal(whole, np.vstack([rows(0, cut), rows(cut, len(values))]))
    assert np.isfinite(whole).all()


def test_a_single_event_has_no_history():
    extracted = extract("drowsiness", event(0.25, True, 400))
    assert extracted.names == (
        *("ear_value", "duration_ms", "is_drowsy"),
        *("ear_mean_5", "ear_min_5", "drowsy_share_5"),
    )
    assert extracted.rows[0, :3].tolist() == [0.25, 400.0, 1.0]
    assert np.isnan(extracted.rows[0, 3:]).all()


def test_rolling_columns_look_back_on_five_events_of_the_record():
    ears = [0.1, 0.2, 0.3, 0.3, 0.3, 0.3, 0.5]
    drowsy = [True, True, False, False, False, False, False]
    rows = extract(
        "drowsiness", {"events": [event(e, d) for e, d in zip(ears, drowsy, strict=True)]}
    ).rows
    assert np.isnan(rows[0, 3:]).all()
    assert rows[1, 3:].tolist() == pytest.approx([0.15, 0.1, 1.0])
    assert rows[4, 3:].tolist() == pytest.approx([0.24, 0.1, 0.4])
    assert rows[5, 3:].tolist() == pytest.approx([0.28, 0.2, 0.2])
    assert rows[6, 3:].tolist() == pytest.approx([0.34, 0.3, 0.0])


def test_no_events_are_no_samples():
    assert extract("drowsiness", {"events": []}).rows.shape == (0, 6)


EVENTS = st.lists(
    st.builds(event, st.floats(0, 1), st.booleans(), st.floats(0, 1.7e308)), min_size=1, max_size=12
)


@given(EVENTS)
def test_any_drowsiness_gives_finite_values_and_rolling_ones_between_the_extremes(events):
    rows = extract("drowsiness", {"events": events}).rows
    assert rows.shape == (len(events), 6)
    assert np.isfinite(rows[:, :3]).all()
    assert np.isnan(rows[0, 3:]).all()
    assert np.isfinite(rows[1:, 3:]).all()
    least, most = rows[:, 0].min(), rows[:, 0].max()
    assert ((rows[1:, 3:5] >= least - 1e-12) & (rows[1:, 3:5] <= most + 1e-12)).all()


@pytest.mark.parametrize(
    ("events", "severity"),
    [
        ([], "none"),
        ([event(0.3)], "none"),
        ([event(0.3, False, 60_000)], "none"),
        ([event(0.3, True, 0)], "low"),
        ([event(0.19, False, 499)], "low"),
        ([event(0.3, True, 500)], "medium"),
        ([event(0.3, True, 1000)], "high"),
        ([event(0.1, True, 2999)], "high"),
        ([event(0.1, True, 3000)], "critical"),
        ([event(0.1, True, 3000), event(0.3)], "critical"),
    ],
)
def test_severity_by_rule_is_that_of_the_longest_closure(events, severity: str):
    record = DrowsinessTelemetry.model_validate({"events": events})
    assert rule_severity(record) == severity


def test_named_values_keep_their_names_and_order():
    extracted = extract("features", {"values": {"b": 1, "a": None, "c": -1e200}})
    assert extracted.names == ("b", "a", "c")
    assert not extracted.positional
    assert extracted.rows[0, 0] == 1
    assert math.isnan(extracted.rows[0, 1])
    assert extracted.rows[0, 2] == -1e100


def test_an_array_is_named_by_places():
    extracted = extract("features", {"values": [7, None]})
    assert extracted.names == ("0", "1")
    assert extracted.positional
    assert extracted.rows.shape == (1, 2)


@pytest.mark.parametrize("values", [{}, []])
def test_no_values_are_no_sample(values):
    assert len(extract("features", {"values": values}).rows) == 0


@given(
    st.dictionaries(NAME, NUMBER | st.none(), min_size=1) | st.lists(NUMBER | st.none(), min_size=1)
)
def test_values_are_one_row_with_nan_exactly_for_null(values):
    extracted = extract("features", {"values": values})
    given_values = list(values.values()) if isinstance(values, dict) else values
    assert extracted.rows.shape == (1, len(given_values))
    assert np.isnan(extracted.rows[0]).tolist() == [value is None for value in given_values]
    assert not np.isinf(extracted.rows).any()


PROFILE = ("a", "b", "c", "d")


def aligned(values: object, names: tuple[str, ...] = PROFILE) -> Aligned | Mismatch:
    return align(extract("features", {"values": values}), names)


def test_a_record_in_another_order_is_put_in_the_profiles():
    result = aligned({"d": 4, "c": 3, "b": 2, "a": 1})
    assert isinstance(result, Aligned)
    assert (result.rows.tolist(), result.unknown) == ([[1, 2, 3, 4]], 0)


def test_a_missing_name_is_absent_and_an_unknown_one_is_counted():
    result = aligned({"x": 9, "b": 2, "y": 9, "d": None})
    assert isinstance(result, Aligned)
    assert result.unknown == 2
    assert np.array_equal(result.rows, [[np.nan, 2, np.nan, np.nan]], equal_nan=True)


def test_a_record_without_any_known_name_is_a_mismatch():
    result = aligned({"x": 1, "y": 2, "z": 3})
    assert isinstance(result, Mismatch)
    assert "none of the profile's 4 names" in result.detail


@pytest.mark.parametrize("values", [{"a": 1}, {"a": 1, "x": 2}, {"a": None}, {"d": 1, "b": None}])
def test_one_known_name_is_enough_and_null_counts_as_there(values):
    assert isinstance(aligned(values), Aligned)


def test_an_array_fits_by_length_and_order_whatever_the_names():
    result = aligned([1, 2, None, 4])
    assert isinstance(result, Aligned)
    assert np.array_equal(result.rows, [[1, 2, np.nan, 4]], equal_nan=True)
    for wrong in ([1, 2, 3], [1, 2, 3, 4, 5]):
        mismatch = aligned(wrong)
        assert isinstance(mismatch, Mismatch)
        assert f"has {len(wrong)}" in mismatch.detail


def test_a_profile_of_arrays_takes_places_as_names():
    assert isinstance(aligned({"1": 5, "0": 4}, ("0", "1")), Aligned)
    assert isinstance(aligned({"a": 5, "b": 4}, ("0", "1")), Mismatch)


@given(
    st.dictionaries(NAME, NUMBER | st.none(), min_size=1, max_size=8),
    st.lists(NAME, min_size=1, max_size=8, unique=True),
)
def test_alignment_puts_every_known_value_under_its_name(values, names):
    result = aligned(values, tuple(names))
    known = [name for name in names if name in values]
    if not known:
        assert isinstance(result, Mismatch)
    else:
        assert isinstance(result, Aligned)
        assert result.unknown == len(values) - len(known)
        expected = [np.nan if values.get(name) is None else values[name] for name in names]
        expected = np.clip(np.array([expected], dtype=float), -1e100, 1e100)
        assert np.array_equal(result.rows, expected, equal_nan=True)


@given(st.randoms(), st.dictionaries(NAME, NUMBER, min_size=1, max_size=8))
def test_the_order_of_names_in_a_later_record_does_not_matter(random, values):
    names = tuple(values)
    shuffled = dict(random.sample(list(values.items()), len(values)))
    first, second = aligned(values, names), aligned(shuffled, names)
    assert isinstance(first, Aligned)
    assert isinstance(second, Aligned)
    assert np.array_equal(first.rows, second.rows)


def test_the_models_of_the_kinds_are_those_of_the_wire():
    assert KINDS["series"].telemetry is SeriesTelemetry
    assert KINDS["drowsiness"].telemetry is DrowsinessTelemetry
    assert KINDS["features"].telemetry is FeaturesTelemetry
