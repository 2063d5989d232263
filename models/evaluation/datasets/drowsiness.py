"""Drowsiness: eye-aspect-ratio frames and blinks of alert and of drowsy participants."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models.evaluation.datasets.tasks import Floats, Task, matrix, read_columns, task, windows

FRAMES = 15
LEARNED_FRAMES = 140
BLINKS = 10
FEWEST_BLINKS = 30


def ear(data: Path) -> Iterator[Task]:
    """Mean, deviation and extremes of 15 frames; learn the first 140 alert frames."""
    columns = read_columns(data / "ear_frames" / "ear_frames.csv.gz")
    ratios = matrix(columns, ["ear", "mar", "circularity", "moe"])
    participants, drowsy = np.array(columns["participant"]), np.array(columns["drowsy"])
    for name in dict.fromkeys(columns["participant"]):
        alert = ratios[(participants == name) & (drowsy == "0")]
        tired = ratios[(participants == name) & (drowsy == "1")]
        yield task(
            "ear",
            name,
            _frame_features(alert[:LEARNED_FRAMES]),
            _frame_features(alert[LEARNED_FRAMES:]),
            _frame_features(tired),
        )


def blinks(data: Path) -> Iterator[Task]:
    """Mean, deviation and maximum of 10 consecutive blinks; learn the first 60 % of the alert ones.

    Participants with fewer than ``FEWEST_BLINKS`` alert blinks are left out.
    """
    columns = read_columns(data / "uta_rldd_blinks" / "blinks.csv.gz")
    measured = matrix(columns, ["freq", "amp", "dur", "vel"])
    participants, states = np.array(columns["participant"]), np.array(columns["state"])
    for name in dict.fromkeys(columns["participant"]):
        alert = measured[(participants == name) & (states == "0")]
        tired = measured[(participants == name) & (states == "10")]
        cut = alert.shape[0] * 3 // 5
        if alert.shape[0] >= FEWEST_BLINKS and tired.shape[0] >= BLINKS:
            parts = (alert[:cut], alert[cut:], tired)
            yield task("blinks", name, *(_blink_features(part) for part in parts))


def _frame_features(frames: Floats) -> Floats:
    seen = windows(frames, FRAMES)
    parts = [seen.mean(axis=2), seen.std(axis=2), seen.min(axis=2), seen.max(axis=2)]
    return np.concatenate(parts, axis=1)


def _blink_features(rows: Floats) -> Floats:
    seen = windows(rows, BLINKS)
    return np.concatenate([seen.mean(axis=2), seen.std(axis=2), seen.max(axis=2)], axis=1)
