"""JSON Schema and AsyncAPI: well-formed, complete in themselves, and saying what the models say."""

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

import schemas
from schemas import asyncapi, json_schemas

EVENT = {"ear_value": 0.3, "is_drowsy": True, "duration_ms": 5}
WINDOW = {"startTimestamp": 0, "endTimestamp": 10.5}


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from references(part)


def resolve(document: dict[str, Any], reference: str) -> Any:
    assert reference.startswith("#/")
    node: Any = document
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


@pytest.mark.parametrize("name", json_schemas())
def test_each_schema_is_valid_2020_12_and_complete_in_itself(name: str):
    schema = json_schemas()[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert all(resolve(schema, reference) for reference in references(schema))


def test_every_public_record_has_its_schema():
    assert set(json_schemas()) == {
        *("BehaviorTelemetry", "SeriesTelemetry", "DrowsinessTelemetry", "FeaturesTelemetry"),
        *("Verdict", "AcceptedSample", "Mark", "ModelRecord", "Command", "LifecycleEvent"),
        # No record, but the file of ingest.
        "Sources",
        *("Label", "Attributes"),
    }


@pytest.mark.parametrize("name", json_schemas())
def test_every_field_is_described(name: str):
    schema = json_schemas()[name]
    for part in (schema, *schema.get("$defs", {}).values()):
        for field, described in part.get("properties", {}).items():
            assert described.get("description"), f"{part['title']}.{field}"


def test_the_schema_of_behavior_has_the_names_of_the_wire():
    schema = json_schemas()["BehaviorTelemetry"]
    assert set(schema["properties"]) == {
        *("profile_id", "kind", "observed_at", "startTimestamp", "endTimestamp", "windowSize"),
        *("keyEvents", "mousePaths", "clicks", "scrollEvents", "focusChanges"),
    }
    assert schema["required"] == ["startTimestamp", "endTimestamp"]
    assert set(schema["$defs"]["KeyEvent"]["properties"]) == {"code", "downTime", "upTime"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BehaviorTelemetry", WINDOW),
        (
            "BehaviorTelemetry",
            WINDOW | {"clicks": None, "mousePaths": [[{"t": 1, "x": 1, "y": 1}]]},
        ),
        ("BehaviorTelemetry", WINDOW | {"clicks": [{"t": 1}]}),
        ("BehaviorTelemetry", WINDOW | {"startTimestamp": "1"}),
        ("BehaviorTelemetry", {}),
        ("SeriesTelemetry", {"timestamps": [1], "values": [1.5]}),
        ("SeriesTelemetry", {"timestamps": [1.5], "values": [1.5]}),
        ("SeriesTelemetry", {"values": []}),
        ("DrowsinessTelemetry", EVENT),
        ("DrowsinessTelemetry", {"events": [EVENT]}),
        ("DrowsinessTelemetry", EVENT | {"events": []}),
        ("DrowsinessTelemetry", {"ear_value": 0.3}),
        ("DrowsinessTelemetry", EVENT | {"ear_value": 1.5}),
        ("FeaturesTelemetry", {"values": {"a": 1, "b": None}}),
        ("FeaturesTelemetry", {"values": [1, None], "observed_at": "2024-01-01T00:00:00Z"}),
        ("FeaturesTelemetry", {"values": [1], "observed_at": 1}),
        ("FeaturesTelemetry", {"values": [1], "observed_at": -1}),
        ("FeaturesTelemetry", {"values": [True]}),
        ("FeaturesTelemetry", {"values": None}),
    ],
)
def test_schema_and_model_agree(name: str, value):
    try:
        getattr(schemas, name).model_validate(value)
    except ValidationError:
        by_model = False
    else:
        by_model = True
    assert Draft202012Validator(json_schemas()[name]).is_valid(value) is by_model


def test_asyncapi_has_a_channel_for_every_topic_of_json_and_the_dead_letters():
    document = asyncapi(prefix="eu.")
    assert document["asyncapi"] == "3.0.0"
    assert [channel["address"] for channel in document["channels"].values()] == [
        "eu.telemetry.behavior",
        "eu.telemetry.series",
        "eu.telemetry.drowsiness",
        "eu.telemetry.features",
        "eu.anomalies",
        "eu.accepted-normal",
        "eu.candidates",
        "eu.models",
        "eu.commands",
        "eu.lifecycle",
        "eu.labels",
        "eu.attributes",
        "eu.dead-letter",
    ]


def test_every_reference_of_asyncapi_resolves():
    document = asyncapi()
    found = list(references(document))
    assert len(found) > 50
    assert all(resolve(document, reference) for reference in found)


def test_every_payload_of_asyncapi_is_a_valid_schema():
    document = asyncapi()
    for name, schema in document["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert name
    assert set(json_schemas()) - {"Sources"} <= set(document["components"]["schemas"])


def test_asyncapi_says_who_sends_and_who_receives():
    operations = asyncapi()["operations"]
    assert operations["scorer.receive.telemetry-features"]["action"] == "receive"
    assert operations["scorer.send.anomalies"]["action"] == "send"
    assert operations["retrainer.send.candidates"]["channel"] == {"$ref": "#/channels/candidates"}
    for operation in operations.values():
        channel = operation["channel"]["$ref"]
        for message in operation["messages"]:
            assert message["$ref"].startswith(f"{channel}/messages/")


def test_asyncapi_documents_keys_and_headers():
    messages = asyncapi()["components"]["messages"]
    assert all("key" in message["bindings"]["kafka"] for message in messages.values())
    assert set(messages["Verdict"]["headers"]["properties"]) == {
        *("telltale.status", "telltale.anomaly", "telltale.severity"),
    }
    assert "telltale.reason" in messages["DeadLetter"]["headers"]["properties"]
