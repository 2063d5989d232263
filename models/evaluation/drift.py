"""How often drift is flagged where nothing moves, how soon where something does, and in recordings.

A false flag is one only where it is known that nothing moved. So most profiles are drawn, with
independent normal features; of recordings nobody knows, and their figures say how real normal is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from models.calibration import drift
from models.detectors.base import Floats
from models.evaluation.datasets.recordings import RECORDINGS
from models.evaluation.datasets.tasks import RecordingError, Task
from models.learning.training import train

Progress = Callable[[str, int, int], None]

DETECTORS = ("blend", "forest", "gaussian")
LEARNT = (5, 20, 50, 200)
SHIFTS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
WIDTH = 4
BUDGET = 0.01


@dataclass(frozen=True)
class DriftRow:
    """What came of some profiles of one sort.

    Attributes:
        learnt: samples that each model was trained on, their mean where they differ; None where
            p-values were drawn.
        shift: standard deviations by which all features moved; None in a recording.
        records: of each profile, their mean where they differ.
        anomalies: share of the records that are anomalies.
        flagged: profiles in which drift was flagged.
        after: median number of records until then; None if it never was.
    """

    what: str
    learnt: int | None
    shift: float | None
    profiles: int
    records: int
    anomalies: float
    flagged: int
    after: float | None


def evaluate_drift(
    *, seed: int = 0, quick: bool = False, progress: Progress | None = None
) -> list[DriftRow]:
    """Measure.

    Args:
        quick: a tenth of the profiles.
        progress: told what is done, how many rows of how many.
    """
    scale = 10 if quick else 1
    plans: list[tuple[str, int | None, float, int, int]] = [
        ("uniform p-values", None, 0.0, 2000 // scale, 5000)
    ]
    plans += [(name, n, 0.0, 200 // scale, 5000) for name in DETECTORS for n in LEARNT]
    plans += [(name, 200, shift, 50 // scale, 2000) for name in DETECTORS for shift in SHIFTS[1:]]
    rows = []
    for done, plan in enumerate(plans):
        rows.append(measured(*plan, seed=seed))
        if progress is not None:
            progress("profiles that drift, or do not", done + 1, len(plans))
    return rows


def recorded(data: Path, *, detector: str = "blend", quick: bool = False) -> list[DriftRow]:
    """The rows of recordings: of each profile its later genuine records, and the abnormal ones.

    Args:
        data: directory with the recordings; what is not there is left out.
        quick: only the first three profiles of each.
    """
    rows: list[DriftRow] = []
    for name, recording in RECORDINGS.items():
        if recording.measure != "EER":
            continue
        try:
            loaded = islice(recording.load(data), 3 if quick else None)
            tasks = [task for task in loaded if isinstance(task, Task)]
        except RecordingError:
            continue
        rows += _recorded(name, tasks, detector)
    return rows


def _recorded(name: str, tasks: list[Task], detector: str) -> Iterator[DriftRow]:
    followed: dict[str, list[tuple[Floats, int]]] = {"genuine": [], "abnormal": []}
    for number, task in enumerate(tasks):
        names = tuple(f"x{column}" for column in range(task.train.shape[1]))
        model = train(
            detector, task.train, names, alert_budget=BUDGET, seed=number, provenance={}
        ).detector
        for what, rows in (("genuine", task.genuine), ("abnormal", task.abnormal)):
            p_values = model.calibration_.p_values(model.score_samples(rows))
            followed[what].append((p_values[~np.isnan(p_values)], task.train.shape[0]))
    for what, all_of_them in followed.items():
        ends = [flagged_at(p_values, learnt) for p_values, learnt in all_of_them]
        flagged = [end for end in ends if end is not None]
        yield DriftRow(
            f"{name}, {what}",
            round(np.mean([learnt for _, learnt in all_of_them])),
            None,
            len(tasks),
            round(np.mean([p_values.size for p_values, _ in all_of_them])),
            float(np.mean([(p_values < BUDGET).mean() for p_values, _ in all_of_them])),
            len(flagged),
            float(np.median(flagged)) if flagged else None,
        )


def measured(
    what: str, learnt: int | None, shift: float, profiles: int, records: int, *, seed: int
) -> DriftRow:
    """One row."""
    ends: list[int] = []
    anomalies = 0.0
    for p_values in drawn(what, learnt, shift, profiles, records, seed):
        anomalies += float((p_values < BUDGET).mean()) / profiles
        at = flagged_at(p_values, learnt)
        if at is not None:
            ends.append(at)
    after = float(np.median(ends)) if ends else None
    return DriftRow(what, learnt, shift, profiles, records, anomalies, len(ends), after)


def drawn(
    what: str, learnt: int | None, shift: float, profiles: int, records: int, seed: int
) -> Iterator[Floats]:
    """P-values of each profile's records, shape (records,)."""
    for number in range(profiles):
        generator = np.random.default_rng([seed, number])
        if learnt is None:
            yield 1.0 - generator.random(records)
            continue
        names = tuple(f"x{column}" for column in range(WIDTH))
        samples = generator.normal(size=(learnt, WIDTH))
        model = train(what, samples, names, alert_budget=BUDGET, seed=number, provenance={})
        rows = generator.normal(size=(records, WIDTH)) + shift
        fitted = model.row_detector
        yield fitted.calibration_.p_values(fitted.score_samples(rows))


def flagged_at(p_values: Floats, learnt: int | None) -> int | None:
    """After how many records drift is flagged, as a scorer would; None for never."""
    state, since = drift.NONE, None
    mean = drift.NULL_MEAN if learnt is None else drift.least_mean(learnt)
    for count, p_value in enumerate(p_values.tolist(), 1):
        state, since = drift.follow(state, since, p_value, anomaly=p_value < BUDGET, mean=mean)
        if drift.should_report(state):
            return count
    return None


def drift_to_markdown(rows: list[DriftRow]) -> str:
    """The rows as a table."""
    lines = [
        "| p-values of | trained on | shift, sd | profiles × records | anomalies, % "
        "| flagged, % | after records, median |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.what} | {'–' if row.learnt is None else row.learnt} "
        f"| {'–' if row.shift is None else f'{row.shift:g}'} "
        f"| {row.profiles} × {row.records} | {100 * row.anomalies:.1f} "
        f"| {100 * row.flagged / row.profiles:.1f} "
        f"| {'–' if row.after is None else f'{row.after:.0f}'} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def drift_to_json(rows: list[DriftRow]) -> dict[str, Any]:
    """The rows as plain JSON values."""
    return {"drift": [asdict(row) for row in rows]}
