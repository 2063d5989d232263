"""The AsyncAPI 3 document: every JSON topic, who sends and who receives on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from schemas.export import PUBLIC
from schemas.telemetry import TELEMETRY

_KEY: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": 256,
    "description": "profile_id: 1 to 256 bytes of UTF-8, no control characters.",
}
_COMPACTED_KEY: Final = {"type": "string", "description": "<kind>:<profile_id>."}
_LABEL_KEY: Final = {"type": "string", "description": "<kind>:<profile_id>:<verdict_id>."}

_VERDICT_HEADERS: Final = {
    "type": "object",
    "required": ["telltale.status", "telltale.anomaly", "telltale.severity"],
    "properties": {
        "telltale.status": {"type": "string", "enum": ["learning", "scored", "abstained"]},
        "telltale.anomaly": {"type": "string", "enum": ["true", "false"]},
        "telltale.severity": {
            "type": "string",
            "enum": ["none", "low", "medium", "high", "critical"],
        },
    },
}
_DEAD_LETTER_HEADERS: Final = {
    "type": "object",
    "description": "Beside the original's own headers, which stay untouched.",
    "required": [
        "telltale.reason",
        "telltale.detail",
        "telltale.topic",
        "telltale.partition",
        "telltale.offset",
    ],
    "properties": {
        "telltale.reason": {"type": "string", "description": "A short stable word."},
        "telltale.detail": {"type": "string", "description": "A sentence with the field."},
        "telltale.topic": {"type": "string", "description": "Topic of the original."},
        "telltale.partition": {"type": "string", "description": "Its partition, in decimal."},
        "telltale.offset": {"type": "string", "description": "Its offset, in decimal."},
        "telltale.truncated": {
            "type": "string",
            "description": "Full length and SHA-256, if the value had to be cut.",
        },
        "telltale.headers_omitted": {
            "type": "string",
            "description": "Number, length and SHA-256 of headers that had to be left out.",
        },
        "telltale.key_truncated": {
            "type": "string",
            "description": "Full length and SHA-256, if the key had to be cut.",
        },
    },
}


@dataclass(frozen=True)
class _Topic:
    address: str
    messages: tuple[str, ...]
    description: str
    senders: tuple[str, ...]
    receivers: tuple[str, ...]
    compacted: bool = False


_TOPICS: Final = (
    *(
        _Topic(f"telemetry.{kind}", (of.__name__,), of.summary, ("producer", "ingest"), ("scorer",))
        for kind, of in TELEMETRY.items()
    ),
    _Topic(
        "anomalies",
        ("Verdict",),
        "One verdict for each valid telemetry record.",
        ("scorer",),
        ("alerting",),
    ),
    _Topic(
        "accepted-normal",
        ("AcceptedSample", "Mark"),
        "Samples held to be normal, and the scorer's marks in order with them.",
        ("scorer", "analyst"),
        ("retrainer",),
    ),
    _Topic(
        "candidates",
        ("ModelRecord",),
        "Models that the retrainer proposes, without a version.",
        ("retrainer",),
        ("scorer",),
    ),
    _Topic(
        "models",
        ("ModelRecord",),
        "Every version in force; a tombstone means forgotten.",
        ("scorer",),
        ("scorer", "retrainer"),
        compacted=True,
    ),
    _Topic(
        "commands",
        ("Command",),
        "Requests about a profile, sent to every partition.",
        ("operator",),
        ("scorer",),
    ),
    _Topic(
        "lifecycle",
        ("LifecycleEvent",),
        "What happened to the models of profiles.",
        ("scorer", "retrainer", "console"),
        ("operator", "console"),
    ),
    _Topic(
        "labels",
        ("Label",),
        "What people say of verdicts; a tombstone takes it back.",
        ("console",),
        ("console",),
        compacted=True,
    ),
    _Topic(
        "attributes",
        ("Attributes",),
        "What is known of profiles beside their telemetry; a tombstone means nothing.",
        ("console",),
        ("console",),
        compacted=True,
    ),
    _Topic(
        "dead-letter",
        ("DeadLetter",),
        "Records that could not be answered: key, value and headers untouched.",
        ("scorer", "retrainer", "ingest"),
        ("operator",),
    ),
)


def asyncapi(prefix: str = "") -> dict[str, Any]:
    """The AsyncAPI 3.0 document of all topics whose values are JSON, and of the dead letters.

    Args:
        prefix: put before every topic's name, as the setting of that name does.
    """
    _, definitions = models_json_schema(
        [(model, "validation") for model in PUBLIC], ref_template="#/components/schemas/{model}"
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Telltale",
            "version": "1.0.0",
            "description": "Telemetry in; verdicts, models and their life out. Every record of a "
            "profile is on the partition number of its telemetry.",
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "defaultContentType": "application/json",
        "channels": {_name(topic): _channel(topic, prefix) for topic in _TOPICS},
        "operations": {
            f"{role}.{action}.{_name(topic)}": _operation(topic, role, action)
            for topic in _TOPICS
            for action, roles in (("send", topic.senders), ("receive", topic.receivers))
            for role in roles
        },
        "components": {
            "messages": {
                _message_name(topic, payload): _message(topic, payload)
                for topic in _TOPICS
                for payload in topic.messages
            },
            "schemas": definitions["$defs"],
        },
    }


def _name(topic: _Topic) -> str:
    return topic.address.replace(".", "-")


def _message_name(topic: _Topic, payload: str) -> str:
    return "Candidate" if topic.address == "candidates" else payload


def _channel(topic: _Topic, prefix: str) -> dict[str, Any]:
    binding: dict[str, Any] = {"topic": prefix + topic.address, "bindingVersion": "0.5.0"}
    binding["topicConfiguration"] = {
        "cleanup.policy": ["compact"] if topic.compacted else ["delete"]
    }
    return {
        "address": prefix + topic.address,
        "description": topic.description,
        "messages": {
            _message_name(topic, payload): {
                "$ref": f"#/components/messages/{_message_name(topic, payload)}"
            }
            for payload in topic.messages
        },
        "bindings": {"kafka": binding},
    }


def _operation(topic: _Topic, role: str, action: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{_name(topic)}"},
        "summary": f"The {role} {action}s: {topic.description}",
        "tags": [{"name": role}],
        "messages": [
            {"$ref": f"#/channels/{_name(topic)}/messages/{_message_name(topic, payload)}"}
            for payload in topic.messages
        ],
    }


def _message(topic: _Topic, payload: str) -> dict[str, Any]:
    key = _COMPACTED_KEY if topic.compacted else _KEY
    if payload == "Label":
        key = _LABEL_KEY
    message: dict[str, Any] = {
        "name": payload,
        "summary": topic.description,
        "bindings": {"kafka": {"key": key, "bindingVersion": "0.5.0"}},
    }
    if payload == "DeadLetter":
        any_bytes = {"description": "The original bytes, whatever they are."}
        original_key = {"type": "string", "description": "The original key, untouched."}
        message["bindings"]["kafka"]["key"] = original_key
        return message | {
            "contentType": "application/octet-stream",
            "headers": _DEAD_LETTER_HEADERS,
            "payload": any_bytes,
        }
    message["payload"] = {"$ref": f"#/components/schemas/{payload}"}
    if payload == "Verdict":
        message["headers"] = _VERDICT_HEADERS
    return message
