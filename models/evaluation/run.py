"""Every detector over every recording."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.detectors.registry import DETECTORS
from models.evaluation import metrics
from models.evaluation.datasets.recordings import RECORDINGS, Recording
from models.evaluation.datasets.tasks import Floats, RecordingError, Series, Task, windows
from models.evaluation.results import BUDGETS, PEER, Results, Row
from models.evaluation.scorers import Scorer, fit

LAGS = 10
"""Consecutive values of a series that all detectors but ``gaussian`` see as one row."""

MOST_LEARNED = 2000
"""Rows of a series that are learnt at most."""

NEAR = 100
"""Distance from the labelled run at which a UCR answer is right, in points."""

QUICK_PROFILES = 3

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class _Judged:
    """One detector on one profile; what is pooled over profiles stands in ``rarity``."""

    quality: float
    false_alarms: tuple[float, ...]
    missed: float
    fit_seconds: float
    score_seconds: float
    rows: int
    model_bytes: int
    rarity: Floats


def run(
    data: Path,
    *,
    detectors: Sequence[str] | None = None,
    recordings: Sequence[str] | None = None,
    seed: int = 0,
    quick: bool = False,
    progress: Progress | None = None,
) -> Results:
    """Evaluate detectors on recordings; deterministic for a seed, times aside.

    Args:
        data: directory with the recordings.
        detectors: names in ``models.DETECTORS``, all by default; the peer always runs beside.
        recordings: names in ``RECORDINGS``, all by default.
        seed: of everything random.
        quick: only the first profiles of each recording.
        progress: told the recording, how many of its profiles are done, and of how many.

    Raises:
        ValueError: an unknown detector or recording.
        RecordingError: none of the recordings can be read.
    """
    chosen = _known("detector", detectors, DETECTORS)
    names = _known("recording", recordings, RECORDINGS)
    rows: list[Row] = []
    skipped: list[tuple[str, str]] = []
    for name in names:
        recording = RECORDINGS[name]
        try:
            profiles: list[Task | Series] = list(
                islice(recording.load(data), QUICK_PROFILES if quick else None)
            )
        except RecordingError as error:
            skipped.append((name, str(error)))
            continue
        rows.extend(_recording(recording, profiles, [*chosen, PEER], seed, progress))
    if not rows:
        raise RecordingError("; ".join(reason for _, reason in skipped))
    return Results(tuple(rows), tuple(skipped), seed, _versions())


def _recording(
    recording: Recording,
    profiles: Sequence[Task | Series],
    detectors: Sequence[str],
    seed: int,
    progress: Progress | None,
) -> Iterator[Row]:
    judged: dict[str, list[_Judged]] = {detector: [] for detector in detectors}
    for done, profile in enumerate(profiles):
        if progress is not None:
            progress(recording.name, done, len(profiles))
        for detector in detectors:
            if isinstance(profile, Task):
                judged[detector].append(_task(profile, detector, seed))
            else:
                judged[detector].append(_series(profile, detector, seed, recording.measure))
    if progress is not None:
        progress(recording.name, len(profiles), len(profiles))
    for detector, found in judged.items():
        yield _row(recording, detector, profiles, found)


def _row(
    recording: Recording,
    detector: str,
    profiles: Sequence[Task | Series],
    found: Sequence[_Judged],
) -> Row:
    quality = _mean(one.quality for one in found)
    if recording.measure == "NAB":
        listed = [profile for profile in profiles if isinstance(profile, Series)]
        quality = metrics.nab_score(
            [one.rarity for one in found],
            [profile.anomalies for profile in listed],
            [profile.learned for profile in listed],
        )
    return Row(
        recording.name,
        detector,
        len(found),
        quality,
        tuple(_mean(one.false_alarms[at] for one in found) for at in range(len(BUDGETS))),
        _mean(one.missed for one in found),
        1e3 * _mean(one.fit_seconds for one in found),
        1e6 * sum(one.score_seconds for one in found) / sum(one.rows for one in found),
        _mean(one.model_bytes for one in found),
    )


def _task(task: Task, detector: str, seed: int) -> _Judged:
    scorer = fit(detector, task.train, seed)
    start = time.perf_counter()
    scores = scorer.score(np.concatenate([task.genuine, task.abnormal]))
    seconds = time.perf_counter() - start
    first = task.genuine.shape[0]
    genuine, abnormal = scores[:first], scores[first:]
    quality = metrics.equal_error_rate(
        metrics.group_means(genuine, task.genuine_groups),
        metrics.group_means(abnormal, task.abnormal_groups),
    )
    labelled = np.arange(scores.size) >= first
    alarms = scores < np.array([[scorer.offset(budget)] for budget in BUDGETS])
    return _judged([scorer], quality, scores, alarms, labelled, seconds, np.empty(0))


def _series(series: Series, detector: str, seed: int, measure: str) -> _Judged:
    """Judge every value by itself (``gaussian``) or by the window of values that ends with it."""
    lags = 1 if detector == "gaussian" else min(LAGS, series.learned)
    size = series.values.size
    rows = np.full((size, lags), np.nan)
    rows[lags - 1 :] = windows(series.values[:, None], lags)[:, 0, :]
    scores, rarity = np.full(size, np.nan), np.full(size, -np.inf)
    alarms = np.zeros((len(BUDGETS), size), dtype=bool)
    scorers = []
    seconds = 0.0
    for first in range(series.learned, size, series.relearned or size):
        judged = slice(first, min(first + (series.relearned or size), size))
        scorer = fit(detector, _learned(series, rows[lags - 1 : first]), seed)
        start = time.perf_counter()
        scores[judged] = scorer.score(rows[judged])
        seconds += time.perf_counter() - start
        rarity[judged] = scorer.rarity(scores[judged])
        alarms[:, judged] = scores[judged] < np.array([[scorer.offset(one)] for one in BUDGETS])
        scorers.append(scorer)
    labelled = np.zeros(size, dtype=bool)
    for run_first, run_end in series.anomalies:
        labelled[run_first:run_end] = True
    quality = float("nan")
    if measure == "AP":
        quality = metrics.average_precision(scores[~labelled], scores[labelled])
    if measure == "UCR":
        ((run_first, run_end),) = series.anomalies
        # The middle of the most abnormal window.
        worst = int(np.nanargmin(scores)) - lags // 2
        quality = float(run_first - NEAR <= worst < run_end + NEAR)
    return _judged(scorers, quality, scores, alarms, labelled, seconds, rarity)


def _learned(series: Series, rows: Floats) -> Floats:
    """At most ``MOST_LEARNED`` of the rows: the latest where models are relearnt, else spread."""
    if series.relearned:
        return rows[-MOST_LEARNED:]
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), MOST_LEARNED)).astype(np.int64)
    return rows[chosen]


def _judged(
    scorers: Sequence[Scorer],
    quality: float,
    scores: Floats,
    alarms: NDArray[np.bool_],
    labelled: NDArray[np.bool_],
    seconds: float,
    rarity: Floats,
) -> _Judged:
    """Figures of one profile; ``alarms`` has a row a budget, NaN scores are not judged."""
    judged = ~np.isnan(scores)
    return _Judged(
        quality,
        tuple(_mean(one[judged & ~labelled]) for one in alarms),
        _mean(~alarms[-1][judged & labelled]),
        _mean(scorer.fit_seconds for scorer in scorers),
        seconds,
        int(judged.sum()),
        scorers[-1].model_bytes,
        rarity,
    )


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if value == value]
    return float(np.mean(known)) if known else float("nan")


def _known(what: str, asked: Sequence[str] | None, names: Iterable[str]) -> list[str]:
    known = list(names)
    for name in asked or ():
        if name not in known:
            raise ValueError(f"{what} {name!r} is unknown: {', '.join(known)}")
    return known if asked is None else list(asked)


def _versions() -> tuple[tuple[str, str], ...]:
    packages = tuple((name, version(name)) for name in ("numpy", "scikit-learn", "telltale"))
    return (("python", platform.python_version()), *packages)
