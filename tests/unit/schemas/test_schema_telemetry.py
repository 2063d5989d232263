"""The four kinds of telemetry: strict types, both spellings, readable errors."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from schemas import (
    BehaviorTelemetry,
    DrowsinessTelemetry,
    FeaturesTelemetry,
    SeriesTelemetry,
    explain,
)

KINDS = [BehaviorTelemetry, DrowsinessTelemetry, FeaturesTelemetry, SeriesTelemetry]
WINDOW = {"startTimestamp": 0, "endTimestamp": 1000}
EVENT = {"ear_value": 0.3, "is_drowsy": False, "duration_ms": 0}

FIELD_NAMES = st.sampled_from(
    (
        *("values", "timestamps", "ear_value", "is_drowsy", "duration_ms", "events", "t", "x", "y"),
        *("startTimestamp", "endTimestamp", "mousePaths", "clicks", "keyEvents", "windowSize"),
        *("code", "downTime", "upTime", "dy", "type", "observed_at", "profile_id", "kind"),
        *("\ud800", "a b"),
    )
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELD_NAMES, inner, max_size=6),
    max_leaves=12,
)


def refusal(model: type[BaseModel], value: object) -> str:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(value)
    return explain(caught.value)


@pytest.mark.parametrize("model", KINDS)
@given(value=st.dictionaries(FIELD_NAMES, VALUES, max_size=6))
def test_any_object_is_valid_or_refused_with_a_short_ascii_sentence(model, value):
    try:
        model.model_validate(value)
    except ValidationError as error:
        sentence = explain(error)
        assert sentence.startswith("$")
        assert sentence.isascii()
        assert len(sentence) < 1500


@pytest.mark.parametrize("wrong", [True, "1", None, [1], {}, float("nan"), float("inf")])
def test_what_is_not_a_finite_number_is_no_number(wrong):
    assert "$.startTimestamp" in refusal(BehaviorTelemetry, WINDOW | {"startTimestamp": wrong})
    assert "$.values[0]" in refusal(SeriesTelemetry, {"timestamps": [1], "values": [wrong]})
    assert "$.ear_value" in refusal(DrowsinessTelemetry, EVENT | {"ear_value": wrong}) or (
        wrong is None
    )
    if wrong is not None:
        assert "$.values[1]" in refusal(FeaturesTelemetry, {"values": [1, wrong]})
        assert "$.values.a" in refusal(FeaturesTelemetry, {"values": {"a": wrong}})


def test_unknown_fields_are_ignored_everywhere():
    window = WINDOW | {"new": 1, "clicks": [{"t": 1, "x": 2, "y": 3, "pressure": "high"}]}
    assert BehaviorTelemetry.model_validate(window).clicks == [
        {"t": 1.0, "x": 2.0, "y": 3.0, "button": None, "duration": None}
    ]


def test_behavior_is_the_same_in_camel_case_and_in_snake_case():
    camel = {
        "startTimestamp": 1,
        "endTimestamp": 2.5,
        "windowSize": {"width": 10, "height": 20},
        "keyEvents": [{"code": "KeyA", "downTime": 1, "upTime": 2}],
        "mousePaths": [[{"t": 1, "x": 2, "y": 3}]],
        "scrollEvents": [{"t": 1, "dy": -5}],
        "focusChanges": [{"type": "blur", "t": 1}],
    }
    snake = {
        "start_timestamp": 1,
        "end_timestamp": 2.5,
        "window_size": {"width": 10, "height": 20},
        "key_events": [{"code": "KeyA", "down_time": 1, "up_time": 2}],
        "mouse_paths": [[{"t": 1, "x": 2, "y": 3}]],
        "scroll_events": [{"t": 1, "dy": -5}],
        "focus_changes": [{"type": "blur", "t": 1}],
    }
    assert BehaviorTelemetry.model_validate(camel) == BehaviorTelemetry.model_validate(snake)


def test_absent_null_and_empty_lists_of_behavior_are_all_valid():
    lists = ["keyEvents", "mousePaths", "clicks", "scrollEvents", "focusChanges"]
    for value in (None, []):
        assert BehaviorTelemetry.model_validate(WINDOW | dict.fromkeys(lists, value))
    assert BehaviorTelemetry.model_validate(WINDOW).clicks is None


@pytest.mark.parametrize(
    ("lists", "path"),
    [
        ({"mousePaths": [[], [{"t": 1, "x": 2}]]}, r"$.mousePaths[1][0].y"),
        ({"keyEvents": [{"code": 7, "downTime": 1, "upTime": 2}]}, r"$.keyEvents[0].code"),
        ({"keyEvents": [{"code": "KeyA", "upTime": 2}]}, r"$.keyEvents[0].downTime"),
        ({"clicks": [{"t": 1, "x": 2, "y": 3, "button": 0.5}]}, r"$.clicks[0].button"),
        ({"scrollEvents": [{"t": 1}]}, r"$.scrollEvents[0].dy"),
        ({"focusChanges": [{"t": 1}]}, r"$.focusChanges[0].type"),
        ({"windowSize": {"width": 1}}, r"$.windowSize.height"),
        ({"endTimestamp": None}, r"$.endTimestamp"),
        ({"clicks": {}}, r"$.clicks"),
    ],
)
def test_a_wrong_window_names_its_field(lists, path: str):
    assert path in refusal(BehaviorTelemetry, WINDOW | lists)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"timestamps": [1, 2, 2], "values": [0, 0, 0]}, "index 2 (2)"),
        ({"timestamps": [5, 4], "values": [0, 0]}, "index 1 (4)"),
        ({"timestamps": [1.0], "values": [0]}, "$.timestamps[0]"),
        ({"timestamps": [True], "values": [0]}, "$.timestamps[0]"),
        ({"timestamps": [1, 2], "values": [0]}, "1 values and 2 timestamps"),
        ({"timestamps": [1], "values": [None]}, "$.values[0]"),
        ({"values": []}, "$.timestamps is required"),
    ],
)
def test_a_wrong_series_says_where(record, words: str):
    assert words in refusal(SeriesTelemetry, record)


def test_a_series_may_be_empty_and_its_integers_are_numbers():
    assert SeriesTelemetry.model_validate({"timestamps": [], "values": []}).values == []
    assert SeriesTelemetry.model_validate({"timestamps": [-1, 0], "values": [1, 2]}).values == [
        1.0,
        2.0,
    ]


def test_drowsiness_is_one_event_or_a_list_of_them():
    single = DrowsinessTelemetry.model_validate(EVENT)
    batch = DrowsinessTelemetry.model_validate({"events": [EVENT, EVENT]})
    assert single.observations() == [EVENT]
    assert batch.observations() == [EVENT, EVENT]
    assert DrowsinessTelemetry.model_validate({"events": []}).observations() == []


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({}, "ear_value, is_drowsy and duration_ms"),
        ({"ear_value": 0.2}, "ear_value, is_drowsy and duration_ms"),
        ({"events": None}, "ear_value, is_drowsy and duration_ms"),
        (EVENT | {"events": []}, "not both"),
        (EVENT | {"ear_value": 1.01}, "$.ear_value"),
        (EVENT | {"duration_ms": -1}, "$.duration_ms"),
        (EVENT | {"is_drowsy": 1}, "$.is_drowsy"),
        ({"events": [EVENT, {"ear_value": 0.1}]}, "$.events[1].is_drowsy is required"),
    ],
)
def test_wrong_drowsiness_says_what_it_should_have(record, words: str):
    assert words in refusal(DrowsinessTelemetry, record)


def test_features_keep_the_order_of_names_and_their_nulls():
    named = FeaturesTelemetry.model_validate({"values": {"b": 1, "a": None}})
    bare = FeaturesTelemetry.model_validate({"values": [1, None, 2.5]})
    assert isinstance(named.values, dict)
    assert list(named.values.items()) == [("b", 1.0), ("a", None)]
    assert bare.values == [1.0, None, 2.5]


@pytest.mark.parametrize("wrong", [None, 3, "text", True])
def test_features_are_an_object_or_an_array(wrong):
    assert "$.values" in refusal(FeaturesTelemetry, {"values": wrong})


@pytest.mark.parametrize(
    ("given_as", "milliseconds"),
    [
        (None, None),
        (0, 0),
        (253_402_300_799_999, 253_402_300_799_999),
        ("1970-01-01T00:00:00Z", 0),
        ("2024-02-29t12:00:00.5z", 1_709_208_000_500),
        ("2024-02-29T12:00:00.123999999999Z", 1_709_208_000_123),
        ("2024-02-29T13:30:00+01:30", 1_709_208_000_000),
        ("2024-02-29T10:30:00-01:30", 1_709_208_000_000),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ],
)
def test_observed_at_is_epoch_milliseconds_or_rfc_3339(given_as, milliseconds):
    record = FeaturesTelemetry.model_validate({"values": [1], "observed_at": given_as})
    assert record.observed_at_ms() == milliseconds


@pytest.mark.parametrize(
    "wrong",
    [
        -1,
        253_402_300_800_000,
        1.5,
        1_700_000_000_000.0,
        True,
        "",
        "2024-02-29",
        "2024-02-29T12:00:00",
        "2024-02-29 12:00:00Z",
        "2024-02-30T12:00:00Z",
        "0000-01-01T00:00:00Z",
        "2024-02-29T24:00:00Z",
        "2024-02-29T12:60:00Z",
        "2024-02-29T12:00:61Z",
        "2024-02-29T12:00:00+24:00",
        "2024-02-29T12:00:00+0100",
        "2024-02-29T12:00:00.Z",
        "٢٠٢٤-02-29T12:00:00Z",
        "9999-12-31T23:59:59-00:01",
        "1969-12-31T23:59:59Z",
        "2024-02-29T12:00:00Z\n",
        "1709208000000",
    ],
)
def test_any_other_observed_at_is_refused(wrong):
    assert "$.observed_at" in refusal(FeaturesTelemetry, {"values": [1], "observed_at": wrong})


@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30), timezones=st.timezones()))
def test_observed_at_agrees_with_the_calendar(moment: datetime):
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    offset = moment.utcoffset()
    assert offset is not None
    if offset.total_seconds() % 60:
        moment = moment.astimezone(UTC)
    record = FeaturesTelemetry.model_validate({"values": [1], "observed_at": moment.isoformat()})
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    assert record.observed_at_ms() == round(since.total_seconds() * 1000)


def test_an_explanation_tells_three_errors_and_counts_the_rest():
    fields = ("profile_id", "kind", "observed_at", "ear_value", "is_drowsy", "duration_ms")
    sentence = refusal(DrowsinessTelemetry, dict.fromkeys(fields, ["x" * 10_000] * 50))
    assert sentence.count("$.") == 3
    assert sentence.endswith("; and 3 more")
    assert len(sentence) < 600


def test_the_first_wrong_value_of_a_vector_ends_its_check():
    wrong = {"values": {f"name {i}": "x" for i in range(50)}}
    sentence = refusal(FeaturesTelemetry, wrong)
    assert sentence == "$.values['name 0'] should be a valid number, got 'x'"


def test_an_explanation_shows_the_first_names_of_an_object_without_sorting_them():
    names = {f"{number:05}": 1 for number in range(9_999, -1, -1)}
    sentence = refusal(SeriesTelemetry, {"timestamps": [1], "values": names})
    assert "'09997': 1" in sentence
    assert "'00000'" not in sentence


def test_an_explanation_is_ascii_whatever_came():
    sentence = refusal(FeaturesTelemetry, {"values": {"naïve\u2028": "\ud800é"}})
    assert sentence.isascii()
    assert "$.values[" in sentence


def test_an_explanation_survives_an_integer_too_long_to_print():
    assert "16610 bits" in refusal(FeaturesTelemetry, {"values": [1], "observed_at": 10**5000})
    assert "16610 bits" in refusal(FeaturesTelemetry, {"values": [[10**5000]]})
