"""Scores a batch: rows of many profiles, each by its own model, in one compiled call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.calibration.drift import least_mean
from models.detectors.base import Detector
from models.detectors.blend import Blend
from models.detectors.forecast.departures import fitting_mean
from models.detectors.forecast.detector import Forecast
from models.features import KINDS, parse_points, parse_windows
from models.kernels import block as packing
from models.kernels import calibration as calibration_kernels
from models.kernels import score as score_kernels
from models.kernels.layout import LAYOUT, LAYOUT_WORDS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


NO_BLOCK = np.zeros(0, np.uint64)
"""Of a detector that scores in Python."""


def row_detector(detector: Detector | Forecast) -> Detector:
    """The detector, if it judges rows one by one.

    Raises:
        TypeError: it judges points in their order.
    """
    if isinstance(detector, Forecast):
        raise TypeError("a Forecast judges points in their order, not rows")
    return detector


class CompiledModel:
    """A fitted detector with its calibration, laid out for the kernels; it must not change.

    Attributes:
        sort: class of the detector.
        place: address and size in words of the packed model and of the calibration's table, and
            width of a row, int64; valid while this object lives. In place of the table a
            ``Forecast`` has what its drift is followed by.
    """

    __slots__ = ("_held", "detector", "place", "sort")

    def __init__(self, detector: Detector | Forecast) -> None:
        block = getattr(detector, "block_", NO_BLOCK)
        if isinstance(detector, Forecast):
            # Of an earlier Telltale it has none.
            table = getattr(detector, "reference_", NO_BLOCK)
        else:
            table = detector.calibration_.table()
        self.detector = detector
        self.sort = type(detector)
        self._held = block, table
        self.place = LAYOUT.pack(
            block.ctypes.data, block.size, table.ctypes.data, table.size, detector.n_features_in_
        )

    def fitting_mean(self, trained_on: int) -> float:
        """Least mean of the p-values of independent samples that still fits, 0–0.5.

        Args:
            trained_on: samples of the version in force.
        """
        if isinstance(self.detector, Forecast):
            return fitting_mean(self.detector.reference_, trained_on)
        return least_mean(trained_on)

    def contributions(self, rows: Floats) -> Floats:
        """Share of each feature in the abnormality of each row, shape (n, d), unchecked."""
        if not self._held[0].size:
            return row_detector(self.detector).contributions(rows)
        return packing.explain_rows(self._held[0], rows)


class BatchScores(NamedTuple):
    """What a batch comes to, row by row: arrays of shape (rows,), NaN without evidence.

    Attributes:
        decisions: score less the threshold at the row's budget; below 0 is an anomaly.
        p_values: share of the profile's normal samples at least as abnormal.
        unit: score from 0 to 1, higher is more abnormal.
    """

    decisions: Floats
    p_values: Floats
    unit: Floats


def score_batch(
    benches: Sequence[CompiledModel], counts: Integers, values: Floats, budgets: Floats
) -> BatchScores:
    """Score the rows of a batch; a row's numbers never depend on the others.

    Args:
        benches: model of each group of rows, (g,). A model may stand in several groups.
        counts: rows of each group, (g,).
        values: the rows of all groups one after another, flat, each as wide as its model.
        budgets: share that may be called anomalous, 0–1, of each row.

    Raises:
        ValueError: ``values`` or ``budgets`` has not as many numbers as the groups' rows.
    """
    places = np.frombuffer(b"".join([bench.place for bench in benches]), np.int64)
    kinds = [bench.sort for bench in benches]
    sorts = list(dict.fromkeys(kinds))
    sort = np.fromiter(map(sorts.index, kinds), np.int64, len(kinds))
    places = places.reshape(-1, LAYOUT_WORDS)
    return score_columns(places, sorts, sort, counts, values, budgets, benches.__getitem__)


def score_columns(
    places: Integers,
    sorts: Sequence[type[Detector]],
    sort: Integers,
    counts: Integers,
    values: Floats,
    budgets: Floats,
    bench: Callable[[int], CompiledModel],
) -> BatchScores:
    """As ``score_batch``, from columns of the models instead of the models.

    Args:
        places: ``CompiledModel.place`` of each group, (g, 5); whoever calls keeps what lies there.
        detector_classes: every ``CompiledModel.sort`` that there is.
        sort: which of these that of each group is, (g,).
        bench: the model of a group.
    """
    rows, numbers = int(counts.sum()), int(counts @ places[:, 4])
    if values.shape != (numbers,) or budgets.shape != (rows,):
        raise ValueError(
            f"values has {values.size} numbers and budgets {budgets.size}, the groups need "
            f"{numbers} and {rows}"
        )
    values, counts = np.require(values, np.float64, ["C", "W"]), np.asarray(counts, np.int64)
    scores, offsets, p_values = np.empty(rows), np.full(rows, np.nan), np.full(rows, np.nan)
    blocks, tables = places[:, :2].T.copy(), places[:, 2:4].T.copy()
    if blocks[1].all():
        score_kernels.score_models(*blocks, counts, values, scores)
    else:
        _score_mixed(places, counts, values, scores, bench)
    calibration_kernels.judge_models(*tables, counts, budgets, scores, offsets, p_values)
    unit = np.empty(rows)
    of_row = np.repeat(sort, counts)
    for number, kind in enumerate(sorts):
        those = of_row == number
        unit[those] = kind.unit(scores[those])
    begin = np.concatenate([[0], np.cumsum(counts)])
    for g in np.flatnonzero(places[:, 3] == 0).tolist():
        _judge_few(bench(g), slice(begin[g], begin[g + 1]), budgets, scores, offsets, p_values)
    return BatchScores(scores - offsets, p_values, unit)


def explain_batch(benches: Sequence[CompiledModel], rows: Floats) -> Floats:
    """Share of each feature in the abnormality of each row, by the model of that row.

    Args:
        rows: shape (n, d), one for each model; all models are d wide.

    Returns:
        Shape (n, d), as ``CompiledModel.contributions``.
    """
    places = np.frombuffer(b"".join([bench.place for bench in benches]), np.int64)
    blocks = places.reshape(-1, LAYOUT_WORDS)[:, :2].T.copy()
    if not blocks[1].all():
        every = (bench.contributions(row[None]) for bench, row in zip(benches, rows, strict=True))
        return np.concatenate(list(every))
    shares = np.empty(rows.size)
    score_kernels.explain_models(*blocks, packing.flat(rows), shares)
    return shares.reshape(rows.shape)


def _score_mixed(
    places: Integers,
    counts: Integers,
    values: Floats,
    scores: Floats,
    bench: Callable[[int], CompiledModel],
) -> None:
    """Score groups of which some have no block: those in one call, these one by one."""
    widths = places[:, 4]
    rows, cells = np.cumsum(counts), np.cumsum(counts * widths)
    compiled = places[:, 1] > 0
    for g in np.flatnonzero(~compiled).tolist():
        held = values[cells[g] - counts[g] * widths[g] : cells[g]].reshape(-1, widths[g])
        scores[rows[g] - counts[g] : rows[g]] = row_detector(bench(g).detector).score_samples(held)
    if compiled.any():
        of_row = np.repeat(compiled, counts)
        some = np.empty(int(of_row.sum()))
        of_cell = np.repeat(compiled, counts * widths)
        blocks = places[compiled, :2].T.copy()
        score_kernels.score_models(*blocks, counts[compiled], values[of_cell], some)
        scores[of_row] = some


def _judge_few(
    bench: CompiledModel,
    part: slice,
    budgets: Floats,
    scores: Floats,
    offsets: Floats,
    p_values: Floats,
) -> None:
    """Thresholds and p-values by calibrations of few samples, which the kernels leave out."""
    calibration = row_detector(bench.detector).calibration_
    for budget in np.unique(budgets[part]):
        offsets[part][budgets[part] == budget] = calibration.offset(float(budget))
    p_values[part] = calibration.p_values(scores[part])


def warm_up() -> None:
    """Compile every kernel, or load it from numba's cache on disk, before the first record."""
    samples = np.random.default_rng(0).normal(size=(80, 2))
    samples[0, 0] = np.nan
    parts = ("forest", "deviation", "recent", "whitened")
    detector = Blend(tuple((part, 1.0) for part in parts), n_estimators=2).fit(samples)
    detector.contributions(samples)
    explain_batch([CompiledModel(detector)], samples[1:2])
    counts = np.full(1, samples.shape[0])
    score_batch(
        [CompiledModel(detector)], counts, samples.reshape(-1), np.full(samples.shape[0], 0.01)
    )
    detector.calibration_.p_values(detector.score_samples(samples))
    nothing = {"startTimestamp": 0, "endTimestamp": 0, "windowSize": {"width": 0, "height": 0}}
    behavior = KINDS["behavior"]
    behavior.extract(behavior.telemetry.model_validate(nothing))
    parse_windows([b"{}"], [b"p"])
    parse_points([b"{}"], [b"p"], 1)
