"""Ingest with a real Schema Registry: ids in value and header, evolution, away, and unknown."""

import json
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient

from tests.broker.harness import PATIENCE, Telltale
from tests.kafka.registry import Registry

AVRO = {
    "type": "record",
    "name": "Order",
    "fields": [{"name": "store", "type": "string"}, {"name": "total", "type": "double"}],
}
LATER = AVRO | {"fields": [*AVRO["fields"], {"name": "tax", "type": "double", "default": 0}]}
PROTO = """syntax = "proto3";
package shop;
import "money.proto";
message Unused { string a = 1; }
message Order { string store = 1; shop.Money total = 2; int64 items = 3; }
"""
MONEY = """syntax = "proto3";
package shop;
message Money { double amount = 1; }
"""
JSON = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with Registry(tmp_path_factory.mktemp("registry")) as started:
        yield started


@pytest.fixture
def client(registry: Registry) -> SchemaRegistryClient:
    return SchemaRegistryClient({"url": registry.url})


class Shop:
    """A topic of orders, and the application that ingests it."""

    def __init__(self, telltale: Telltale, bootstrap: str, prefix: str, directory: Path) -> None:
        self.telltale = telltale
        self.topic = f"{prefix}orders"
        self._directory = directory
        self.file = directory / "sources.yaml"
        admin = AdminClient({"bootstrap.servers": bootstrap})
        admin.create_topics([NewTopic(self.topic, 2, 1)])[self.topic].result()
        self._producer = Producer({"bootstrap.servers": bootstrap})
        telltale.create_topics(2)

    def ingest(self, form: str, url: str, **more: Any) -> "subprocess.Popen[bytes]":
        fields = {
            "name": "orders", "topic": self.topic, "format": form, "kind": "features",
            "profile_id": "{store}", "values": {"*": "@"},
        }  # fmt: skip
        (self._directory / "registry.properties").write_text(f"url={url}\n")
        whole = {"schema_registry": "registry.properties", "sources": [fields | more]}
        self.file.write_text(json.dumps(whole))
        return self.telltale.start("ingest", "run", str(self.file), "--slot", "0")

    def send(self, value: bytes, partition: int = 0, **headers: bytes) -> None:
        self._producer.produce(
            self.topic, value=value, partition=partition, headers=list(headers.items())
        )
        assert self._producer.flush(PATIENCE) == 0

    def mapped(self, count: int) -> list[Any]:
        return [v["values"] for v in self.telltale.wait_for(count, "telemetry.features")]


@pytest.fixture
def shop(telltale: Telltale, bootstrap: str, prefix: str, tmp_path: Path) -> Shop:
    return Shop(telltale, bootstrap, prefix, tmp_path)


def avro(value: dict[str, Any], schema: dict[str, Any] = AVRO) -> bytes:
    stream = BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), value)
    return stream.getvalue()


def frame(number: int) -> bytes:
    return b"\x00" + number.to_bytes(4, "big")


def test_avro_evolves_while_running_by_the_id_in_value_or_header(
    shop: Shop, registry: Registry, client: SchemaRegistryClient
) -> None:
    first = client.register_schema(f"{shop.topic}-value", Schema(json.dumps(AVRO), "AVRO"))
    process = shop.ingest("avro", registry.url)
    shop.send(frame(first) + avro({"store": "s", "total": 1.0}))
    shop.mapped(1)

    second = client.register_schema(f"{shop.topic}-value", Schema(json.dumps(LATER), "AVRO"))
    shop.send(frame(second) + avro({"store": "s", "total": 2.0, "tax": 0.5}, LATER))
    shop.send(avro({"store": "s", "total": 3.0}), __value_schema_id=frame(first))

    assert shop.mapped(3) == [{"total": 1.0}, {"total": 2.0, "tax": 0.5}, {"total": 3.0}]
    assert shop.telltale.stop(process) == 0
    checked = shop.telltale.run("ingest", "check", str(shop.file), "--json")
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["sources"][0]["mapped"] == 3


def test_protobuf_with_an_import_and_json_schema(
    shop: Shop, registry: Registry, client: SchemaRegistryClient
) -> None:
    client.register_schema("money", Schema(MONEY, "PROTOBUF"))
    schema = Schema(PROTO, "PROTOBUF", [SchemaReference("money.proto", "money", 1)])
    number = client.register_schema(f"{shop.topic}-value", schema)
    process = shop.ingest("protobuf", registry.url, values={"total": "total.amount", "n": "items"})

    # store "s", total {amount 2.5}, items 7, behind the index of the second message.
    shop.send(
        frame(number) + bytes([2, 2]) + b"\x0a\x01s" + b"\x12\x09\x09" + b"\0\0\0\0\0\0\x04\x40"
        + b"\x18\x07"
    )  # fmt: skip

    assert shop.mapped(1) == [{"total": 2.5, "n": 7}]
    assert shop.telltale.stop(process) == 0
    number = client.register_schema(f"{shop.topic}-json", Schema(json.dumps(JSON), "JSON"))
    process = shop.ingest("json-schema", registry.url)
    shop.send(frame(number) + b'{"store": "s", "total": 9}')
    shop.send(frame(number) + b'{"store": "s"}')
    assert shop.mapped(2)[1] == {"total": 9}
    (letter,) = shop.telltale.wait_for_messages(1, "dead-letter")
    assert dict(letter.headers() or [])["telltale.reason"] == b"undecodable"
    assert shop.telltale.stop(process) == 0


def test_an_unknown_schema_is_a_dead_letter(shop: Shop, registry: Registry) -> None:
    process = shop.ingest("avro", registry.url)

    shop.send(frame(987_654) + avro({"store": "s", "total": 1.0}))

    (letter,) = shop.telltale.wait_for_messages(1, "dead-letter")
    told = dict(letter.headers() or [])
    assert told["telltale.reason"] == b"schema_unavailable"
    assert b"id 987654" in told["telltale.detail"]
    assert shop.telltale.stop(process) == 0


def test_a_registry_that_is_away_is_waited_for_and_holds_up_only_its_partition(
    shop: Shop, registry: Registry, client: SchemaRegistryClient
) -> None:
    known = client.register_schema(f"{shop.topic}-value", Schema(json.dumps(AVRO), "AVRO"))
    later = client.register_schema(f"{shop.topic}-value", Schema(json.dumps(LATER), "AVRO"))
    process = shop.ingest("avro", registry.url)
    shop.send(frame(known) + avro({"store": "s", "total": 1.0}))
    shop.mapped(1)
    with registry.frozen():
        # Partition 0 waits for a schema that nobody can ask for, partition 1 goes on with its own.
        shop.send(frame(later) + avro({"store": "s", "total": 2.0, "tax": 1.0}, LATER))
        shop.telltale.wait_until(
            lambda: "the schema registry does not answer" in shop.telltale.log(), "it says so"
        )
        shop.send(frame(known) + avro({"store": "t", "total": 3.0}), partition=1)
        assert {"total": 3.0} in shop.mapped(2)

    assert {"total": 2.0, "tax": 1.0} in shop.mapped(3)
    assert shop.telltale.read("dead-letter") == []
    assert shop.telltale.stop(process) == 0
