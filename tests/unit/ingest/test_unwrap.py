"""Unwrapping: CloudEvents, Kafka Connect and Debezium, and what of them is filtered."""

import base64

import pytest

from tests.unit.ingest.builders import came, record, source

FIELDS = {"kind": "features", "profile_id": "{id}", "values": {"v": "v"}}
DATA = {"id": "p", "v": 1}


def keys(found):
    return [key for key, _ in found.telemetry]


@pytest.mark.parametrize(
    "event",
    [{"data": DATA}, {"data_base64": base64.b64encode(b'{"id": "p", "v": 1}').decode()}],
)
def test_a_structured_cloud_event_is_its_data_with_its_attributes_beside(event):
    mapped = source(**FIELDS | {"profile_id": "{$ce.subject}/{id}"}, unwrap=["cloudevents"])

    found = came([record({"specversion": "1.0", "subject": "s", **event})], mapped)

    assert keys(found) == ["s/p"]


def test_a_binary_cloud_event_is_told_by_its_headers():
    mapped = source(**FIELDS | {"profile_id": "{$ce.source}/{id}"}, unwrap=["cloudevents"])
    headers = (("ce_specversion", b"1.0"), ("ce_source", b"/s"), ("content-type", b"x"))

    assert keys(came([record(DATA, headers=headers)], mapped)) == ["/s/p"]


@pytest.mark.parametrize(
    "event",
    [DATA, {"specversion": "0.3", "data": DATA}, {"specversion": "1.0", "data_base64": "%"}, [1]],
)
def test_what_is_no_cloud_event_is_a_dead_letter(event):
    found = came([record(event)], source(**FIELDS, unwrap=["cloudevents"]))

    assert found.dead[0][0] == "unmapped"
    assert found.dead[0][1].startswith("cloudevents: ")


def test_connects_envelope_is_its_payload():
    mapped = source(**FIELDS, unwrap=["connect"])

    assert keys(came([record({"schema": {}, "payload": DATA})], mapped)) == ["p"]
    assert came([record({"schema": {}, "payload": None})], mapped).outcomes == {"filtered": 1}
    assert came([record(DATA)], mapped).dead[0][1].startswith("connect: expected schema")


@pytest.mark.parametrize("wrappers", [["debezium"], ["connect", "debezium"]])
def test_a_change_event_is_the_row_afterwards(wrappers):
    mapped = source(**FIELDS | {"profile_id": "{$debezium.op}/{id}"}, unwrap=wrappers)
    event = {"before": None, "after": DATA, "op": "c", "source": {}, "ts_ms": 1}

    assert keys(came([record({"schema": {}, "payload": event})], mapped)) == ["c/p"]


@pytest.mark.parametrize(
    "event",
    [
        None,
        {"before": DATA, "after": None, "op": "d"},
        {"op": "t", "source": {}},
        {"op": "m", "message": {}},
        {"ts_ms": 1},
        {"status": "BEGIN", "id": "571"},
        {"source": {}, "databaseName": "shop", "ddl": "ALTER", "tableChanges": []},
    ],
)
def test_deletes_tombstones_heartbeats_and_changes_of_schemas_are_filtered(event):
    found = came([record(event)], source(**FIELDS, unwrap=["debezium"]))

    assert found.outcomes == {"filtered": 1}
    assert not found.step.outputs


@pytest.mark.parametrize("event", [{"a": 1}, [1], {"op": "u"}, "text"])
def test_what_is_no_change_event_is_a_dead_letter(event):
    found = came([record(event)], source(**FIELDS, unwrap=["debezium"]))

    assert found.dead[0][1].startswith("debezium: ")


def test_wrappers_are_taken_off_from_the_outside_in():
    mapped = source(**FIELDS, unwrap=["cloudevents", "debezium"])
    event = {"specversion": "1.0", "data": {"op": "u", "before": DATA, "after": DATA}}

    assert keys(came([record(event)], mapped)) == ["p"]
