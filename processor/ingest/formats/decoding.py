"""Decoding: the value of a record to an object, as its source's format has it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from processor.ingest.formats.plain_json import parse_json
from processor.ingest.formats.schema import (
    InvalidSchema,
    Read,
    Registry,
    SchemaText,
    Undecodable,
)
from processor.ingest.formats.wire import HEADER, Unframed, unframe
from processor.records import ConsumerRecord

Decode = Callable[[ConsumerRecord], Any]
"""The object of a record's value, which is not null.

Raises:
    Undecodable: it does not fit the format.
    SchemaMissing, SchemaPending: of its schema.
"""

# Module, function and what it takes to install: imported only if a source needs it.
_COMPILERS: Final = {
    "avro": ("avro", "compile_avro", "AVRO"),
    "protobuf": ("protobuf", "compile_protobuf", "PROTOBUF"),
    "json-schema": ("json_schema", "compile_json_schema", "JSON"),
}


class FormatUnavailable(Exception):
    """A format cannot be read here; the message says what to do."""


def compiler(form: str) -> Callable[[SchemaText], Read]:
    """What compiles schemas of a format.

    Raises:
        FormatUnavailable: its library is not installed.
    """
    module, name, sort = _COMPILERS[form]
    try:
        found = getattr(import_module(f"processor.ingest.formats.{module}"), name)
    except ModuleNotFoundError as error:
        raise FormatUnavailable(
            f"format {form}: {error.name} is not installed: pip install 'telltale[ingest]'"
        ) from None

    def checked(schema: SchemaText, **more: Any) -> Read:
        if schema.sort != sort:
            raise InvalidSchema(f"expected a schema of type {sort}, got {schema.sort}")
        read: Read = found(schema, **more)
        return read

    return checked


def decoder(
    form: str, schema: Path | None, registry: Registry | None, message: str | None = None
) -> Decode:
    """How values of a source are decoded.

    Args:
        schema: file of the schema of bare values; not looked at with a registry.
        message: of a Protobuf schema without a registry.

    Raises:
        FormatUnavailable: a library is missing, there is neither a schema nor a registry, or the
            schema is none.
    """
    if form == "json":
        return _json
    compile_schema = compiler(form)
    if registry is not None:
        return partial(_framed, registry, compile_schema, form == "protobuf")
    if schema is None:
        raise FormatUnavailable(f"format {form}: expected a schema, or a schema_registry")
    try:
        text = SchemaText(_COMPILERS[form][2], schema.read_text(encoding="utf-8"))
        more = {"message": message} if form == "protobuf" and message is not None else {}
        read = compile_schema(text, **more)
    except (OSError, UnicodeDecodeError, InvalidSchema) as error:
        raise FormatUnavailable(f"schema {schema}: {error}") from None
    return lambda record: read(record.value or b"", (0,))


def open_registry(path: Path | None) -> Registry | None:
    """The registry of a properties file; None without one.

    Raises:
        FormatUnavailable: the client is not installed, or its properties are wrong.
    """
    if path is None:
        return None
    try:
        found = import_module("processor.ingest.formats.registry")
    except ModuleNotFoundError as error:
        raise FormatUnavailable(
            f"schema_registry: {error.name} is not installed: pip install 'telltale[ingest]'"
        ) from None
    try:
        registry: Registry = found.SchemaRegistry(found.registry_properties(path))
    except found.RegistryConfigError as error:
        raise FormatUnavailable(f"schema_registry: {error}") from None
    return registry


def _json(record: ConsumerRecord) -> Any:
    return parse_json(record.value or b"")


def _framed(
    registry: Registry,
    compile_schema: Callable[[SchemaText], Read],
    protobuf: bool,
    record: ConsumerRecord,
) -> Any:
    header = None
    for name, value in record.headers:
        if name == HEADER:
            header = value
    try:
        found = unframe(record.value or b"", header, protobuf=protobuf)
        return registry.read(found.schema, compile_schema)(found.data, found.indexes)
    except Unframed as error:
        raise Undecodable(str(error)) from None
    except InvalidSchema as error:
        raise Undecodable(f"the schema with the {found.schema}: {error}") from None
