"""Mouse: raw sessions of the Balabit challenge, and three sets of single mouse actions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models.evaluation.datasets.tasks import Floats, Task, matrix, read_columns, task
from models.evaluation.datasets.telemetry import behavior_profiles

ACTIONS_TOGETHER = 10


def balabit(data: Path) -> Iterator[Task]:
    """Learn windows of 300 events; a session is judged by the mean over its windows."""
    path = data / "telemetry"
    for profile in behavior_profiles(path / "behavior_balabit.jsonl.gz"):
        yield Task(
            "balabit",
            profile.name,
            profile.train,
            profile.genuine,
            profile.abnormal,
            profile.genuine_groups,
            profile.abnormal_groups,
        )


def actions(data: Path, name: str) -> Iterator[Task]:
    """Learn the first two thirds of the actions; ten consecutive later ones are judged together."""
    columns = read_columns(data / "mouse_actions" / f"{name}.csv.gz")
    features = matrix(columns, [column for column in columns if column != "userid"])
    features = np.sign(features) * np.log1p(np.abs(features))
    users = np.array(columns["userid"])
    names = list(dict.fromkeys(columns["userid"]))
    last_third = {user: _split(features[users == user])[1] for user in names}
    for user in names:
        train, genuine = _split(features[users == user])
        impostors = np.concatenate([_whole(last_third[other]) for other in names if other != user])
        yield task(f"actions_{name}", user, train, genuine, impostors, together=ACTIONS_TOGETHER)


def _split(rows: Floats) -> tuple[Floats, Floats]:
    cut = rows.shape[0] * 2 // 3
    return rows[:cut], rows[cut:]


def _whole(rows: Floats) -> Floats:
    return rows[: rows.shape[0] // ACTIONS_TOGETHER * ACTIONS_TOGETHER]
