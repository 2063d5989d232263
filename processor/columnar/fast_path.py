"""The fast path: records of active profiles, read, scored and answered in columns.

Everything that exists for speed in the scorer stands behind ``FastPath``. For every batch, outputs
and state are byte for byte those of the plain path. A property test compares it with
``NoFastPath``, which leaves all records to the plain path.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.artifacts import Model
from models.batch_scoring import BatchScores, score_columns
from models.calibration.conformal import sample_budget
from models.calibration.drift import UNKNOWN, Drifts
from models.calibration.drift_batch import follow_all
from models.features.template_reader import TemplateReader
from models.kernels.text.byte_strings import Integers
from models.learning.shifts.recent import NEAR
from processor.artifacts.model_cache import ModelCache
from processor.columnar import feature_reader, point_reader
from processor.columnar.columnar_records import ColumnarRecords
from processor.columnar.feature_reader import UnknownTemplates, read_features
from processor.columnar.point_reader import read_point_records
from processor.columnar.profile_lookup import Reader, find_profiles
from processor.columnar.profile_table import DriftUpdates, column, drifts_of
from processor.columnar.verdict_writer import (
    NormalRecords,
    NormalTemplates,
    NormalVerdictWriter,
)
from processor.record_batch import RecordBatch
from processor.topics import Topics

Floats = NDArray[np.float64]
COLUMNAR_KINDS = (feature_reader.KIND, point_reader.KIND)
NO_COLUMNS = np.zeros((0, 0))
MAX_NEW_TEMPLATES = 4
"""Layouts learnt in a batch, at most."""


class JudgedRows(NamedTuple):
    """What the rows of ``ColumnarRecords`` come to.

    Attributes:
        scores: row by row.
        drift: p-values by which drift is followed, row by row.
        columns: what the kernel gave of points judged in their order, shape (rows, COLUMNS).
    """

    scores: BatchScores
    drift: Floats
    columns: Floats = NO_COLUMNS

    def part(self, part: slice) -> JudgedRows:
        """What some of the rows come to."""
        scores = BatchScores(*(numbers[part] for numbers in self.scores))
        return JudgedRows(scores, self.drift[part], self.columns[part])


class Divided(NamedTuple):
    """Who answers which of ``ColumnarRecords``.

    Attributes:
        changes: drift of the profiles that have none to report.
        one_by_one: profiles that the plain path answers, with the numbers that are known.
        abnormal: rows of all other profiles that are not normal.
        watched: of these profiles those whose records, all normal, count for a new normal.
        normal: normal records of these profiles, for the writer.
    """

    changes: DriftUpdates
    one_by_one: Sequence[int]
    abnormal: Sequence[int]
    watched: Sequence[int]
    normal: NormalRecords


@dataclass(frozen=True)
class FastPath:
    """Reads, scores and answers in columns; what it leaves is answered one by one.

    Attributes:
        cache: models in memory; outputs do not depend on it, only speed.
        templates: layouts of earlier records; outputs do not depend on it, only speed.

    Example:
        >>> from processor.columnar.profile_table import NO_ROW, ProfileTable
        >>> from processor.records import ConsumerRecord
        >>> telemetry = RecordBatch.of(
        ...     [ConsumerRecord("telemetry.features", 0, 7, b"p", b'{"values": {"a": 1}}', (), 0)]
        ... )
        >>> nobody = Reader(
        ...     profiles=ProfileTable(),
        ...     seat=lambda source, key: NO_ROW,
        ...     open_models=lambda rows: {},
        ...     changed=(),
        ...     kinds={"telemetry.features": "features"},
        ...     record_bytes=1_000_000,
        ... )
        >>> records, left, _ = FastPath().read(nobody, telemetry)
        >>> records, left  # no profile is active: the plain path takes place 0
        ([], [0])
    """

    cache: ModelCache = field(default_factory=ModelCache)
    templates: TemplateReader = field(default_factory=TemplateReader)

    def read(
        self, reader: Reader, telemetry: RecordBatch
    ) -> tuple[list[ColumnarRecords], list[int], UnknownTemplates]:
        """Records that can be answered in columns, positions of all others, and those of these
        whose layout is worth learning.
        """
        found = find_profiles(reader, self.cache, telemetry)
        topics = map(telemetry.topics.__getitem__, found.firsts.tolist())
        kinds = np.array(list(map(reader.kinds.__getitem__, topics)), object)
        runs: list[ColumnarRecords] = []
        missed: UnknownTemplates = []
        if feature_reader.KIND in kinds:
            wanted = kinds == feature_reader.KIND
            read, missed = read_features(reader, self.templates, telemetry, found, wanted)
            runs.append(read)
        if point_reader.KIND in kinds:
            runs += read_point_records(reader, telemetry, found, kinds == point_reader.KIND)
        left = np.ones(len(telemetry), np.bool_)
        for read in runs:
            left[read.positions] = False
        return [read for read in runs if len(read.rows)], np.flatnonzero(left).tolist(), missed

    def learn(
        self, telemetry: RecordBatch, missed: UnknownTemplates, valid: Collection[int]
    ) -> None:
        """Learn the layout of some records, for later batches.

        Args:
            valid: positions of records that the decoder accepts.
        """
        wanted = [(at, names) for at, names in missed[:MAX_NEW_TEMPLATES] if at in valid]
        self.templates.learn(
            (telemetry.values[at] or b"", telemetry.keys[at] or b"", names) for at, names in wanted
        )

    def judge_rows(
        self, runs: ColumnarRecords, budget: float, model: Callable[[int], Model]
    ) -> JudgedRows:
        """Score records whose detectors judge rows.

        Args:
            budget: share that may be called anomalous, 0–1.
            model: of one of the profiles.
        """
        scores = score_columns(
            column(runs.table, "place"),
            runs.detector_classes,
            runs.sort,
            runs.counts,
            runs.values,
            np.full(len(runs.positions), sample_budget(budget, 1)),
            lambda at: model(at).bench,
        )
        return JudgedRows(scores, scores.p_values)

    def divide(
        self,
        runs: ColumnarRecords,
        judged: JudgedRows,
        fit: NDArray[np.bool_],
        watched: NDArray[np.bool_],
        begin: int,
    ) -> Divided:
        """Follow the drift of the profiles, and divide their records by who answers them.

        Args:
            fit: whether the writer may answer the normal records of each profile.
            watched: of which profiles each record counts for a new normal.
            begin: number of the first row for the writer.
        """
        decisions, counts = judged.scores.decisions, runs.counts
        followed = follow_all(
            drifts_of(runs.table),
            column(runs.table, "since_anomaly"),
            column(runs.table, "mean"),
            counts,
            decisions,
            judged.drift,
        )
        # Of nearly every profile no drift is to be told.
        profile = runs.profile
        normal = decisions >= 0
        wholly_normal = np.bincount(profile[~normal], minlength=len(counts)) == 0
        plain = followed.plain & fit & ~lasting(runs, decisions, followed.each)
        plain &= wholly_normal | ~watched
        usual = plain[profile]
        with_evidence = profile[decisions == decisions]
        changed = plain & (np.bincount(with_evidence, minlength=len(plain)) > 0)
        changes = DriftUpdates(
            runs.rows[changed],
            Drifts(*(numbers[changed] for numbers in followed.drifts)),
            followed.since_anomaly[changed],
        )
        return Divided(
            changes,
            np.flatnonzero(~plain).tolist(),
            np.flatnonzero(usual & ~normal).tolist(),
            np.flatnonzero(plain & watched).tolist(),
            normal_part(runs, followed.each, normal & usual, begin),
        )

    def writer(
        self,
        batch: RecordBatch,
        topics: Topics,
        now: int,
        templates: Callable[[], NormalTemplates],
        late_before: int,
    ) -> NormalVerdictWriter | None:
        """What writes the answers to normal records of one sample; None if each is to be written
        by itself.

        Args:
            late_before: records observed before are history, epoch milliseconds.
        """
        return NormalVerdictWriter(batch, topics, now, templates(), late_before)


class NoFastPath(FastPath):
    """Leaves everything to the plain path."""

    def read(
        self, _reader: Reader, telemetry: RecordBatch
    ) -> tuple[list[ColumnarRecords], list[int], UnknownTemplates]:
        """Nothing, and all places."""
        return [], list(range(len(telemetry))), []

    def learn(
        self, _telemetry: RecordBatch, _missed: UnknownTemplates, _valid: Collection[int]
    ) -> None:
        """Nothing is read in columns, and nothing learnt for it."""

    def writer(
        self,
        _batch: RecordBatch,
        _topics: Topics,
        _now: int,
        _templates: Callable[[], NormalTemplates],
        _late_before: int,
    ) -> NormalVerdictWriter | None:
        """None."""
        return None


def lasting(runs: ColumnarRecords, decisions: Floats, since: Integers) -> NDArray[np.bool_]:
    """Which profiles have an anomaly close behind another one: each record of theirs counts.

    Args:
        since: records since the last anomaly, after each record.
    """
    rows = np.flatnonzero(decisions < 0)
    profile = runs.profile[rows]
    first = rows == runs.firsts[profile]
    before = np.where(first, column(runs.table, "since_anomaly")[profile], since[rows - 1])
    found = np.zeros(len(runs.counts), dtype=np.bool_)
    found[profile[(before != UNKNOWN) & (before <= NEAR)]] = True
    return found


def normal_part(
    runs: ColumnarRecords, since: Integers, wanted: NDArray[np.bool_], begin: int
) -> NormalRecords:
    """Normal records for the writer.

    Args:
        since: records since the last anomaly, of each.
        wanted: which of the records are normal.
        begin: number of the first row.
    """
    counts = np.bincount(runs.profile[wanted], minlength=len(runs.rows))
    held = counts > 0
    return NormalRecords(
        runs.names,
        runs.name[held],
        list(map(runs.profiles.texts.__getitem__, runs.rows[held].tolist())),
        runs.table["ends"][held],
        counts[held],
        runs.positions[wanted],
        since[wanted],
        runs.observed[wanted],
        begin + np.flatnonzero(wanted),
    )
