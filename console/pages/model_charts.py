"""Charts of models and of the jobs that make them: those that there is data for."""

from __future__ import annotations

from typing import Any

from console.auth.permissions import Caller
from console.figures.classification import confusion_matrix, feature_importance, roc_curve
from console.figures.frame import for_page
from console.figures.graph import model_graph
from console.lab.charts.endpoints import graph_of
from console.lab.charts.finding import find
from console.problems import Problem
from console.services import Services

Chart = tuple[str, str, dict[str, Any]]
"""Id, title and figure."""

DRAWN = (
    *("roc_curve", "confusion_matrix", "feature_importance", "training_history"),
    "found_first",
)
"""Figures of a model that are shown as charts and a table, not as single numbers."""


def figure_charts(figures: dict[str, Any]) -> list[Chart]:
    """Charts of a classifier's figures."""
    found = []
    roc = figures.get("roc_curve") or {}
    if roc.get("fpr"):
        bounds = roc.get("auc_interval")
        interval = None if bounds is None else (bounds[0], bounds[1])
        made = roc_curve(roc["fpr"], roc["tpr"], roc["auc"], interval=interval)
        found.append(("roc", "ROC", for_page(made)))
    matrix = figures.get("confusion_matrix")
    if matrix:
        found.append(("confusion", "Confusion", for_page(confusion_matrix(matrix))))
    importance = figures.get("feature_importance") or {}
    if importance.get("features"):
        made = feature_importance(
            importance["features"],
            importance["scores"],
            deviations=importance.get("deviations"),
        )
        found.append(("importance", "What matters", for_page(made)))
    return found


def charts_of(root: Services, console: Services, who: Caller, name: str) -> list[Chart]:
    """Charts of what a model's or an ended job's id names, the model's graph too.

    Raises:
        Problem: 404; 409 for a job that has not ended; 410 if its results are gone.
    """
    found = find(root, console, who, name)
    charts = figure_charts(found.figures)
    try:
        graph = graph_of(console, who, found)
    except Problem:
        # A job may make no model, and the file of a model may be gone: the rest is shown.
        return charts
    edges = [
        {"source": edge["from"], "target": edge["to"], "weight": edge["weight"]}
        for edge in graph["edges"]
    ]
    return [*charts, ("graph", "The model", for_page(model_graph(graph["nodes"], edges)))]
