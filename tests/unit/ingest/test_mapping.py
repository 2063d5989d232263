"""Mapping: from the fields of a source to telemetry, and what cannot be mapped."""

import pytest

from processor.ingest.kinds import _Members
from processor.ingest.pipeline import compute
from processor.ingest.placing import murmur2
from processor.settings import Limits
from tests.unit.ingest.builders import NOW, came, context, record, source

HOSTS = """
kind: features
profile_id: "{tags.host}"
values: {idle: fields.idle, user: fields.user}
"""
TELEGRAF = {
    "name": "cpu",
    "tags": {"host": "web-1", "cpu": "cpu-total"},
    "fields": {"idle": 90.5, "user": 7, "state": "ok", "up": True, "text": "3.5"},
    "timestamp": 1_700_000_123,
}


def test_features_by_dotted_paths_carry_the_records_own_time():
    found = came([record(TELEGRAF)], source(HOSTS))

    assert found.telemetry == [("web-1", {"values": {"idle": 90.5, "user": 7}, "observed_at": NOW})]
    assert found.outcomes == {"mapped": 1}


def test_a_star_takes_every_numeric_member_and_named_paths_beside():
    found = came([record(TELEGRAF)], source(HOSTS, values={"*": "fields", "free": "fields.idle"}))

    assert found.telemetry[0][1]["values"] == {"free": 90.5, "idle": 90.5, "user": 7}


def test_coerce_takes_numeric_texts_and_booleans():
    found = came([record(TELEGRAF)], source(HOSTS, values={"*": "fields"}, coerce=True))

    assert found.telemetry[0][1]["values"] == {"idle": 90.5, "user": 7, "up": 1, "text": 3.5}


@pytest.mark.parametrize(
    ("time", "unit"),
    [
        (1_700_000_123, "s"),
        (1_700_000_123.0, "s"),
        ("1700000123", "s"),
        (1_700_000_123_000, "ms"),
        (1_700_000_123_000_000, "us"),
        (1_700_000_123_000_000_000, "ns"),
        ("2023-11-14T22:15:23Z", "rfc3339"),
    ],
)
def test_times_of_every_unit_become_milliseconds(time, unit):
    mapped = source(HOSTS, observed_at={"path": "timestamp", "unit": unit})

    found = came([record(TELEGRAF | {"timestamp": time})], mapped)

    assert found.telemetry[0][1]["observed_at"] == 1_700_000_123_000


@pytest.mark.parametrize(
    ("time", "unit"),
    [
        (1_700_000_123, "ms"),
        (1_700_000_123_000_000, "ms"),
        (-1, "s"),
        ("soon", "s"),
        ({}, "s"),
        ("2023-11-14", "rfc3339"),
        (True, "s"),
    ],
)
def test_a_time_in_another_unit_is_a_dead_letter_that_names_its_path(time, unit):
    mapped = source(HOSTS, observed_at={"path": "timestamp", "unit": unit})

    found = came([record(TELEGRAF | {"timestamp": time})], mapped)

    ((reason, detail),) = found.dead
    assert reason == "unmapped"
    assert detail.startswith("observed_at: timestamp: expected")


def test_a_record_without_its_time_has_that_of_the_record():
    mapped = source(HOSTS, observed_at={"path": "at.all", "unit": "s"})

    assert came([record(TELEGRAF)], mapped).telemetry[0][1]["observed_at"] == NOW


def test_each_makes_an_observation_of_every_element_and_where_leaves_some_out():
    mapped = source(HOSTS, each="metrics[*]", where="name == 'cpu' && tags.cpu == 'cpu-total'")
    other = TELEGRAF | {"name": "mem"}

    found = came([record({"metrics": [TELEGRAF, other, TELEGRAF]})], mapped)

    assert [key for key, _ in found.telemetry] == ["web-1", "web-1"]
    assert found.outcomes == {"mapped": 1}


@pytest.mark.parametrize("value", [{"metrics": []}, {}, None, {"metrics": [{"name": "mem"}]}])
def test_what_each_or_where_leaves_nothing_of_is_filtered(value):
    found = came([record(value)], source(HOSTS, each="metrics[*]", where="name == 'cpu'"))

    assert found.outcomes == {"filtered": 1}
    assert not found.step.outputs


def test_one_observation_that_cannot_be_mapped_makes_the_record_one_dead_letter():
    nameless = TELEGRAF | {"tags": {}}

    found = came([record({"metrics": [TELEGRAF, nameless]})], source(HOSTS, each="metrics"))

    assert found.telemetry == []
    assert found.dead == [
        ("unmapped", "profile_id {tags.host}: expected text or an integer, got nothing")
    ]


def test_the_root_is_reached_from_inside_each_wherever_it_stands():
    mapped = source(
        kind="features",
        each="points",
        profile_id="{$.host}/{name || $.host}",
        where="name != $.skip && $.points[?name == $.skip]",
        values={"v": "v"},
    )
    value = {"host": "h", "skip": "b", "points": [{"name": "a", "v": 1}, {"name": "b", "v": 2}]}

    assert [key for key, _ in came([record(value)], mapped).telemetry] == ["h/a"]


def test_a_profile_is_made_of_text_and_what_the_record_has():
    mapped = source(
        HOSTS, profile_id="{topic}/{partition}/{key}/{header:tenant}/{id}-{tags.{a: host}.a}"
    )
    value = TELEGRAF | {"id": 7}

    found = came([record(value, key=b"k", partition=3, headers=(("tenant", b"t"),))], mapped)

    assert found.telemetry[0][0] == "in/3/k/t/7-web-1"


@pytest.mark.parametrize(
    "host", ["", "a\u0000b", "x" * 257, None, 1.5, True, ["a"], '{"id": 1}', "\ud800"]
)
def test_what_can_be_no_profile_is_a_dead_letter(host):
    raw = b'{"tags": {"host": "\\ud800"}, "fields": {"idle": 1}}' if host == "\ud800" else None
    value = raw or {"tags": {"host": host}, "fields": {"idle": 1}}

    found = came([record(value)], source(HOSTS))

    assert found.telemetry == []
    assert len(found.dead) == 1


def test_a_profile_goes_where_kafkas_own_partitioner_puts_it_and_a_dead_letter_stays():
    good, bad = record(TELEGRAF, partition=11, offset=5), record(b"{", partition=11, offset=6)

    found = came([good, bad], source(HOSTS), partitions=4)

    telemetry, dead = found.step.outputs
    assert telemetry.partition == murmur2(b"web-1") % 4
    assert dict(telemetry.headers or ())["telltale.source"] == b"in-11-5"
    assert dead.partition == 11 % 4
    assert found.step.offsets == {("in", 11): 7}


def test_a_trace_goes_on_with_the_record():
    trace = ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")

    found = came([record(TELEGRAF, headers=(trace, ("own", b"x")))], source(HOSTS))

    assert [name for name, _ in found.step.outputs[0].headers or ()] == [
        "telltale.source",
        "traceparent",
    ]


def test_a_series_is_one_point_at_its_time():
    mapped = source(
        kind="series", profile_id="{store}-{currency}", value="total",
        observed_at={"path": "at", "unit": "s"},
    )  # fmt: skip

    found = came(
        [record({"store": 4, "currency": "EUR", "total": 9.5, "at": 1_700_000_000})], mapped
    )

    at = 1_700_000_000_000
    assert found.telemetry == [("4-EUR", {"timestamps": [at], "values": [9.5], "observed_at": at})]


def test_drowsiness_and_behavior_have_the_shape_of_the_contract():
    eyes = source(
        kind="drowsiness", profile_id="{d}", ear_value="e.ear", is_drowsy="e.drowsy",
        duration_ms="e.ms",
    )  # fmt: skip
    window = source(kind="behavior", profile_id="{user}", window="w")
    good = {"d": "d", "e": {"ear": 0.3, "drowsy": False, "ms": 12}}
    behaviour = {"startTimestamp": 1, "endTimestamp": 2, "keyEvents": []}

    found = came([record(good)], eyes)
    other = came([record({"user": "u", "w": behaviour})], window)
    dead = came([record(good | {"e": {"ear": 3, "drowsy": False, "ms": 12}})], eyes)

    assert found.telemetry[0][1] == {
        "ear_value": 0.3, "is_drowsy": False, "duration_ms": 12, "observed_at": NOW
    }  # fmt: skip
    assert other.telemetry == [("u", behaviour | {"observed_at": NOW})]
    assert dead.dead[0][0] == "unmapped"
    assert "ear_value" in dead.dead[0][1]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "undecodable"),
        (b'{"a": NaN}', "undecodable"),
        (b"\xff", "undecodable"),
        (b"", "undecodable"),
        (b"[1]", "unmapped"),
        (b'"text"', "unmapped"),
        ({"tags": {"host": "h"}, "fields": {}}, "unmapped"),
        ({"tags": {"host": "h"}, "fields": {"idle": None}}, "unmapped"),
        (b'{"a":"' + b"x" * 1_000_000 + b'"}', "too_large"),
    ],
)
def test_what_cannot_be_read_or_mapped_is_a_dead_letter(value, reason):
    found = came([record(value)], source(HOSTS))

    assert [dead for dead, _ in found.dead] == [reason]
    assert found.outcomes == {"dead": 1}


def test_more_than_a_record_may_hold_is_too_large():
    few = Limits(1_000_000, 3, 3)
    many = {"tags": {"host": "h"}, "fields": {f"f{n}": n for n in range(4)}}

    wide = came([record(many)], source(HOSTS, values={"*": "fields"}), limits=few)
    long = came([record({"m": [TELEGRAF] * 4})], source(HOSTS, each="m"), limits=few)

    assert wide.dead[0][0] == long.dead[0][0] == "too_large"


def test_the_names_of_records_that_are_too_large_are_not_remembered_and_of_others_not_all(
    monkeypatch,
):
    monkeypatch.setattr("processor.ingest.kinds.MOST_NAMES", 10)
    star = _Members(source(HOSTS, values={"*": "fields"}))
    monkeypatch.setattr("processor.ingest.kinds._Members", lambda _: star)
    made = context(source(HOSTS, values={"*": "fields"}), limits=Limits(1_000_000, 4, 4))

    held = []
    for turn in range(9):
        wide = {f"{turn}.{n}": n for n in range(4 + turn % 2)}
        compute({}, [record({"tags": {"host": "h"}, "fields": wide})], made)
        held.append(sum(map(len, star._names_seen)))

    assert held == [4, 4, 8, 8, 4, 4, 8, 8, 4]


def test_a_function_that_a_record_does_not_fit_is_a_dead_letter():
    found = came([record(TELEGRAF)], source(HOSTS, where="contains(timestamp, 'a')"))

    assert found.dead[0][0] == "unmapped"
    assert found.dead[0][1].startswith("contains(timestamp, 'a'): ")


def test_two_sources_of_one_topic_both_map_a_record_or_none_does():
    cpu = source(HOSTS, name="cpu", where="name == 'cpu'")
    mem = source(HOSTS, name="mem", where="name == 'mem'")
    strict = source(HOSTS, name="strict", values={"x": "no.such"})

    both = came([record(TELEGRAF)], cpu, mem)
    dead = came([record(TELEGRAF)], cpu, strict)

    assert both.outcomes == {"mapped": 1, "filtered": 1}
    assert dead.telemetry == []
    assert len(dead.dead) == 1
