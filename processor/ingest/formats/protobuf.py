"""Protobuf: messages of a `.proto` file that is compiled while running."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from threading import Lock
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.message import DecodeError, Message
from grpc_tools import protoc

from processor.ingest.formats.schema import InvalidSchema, Read, SchemaText, Undecodable

SORT: Final = "PROTOBUF"
MAIN: Final = "telltale_schema.proto"
_COMPILING: Final = Lock()
"""Two schemas that are met at once are compiled one after the other: protoc is a program."""

DEEPEST: Final = 64


def compile_protobuf(schema: SchemaText, message: str | None = None) -> Read:
    """How messages of a file are read.

    Args:
        message: name of the message of a bare value; without it the indexes decide.

    Raises:
        InvalidSchema: it is no `.proto` file, or has no such message.
    """
    file = _file(schema)
    chosen = None if message is None else _by_name(file, message)
    classes: dict[tuple[int, ...], Any] = {}

    def protobuf(data: bytes, indexes: tuple[int, ...]) -> Any:
        made = classes.get(indexes)
        if made is None:
            descriptor = chosen or _by_indexes(file, indexes)
            made = classes[indexes] = message_factory.GetMessageClass(descriptor)
        try:
            return _object(made.FromString(data), 1)
        except (DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Undecodable(
                f"Protobuf: {made.DESCRIPTOR.full_name}: {str(error)[:200]}"
            ) from None

    return protobuf


def _file(schema: SchemaText) -> FileDescriptor:
    """The compiled file, in a pool of its own: two schemas may use the same names."""
    with tempfile.TemporaryDirectory(prefix="telltale-proto-") as directory:
        for name, text in (*schema.references, (MAIN, schema.text)):
            path = Path(directory, name)
            if not path.resolve().is_relative_to(Path(directory).resolve()):
                raise InvalidSchema(f"expected an import below the schema's place, got {name!r}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        out = Path(directory, "out.pb")
        own = resources.files("grpc_tools").joinpath("_proto")
        with _COMPILING:
            code = protoc.main(
                [
                    "protoc",
                    f"-I{directory}",
                    f"-I{own}",
                    "--include_imports",
                    f"--descriptor_set_out={out}",
                    str(Path(directory, MAIN)),
                ]
            )
        if code != 0 or not out.exists():
            raise InvalidSchema(
                "expected a .proto file: protoc refuses it (its errors are on standard error)"
            )
        found = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for one in found.file:
        pool.Add(one)
    return pool.FindFileByName(MAIN)


def _by_name(file: FileDescriptor, name: str) -> Descriptor:
    found: Descriptor | None = file.message_types_by_name.get(name.rpartition(".")[2])
    if found is None:
        known = ", ".join(file.message_types_by_name)
        raise InvalidSchema(f"expected a message of the schema ({known}), got {name!r}")
    return found


def _by_indexes(file: FileDescriptor, indexes: tuple[int, ...]) -> Descriptor:
    """The message at a path of places."""
    messages: Sequence[Descriptor] = list(file.message_types_by_name.values())
    *outer, last = indexes or (0,)
    for index in outer:
        messages = list(_at(messages, index).nested_types)
    return _at(messages, last)


def _at(messages: Sequence[Descriptor], index: int) -> Descriptor:
    if not 0 <= index < len(messages):
        raise Undecodable(f"Protobuf: the schema has no message at its index {index}")
    return messages[index]


def _object(message: Message, depth: int) -> dict[str, Any]:
    """A message as an object: names of the file, enums by name, absent scalars as their default."""
    if depth > DEEPEST:
        raise RecursionError(f"nested deeper than {DEEPEST}")
    return {
        field.name: _field(message, field, depth)
        for field in message.DESCRIPTOR.fields
        if not field.has_presence or message.HasField(field.name)
    }


def _field(message: Message, field: FieldDescriptor, depth: int) -> Any:
    held = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        value = field.message_type.fields_by_name["value"]
        return {str(name): _one(held[name], value, depth) for name in held}
    if field.is_repeated:
        return [_one(one, field, depth) for one in held]
    return _one(held, field, depth)


def _one(held: Any, field: FieldDescriptor, depth: int) -> Any:
    if field.message_type is not None:
        return _WELL_KNOWN.get(field.message_type.full_name, _object)(held, depth + 1)
    if field.enum_type is not None:
        named = field.enum_type.values_by_number.get(held)
        return held if named is None else named.name
    return held


def _timestamp(message: Any, _: int) -> Any:
    """A time in nanoseconds since 1970, or one of another well-known message's only value."""
    return message.seconds * 1_000_000_000 + message.nanos


def _wrapped(message: Any, _: int) -> Any:
    return message.value


_WELL_KNOWN: Final[Mapping[str, Any]] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _timestamp,
    **{
        f"google.protobuf.{name}Value": _wrapped
        for name in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String")
    },
}
