"""Unwrapping: what CloudEvents, Kafka Connect and Debezium put around the data."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from processor.ingest.paths import kind_of
from processor.records import ConsumerRecord
from processor.text.headers import header_text

MAX_ATTRIBUTE: Final = 2000
CE: Final = "$ce"
DEBEZIUM: Final = "$debezium"


class NoData(Exception):
    """A record that holds no data, as its wrapper says: filtered and counted."""


class NotWrapped(Exception):
    """A record that is not what its wrapper should be; the message says why."""


Unwrapped = tuple[Any, Mapping[str, Any]]
"""The data, and what its wrapper said beside: name of a root → value."""


def unwrap(document: Any, wrappers: Sequence[str], record: ConsumerRecord) -> Unwrapped:
    """Take the data out of its wrappers, the outermost first.

    Raises:
        NoData: it holds none: a tombstone, a delete, a heartbeat.
        NotWrapped: it is not what a wrapper should be.
    """
    beside: dict[str, Any] = {}
    for name in wrappers:
        if document is None:
            break
        document, said = _UNWRAP[name](document, record)
        beside.update(said)
    if document is None:
        raise NoData
    return document, beside


def _cloud_event(document: Any, record: ConsumerRecord) -> Unwrapped:
    """CloudEvents 1.0: binary mode is told by its headers, structured mode by ``specversion``."""
    attributes = {
        name[3:].lower(): header_text(value, MAX_ATTRIBUTE)
        for name, value in record.headers
        if name[:3].lower() == "ce_"
    }
    if "specversion" in attributes:
        kind = next((v for n, v in record.headers if n.lower() == "content-type"), None)
        if kind is not None:
            attributes["datacontenttype"] = header_text(kind, MAX_ATTRIBUTE)
        data = document
    elif isinstance(document, dict) and "specversion" in document:
        attributes = {
            name: value for name, value in document.items() if name not in ("data", "data_base64")
        }
        data = _data(document)
    else:
        raise NotWrapped("cloudevents: expected specversion, in a header ce_ or in the value")
    version = attributes["specversion"]
    if not isinstance(version, str) or not version.startswith("1."):
        raise NotWrapped(f"cloudevents: expected specversion 1.0, got {str(version)[:20]}")
    return data, {CE: attributes}


def _data(event: dict[str, Any]) -> Any:
    packed = event.get("data_base64")
    if packed is None:
        return event.get("data")
    try:
        return orjson.loads(base64.b64decode(packed, validate=True))
    except (TypeError, ValueError):
        raise NotWrapped("cloudevents: data_base64: expected JSON in base64") from None


def _connect(document: Any, _: ConsumerRecord) -> Unwrapped:
    """The envelope of Kafka Connect's JSON converter with schemas."""
    if not _is_connect(document):
        raise NotWrapped(f"connect: expected schema and payload, got {kind_of(document)}")
    return document["payload"], {}


def _is_connect(document: Any) -> bool:
    return isinstance(document, dict) and "payload" in document and "schema" in document


_NO_CHANGE: Final = ("ddl", "tableChanges", "databaseName", "schemaName")


def _debezium(document: Any, record: ConsumerRecord) -> Unwrapped:
    """A change event of Debezium: the row as it is afterwards."""
    if _is_connect(document):
        # Debezium's connectors write Connect's envelope unless they are told not to.
        document, _ = _connect(document, record)
    if document is None:
        raise NoData
    if not isinstance(document, dict):
        raise NotWrapped(f"debezium: expected a change event, got {kind_of(document)}")
    operation = document.get("op")
    if operation is None and "after" not in document:
        heartbeat = document.keys() <= {"ts_ms", "ts_us", "ts_ns"}
        transaction = "status" in document and "id" in document
        if heartbeat or transaction or any(name in document for name in _NO_CHANGE):
            raise NoData
        raise NotWrapped("debezium: expected op and after")
    if operation in ("d", "t", "m"):
        # A delete, a truncation, a message of PostgreSQL.
        raise NoData
    if "after" not in document:
        raise NotWrapped(f"debezium: op {str(operation)[:20]}: expected after")
    said = {name: value for name, value in document.items() if name not in ("before", "after")}
    return document["after"], {DEBEZIUM: said}


_UNWRAP: Final[Mapping[str, Callable[[Any, ConsumerRecord], Unwrapped]]] = {
    "cloudevents": _cloud_event,
    "connect": _connect,
    "debezium": _debezium,
}
