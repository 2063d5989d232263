"""Where the real recordings are, and small synthetic ones in the same file formats."""

from __future__ import annotations

import csv
import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def data() -> Path:
    """The directory of the real recordings."""
    path = Path(os.environ.get("TELLTALE_DATA") or ROOT / ".." / "shared" / "data").resolve()
    if not (path / "cmu_keystroke").is_dir():
        pytest.skip(f"no recordings in {path}: set TELLTALE_DATA to the directory that holds them")
    return path


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of three typists, one pump, two series: far easier than the real ones."""
    root = tmp_path_factory.mktemp("recordings")
    generator = np.random.default_rng(11)
    _keystrokes(root / "cmu_keystroke", generator)
    _pump(root / "skab", generator)
    _metric(root / "nab", generator)
    _archive(root / "ucr", generator)
    _windows(root / "telemetry", generator)
    return root


def _keystrokes(directory: Path, generator: np.random.Generator) -> None:
    rows = [["subject", "sessionIndex", "rep", "H.a", "DD.a.b", "UD.a.b", "return_source"]]
    for number in range(3):
        timings = generator.normal([0.1 + number, 0.3, 0.2], 0.02, size=(400, 3))
        rows += [
            [f"s{number}", str(at // 50 + 1), str(at % 50 + 1), *map(str, timing), "verbatim"]
            for at, timing in enumerate(timings)
        ]
    _write(directory / "keystrokes.csv.gz", rows)


def _pump(directory: Path, generator: np.random.Generator) -> None:
    values = generator.normal(size=(600, 2))
    values[500:550] += 9.0
    rows = [["datetime", "Current", "Pressure", "experiment", "anomaly", "changepoint"]]
    rows += [
        ["2020-02-08", *map(str, value), "valve/0", str(float(500 <= at < 550)), "0.0"]
        for at, value in enumerate(values)
    ]
    rows += [["2020-02-08", "0", "0", "anomaly-free", "", ""]] * 500
    _write(directory / "skab.csv.gz", rows)


def _metric(directory: Path, generator: np.random.Generator) -> None:
    values = generator.normal(size=1000)
    values[700] = 40.0
    stamps = np.datetime64("2014-02-14T00:00:00") + np.arange(1000) * np.timedelta64(300, "s")
    rows = [["timestamp", "value", "series"]]
    rows += [
        [str(stamp).replace("T", " "), str(value), "real/one.csv"]
        for stamp, value in zip(stamps, values, strict=True)
    ]
    _write(directory / "series.csv.gz", rows)
    window = [f"{str(stamps[at]).replace('T', ' ')}.000000" for at in (690, 710)]
    (directory / "labels_windows.json").write_text(json.dumps({"real/one.csv": [window]}))


def _archive(directory: Path, generator: np.random.Generator) -> None:
    directory.mkdir()
    test = np.sin(np.arange(1000) / 5.0) + generator.normal(0, 0.01, 1000)
    label = np.zeros(1000)
    label[600:620] = 1
    test[600:620] = 3.0
    train = np.sin(np.arange(500) / 5.0) + generator.normal(0, 0.01, 500)
    np.savez(directory / "ucr.npz", one__train=train, one__test=test, one__test_label=label)


def _windows(directory: Path, generator: np.random.Generator) -> None:
    labels = [["record", "key", "phase", "label", "session"]]
    lines = []
    for number in range(60):
        genuine = number < 50
        phase = "train" if number < 40 else "test"
        step = 5.0 if genuine else 50.0
        moves = np.cumsum(generator.exponential(step, size=(30, 2)), axis=0)
        path = [{"t": 16 * at, "x": float(x), "y": float(y)} for at, (x, y) in enumerate(moves)]
        value = {"startTimestamp": 0, "endTimestamp": 480, "mousePaths": [path]}
        lines.append(json.dumps({"key": "user", "value": value}))
        said = "genuine" if genuine else "impostor"
        labels.append([str(number), "user", phase, said, f"session-{number // 5}"])
    directory.mkdir()
    with gzip.open(directory / "behavior_balabit.jsonl.gz", "wt") as file:
        file.write("\n".join(lines) + "\n")
    _write(directory / "behavior_balabit.labels.csv.gz", labels)


def _write(path: Path, rows: list[list[str]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with gzip.open(path, "wt", newline="") as file:
        csv.writer(file).writerows(rows)
