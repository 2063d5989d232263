"""Runs of experiments: those in MLflow if it is set up, else those of the store."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from sqlalchemy import select

from console.answers import json_answer, rfc3339
from console.auth.callers import Console, Root, needs
from console.auth.permissions import ANALYSIS_READ, Caller
from console.jobs.queue import ENDED
from console.jobs.reading import visible
from console.lab import tracking
from console.lab.registry.storing import visible as visible_models
from console.problems import Problem
from console.services import Services
from console.store import tables as t

router = APIRouter(tags=["experiments"])
Reader = Annotated[Caller, Depends(needs(ANALYSIS_READ))]


@router.get("/api/v1/experiments/runs")
@router.get("/mlflow/runs")
def list_runs(
    root: Root,
    console: Console,
    who: Reader,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Runs, the newest first; `source` says whether MLflow or the store has them."""
    if tracking.tracking_uri() is None:
        found = stored(root, console, who, limit)
    else:
        try:
            found = tracking.runs(who.organization_id, limit)
        except Exception as error:
            # MLflow raises whatever its transport raises; its message may hold credentials.
            raise Problem(
                503,
                "mlflow_unavailable",
                f"MLflow does not answer ({type(error).__name__})",
                headers={"Retry-After": "30"},
            ) from None
    for run in found:
        run |= {name: rfc3339(run[name]) for name in ("started_at", "ended_at")}
    return json_answer({"items": found})


def stored(root: Services, console: Services, who: Caller, limit: int) -> list[dict[str, Any]]:
    """Jobs that have ended, and metrics that were posted of models."""
    jobs, models, metrics = t.jobs.c, t.registered_models.c, t.model_metrics.c
    ended = select(t.jobs).where(visible(who), jobs.state.in_(ENDED))
    with root.accounts.read() as connection:
        rows = connection.execute(
            ended.order_by(jobs.created_at.desc(), jobs.id.desc()).limit(limit)
        ).all()
    made = select(models.job_id, models.id, models.figures).where(
        models.job_id.in_([row.id for row in rows]), visible_models(who)
    )
    told = select(t.model_metrics)
    if who.organization_id is not None:
        told = told.where(metrics.organization_id == who.organization_id)
    with console.database.read() as connection:
        known = {row.job_id: (row.id, row.figures) for row in connection.execute(made)}
        posted = connection.execute(told.order_by(metrics.at.desc()).limit(limit)).all()
    found = []
    for row in rows:
        model_id, figures = known.get(row.id, (None, {}))
        found.append(
            {
                "run_id": row.id,
                "source": "store",
                "experiment": f"telltale/{row.config.get('kind') or 'all'}",
                "name": row.type,
                "status": row.state,
                "job_id": row.id,
                "model_id": model_id,
                "params": row.config,
                "metrics": tracking.measured(figures),
                "started_at": row.started_at or row.created_at,
                "ended_at": row.finished_at,
            }
        )
    for row in posted:
        four = ("accuracy", "precision", "recall", "f1_score")
        figures = {name: getattr(row, name) for name in four}
        found.append(
            {
                "run_id": row.run_id,
                "source": "store",
                "experiment": "telltale/metrics",
                "name": "model-metrics",
                "status": "finished",
                "job_id": None,
                "model_id": row.model_id,
                "params": {},
                "metrics": {k: v for k, v in figures.items() if v is not None},
                "started_at": row.at,
                "ended_at": row.at,
            }
        )
    return sorted(found, key=lambda run: -run["started_at"])[:limit]
