"""A schema registry that speaks Confluent's API: schemas by id or GUID, asked beside the loop."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any, Final

from confluent_kafka.schema_registry import SchemaRegistryClient, SchemaRegistryError

from processor.ingest.formats.schema import (
    InvalidSchema,
    Read,
    SchemaMissing,
    SchemaPending,
    SchemaText,
)
from processor.ingest.formats.wire import SchemaId

MISSING_SECONDS: Final = 5.0
"""How long "no such schema" is remembered: it may be registered the moment after."""

AWAY_SECONDS: Final = 1.0
"""Between two tries while the registry is away."""

MOST_REMEMBERED: Final = 10_000
"""Schemas that are remembered as missing, or as not to be asked for yet: ids are the records'."""

THREADS: Final = 4
_NOT_FOUND: Final = 404
_NUMBERS: Final = ("timeout", "max.retries", "retries.wait.ms", "retries.max.wait.ms")
_DEFAULTS: Final = {"timeout": 5.0, "max.retries": 0}


class RegistryConfigError(Exception):
    """The properties of the registry's client are wrong; no value is told."""


def registry_properties(path: Path) -> dict[str, Any]:
    """Parse a properties file for the client.

    Raises:
        RegistryConfigError: unreadable, a line without ``=``, or without url.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RegistryConfigError(f"{path}: expected a readable file: {error}") from None
    found: dict[str, Any] = dict(_DEFAULTS)
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith(("#", "!")):
            continue
        name, separator, value = text.partition("=")
        if not separator:
            # The line may hold a secret: its number alone is told.
            raise RegistryConfigError(f"{path} line {number}: expected key=value")
        key = name.strip().removeprefix("schema.registry.")
        try:
            found[key] = float(value) if key in _NUMBERS else value.strip()
        except ValueError:
            raise RegistryConfigError(f"{path} line {number}: {key}: expected a number") from None
    if not found.get("url"):
        raise RegistryConfigError(f"{path}: expected url=http://…, the registry's address")
    return found


class SchemaRegistry:
    """Schemas of a registry, each asked once; what is not known yet is never waited for."""

    def __init__(self, properties: dict[str, Any], clock: Callable[[], float] = monotonic) -> None:
        """
        Raises:
            RegistryConfigError: the client refuses the properties.
        """
        try:
            self._client = SchemaRegistryClient(properties)
        except (ValueError, TypeError, OSError) as error:
            raise RegistryConfigError(f"the registry's client: {error}") from None
        self._clock = clock
        self._threads = ThreadPoolExecutor(THREADS, "schemas")
        self._known: dict[SchemaId, Read | InvalidSchema] = {}
        self._missing: dict[SchemaId, float] = {}
        self._asked: dict[SchemaId, Future[Read]] = {}
        self._not_before: dict[SchemaId, float] = {}
        self._why: str | None = None

    @property
    def waiting(self) -> str | None:
        return self._why

    def read(self, schema: SchemaId, compile_schema: Callable[[SchemaText], Read]) -> Read:
        found = self._known.get(schema)
        if found is None:
            found = self._ask(schema, compile_schema)
        if isinstance(found, InvalidSchema):
            raise found
        return found

    def close(self) -> None:
        """End the threads; a question on its way is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask(
        self, schema: SchemaId, compile_schema: Callable[[SchemaText], Read]
    ) -> Read | InvalidSchema:
        now = self._clock()
        if self._missing.get(schema, 0.0) > now:
            raise SchemaMissing(f"the registry has no schema with the {schema}")
        asked = self._asked.get(schema)
        if asked is None:
            if self._not_before.get(schema, 0.0) > now:
                raise SchemaPending
            asked = self._asked[schema] = self._threads.submit(
                lambda: compile_schema(self._fetched(schema))
            )
        if not asked.done():
            raise SchemaPending
        del self._asked[schema]
        try:
            found: Read | InvalidSchema = asked.result()
        except InvalidSchema as error:
            found = error
        except Exception as error:
            if isinstance(error, SchemaRegistryError) and error.http_status_code == _NOT_FOUND:
                _remember(self._missing, schema, now + MISSING_SECONDS)
                self._why = None
                raise SchemaMissing(f"the registry has no schema with the {schema}") from None
            # Away, or it does not let us in: both pass, and neither is the record's fault.
            _remember(self._not_before, schema, now + AWAY_SECONDS)
            self._why = f"the schema registry does not answer: {_told(error)}"
            raise SchemaPending from None
        self._why = None
        self._known[schema] = found
        return found

    def _fetched(self, schema: SchemaId) -> SchemaText:
        """A schema with all that it refers to."""
        if schema.guid is not None:
            found = self._client.get_schema_by_guid(schema.guid)
        else:
            found = self._client.get_schema(schema.number or 0)
        references: dict[str, str] = {}
        self._gather(found, references)
        sort = found.schema_type or "AVRO"
        return SchemaText(sort, found.schema_str or "", tuple(references.items()))

    def _gather(self, schema: Any, references: dict[str, str]) -> None:
        for reference in schema.references or ():
            if reference.name not in references:
                other = self._client.get_version(reference.subject, reference.version).schema
                self._gather(other, references)
                references[reference.name] = other.schema_str


def _remember(times: dict[SchemaId, float], schema: SchemaId, until: float) -> None:
    if len(times) >= MOST_REMEMBERED:
        times.clear()
    times[schema] = until


def _told(error: Exception) -> str:
    if isinstance(error, SchemaRegistryError):
        return f"HTTP status {error.http_status_code}"
    return type(error).__name__
