"""Univariate series: NAB, the UCR anomaly archive, NASA's spacecraft channels."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from models.evaluation.datasets.tasks import RecordingError, Series, read_columns, read_rows

PROBATION_SHARE = 0.15
PROBATION_MOST = 750
RELEARNED = 500


def nab(data: Path) -> Iterator[Series]:
    """Learn the first 15 % of the rows, at most 750, and anew every 500; Numenta's windows."""
    columns = read_columns(data / "nab" / "series.csv.gz")
    try:
        labels = json.loads((data / "nab" / "labels_windows.json").read_text())
    except OSError as error:
        raise RecordingError(f"{data / 'nab'}: {error.strerror}") from error
    names = np.array(columns["series"])
    times = np.array([datetime.fromisoformat(stamp) for stamp in columns["timestamp"]])
    values = np.array([float(value) for value in columns["value"]])
    for name in dict.fromkeys(columns["series"]):
        own = names == name
        stamps = times[own]
        runs = []
        for first, last in labels[name]:
            inside = np.flatnonzero(
                (stamps >= datetime.fromisoformat(first)) & (stamps <= datetime.fromisoformat(last))
            )
            if inside.size:
                runs.append((int(inside[0]), int(inside[-1]) + 1))
        learned = min(int(PROBATION_SHARE * stamps.size), PROBATION_MOST)
        seconds = np.array([stamp.replace(tzinfo=UTC).timestamp() for stamp in stamps])
        yield Series("nab", name, values[own], learned, tuple(runs), RELEARNED, seconds)


def ucr(data: Path) -> Iterator[Series]:
    """Learn the training part; each test part holds exactly one labelled run."""
    for name, arrays in _archive(data / "ucr" / "ucr.npz", "__test_label").items():
        train, test = arrays["__train"], arrays["__test"]
        labelled = np.flatnonzero(arrays["__test_label"].ravel() > 0) + train.size
        values = np.concatenate([train.ravel(), test.ravel()]).astype(np.float64)
        run = (int(labelled[0]), int(labelled[-1]) + 1)
        yield Series("ucr", name, values, train.size, (run,))


def nasa(data: Path) -> Iterator[Series]:
    """Learn the training part of a channel's telemetry value; labelled runs in the test part."""
    runs = {
        row["chan_id"]: ast.literal_eval(row["anomaly_sequences"])
        for row in read_rows(data / "nasa_smap_msl" / "labeled_anomalies.csv")
    }
    for name, arrays in _archive(data / "nasa_smap_msl" / "channels.npz", "__test").items():
        if name in runs:
            train, test = arrays["__train"][:, 0], arrays["__test"][:, 0]
            yield Series(
                "nasa",
                name,
                np.concatenate([train, test]).astype(np.float64),
                train.size,
                tuple((first + train.size, last + 1 + train.size) for first, last in runs[name]),
            )


def _archive(path: Path, suffix: str) -> dict[str, dict[str, np.ndarray]]:
    """Arrays of an ``.npz`` file by the name before ``suffix`` and by what follows it."""
    try:
        with np.load(path) as archive:
            held = {name: archive[name] for name in archive.files}
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or error}") from error
    names = sorted(name.removesuffix(suffix) for name in held if name.endswith(suffix))
    return {
        name: {key[len(name) :]: held[key] for key in held if key.startswith(f"{name}__")}
        for name in names
    }
