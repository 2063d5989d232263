"""The jobs: a form that starts one, the list, and one as it runs, with its results as charts."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy import select

from console.answers import After
from console.auth.callers import Console, PathId, Root, needs
from console.auth.permissions import ANALYSIS_READ, LABEL_WRITE, Caller
from console.figures.classification import training_history
from console.figures.frame import for_page
from console.jobs import endpoints as api
from console.jobs.queue import ENDED
from console.jobs.reading import history, job_row, shown
from console.lab.data.endpoints import visible as visible_data
from console.lab.tables import datasets
from console.lab.triage.features import ALGORITHMS
from console.lab.triage.job import EPOCHS
from console.pages.model_charts import Chart, charts_of
from console.pages.rendering import PREFIX, render
from console.problems import Problem
from models.features import KINDS

router = APIRouter(prefix=PREFIX, include_in_schema=False)
Reader = Annotated[Caller, Depends(needs(ANALYSIS_READ))]
PAGE = 50
SERIES = {
    "train_loss": "loss",
    "val_loss": "val_loss",
    "train_accuracy": "accuracy",
    "val_accuracy": "val_accuracy",
}


@router.get("/jobs")
def jobs(
    request: Request, root: Root, console: Console, who: Reader, after: After = None
) -> Response:
    """The list, and the form."""
    answer = api.list_jobs(request, root, who, None, None, PAGE, after)
    with console.database.read() as connection:
        tables = connection.execute(
            select(datasets.c.id, datasets.c.name)
            .where(visible_data(who))
            .order_by(datasets.c.created_at.desc())
            .limit(100)
        ).all()
    link = answer.headers.get("link", "").partition("after=")[2]
    return render(
        request,
        "jobs.html",
        who,
        rows=orjson.loads(bytes(answer.body))["items"],
        more=link.partition(">")[0] or None,
        first=after is None,
        kinds=list(KINDS),
        algorithms=ALGORITHMS,
        tables=tables,
        epochs=EPOCHS,
    )


@router.get("/jobs/{job_id}")
def job(request: Request, root: Root, console: Console, who: Reader, job_id: PathId) -> Response:
    """One job."""
    row = job_row(root.accounts, who, job_id)
    charts: list[Chart] = []
    results: dict[str, Any] = {}
    if row["state"] in ENDED:
        try:
            results = api.results_of(root, row)
            charts = charts_of(root, console, who, job_id)
        except Problem as problem:
            results = {"problem": problem.detail}
    return render(
        request,
        "job.html",
        who,
        job=shown(row),
        ended=row["state"] in ENDED,
        history=history_figure(history(root.accounts, job_id)),
        charts=charts,
        results=results,
        can_label=LABEL_WRITE in who.permissions,
    )


@router.get("/jobs/{job_id}/figure")
def figure(root: Root, who: Reader, job_id: PathId) -> Response:
    """The history of a training so far, as a figure."""
    job_row(root.accounts, who, job_id)
    return JSONResponse(history_figure(history(root.accounts, job_id)))


def history_figure(found: dict[str, list[Any]]) -> dict[str, Any]:
    """Loss and accuracy by epoch, those that there are."""
    series = {
        name: found[field]
        for field, name in SERIES.items()
        if any(value is not None for value in found.get(field, []))
    }
    return for_page(training_history(found["epochs"], series))
