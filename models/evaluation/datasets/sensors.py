"""Machines: the pump experiments of SKAB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models.evaluation.datasets.tasks import Task, matrix, read_columns, task

LEARNED_ROWS = 400
LABELS = {"datetime", "experiment", "anomaly", "changepoint"}


def skab(data: Path) -> Iterator[Task]:
    """Learn the first 400 rows of an experiment, judge the rest row by row."""
    columns = read_columns(data / "skab" / "skab.csv.gz")
    sensors = matrix(columns, [name for name in columns if name not in LABELS])
    experiments, anomaly = np.array(columns["experiment"]), np.array(columns["anomaly"])
    for name in dict.fromkeys(columns["experiment"]):
        own = experiments == name
        rows, labels = sensors[own][LEARNED_ROWS:], anomaly[own][LEARNED_ROWS:]
        abnormal = np.array([label not in {"", "0", "0.0"} for label in labels])
        if abnormal.any():
            train = sensors[own][:LEARNED_ROWS]
            yield task("skab", name, train, rows[~abnormal], rows[abnormal])
