"""Every detector of metrics over the recorded series, and over simulated ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from models.evaluation import metrics
from models.evaluation.datasets import series as recorded
from models.evaluation.datasets.tasks import Floats, Series
from models.evaluation.metric_series.judging import DETECTORS, Judged, judge_series
from models.evaluation.metric_series.synthetic import KINDS, Planted, make_series

BUDGETS = (0.001, 0.01, 0.05)
BUDGET = 0.01
BACK, NEAR = 10, 100
"""A UCR answer lies so many points before the most abnormal one; it is right so near the run."""
AFTER = 5
"""An alarm so many points behind a planted run still finds it."""
FEW = 30

RECORDED = {"nab": recorded.nab, "ucr": recorded.ucr, "nasa": recorded.nasa}
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SeriesRow:
    """One detector on one set of recorded series.

    Attributes:
        by_score: NAB's score, UCR's share of right answers or the mean average precision.
        by_p: the same by p-values.
        false_alarms: percent of unlabelled points below each of ``BUDGETS``, mean over series.
        worst: percent at ``BUDGET`` of the worst series.
    """

    recording: str
    detector: str
    series: int
    by_score: float
    by_p: float
    false_alarms: tuple[float, ...]
    worst: float
    fit_milliseconds: float
    point_microseconds: float
    model_bytes: float


@dataclass(frozen=True)
class SyntheticRow:
    """One detector on simulated metrics.

    Attributes:
        learned: points learnt first.
        false_alarms: kind of metric → percent of clean points below ``BUDGET``.
        found: kind of anomaly → share of planted runs with an alarm.
    """

    detector: str
    learned: int
    false_alarms: dict[str, float]
    found: dict[str, float]

    @property
    def mean(self) -> float:
        """Mean of the false alarms over the kinds of metric."""
        return float(np.mean(list(self.false_alarms.values())))

    @property
    def worst(self) -> float:
        """False alarms of the worst kind of metric."""
        return max(self.false_alarms.values())

    @property
    def recall(self) -> float:
        """Mean share of planted runs that were found."""
        return float(np.mean(list(self.found.values())))


def run_recorded(
    data: Path,
    *,
    detectors: Sequence[str] = tuple(DETECTORS),
    recordings: Sequence[str] = tuple(RECORDED),
    quick: bool = False,
    progress: Progress | None = None,
) -> list[SeriesRow]:
    """Judge recorded series.

    Args:
        data: directory of the recordings.
        detectors: names in ``judging.DETECTORS``.
        recordings: names in ``RECORDED``.
        quick: only the first three series of each.
        progress: told what is judged, how many series are done, and of how many.

    Raises:
        RecordingError: a recording is not there.
    """
    rows = []
    for name in recordings:
        listed = list(islice(RECORDED[name](data), 3 if quick else None))
        for detector in detectors:
            judged = []
            for done, series in enumerate(listed, 1):
                judged.append(judge_series(detector, series))
                if progress is not None:
                    progress(f"{name}, {detector}", done, len(listed))
            rows.append(_row(name, detector, listed, judged))
    return rows


def run_synthetic(
    *,
    detectors: Sequence[str] = tuple(DETECTORS),
    seed: int = 0,
    learned: int = 750,
    size: int = 3000,
    copies: int = 3,
) -> list[SyntheticRow]:
    """Judge simulated metrics; see ``synthetic.make``."""
    clean, dirty = make_series(seed=seed, size=size, learned=learned, copies=copies)
    return [
        SyntheticRow(detector, learned, _alarms_of(detector, clean), _found_by(detector, dirty))
        for detector in detectors
    ]


def _alarms_of(detector: str, clean: Sequence[Planted]) -> dict[str, float]:
    shares: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for one in clean:
        judged = judge_series(detector, one.series).rarities[one.series.learned :]
        shares[one.series.profile].append(100.0 * float(np.mean(judged > -np.log(BUDGET))))
    return {kind: float(np.mean(found)) for kind, found in shares.items()}


def _found_by(detector: str, dirty: Sequence[Planted]) -> dict[str, float]:
    found: dict[str, list[bool]] = {}
    for one in dirty:
        alarms = judge_series(detector, one.series).rarities > -np.log(BUDGET)
        for kind, (first, end) in zip(one.kinds, one.series.anomalies, strict=True):
            found.setdefault(kind, []).append(bool(alarms[first : end + AFTER].any()))
    return {kind: float(np.mean(hits)) for kind, hits in sorted(found.items())}


def _row(name: str, detector: str, listed: Sequence[Series], judged: Sequence[Judged]) -> SeriesRow:
    alarms = np.array(
        [
            [100.0 * np.mean(_usual(series, one.rarities) > -np.log(budget)) for budget in BUDGETS]
            for series, one in zip(listed, judged, strict=True)
        ]
    )
    return SeriesRow(
        name,
        detector,
        len(listed),
        _quality(name, listed, [one.scores for one in judged]),
        _quality(name, listed, [one.rarities for one in judged]),
        tuple(alarms.mean(axis=0).tolist()),
        float(alarms[:, BUDGETS.index(BUDGET)].max()),
        1e3 * float(np.mean([one.fit_seconds for one in judged])),
        1e6 * float(np.mean([one.point_seconds for one in judged])),
        float(np.mean([one.model_bytes for one in judged])),
    )


def _labelled(series: Series) -> np.ndarray:
    inside = np.zeros(series.values.size, dtype=bool)
    for first, end in series.anomalies:
        inside[first:end] = True
    return inside


def _usual(series: Series, values: Floats) -> Floats:
    """Those of points that are judged and have no label."""
    return np.asarray(values[series.learned :][~_labelled(series)[series.learned :]])


def _quality(name: str, listed: Sequence[Series], abnormality: Sequence[Floats]) -> float:
    known = [np.nan_to_num(values, nan=0.0) for values in abnormality]
    if name == "nab":
        runs = [series.anomalies for series in listed]
        return metrics.nab_score(known, runs, [series.learned for series in listed], exact=True)
    return float(np.nanmean([_one(name, *pair) for pair in zip(listed, known, strict=True)]))


def _one(name: str, series: Series, values: Floats) -> float:
    judged = values[series.learned :]
    if name == "ucr":
        ((first, end),) = series.anomalies
        answer = int(np.argmax(judged)) + series.learned - BACK
        return float(first - NEAR <= answer < end + NEAR)
    inside = _labelled(series)[series.learned :]
    return metrics.average_precision(-judged[~inside], -judged[inside])
