"""Typing: the CMU password benchmark and sentences typed at Aalto University's test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models.evaluation.datasets.tasks import Floats, Task, matrix, read_columns, task
from models.evaluation.datasets.telemetry import behavior_profiles

IMPOSTOR_ROWS = 5


def cmu(data: Path, *, learned: int) -> Iterator[Task]:
    """Learn the first ``learned`` rows; genuine are rows 201–400, impostors others' first 5."""
    typists = cmu_typists(data)
    names = list(typists)
    first = {name: typists[name][:IMPOSTOR_ROWS] for name in names}
    for name in names:
        own = typists[name]
        impostors = np.concatenate([first[other] for other in names if other != name])
        yield task(f"cmu_{learned}", name, own[:learned], own[200:400], impostors)


def cmu_typists(data: Path) -> dict[str, Floats]:
    """All 400 repetitions of each typist, in the order of time, shape (400, 31) each.

    Raises:
        RecordingError: the file is not there.
    """
    columns = read_columns(data / "cmu_keystroke" / "keystrokes.csv.gz")
    names_of_timings = [name for name in columns if name.split(".")[0] in {"H", "DD", "UD"}]
    timings = matrix(columns, names_of_timings)
    subjects = np.array(columns["subject"])
    return {name: timings[subjects == name] for name in dict.fromkeys(columns["subject"])}


def aalto(data: Path) -> Iterator[Task]:
    """Learn 20 windows of 25 keystrokes; genuine are the person's later ones, impostors others'."""
    path = data / "telemetry"
    for profile in behavior_profiles(path / "behavior_aalto.jsonl.gz"):
        yield task("aalto", profile.name, profile.train, profile.genuine, profile.abnormal)
