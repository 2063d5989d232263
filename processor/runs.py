"""Runs: `features` records of active profiles, read together by the layout of their text.

What cannot be read so is left to ``decode``, which gives the same for all that can.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.detector import Detector
from models.features.extracted import Extracted
from models.texts import Integers, Texts
from processor.batch import Batch
from processor.decode import Decoded, profile_id
from processor.draft import FIRST, Draft, Floats, Pending
from processor.opened import open_models
from processor.records import UNREADABLE_HEADERS, DeadLetter, ProfileKey, Source
from processor.rows import NO_ROW, Table, column, distinct
from processor.standing import Names, Standing
from processor.state import ROWS_KIND, Active, Profiles
from schemas.base import MAX_EPOCH_MS

LEARNT = 4
"""Layouts learnt in a batch, at most."""


class Runs(NamedTuple):
    """Records of active profiles, each with one sample; those of a profile stand together.

    Attributes:
        batch: they, and others.
        profiles: all that are known.
        rows: number of each profile's row.
        table: the rows themselves, those of profiles of one width together.
        names, sorts: columns and detectors' classes that they have.
        name, sort: which of these each profile has.
        widths: columns of each.
        counts: records of each profile, 1 or more.
        positions: place of each record in the batch, ascending for each profile.
        observed: epoch milliseconds of each.
        values: their samples one after another, flat.
        vectors: the same as JSON without brackets, empty where the record has it in another way.
    """

    batch: Batch
    profiles: Profiles
    rows: Integers
    table: Table
    names: list[Names]
    sorts: list[type[Detector]]
    name: Integers
    sort: Integers
    widths: Integers
    counts: Integers
    positions: Integers
    observed: Integers
    values: Floats
    vectors: Texts

    @property
    def profile(self) -> Integers:
        """Which of the profiles each record is of."""
        return np.repeat(np.arange(len(self.rows)), self.counts)

    def only(self, wanted: NDArray[np.bool_]) -> Runs:
        """Some of the records."""
        profile = self.profile
        counts = np.bincount(profile[wanted], minlength=len(self.rows))
        held = counts > 0
        return Runs(
            self.batch,
            self.profiles,
            self.rows[held],
            self.table[held],
            self.names,
            self.sorts,
            self.name[held],
            self.sort[held],
            self.widths[held],
            counts[held],
            self.positions[wanted],
            self.observed[wanted],
            self.values[np.repeat(wanted, self.widths[profile])],
            self.vectors.at(wanted),
        )

    def key(self, profile: int) -> ProfileKey:
        """The key of one profile."""
        return self.profiles.rows.keys[int(self.rows[profile])]

    def columns(self, profile: int) -> tuple[str, ...]:
        """The names of one profile's columns."""
        return self.names[int(self.name[profile])].columns

    def active(self, profile: int) -> tuple[Active, Standing]:
        """One profile before the batch, with what holds of all its records."""
        return self.profiles.at(int(self.rows[profile]))

    def pending(self, profile: int, at: int, begin: int) -> Pending:
        """The record ``at`` of one profile as any other that waits for its score.

        Args:
            begin: where its sample begins in ``values``.
        """
        key, columns = self.key(profile), self.columns(profile)
        row = self.values[begin : begin + len(columns)][np.newaxis]
        extracted = Extracted(columns, row, False, True)
        decoded = Decoded(ROWS_KIND, key[2], int(self.observed[at]), extracted)
        record = self.batch[int(self.positions[at])]
        return Pending(record, decoded, key, self.active(profile)[0], row, FIRST)


Missed = list[tuple[int, tuple[str, ...]]]
"""Records whose layout was not known: place in the batch, and names of the profile."""


def read_runs(draft: Draft, telemetry: Batch) -> tuple[Runs, list[int], Missed]:
    """The records that can be read by their layout, the places of others, some to learn from."""
    profiles, layouts = draft.state.profiles, draft.rules.layouts
    rows, firsts, profile, counts = np.unique(
        _rows_of(draft, telemetry), return_index=True, return_inverse=True, return_counts=True
    )
    if len(rows) and rows[0] == NO_ROW:
        rows, firsts, profile, counts = rows[1:], firsts[1:], profile - 1, counts[1:]
    table = profiles.rows.take(rows)
    opened = _opened(draft, rows, table)
    of_first, name = distinct(column(table, "names"))
    names = [profiles.rows.names[row] for row in rows[of_first].tolist()]
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
    of_first, sort = distinct(column(table, "sort")[chosen])
    sorts = [profiles.rows.sorts[row] for row in chosen_rows[of_first].tolist()]
    batch = layouts.read(
        ranges[chosen],
        widths,
        counts,
        [telemetry.keys[at] or b"" for at in firsts[chosen].tolist()],
        texts,
        draft.rules.limits.record_bytes,
    )
    stamps = np.clip(telemetry.timestamps[positions], 0, MAX_EPOCH_MS)
    runs = Runs(
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
        runs = runs.only(~wrong)
    return runs, left, sorted(missed)


def _rows_of(draft: Draft, telemetry: Batch) -> Integers:
    """The row of each record's profile; a row is given to active ones that have none yet."""
    profiles, topic = draft.state.profiles, draft.rules.topics.telemetry(ROWS_KIND)
    found = profiles.rows.find(telemetry)
    seated: dict[Source, int] = {}
    for at in np.flatnonzero(found == NO_ROW).tolist():
        source = telemetry.source(at)
        if source not in seated:
            key = _identity(source) if source[0] == topic else None
            seated[source] = NO_ROW if key is None else profiles.seated(source, key)
        found[at] = seated[source]
    if any(telemetry.headers):
        # They are dead letters, whatever else they hold.
        for at, headers in enumerate(telemetry.headers):
            if headers is UNREADABLE_HEADERS:
                found[at] = NO_ROW
    if draft.step.profiles:
        # Those that the commands and candidates of the batch have changed.
        changed = list(map(profiles.rows.row, draft.step.profiles))
        found[np.isin(found, changed)] = NO_ROW
    return found


def _opened(draft: Draft, rows: Integers, table: Table) -> NDArray[np.bool_]:
    """Have the models of some profiles at hand; of which profiles they are.

    Args:
        table: the rows, where it is noted.
    """
    profiles, cache = draft.state.profiles, draft.rules.cache
    found = cache.use(column(table, "slot"), column(table, "serial"))
    missing = np.flatnonzero(~found)
    if not missing.size:
        return found
    wanted = rows[missing].tolist()
    open_models(draft, [(profiles.rows.keys[row], *profiles.at(row)) for row in wanted])
    for at, row in zip(missing.tolist(), wanted, strict=True):
        sha256, wrong = profiles.rows.standings[row].sha256, profiles.rows.standings[row].misnamed
        if sha256 in draft.models and wrong is None:
            profiles.rows.opened(row, draft.models[sha256], *cache.find(sha256))
            found[at] = True
    table[missing] = profiles.rows.take(rows[missing])
    return found


def learn_layouts(
    draft: Draft,
    telemetry: Batch,
    missed: Missed,
    decoded: Iterable[tuple[int, Decoded | DeadLetter]],
) -> None:
    """Know the layouts of some records that were decoded, for the batches to come."""
    wanted = dict(missed[:LEARNT])
    draft.rules.layouts.learn(
        (telemetry.values[position] or b"", telemetry.keys[position] or b"", wanted[position])
        for position, value in decoded
        if position in wanted and isinstance(value, Decoded)
    )


def _identity(source: Source) -> ProfileKey | None:
    """The profile of a key that stands in JSON as it is; None of any other."""
    _, partition, key = source
    if key is None or b'"' in key or b"\\" in key:
        return None
    name = profile_id(key)
    return None if isinstance(name, DeadLetter) else (partition, ROWS_KIND, name)
