"""Attributes: what is known of a profile beside its telemetry, such as its site or device."""

from __future__ import annotations

import csv
import hashlib
import io
import threading
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body, Depends, Header, Request
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from console.answers import json_answer
from console.auth.callers import Console, KindName, PathId, known_kind, needs
from console.auth.permissions import DATA_WRITE, Caller
from console.live.events import Described
from console.live.state import now_ms
from console.problems import Problem, not_found
from console.services import Services
from console.store.annotations import attributes_of, put_attributes
from processor.topics import Topics
from schemas.annotation import Attributes, AttributeValue
from schemas.base import id_fault, names_fault

router = APIRouter(prefix="/api/v1", tags=["attributes"])
Writer = Annotated[Caller, Depends(needs(DATA_WRITE))]
IfMatch = Annotated[
    str | None, Header(description="The ETag that was read; 412 if it has changed.")
]
MOST_NAMES = 100
MOST_ROWS = 10_000
EXAMPLE = {"site": "Graz", "device": "touch", "age_group": "60+"}
Values = Annotated[dict[str, AttributeValue], Body(examples=[EXAMPLE])]
Changes = Annotated[
    dict[str, AttributeValue | None], Body(examples=[{"site": "Wien", "device": None}])
]
_CSV: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {
                "schema": {"type": "string"},
                "example": "kind,profile_id,site\nfeatures,web-1,Graz\n",
            }
        },
    }
}
_writing = threading.Lock()
"""Changes of attributes in this process come one after the other."""


@router.get(
    "/profiles/{kind}/{profile_id}/attributes",
    responses={304: {"description": "As they were: If-None-Match."}},
)
def get_attributes(
    console: Console,
    who: Writer,
    kind: KindName,
    profile_id: PathId,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The attributes of a profile; they may be set before its first record."""
    held = _held(console, who, kind, profile_id)
    if if_none_match == _etag(held):
        return Response(status_code=304, headers={"ETag": _etag(held)})
    return _answer(held)


@router.put("/profiles/{kind}/{profile_id}/attributes")
def put(
    request: Request,
    console: Console,
    who: Writer,
    kind: KindName,
    profile_id: PathId,
    body: Values,
    if_match: IfMatch = None,
) -> Response:
    """Set all attributes of a profile; an empty object removes them."""
    with _writing:
        _matched(_held(console, who, kind, profile_id), if_match)
        _say(console, who, kind, profile_id, _checked(body))
    console.note(who, "attributes.put", "", "done", request)
    return _answer(body)


@router.patch("/profiles/{kind}/{profile_id}/attributes")
def patch(
    request: Request,
    console: Console,
    who: Writer,
    kind: KindName,
    profile_id: PathId,
    body: Changes,
    if_match: IfMatch = None,
) -> Response:
    """Change some attributes of a profile; null removes one."""
    with _writing:
        held = _held(console, who, kind, profile_id)
        _matched(held, if_match)
        changed = _changed(held, body)
        _say(console, who, kind, profile_id, changed)
    console.note(who, "attributes.patch", "", "done", request)
    return _answer(changed)


@router.put("/attributes", openapi_extra=_CSV)
async def put_many(request: Request, console: Console, who: Writer) -> Response:
    """Change attributes of many profiles by a table in CSV: `kind,profile_id,<name>…`.

    Columns that are not there stay as they are; an empty cell removes the attribute. Nothing is
    changed if any row is wrong.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != "text/csv":
        raise Problem(
            415, "unsupported_media_type", f"Content-Type: expected text/csv, got {given!r}"
        )
    rows = _rows(await request.body(), who)
    await run_in_threadpool(_put_rows, console, who, rows)
    await run_in_threadpool(console.note, who, "attributes.csv", "", "done", request)
    return json_answer({"profiles": len({(kind, profile) for kind, profile, _ in rows})})


def _put_rows(
    console: Services, who: Caller, rows: list[tuple[str, str, dict[str, str | None]]]
) -> None:
    with _writing:
        for kind, profile_id, changes in rows:
            held = _held(console, who, kind, profile_id)
            _say(console, who, kind, profile_id, _changed(held, changes))


def _rows(body: bytes, who: Caller) -> list[tuple[str, str, dict[str, str | None]]]:
    try:
        table = csv.DictReader(io.StringIO(body.decode("utf-8-sig")), strict=True)
        header = list(table.fieldnames or ())
        lines = list(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise Problem(422, "invalid_request", f"expected CSV in UTF-8: {error}") from None
    names = header[2:]
    if header[:2] != ["kind", "profile_id"] or not names or len(set(names)) != len(names):
        raise Problem(
            422, "invalid_request", "expected a header kind,profile_id,<name>…, each name once"
        )
    if len(lines) > MOST_ROWS:
        raise Problem(413, "too_large", f"{len(lines)} rows, expected at most {MOST_ROWS}")
    found = []
    for number, line in enumerate(lines, 2):
        where = f"line {number}"
        if None in line or None in line.values():
            raise Problem(422, "invalid_request", f"{where}: expected {len(header)} cells")
        try:
            kind = known_kind(line["kind"])
        except ValueError as error:
            raise Problem(422, "invalid_request", f"{where}, kind: {error}") from None
        fault = id_fault(line["profile_id"])
        if fault is not None:
            raise Problem(422, "invalid_request", f"{where}, profile_id: {fault}")
        if not who.sees(line["profile_id"]):
            raise Problem(403, "forbidden", f"{where}: expected a profile of your organisation")
        changes = {name: line[name] or None for name in names}
        _checked({name: value for name, value in changes.items() if value is not None}, where)
        found.append((kind, line["profile_id"], changes))
    return found


def _checked(values: dict[str, Any], where: str = "attributes") -> dict[str, Any]:
    fault = names_fault(values)
    if fault is None and len(values) > MOST_NAMES:
        fault = f"{len(values)} attributes, expected at most {MOST_NAMES}"
    if fault is None:
        try:
            Attributes.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            fault = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    if fault is not None:
        raise Problem(422, "invalid_request", f"{where}: {fault}")
    return values


def _changed(held: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = held | changes
    return _checked({name: value for name, value in merged.items() if value is not None})


def _held(console: Services, who: Caller, kind: str, profile_id: str) -> dict[str, Any]:
    if not who.sees(profile_id):
        raise not_found("there is no such profile")
    with console.database.read() as connection:
        return attributes_of(connection, kind, profile_id)


def _say(
    console: Services, who: Caller, kind: str, profile_id: str, values: dict[str, Any]
) -> None:
    """To the topic first, which is what survives; then to the store, for whoever asks at once."""
    topic = Topics(console.kafka.topic_prefix).attributes
    value = orjson.dumps(values) if values else None
    _, offset = console.producing.send_now(topic, f"{kind}:{profile_id}".encode(), value, None)
    seen = Described(kind, profile_id, values, now_ms())
    with console.database.write() as connection:
        put_attributes(console.database, connection, seen, offset, who.subject)


def _etag(values: dict[str, Any]) -> str:
    held = orjson.dumps(values, option=orjson.OPT_SORT_KEYS)
    return f'"{hashlib.blake2b(held, digest_size=12).hexdigest()}"'


def _matched(held: dict[str, Any], if_match: str | None) -> None:
    if if_match not in (None, "*", _etag(held)):
        raise Problem(412, "changed", "If-Match: the attributes have changed since they were read")


def _answer(values: dict[str, Any]) -> Response:
    return json_answer(values, headers={"ETag": _etag(values)})
