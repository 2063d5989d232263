"""Schemas: the text of one, and what its format makes of it to read values with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from processor.ingest.formats.wire import SchemaId

Read = Callable[[bytes, tuple[int, ...]], Any]
"""The object of a value without its frame, and the indexes of its message.

Raises:
    Undecodable: the value does not fit the schema.
"""


class Undecodable(Exception):
    """A value that does not fit its format; the message says why."""


class InvalidSchema(Exception):
    """A schema that its format cannot use; the message says why."""


class SchemaMissing(Exception):
    """The registry answers that there is no such schema."""


class SchemaPending(Exception):
    """The schema is not known yet: it is being asked for, or the registry is away."""


class SchemaText(NamedTuple):
    """A schema as it is written.

    Attributes:
        sort: AVRO, PROTOBUF or JSON.
        references: name and schema of what it refers to, each after those that it needs.
    """

    sort: str
    text: str
    references: tuple[tuple[str, str], ...] = ()


class Registry(Protocol):
    """Where schemas come from."""

    def read(self, schema: SchemaId, compile_schema: Callable[[SchemaText], Read]) -> Read:
        """How values of a schema are read.

        Raises:
            SchemaMissing: there is no such schema.
            SchemaPending: it is not known yet; to be asked again.
            InvalidSchema: it cannot be used.
        """

    @property
    def waiting(self) -> str | None:
        """Why schemas are pending, or None."""

    def close(self) -> None:
        """Ask nothing more."""
