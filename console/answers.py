"""Answers as JSON, and lists with cursors."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from fastapi import Path, Query, Request
from fastapi.responses import Response
from pydantic import AfterValidator, Field
from sqlalchemy import Select, tuple_

from console.problems import Problem
from console.store.database import Database


def _storable(text: str) -> str:
    """Text that both stores take.

    Raises:
        ValueError: PostgreSQL holds no NUL, and neither holds half a surrogate pair.
    """
    if "\x00" in text:
        raise ValueError("expected no NUL")
    if not text.isascii():
        text.encode()
    return text


Word = Annotated[str, Field(max_length=2000), AfterValidator(_storable)]
"""Text of a query or a body."""

ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {"description": "Sent; the answer is awaited at `Location`."}
}
TABLE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A list, or a table for `Accept: text/csv`.",
        "content": {"application/json": {}, "text/csv": {}},
    }
}
"""Answers for OpenAPI."""

VersionNumber = Annotated[int, Path(ge=1, le=2**31 - 1)]
Generation = Annotated[int | None, Query(ge=0, le=2**63 - 1)]
Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]
After = Annotated[str | None, Query(max_length=2000, description="Cursor of the page before.")]


def json_answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON."""
    return Response(orjson.dumps(body), status, dict(headers or {}), media_type="application/json")


def plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of the store; names of columns are not always plain strings."""
    return {str(name): value for name, value in row.items()}


def rfc3339(ms: int | None) -> str | None:
    """Epoch milliseconds as RFC 3339 in UTC."""
    if ms is None:
        return None
    told = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    return told.replace("+00:00", "Z")


def page(
    request: Request,
    items: list[Any],
    limit: int,
    cursors: list[list[Any]],
    more: Mapping[str, Any] | None = None,
) -> Response:
    """A page of a list.

    Args:
        items: one more than ``limit`` where there is another page.
        cursors: of each item, by which the list goes on behind it.
        more: fields beside the items.
    """
    headers: dict[str, str] = {}
    if len(items) > limit:
        after = cursor(cursors[limit - 1])
        query = [(k, v) for k, v in request.query_params.multi_items() if k != "after"]
        url = f"{request.url.path}?{urlencode([*query, ('after', after)])}"
        headers["Link"] = f'<{url}>; rel="next"'
    return json_answer({"items": items[:limit], **(more or {})}, headers=headers)


def cursor(values: list[Any]) -> str:
    """A place in a list as text."""
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode().rstrip("=")


def rows_by_profile(
    database: Database, query: Select[Any], held: Any, limit: int, after: str | None
) -> list[dict[str, Any]]:
    """Rows of a page and one more, in the order of kind, profile and partition.

    Args:
        held: the columns of the table.
        after: the cursor behind which the page begins.

    Raises:
        Problem: 422, it is no cursor of this list.
    """
    order = (held.kind, held.profile_id, held.partition)
    at = place(after, str, str, int)
    if at is not None:
        query = query.where(tuple_(*order) > tuple_(*at))
    with database.read() as connection:
        rows = connection.execute(query.order_by(*order).limit(limit + 1)).mappings().all()
    return [plain(row) for row in rows]


def page_by_creation(
    request: Request,
    database: Database,
    query: Select[Any],
    held: Any,
    limit: int,
    after: str | None,
    shown: Callable[[dict[str, Any]], dict[str, Any]],
) -> Response:
    """A page of a list, the newest first.

    Args:
        held: the columns of the table.
        after: the cursor behind which the page begins.
        shown: a row as the API has it.

    Raises:
        Problem: 422, it is no cursor of this list.
    """
    at = place(after, int, str)
    if at is not None:
        query = query.where(tuple_(held.created_at, held.id) < tuple_(*at))
    newest = query.order_by(held.created_at.desc(), held.id.desc()).limit(limit + 1)
    with database.read() as connection:
        rows = [plain(row) for row in connection.execute(newest).mappings()]
    cursors = [[row["created_at"], row["id"]] for row in rows]
    return page(request, [shown(row) for row in rows], limit, cursors)


def place(after: str | None, *types: type) -> list[Any] | None:
    """The place that a cursor names.

    Raises:
        Problem: 422, it is no cursor of this list.
    """
    if after is None:
        return None
    try:
        found = orjson.loads(base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)))
    except ValueError:
        found = None
    good = isinstance(found, list) and len(found) == len(types)
    if not good or any(type(v) is not of for v, of in zip(found, types, strict=True)):
        raise Problem(422, "invalid_request", "after: expected a cursor of this list")
    return list(found)
