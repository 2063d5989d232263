"""Formats: Avro, Protobuf and JSON Schema by local files and by the wire format's ids."""

from io import BytesIO
from uuid import UUID

import fastavro
import orjson
import pytest

from processor.ingest.formats.schema import (
    InvalidSchema,
    SchemaMissing,
    SchemaPending,
    SchemaText,
)
from processor.ingest.formats.wire import SchemaId, Unframed, unframe
from tests.unit.ingest.builders import NOW, came, record, source

GUID = "89791762-2336-4186-9674-299b90a802e2"
AVRO = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "store", "type": "string"},
        {"name": "total", "type": ["null", "double"]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {
            "name": "price",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 8, "scale": 2},
        },
    ],
}
PROTO = """
syntax = "proto3";
package shop;
message Other { int32 x = 1; }
message Order {
  string store = 1;
  int64 total = 2;
  double ratio = 3;
  optional int32 maybe = 4;
  Inner inner = 5;
  map<string, double> tags = 6;
  repeated int32 many = 7;
  enum Sort { NONE = 0; BIG = 1; }
  Sort sort = 8;
  message Inner { float value = 1; }
}
"""
JSON_SCHEMA = {
    "type": "object",
    "required": ["store"],
    "properties": {"total": {"type": "number"}},
}
FIELDS = {"kind": "features", "profile_id": "{store}"}


class Known:
    """A registry that knows some schemas."""

    waiting = None

    def __init__(self, schemas, pending=()):
        self.schemas = schemas
        self.pending = set(pending)

    def read(self, schema, compile_schema):
        if schema in self.pending:
            raise SchemaPending
        if schema not in self.schemas:
            raise SchemaMissing(f"the registry has no schema with the {schema}")
        return compile_schema(self.schemas[schema])


def avro(value, schema=AVRO):
    stream = BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(dict(schema)), value)
    return stream.getvalue()


def order(**more):
    from decimal import Decimal

    return {"store": "s", "total": 2.5, "at": NOW, "price": Decimal("9.99")} | more


def frame(number):
    return b"\x00" + number.to_bytes(4, "big")


def test_avro_by_a_local_schema_is_a_bare_datum(tmp_path):
    (tmp_path / "o.avsc").write_bytes(orjson.dumps(AVRO))
    mapped = source(
        **FIELDS, format="avro", schema="o.avsc", values={"total": "total", "price": "price"},
        observed_at={"path": "at", "unit": "ms"},
    )  # fmt: skip

    found = came(
        [record(avro(order())), record(avro(order(total=float("nan"))), offset=1),
         record(avro(order()) + b"x", offset=2), record(b"\x02", offset=3)],
        mapped, directory=tmp_path,
    )  # fmt: skip

    assert [value for _, value in found.telemetry] == [
        {"values": {"total": 2.5, "price": 9.99}, "observed_at": NOW},
        {"values": {"price": 9.99}, "observed_at": NOW},
    ]
    assert [reason for reason, _ in found.dead] == ["undecodable"] * 2


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (frame(7), ()),
        (b"\x01" + UUID(GUID).bytes, ()),
        (b"", (("__value_schema_id", frame(7)),)),
        (b"", (("__value_schema_id", b"\x01" + UUID(GUID).bytes),)),
    ],
)
def test_avro_by_a_registry_is_read_by_the_id_or_guid_of_value_or_header(value, headers):
    text = SchemaText("AVRO", orjson.dumps(AVRO).decode())
    known = Known({SchemaId(7, None): text, SchemaId(None, GUID): text})
    mapped = source(**FIELDS, format="avro", values={"total": "total"})

    found = came([record(value + avro(order()), headers=headers)], mapped, registry=known)

    assert found.telemetry[0][1]["values"] == {"total": 2.5}


def test_a_schema_evolves_by_the_id_of_each_record():
    later = AVRO | {"fields": [*AVRO["fields"], {"name": "tax", "type": "double"}]}
    known = Known(
        {
            SchemaId(1, None): SchemaText("AVRO", orjson.dumps(AVRO).decode()),
            SchemaId(2, None): SchemaText("AVRO", orjson.dumps(later).decode()),
        }
    )
    mapped = source(**FIELDS, format="avro", values={"*": "@"})
    batch = [record(frame(1) + avro(order())), record(frame(2) + avro(order(tax=1.0), later))]

    found = came(batch, mapped, registry=known)

    assert ["tax" in value["values"] for _, value in found.telemetry] == [False, True]


def test_an_unknown_schema_is_a_dead_letter_and_one_of_another_type_too():
    known = Known({SchemaId(1, None): SchemaText("JSON", "{}")})
    mapped = source(**FIELDS, format="avro", values={"total": "total"})

    found = came(
        [record(frame(9) + b"x"), record(frame(1) + b"x"), record(b'{"a": 1}')],
        mapped, registry=known,
    )  # fmt: skip

    assert [reason for reason, _ in found.dead] == [
        "schema_unavailable", "undecodable", "undecodable"
    ]  # fmt: skip
    assert "id 9" in found.dead[0][1]


def test_a_pending_schema_holds_up_its_own_partition_and_no_other():
    text = SchemaText("AVRO", orjson.dumps(AVRO).decode())
    known = Known({SchemaId(1, None): text, SchemaId(2, None): text}, {SchemaId(2, None)})
    mapped = source(**FIELDS, format="avro", values={"total": "total"})
    batch = [
        record(frame(schema) + avro(order()), partition=partition, offset=offset)
        for partition, offset, schema in ((0, 0, 1), (0, 1, 2), (1, 0, 1), (0, 2, 1), (1, 1, 1))
    ]

    step = came(batch, mapped, registry=known).step

    assert step.offsets == {("in", 0): 1, ("in", 1): 2}
    assert [(r.partition, r.offset) for r in step.unprocessed] == [(0, 1), (0, 2)]


def proto(name):
    from google.protobuf import message_factory

    from processor.ingest.formats import protobuf

    file = protobuf._file(SchemaText("PROTOBUF", PROTO))
    return message_factory.GetMessageClass(file.message_types_by_name[name])


def test_protobuf_has_the_names_of_the_file_and_numbers_for_int64():
    text = SchemaText("PROTOBUF", PROTO)
    known = Known({SchemaId(3, None): text})
    mapped = source(
        **FIELDS, format="protobuf",
        values={"total": "total", "ratio": "ratio", "maybe": "maybe", "inner": "inner.value",
                "tag": "tags.a"},
    )  # fmt: skip
    sent = proto("Order")(store="s", total=2**40, tags={"a": 1.5})
    # One index, 1, zigzag: the second message of the file.
    value = frame(3) + b"\x02\x02" + sent.SerializeToString()

    found = came([record(value)], mapped, registry=known)

    assert found.telemetry[0][1]["values"] == {"total": 2**40, "ratio": 0.0, "tag": 1.5}


def test_protobuf_by_a_local_file_names_its_message(tmp_path):
    (tmp_path / "o.proto").write_text(PROTO)
    mapped = source(
        **FIELDS, format="protobuf", schema="o.proto", message="Order", values={"n": "many[0]"}
    )
    sent = proto("Order")(store="s", many=[4, 5])

    found = came(
        [record(sent.SerializeToString()), record(b"\xff\xff")], mapped, directory=tmp_path
    )

    assert found.telemetry[0][1]["values"] == {"n": 4}
    assert found.dead[0][0] == "undecodable"


def test_json_schema_refuses_what_does_not_fit():
    known = Known({SchemaId(4, None): SchemaText("JSON", orjson.dumps(JSON_SCHEMA).decode())})
    mapped = source(**FIELDS, format="json-schema", values={"total": "total"})
    good, bad = {"store": "s", "total": 1}, {"store": "s", "total": "1"}

    found = came(
        [record(frame(4) + orjson.dumps(value)) for value in (good, bad)], mapped, registry=known
    )

    assert len(found.telemetry) == 1
    assert found.dead[0][1].startswith("value: JSON Schema: $.total")


@pytest.mark.parametrize(
    "value", [b"", b"\x00\x00", b"\x01abc", b"\x02abcdefgh", b"\x00\x00\x00\x00\x01\x04\x80"]
)
def test_what_is_in_no_frame_says_so(value):
    with pytest.raises(Unframed):
        unframe(value, None, protobuf=True)


def test_the_first_message_is_a_single_zero():
    assert unframe(frame(1) + b"\x00data", None, protobuf=True).indexes == (0,)
    assert unframe(frame(1) + b"\x04\x02\x00data", None, protobuf=True).indexes == (1, 0)


@pytest.mark.parametrize("text", ["{", '{"type": "nonsense"}', '{"type": "record"}'])
def test_a_schema_that_is_none_is_no_crash(text):
    from processor.ingest.formats.avro import compile_avro

    with pytest.raises(InvalidSchema):
        compile_avro(SchemaText("AVRO", text))
