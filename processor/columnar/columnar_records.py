"""Records of active profiles as columns, whoever has read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.detectors.base import Detector
from models.detectors.forecast.detector import Forecast
from models.kernels.text.byte_strings import Integers, StringColumn, append
from processor.columnar.json_columns import encode_rows
from processor.columnar.profile_table import ProfileTable, Table
from processor.columnar.version_constants import FeatureNames
from processor.record_batch import RecordBatch
from processor.records import ProfileKey

Floats = NDArray[np.float64]
DetectorClass = type[Detector] | type[Forecast]


NO_TIMES = np.zeros(0)


class ColumnarRecords(NamedTuple):
    """Records of active profiles of one kind, of one sample each, grouped by profile.

    Attributes:
        kind: of telemetry.
        batch: the polled batch that has them.
        profiles: the table of all active profiles.
        rows: number of each profile's row in the table.
        table: copies of these rows, ordered by width.
        names, detector_classes: columns and detectors' classes that they have.
        name, sort: which of these each profile has.
        widths: columns of each.
        counts: records of each profile, 1 or more.
        positions: place of each record in the batch, ascending for each profile.
        observed: epoch milliseconds of each.
        values: their samples one after another, flat.
        vectors: the same as JSON without brackets; empty if the record has another layout.
        times: of each sample, of a kind whose samples have times; of others none.
        in_order: whether the profiles' detectors judge points in their order; all do, or none.
    """

    kind: str
    batch: RecordBatch
    profiles: ProfileTable
    rows: Integers
    table: Table
    names: list[FeatureNames]
    detector_classes: Sequence[DetectorClass]
    name: Integers
    sort: Integers
    widths: Integers
    counts: Integers
    positions: Integers
    observed: Integers
    values: Floats
    vectors: StringColumn
    times: Floats = NO_TIMES
    in_order: bool = False

    @property
    def profile(self) -> Integers:
        """Which of the profiles each record is of."""
        return np.repeat(np.arange(len(self.rows)), self.counts)

    @property
    def firsts(self) -> Integers:
        """Which record is the first of each profile."""
        firsts: Integers = np.cumsum(self.counts) - self.counts
        return firsts

    @property
    def begins(self) -> Integers:
        """Where the sample of each record begins in ``values``."""
        widths = self.widths[self.profile]
        begins: Integers = np.cumsum(widths) - widths
        return begins

    def filter(self, wanted: NDArray[np.bool_]) -> ColumnarRecords:
        """Some of the records."""
        profile = self.profile
        counts = np.bincount(profile[wanted], minlength=len(self.rows))
        held = counts > 0
        return ColumnarRecords(
            self.kind,
            self.batch,
            self.profiles,
            self.rows[held],
            self.table[held],
            self.names,
            self.detector_classes,
            self.name[held],
            self.sort[held],
            self.widths[held],
            counts[held],
            self.positions[wanted],
            self.observed[wanted],
            self.values[np.repeat(wanted, self.widths[profile])],
            self.vectors.at(wanted),
            self.times[wanted] if self.times.size else self.times,
            self.in_order,
        )

    def among(
        self, keys: Sequence[ProfileKey], asked: Callable[[ProfileKey], bool]
    ) -> NDArray[np.bool_]:
        """Which profiles are among some keys of which ``asked`` holds."""
        found = np.zeros(len(self.rows), dtype=np.bool_)
        if not keys:
            return found
        if len(keys) > len(found):
            return np.fromiter(map(asked, map(self.key, range(len(found)))), np.bool_, len(found))
        # Usually a few of thousands: these are not asked one by one.
        numbers = self.profiles.numbers
        rows = [numbers[key] for key in keys if key in numbers and asked(key)]
        return np.isin(self.rows, np.array(rows, np.int64))

    def json_vectors(self) -> StringColumn:
        """The rows as JSON without brackets: text that came, or written if it had another form."""
        missing = self.vectors.starts == self.vectors.ends
        if not missing.any():
            return self.vectors
        widths = self.widths[self.profile]
        written = encode_rows(self.values[np.repeat(missing, widths)], widths[missing])
        rows = len(missing)
        which = np.arange(rows)
        which[missing] = rows + np.arange(len(written.ends))
        return append(self.vectors, written).at(which)

    def key(self, profile: int) -> ProfileKey:
        """The key of one profile."""
        return self.profiles.keys[int(self.rows[profile])]

    def columns(self, profile: int) -> tuple[str, ...]:
        """The names of one profile's columns."""
        return self.names[int(self.name[profile])].columns
