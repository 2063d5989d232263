"""Reads `features` records of active profiles together, by JSON templates learnt from earlier ones.

Other records are left to ``scorer.decode``, which gives the same for those that can be read here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.artifacts import Model
from models.detectors.base import Detector
from models.features.template_reader import TemplateReader
from models.kernels.text.byte_strings import Integers, StringColumn
from processor.artifacts.model_cache import ModelCache
from processor.columnar.profile_table import NO_ROW, ProfileTable, Table, column, unique_inverse
from processor.columnar.version_constants import FeatureNames
from processor.record_batch import RecordBatch
from processor.records import UNREADABLE_HEADERS, DeadLetter, ProfileKey, RecordOrigin, profile_id
from schemas.base import MAX_EPOCH_MS

Floats = NDArray[np.float64]
Seat = Callable[[RecordOrigin, ProfileKey], int]
"""Gives an active profile a row, by where its records come from; ``NO_ROW`` for any other."""
OpenModels = Callable[[Sequence[int]], Mapping[str, Model]]
"""Opens the models of the profiles of some rows; those at hand, by SHA-256."""


class ColumnarRecords(NamedTuple):
    """Records of active profiles, of one sample each, grouped by profile.

    Attributes:
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
    """

    batch: RecordBatch
    profiles: ProfileTable
    rows: Integers
    table: Table
    names: list[FeatureNames]
    detector_classes: list[type[Detector]]
    name: Integers
    sort: Integers
    widths: Integers
    counts: Integers
    positions: Integers
    observed: Integers
    values: Floats
    vectors: StringColumn

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

    def key(self, profile: int) -> ProfileKey:
        """The key of one profile."""
        return self.profiles.keys[int(self.rows[profile])]

    def columns(self, profile: int) -> tuple[str, ...]:
        """The names of one profile's columns."""
        return self.names[int(self.name[profile])].columns


UnknownTemplates = list[tuple[int, tuple[str, ...]]]
"""Records whose layout was not known: place in the batch, and names of the profile."""


@dataclass(frozen=True)
class Reader:
    """What reading depends on besides the batch.

    Attributes:
        profiles: rows of the active profiles.
        seat: gives a profile a row.
        open_models: opens models that are not in memory.
        changed: profiles that the Step has changed already; their records are left.
        topic: of the kind that is read.
        record_bytes: size of the largest valid record.
    """

    profiles: ProfileTable
    seat: Seat
    open_models: OpenModels
    changed: Collection[ProfileKey]
    kind: str
    topic: str
    record_bytes: int


def read_records(
    reader: Reader, layouts: TemplateReader, cache: ModelCache, telemetry: RecordBatch
) -> tuple[ColumnarRecords | None, list[int], UnknownTemplates]:
    """Records that templates can read, positions of all others, and templates worth learning."""
    profiles = reader.profiles
    rows, firsts, profile, counts = np.unique(
        _rows_of(reader, telemetry), return_index=True, return_inverse=True, return_counts=True
    )
    if len(rows) and rows[0] == NO_ROW:
        rows, firsts, profile, counts = rows[1:], firsts[1:], profile - 1, counts[1:]
    table = profiles.take(rows)
    opened = _ensure_loaded(reader, cache, rows, table)
    of_first, name = unique_inverse(column(table, "names"))
    names = [profiles.names[row] for row in rows[of_first].tolist()]
    columns = [each.columns for each in names]
    widths = np.array(list(map(len, columns)), dtype=np.int64)[name]
    ranges = np.array(list(map(layouts.range, columns)), dtype=np.int64).reshape(-1, 2)[name]
    known = ranges[:, 0] < ranges[:, 1]
    missed = [
        (int(firsts[at]), columns[name[at]]) for at in np.flatnonzero(opened & ~known).tolist()
    ]
    chosen = np.flatnonzero(opened & known)
    chosen = chosen[np.lexsort((firsts[chosen], widths[chosen]))]
    # The last one is that of the records without a row, whose profile is -1.
    rank = np.full(len(rows) + 1, -1)
    rank[chosen] = np.arange(len(chosen))
    of_each = rank[profile]
    positions = np.argsort(of_each, kind="stable")
    skipped = int(np.count_nonzero(of_each < 0))
    left, positions = positions[:skipped].tolist(), positions[skipped:]
    texts = [telemetry.values[at] or b"" for at in positions.tolist()]
    chosen_rows, widths, counts = rows[chosen], widths[chosen], counts[chosen]
    of_first, sort = unique_inverse(column(table, "sort")[chosen])
    sorts = [profiles.detector_classes[row] for row in chosen_rows[of_first].tolist()]
    batch = layouts.read(
        ranges[chosen],
        widths,
        counts,
        [telemetry.keys[at] or b"" for at in firsts[chosen].tolist()],
        texts,
        reader.record_bytes,
    )
    stamps = np.clip(telemetry.timestamps[positions], 0, MAX_EPOCH_MS)
    runs = ColumnarRecords(
        telemetry,
        profiles,
        chosen_rows,
        table[chosen],
        names,
        sorts,
        name[chosen],
        sort,
        widths,
        counts,
        positions,
        np.where(batch.times < 0, stamps, batch.times),
        batch.values,
        batch.vectors,
    )
    if not batch.good.all():
        wrong = np.repeat(~batch.good, counts)
        left += positions[wrong].tolist()
        missed += [
            (int(firsts[chosen[at]]), runs.columns(at))
            for at in np.flatnonzero(~batch.good).tolist()
        ]
        runs = runs.filter(~wrong)
    return runs if len(runs.positions) else None, left, sorted(missed)


def _rows_of(reader: Reader, telemetry: RecordBatch) -> Integers:
    """The row of each record's profile; a row is given to active ones that have none yet."""
    found = reader.profiles.find(telemetry)
    seated: dict[RecordOrigin, int] = {}
    for at in np.flatnonzero(found == NO_ROW).tolist():
        source = telemetry.source(at)
        if source not in seated:
            key = _identity(source, reader.kind) if source[0] == reader.topic else None
            seated[source] = NO_ROW if key is None else reader.seat(source, key)
        found[at] = seated[source]
    if any(telemetry.headers):
        # They are dead letters, whatever else they hold.
        for at, headers in enumerate(telemetry.headers):
            if headers is UNREADABLE_HEADERS:
                found[at] = NO_ROW
    if reader.changed:
        # Those that the commands and candidates of the batch have changed.
        changed = list(map(reader.profiles.row, reader.changed))
        found[np.isin(found, changed)] = NO_ROW
    return found


def _ensure_loaded(
    reader: Reader, cache: ModelCache, rows: Integers, table: Table
) -> NDArray[np.bool_]:
    """Open the models of some profiles; which of the profiles have one now.

    Args:
        table: the rows, where it is noted.
    """
    profiles = reader.profiles
    found = cache.pin(column(table, "slot"), column(table, "serial"))
    missing = np.flatnonzero(~found)
    if not missing.size:
        return found
    wanted = rows[missing].tolist()
    models = reader.open_models(wanted)
    for at, row in zip(missing.tolist(), wanted, strict=True):
        sha256, wrong = profiles.standings[row].sha256, profiles.standings[row].misnamed
        if sha256 in models and wrong is None:
            profiles.opened(row, models[sha256], *cache.find(sha256))
            found[at] = True
    table[missing] = profiles.take(rows[missing])
    return found


def _identity(source: RecordOrigin, kind: str) -> ProfileKey | None:
    """The profile of a key that stands in JSON as it is; None of any other."""
    _, partition, key = source
    if key is None or b'"' in key or b"\\" in key:
        return None
    name = profile_id(key)
    return None if isinstance(name, DeadLetter) else (partition, kind, name)
