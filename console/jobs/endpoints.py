"""Jobs over HTTP: asked for, looked at, cancelled, and their results."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Query, Request
from fastapi.responses import Response
from pydantic import ValidationError
from sqlalchemy import select, tuple_

from console.answers import After, Limit, Word, json_answer, page, place, plain
from console.auth.callers import PathId, Root, needs
from console.auth.permissions import ANALYSIS_CREATE, ANALYSIS_READ, Caller
from console.jobs import queue
from console.jobs.queue import ENDED
from console.jobs.reading import history, job_row, owner_of, shown, visible
from console.jobs.registry import TYPES, config_of
from console.jobs.results import Results
from console.jobs.tables import jobs
from console.problems import Problem
from console.services import Services

router = APIRouter(tags=["jobs"])
Creator = Annotated[Caller, Depends(needs(ANALYSIS_CREATE))]
Reader = Annotated[Caller, Depends(needs(ANALYSIS_READ))]
State = Literal["queued", "running", "succeeded", "failed", "cancelled", "timed_out"]

JobBody = Annotated[
    dict[str, Any],
    Body(
        description="`type`, and the fields of its configuration.",
        examples=[{"type": "triage", "algorithm": "mlp", "simulate": True, "epochs": 20}],
    ),
]


@router.post("/api/v1/jobs", status_code=202)
@router.post("/api/train/start", status_code=202)
def start_job(request: Request, console: Root, who: Creator, body: JobBody) -> Response:
    """Ask for a job; it runs as soon as a worker is free."""
    given = dict(body)
    name = given.pop("type", None)
    posted = sorted(each for each, of in TYPES.items() if of.posted)
    if not isinstance(name, str) or name not in posted:
        raise Problem(422, "invalid_request", f"type: expected one of {', '.join(posted)}")
    job_id = ask(console, who, name, given, request)
    answer = {"id": job_id, "session_id": job_id, "type": name, "state": queue.QUEUED}
    return json_answer(answer, 202, {"Location": f"/api/v1/jobs/{job_id}"})


def ask(console: Services, who: Caller, name: str, given: dict[str, Any], request: Request) -> str:
    """Check the configuration of a job and ask for it; its id.

    Args:
        console: of the process.
        name: a type that there is.

    Raises:
        Problem: 403, the caller may not do what the job does; 422, the configuration is wrong.
    """
    job_type = TYPES[name]
    for permission in job_type.permissions:
        if permission not in who.permissions:
            raise Problem(403, "forbidden", f"expected the permission {permission}")
    try:
        config = config_of(job_type).model_validate(given).model_dump(mode="json")
    except ValidationError as error:
        found = [
            {"field": ".".join(map(str, item["loc"])), "detail": str(item["msg"])}
            for item in error.errors()[:20]
        ]
        detail = "; ".join(f"{item['field']}: {item['detail']}" for item in found[:3])
        raise Problem(422, "invalid_request", detail, errors=found) from None
    job_id = queue.submit(console.accounts, name, config, owner_of(who))
    console.note(who, f"job.{name}", job_id, "queued", request)
    return job_id


@router.get("/api/v1/jobs")
def list_jobs(
    request: Request,
    console: Root,
    who: Reader,
    job_type: Annotated[Word | None, Query(alias="type")] = None,
    state: Annotated[State | None, Query()] = None,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """Jobs, the newest first."""
    query = select(jobs).where(visible(who))
    if job_type is not None:
        query = query.where(jobs.c.type == job_type)
    if state is not None:
        query = query.where(jobs.c.state == state)
    at = place(after, int, str)
    if at is not None:
        query = query.where(tuple_(jobs.c.created_at, jobs.c.id) < tuple_(*at))
    newest = query.order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(limit + 1)
    with console.accounts.read() as connection:
        rows = [plain(row) for row in connection.execute(newest).mappings()]
    cursors = [[row["created_at"], row["id"]] for row in rows]
    return page(request, [shown(row) for row in rows], limit, cursors)


@router.get("/api/v1/jobs/{job_id}")
@router.get("/api/train/status/{job_id}")
def get_job(console: Root, who: Reader, job_id: PathId) -> Response:
    """A job: its state, and how far it is."""
    return json_answer(shown(job_row(console.accounts, who, job_id)))


@router.post("/api/v1/jobs/{job_id}/cancel", status_code=202)
@router.post("/api/train/stop/{job_id}", status_code=202)
def cancel_job(request: Request, console: Root, who: Creator, job_id: PathId) -> Response:
    """End a job within 10 s; what it has measured is kept. One that has ended stays as it is."""
    job_row(console.accounts, who, job_id)
    queue.cancel(console.accounts, job_id)
    console.note(who, "job.cancel", job_id, "done", request)
    return json_answer(shown(job_row(console.accounts, who, job_id)), 202)


@router.get("/api/v1/jobs/{job_id}/results")
@router.get("/api/train/results/{job_id}")
def get_results(console: Root, who: Reader, job_id: PathId) -> Response:
    """What came of a job: figures and data of charts; 409 before its end."""
    return json_answer(results_of(console, job_row(console.accounts, who, job_id)))


def results_of(console: Services, row: dict[str, Any]) -> dict[str, Any]:
    """The results of a job that has ended, stopped ones too.

    Raises:
        Problem: 409 before its end, 410 if the file is gone.
    """
    if row["state"] not in ENDED:
        raise Problem(409, "not_ended", f"the job is {row['state']}", headers={"Retry-After": "2"})
    found: dict[str, Any] = {}
    if row["result_path"] is not None:
        try:
            found = Results(console.settings.results_dir).read(row["result_path"])
        except FileNotFoundError:
            raise Problem(410, "gone", "the results were deleted") from None
    same = {name: row[name] for name in ("id", "type", "state", "error")}
    return {"training_history": history(console.accounts, row["id"])} | found | same
