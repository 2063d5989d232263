"""Typing: the CMU password benchmark and sentences typed at Aalto University's test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models.evaluation.tasks import Task, matrix, read_columns, task
from models.evaluation.telemetry import behavior_profiles

IMPOSTOR_ROWS = 5


def cmu(data: Path, *, learned: int) -> Iterator[Task]:
    """Learn the first ``learned`` rows; genuine are rows 201–400, impostors others' first 5."""
    columns = read_columns(data / "cmu_keystroke" / "keystrokes.csv.gz")
    names_of_timings = [name for name in columns if name.split(".")[0] in {"H", "DD", "UD"}]
    timings = matrix(columns, names_of_timings)
    subjects = np.array(columns["subject"])
    names = list(dict.fromkeys(columns["subject"]))
    first = {name: timings[subjects == name][:IMPOSTOR_ROWS] for name in names}
    for name in names:
        own = timings[subjects == name]
        impostors = np.concatenate([first[other] for other in names if other != name])
        yield task(f"cmu_{learned}", name, own[:learned], own[200:400], impostors)


def aalto(data: Path) -> Iterator[Task]:
    """Learn 20 windows of 25 keystrokes; genuine are the person's later ones, impostors others'."""
    path = data / "telemetry"
    for profile in behavior_profiles(path / "behavior_aalto.jsonl.gz"):
        yield task("aalto", profile.name, profile.train, profile.genuine, profile.abnormal)
