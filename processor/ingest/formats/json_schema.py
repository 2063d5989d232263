"""JSON Schema: JSON that is checked against the schema it was written by."""

from __future__ import annotations

from typing import Any, Final

import orjson
from jsonschema import SchemaError
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.jsonschema import DRAFT7

from processor.ingest.formats.plain_json import parse_json
from processor.ingest.formats.schema import InvalidSchema, Read, SchemaText, Undecodable

SORT: Final = "JSON"


def compile_json_schema(schema: SchemaText) -> Read:
    """How values of a schema are read.

    Raises:
        InvalidSchema: it is none.
    """
    try:
        held = orjson.loads(schema.text)
        registry: Registry[Any] = Registry().with_resources(
            (name, DRAFT7.create_resource(orjson.loads(text))) for name, text in schema.references
        )
        made = validator_for(held)
        made.check_schema(held)
        validator = made(held, registry=registry)
    except (orjson.JSONDecodeError, SchemaError, TypeError) as error:
        raise InvalidSchema(f"expected a JSON Schema: {str(error)[:200]}") from None

    def checked(data: bytes, _: tuple[int, ...]) -> Any:
        found = parse_json(data)
        try:
            wrong = next(iter(validator.iter_errors(found)), None)
        # A reference that leads nowhere, or round and round.
        except Exception as error:
            raise Undecodable(f"JSON Schema: {type(error).__name__}: {str(error)[:200]}") from None
        if wrong is not None:
            raise Undecodable(f"JSON Schema: {wrong.json_path}: {wrong.message[:200]}")
        return found

    return checked
