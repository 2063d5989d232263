"""Data of charts over HTTP: of a job or a model, by its id."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response
from sqlalchemy import select

from console.answers import json_answer
from console.auth.callers import Console, PathId, Root, needs
from console.auth.permissions import ANALYSIS_READ, Caller
from console.lab.charts.finding import EMPTY_HISTORY, Found, contributions, find
from console.lab.charts.graph import of_detector, of_estimator
from console.lab.registry.endpoints import read_model
from console.problems import not_found
from console.services import Services
from console.store import tables as t

router = APIRouter(tags=["charts"])
Reader = Annotated[Caller, Depends(needs(ANALYSIS_READ))]
BLEND = ("forest", "gaussian", "neighbors")
ORDER = {"rows": ["true normal", "true anomaly"], "columns": ["not alarmed", "alarmed"]}
NO_ROC: dict[str, Any] = {"fpr": [], "tpr": [], "thresholds": [], "auc": None, "auc_interval": None}
NO_IMPORTANCE: dict[str, list[Any]] = {"features": [], "scores": []}


@router.get("/api/v1/charts/graph/{model_id}")
@router.get("/api/viz/graph/{model_id}")
def graph(root: Root, console: Console, who: Reader, model_id: PathId) -> Response:
    """A model as nodes and edges."""
    return json_answer(graph_of(console, who, find(root, console, who, model_id)))


def graph_of(console: Services, who: Caller, found: Found) -> dict[str, Any]:
    """The graph of what was found.

    Raises:
        Problem: 404, it is a job that made no model.
    """
    if found.registered is not None:
        model = read_model(console, found.registered)
        return of_estimator(model, found.registered["features"])
    if found.detector is None:
        raise not_found("the job made no model")
    kind, profile_id, version = found.detector
    held = t.model_versions.c
    query = select(held.detector, held.features).where(held.kind == kind, who.own(held.profile_id))
    if profile_id is not None:
        query = query.where(held.profile_id == profile_id)
    if version is not None:
        query = query.where(held.version == version)
    with console.database.read() as connection:
        row = connection.execute(query.order_by(held.in_force.desc()).limit(1)).first()
    if row is None:
        raise not_found("there is no model in force of this kind")
    weights = contributions(console, who, kind, profile_id)
    parts = BLEND if row.detector == "blend" else ()
    return of_detector(row.detector, row.features, weights, parts)


@router.get("/api/v1/charts/metrics/{model_id}")
@router.get("/api/viz/metrics/{model_id}")
def metrics(root: Root, console: Console, who: Reader, model_id: PathId) -> Response:
    """Confusion matrix, ROC, importance of features, history of training, scores."""
    figures = find(root, console, who, model_id).figures
    return json_answer(
        {
            "confusion_matrix": figures.get("confusion_matrix"),
            "roc_curve": figures.get("roc_curve") or NO_ROC,
            "feature_importance": figures.get("feature_importance") or NO_IMPORTANCE,
            "training_history": figures.get("training_history") or EMPTY_HISTORY,
            "scores": figures.get("scores"),
        }
    )


@router.get("/api/v1/charts/confusion/{model_id}")
@router.get("/api/viz/confusion/{model_id}")
def confusion(root: Root, console: Console, who: Reader, model_id: PathId) -> Response:
    """[[TN, FP], [FN, TP]] at the budget in force, or of a triage model at ½."""
    figures = find(root, console, who, model_id).figures
    matrix = figures.get("confusion_matrix")
    return json_answer(
        {
            "confusion_matrix": matrix,
            "order": ORDER,
            "n": 0 if matrix is None else sum(map(sum, matrix)),
            "labelled_share": figures.get("labelled_share"),
        }
    )


@router.get("/api/v1/charts/roc/{model_id}")
@router.get("/api/viz/roc/{model_id}")
def roc_curve(root: Root, console: Console, who: Reader, model_id: PathId) -> Response:
    """False and true alarms at each threshold, the area and its interval by profiles."""
    return json_answer(find(root, console, who, model_id).figures.get("roc_curve") or NO_ROC)
