"""All charts of the console: plain data to Plotly figures, for pages, reports and notebooks.

>>> from console.figures import learning_progress
>>> learning_progress(50, 200, theme="dark").layout.meta["alt"]
'Learning: 50 of 200 samples'
"""

from console.figures.classification import (
    confusion_matrix,
    feature_importance,
    roc_curve,
    training_history,
)
from console.figures.comparison import Group, drift_bins, group_comparison
from console.figures.frame import Span, for_page
from console.figures.graph import model_graph
from console.figures.lanes import Lane, anomalies_over_time, swim_lanes
from console.figures.palette import PALETTES, SEVERITIES, SHAPES, Theme, style
from console.figures.profile import Mark, contributions, learning_progress, values_over_time

__all__ = [
    "PALETTES",
    "SEVERITIES",
    "SHAPES",
    "Group",
    "Lane",
    "Mark",
    "Span",
    "Theme",
    "anomalies_over_time",
    "confusion_matrix",
    "contributions",
    "drift_bins",
    "feature_importance",
    "for_page",
    "group_comparison",
    "learning_progress",
    "model_graph",
    "roc_curve",
    "style",
    "swim_lanes",
    "training_history",
    "values_over_time",
]
