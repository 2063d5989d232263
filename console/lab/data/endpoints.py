"""Data sets over HTTP: uploaded, listed, previewed, sent as telemetry, deleted."""

from __future__ import annotations

import uuid
from contextlib import closing
from itertools import islice
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel
from sqlalchemy import insert, select

from console.answers import After, Limit, Word, json_answer, page_by_creation, plain, rfc3339
from console.auth.callers import Console, PathId, Root, needs
from console.auth.permissions import ANALYSIS_READ, DATA_WRITE, Caller
from console.jobs import queue
from console.jobs.endpoints import ask
from console.lab.blobs import Blobs
from console.lab.data.expiry import removed
from console.lab.tables import datasets
from console.lab.uploads import described, uploaded
from console.live.state import now_ms
from console.problems import Problem, not_found
from console.services import Services
from console.store.database import Database
from models.features import KINDS

router = APIRouter(tags=["data sets"])
Writer = Annotated[Caller, Depends(needs(DATA_WRITE))]
Reader = Annotated[Caller, Depends(needs(ANALYSIS_READ))]
PROFILE = "profile_id"
DAY_MS = 86_400_000
UNPACKED = 20
"""Times `TELLTALE_MAX_UPLOAD_BYTES` that a table may be unpacked."""


class SendBody(BaseModel):
    """How the rows are sent."""

    kind: Word | None = None
    profile_id: Word | None = None


def visible(who: Caller) -> Any:
    """Which data sets a caller sees: its organisation's; without one, all of its topics."""
    if who.organization_id is None or who.topic_prefix:
        return datasets.c.id.is_not(None)
    return datasets.c.organization_id == who.organization_id


def dataset_row(database: Database, who: Caller, dataset_id: str) -> dict[str, Any]:
    """A data set.

    Raises:
        Problem: 404, there is none that the caller sees.
    """
    query = select(datasets).where(datasets.c.id == dataset_id, visible(who))
    with database.read() as connection:
        row = connection.execute(query).mappings().first()
    if row is None:
        raise not_found("there is no such data set")
    return plain(row)


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A data set as the API has it."""
    told = {name: value for name, value in row.items() if name != "path"}
    return told | {name: rfc3339(row[name]) for name in ("created_at", "expires_at")}


@router.post(
    "/api/v1/datasets",
    status_code=201,
    openapi_extra=described("name", "kind", "target", "profile_column", "expires_days"),
)
@router.post(
    "/api/data/upload",
    status_code=201,
    openapi_extra=described("name", "kind", "target", "profile_column", "expires_days"),
)
async def upload(request: Request, root: Root, console: Console, who: Writer) -> Response:
    """Upload a table: CSV, Parquet or JSON Lines, the text ones also packed by gzip."""
    async with uploaded(request, console.settings.max_upload_bytes) as (file, texts):
        name = texts.get("name") or file.filename or "data"
        row = await run_in_threadpool(
            _stored, console, who, file.file, (name, file.filename or ""), texts
        )
    root.note(who, "dataset.add", row["id"], "done", request)
    return json_answer(shown(row), 201, {"Location": f"/api/v1/datasets/{row['id']}"})


def _stored(
    console: Services,
    who: Caller,
    source: BinaryIO,
    names: tuple[str, str],
    texts: Any,
) -> dict[str, Any]:
    # pyarrow is loaded where a table is read, and nowhere else.
    from console.lab.data.summary import summarise
    from console.lab.data.tables import BadTable, batches, format_of

    kind, target = texts.get("kind") or None, texts.get("target") or None
    if kind is not None and kind not in KINDS:
        raise Problem(422, "invalid_request", f"kind: expected one of {', '.join(KINDS)}")
    expires = _days(texts.get("expires_days"))
    most = console.settings.max_upload_bytes
    try:
        table_format, packed = format_of(names[1], source.read(4))
        source.seek(0)
        summary = summarise(batches(source, table_format, packed=packed), UNPACKED * most)
    except BadTable as error:
        raise Problem(422, "invalid_table", str(error)) from None
    profile = texts.get("profile_column") or (PROFILE if PROFILE in summary.columns else None)
    for field, column in (("target", target), ("profile_column", profile)):
        if column is not None and column not in summary.columns:
            raise Problem(422, "invalid_request", f"{field}: the table has no column {column!r}")
    source.seek(0)
    dataset_id = str(uuid.uuid4())
    written = Blobs(console.settings.data_dir).write(f"datasets/{dataset_id}", source)
    now = now_ms()
    row = {
        "id": dataset_id,
        "name": names[0],
        "format": table_format + (".gz" if packed else ""),
        "kind": kind,
        "profile_column": profile,
        "target": target,
        "rows": summary.rows,
        "columns": summary.shown(),
        "bytes": written.bytes,
        "sha256": written.sha256,
        "path": written.path,
        "by": who.subject,
        "organization_id": who.organization_id,
        "created_at": now,
        "expires_at": None if expires is None else now + round(expires * DAY_MS),
    }
    with console.database.write() as connection:
        connection.execute(insert(datasets).values(row))
    return row


def _days(text: str | None) -> float | None:
    if not text:
        return None
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 < days <= 36_500:
        raise Problem(422, "invalid_request", "expires_days: expected a number of days above 0")
    return days


@router.get("/api/v1/datasets")
def list_datasets(
    request: Request,
    console: Console,
    who: Reader,
    kind: Annotated[Word | None, Query()] = None,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """Data sets, the newest first."""
    held = datasets.c
    query = select(datasets).where(visible(who))
    if kind is not None:
        query = query.where(held.kind == kind)
    return page_by_creation(request, console.database, query, held, limit, after, shown)


@router.get("/api/v1/datasets/{dataset_id}")
def get_dataset(console: Console, who: Reader, dataset_id: PathId) -> Response:
    """A data set and its columns."""
    return json_answer(shown(dataset_row(console.database, who, dataset_id)))


@router.get("/api/v1/datasets/{dataset_id}/preview")
@router.get("/api/data/preview/{dataset_id}")
def preview(
    console: Console,
    who: Reader,
    dataset_id: PathId,
    rows: Annotated[int, Query(ge=1, le=200)] = 20,
) -> Response:
    """First rows, and of each column its type, missing share, range and frequent values."""
    from console.lab.data.summary import plain_rows

    row = dataset_row(console.database, who, dataset_id)
    first: list[dict[str, Any]] = []
    with closing(rows_of(console, row)) as found:
        for batch in islice(found, 20):
            first += plain_rows(batch.slice(0, rows - len(first)))
            if len(first) >= rows:
                break
    balance = next(
        (each["values"] for each in row["columns"] if each["name"] == row["target"]), None
    )
    # A row of JSON Lines names what it has: all rows are shown with all names.
    names = [each["name"] for each in row["columns"]]
    shaped = [{name: each.get(name) for name in names} for each in first]
    return json_answer(shown(row) | {"preview": shaped, "label_balance": balance})


def rows_of(console: Services, row: dict[str, Any]) -> Any:
    """The batches of a data set.

    Raises:
        Problem: 410, its file is gone.
    """
    from console.lab.data.tables import batches

    try:
        file = Blobs(console.settings.data_dir).open(row["path"])
    except FileNotFoundError:
        raise Problem(410, "gone", "the file of the data set is gone") from None

    def read() -> Any:
        with file:
            name, _, packed = row["format"].partition(".")
            yield from batches(file, name, packed=bool(packed))

    return read()


@router.post("/api/v1/datasets/{dataset_id}/send", status_code=202)
def send(
    request: Request,
    root: Root,
    console: Console,
    who: Writer,
    dataset_id: PathId,
    body: SendBody | None = None,
) -> Response:
    """Send the rows as telemetry, by a job; a row's profile is its `profile_id`."""
    row = dataset_row(console.database, who, dataset_id)
    given = body or SendBody()
    kind = given.kind or row["kind"]
    if kind not in KINDS:
        raise Problem(422, "invalid_request", f"kind: expected one of {', '.join(KINDS)}")
    if row["profile_column"] is None and given.profile_id is None:
        raise Problem(
            422, "invalid_request", "profile_id: the table has no column of profiles, so name one"
        )
    if given.profile_id is not None and not who.sees(given.profile_id):
        raise Problem(403, "forbidden", "profile_id: expected one of your organisation's")
    config = {"dataset_id": dataset_id, "kind": kind, "profile_id": given.profile_id}
    job_id = ask(root, who, "send", config, request)
    answer = {"id": job_id, "session_id": job_id, "type": "send", "state": queue.QUEUED}
    return json_answer(answer, 202, {"Location": f"/api/v1/jobs/{job_id}"})


@router.delete("/api/v1/datasets/{dataset_id}")
def delete_dataset(
    request: Request, root: Root, console: Console, who: Writer, dataset_id: PathId
) -> Response:
    """Delete a data set and its file."""
    row = dataset_row(console.database, who, dataset_id)
    removed(console.database, Blobs(console.settings.data_dir), row)
    root.note(who, "dataset.delete", dataset_id, "done", request)
    return json_answer({"id": dataset_id})
