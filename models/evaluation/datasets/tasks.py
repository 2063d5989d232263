"""What every recording is brought to: vectors of one profile, or one series with labelled runs."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class RecordingError(Exception):
    """A recording that is missing, or that this installation cannot read."""


@dataclass(frozen=True)
class Task:
    """One profile: learn from ``train``, then tell ``genuine`` from ``abnormal``.

    Attributes:
        recording: name of the recording.
        profile: whose samples they are.
        train: shape (n, d), all normal, in the order of time.
        genuine: shape (m, d), later normal samples of the same profile.
        abnormal: shape (k, d), samples of other people, or of another state.
        genuine_groups: shape (m,), rows of one number are judged by their mean score.
        abnormal_groups: shape (k,), the same for ``abnormal``.
    """

    recording: str
    profile: str
    train: Floats
    genuine: Floats
    abnormal: Floats
    genuine_groups: Integers
    abnormal_groups: Integers


@dataclass(frozen=True)
class Series:
    """One univariate series: learn from the first rows, then find the labelled runs.

    Attributes:
        recording: name of the recording.
        profile: name of the series.
        values: shape (n,), in the order of time.
        learned: how many of the first values are for learning.
        anomalies: labelled runs as (first, last + 1) positions in ``values``.
        relearned: after so many values the model is learnt anew from the latest; 0 for never.
        times: shape (n,), seconds since 1970; None if they are not known.
    """

    recording: str
    profile: str
    values: Floats
    learned: int
    anomalies: tuple[tuple[int, int], ...]
    relearned: int = 0
    times: Floats | None = None


def task(
    recording: str,
    profile: str,
    train: Floats,
    genuine: Floats,
    abnormal: Floats,
    *,
    together: int = 1,
) -> Task:
    """A task that judges ``together`` consecutive rows as one and drops an incomplete rest."""
    kept = genuine.shape[0] // together * together
    kept_abnormal = abnormal.shape[0] // together * together
    return Task(
        recording,
        profile,
        train,
        genuine[:kept],
        abnormal[:kept_abnormal],
        np.arange(kept) // together,
        np.arange(kept_abnormal) // together,
    )


def windows(rows: Floats, size: int) -> Floats:
    """Windows of ``size`` consecutive rows from every row on, shape (n − size + 1, d, size)."""
    return np.lib.stride_tricks.sliding_window_view(rows, size, axis=0)


def read_columns(path: Path) -> dict[str, list[str]]:
    """Columns of a gzipped CSV file with a header, as text.

    Raises:
        RecordingError: the file is not there.
    """
    columns: dict[str, list[str]] = {}
    for row in read_rows(path):
        for name, value in row.items():
            columns.setdefault(name, []).append(value)
    return columns


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a CSV file with a header, gzipped when its name says so.

    Raises:
        RecordingError: the file is not there.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or error}") from error
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    yield from csv.DictReader(text.splitlines())


def matrix(columns: dict[str, list[str]], names: list[str]) -> Floats:
    """Columns as numbers, shape (rows, names); an empty cell is NaN."""
    return np.column_stack(
        [np.array([float(cell) if cell else np.nan for cell in columns[name]]) for name in names]
    )
