"""Runs: `features` records of active profiles, read together by the layout of their text.

What cannot be read so is left to ``decode``, which gives the same for all that can.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, compress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.artifacts import Model
from models.features.extracted import Extracted
from models.texts import Integers, Texts
from processor.decode import Decoded, profile_id
from processor.draft import FIRST, Draft, Floats, Pending
from processor.opened import open_models
from processor.records import TIMESTAMP, DeadLetter, Incoming, ProfileKey, Source
from processor.standing import Names, Standing
from processor.state import Active
from schemas.base import MAX_EPOCH_MS

KIND = "features"
LEARNT = 4
"""Layouts learnt in a batch, at most."""


class Runs(NamedTuple):
    """Records of active profiles, each with one sample; those of a profile stand together.

    Attributes:
        keys, actives, standings, models: of each profile, those of one width together.
        widths: columns of each profile.
        counts: records of each profile, 1 or more.
        positions: place of each record in the batch, ascending for each profile.
        observed: epoch milliseconds of each.
        values: their samples one after another, flat.
        vectors: the same as JSON without brackets, empty where the record has it in another way.
    """

    keys: list[ProfileKey]
    actives: list[Active]
    standings: list[Standing]
    models: list[Model]
    widths: Integers
    counts: Integers
    positions: list[int]
    records: list[Incoming]
    observed: Integers
    values: Floats
    vectors: Texts

    @property
    def profile(self) -> Integers:
        """Which of the profiles each record is of."""
        return np.repeat(np.arange(len(self.keys)), self.counts)

    def before(self, position: int) -> Runs:
        """Those that stand before a place in the batch."""
        return self.only(np.array(self.positions, dtype=np.int64) < position)

    def only(self, wanted: NDArray[np.bool_]) -> Runs:
        """Some of the records."""
        profile = self.profile
        counts = np.bincount(profile[wanted], minlength=len(self.keys))
        held = counts > 0
        return Runs(
            list(compress(self.keys, held)),
            list(compress(self.actives, held)),
            list(compress(self.standings, held)),
            list(compress(self.models, held)),
            self.widths[held],
            counts[held],
            list(compress(self.positions, wanted)),
            list(compress(self.records, wanted)),
            self.observed[wanted],
            self.values[np.repeat(wanted, self.widths[profile])],
            self.vectors.at(wanted),
        )

    def pending(self, profile: int, at: int, begin: int) -> Pending:
        """The record ``at`` of one profile as any other that waits for its score.

        Args:
            begin: where its sample begins in ``values``.
        """
        key, columns = self.keys[profile], self.standings[profile].names.columns
        row = self.values[begin : begin + len(columns)][np.newaxis]
        extracted = Extracted(columns, row, False, True)
        decoded = Decoded(KIND, key[2], int(self.observed[at]), extracted)
        return Pending(self.records[at], decoded, key, self.actives[profile], row, FIRST)


Missed = list[tuple[int, tuple[str, ...]]]
"""Records whose layout was not known: place in the batch, and names of the profile."""

Asked = tuple[ProfileKey, Active, Standing, Model, list[int], bytes]
"""A profile whose records may be read together: the first of ``Runs``, their places, their key."""


def read_runs(
    draft: Draft,
    telemetry: Sequence[Incoming],
    together: Mapping[Source, list[int]],
) -> tuple[Runs, list[int], Missed]:
    """The records that can be read by their layout, the places of all others, some to learn from.

    Args:
        together: places in the batch of what comes from one source.
    """
    known: dict[Names, tuple[int, int]] = {}
    asked: list[Asked] = []
    missed: Missed = []
    candidates, left = _candidates(draft, together)
    for one in candidates:
        names = one[2].names
        if names not in known:
            known[names] = draft.rules.layouts.range(names.columns)
        first, last = known[names]
        if first < last:
            asked.append(one)
        else:
            left += one[4]
            missed.append((one[4][0], names.columns))
    if len({len(names.columns) for names in known}) > 1:
        asked.sort(key=lambda one: len(one[2].names.columns))
    keys, actives, standings, models, places, texts = (
        map(list, zip(*asked, strict=True)) if asked else ([],) * 6
    )
    widths = np.array([len(standing.names.columns) for standing in standings], dtype=np.int64)
    counts = np.array(list(map(len, places)), dtype=np.int64)
    positions = list(chain.from_iterable(places))
    records = [telemetry[at] for at in positions]
    batch = draft.rules.layouts.read(
        [known[standing.names] for standing in standings],
        widths,
        counts,
        texts,
        [record.value or b"" for record in records],
        draft.rules.limits.record_bytes,
    )
    stamps = np.clip(np.array(list(map(TIMESTAMP, records)), np.int64), 0, MAX_EPOCH_MS)
    observed = np.where(batch.times < 0, stamps, batch.times)
    runs = Runs(
        keys, actives, standings, models, widths, counts,
        positions, records, observed, batch.values, batch.vectors,
    )  # fmt: skip
    if batch.good.all():
        return runs, left, missed
    for at in np.flatnonzero(~batch.good).tolist():
        left += places[at]
        missed.append((places[at][0], standings[at].names.columns))
    return runs.only(np.repeat(batch.good, counts)), left, missed


def _candidates(
    draft: Draft, together: Mapping[Source, list[int]]
) -> tuple[list[Asked], list[int]]:
    """The active profiles whose model is at hand, and the places of what comes from elsewhere."""
    topic = draft.rules.topics.telemetry(KIND)
    found: list[tuple[ProfileKey, Active, Standing, list[int], bytes]] = []
    left: list[int] = []
    for source, positions in together.items():
        key = _identity(source) if source[0] == topic else None
        profile = None if key is None else draft.profile(key)
        if key is not None and isinstance(profile, Active):
            found.append((key, *profile.stood(), positions, source[2] or b""))
        else:
            left += positions
    open_models(draft, [one[:3] for one in found])
    asked: list[Asked] = []
    for key, active, standing, positions, text in found:
        model = draft.models.get(standing.sha256)
        if model is None:
            left += positions
        else:
            asked.append((key, active, standing, model, positions, text))
    return asked, left


def learn_layouts(
    draft: Draft,
    telemetry: Sequence[Incoming],
    missed: Missed,
    decoded: Iterable[tuple[int, Decoded | DeadLetter]],
) -> None:
    """Know the layouts of some records that were decoded, for the batches to come."""
    wanted = dict(missed[:LEARNT])
    draft.rules.layouts.learn(
        (telemetry[position].value or b"", telemetry[position].key or b"", wanted[position])
        for position, value in decoded
        if position in wanted and isinstance(value, Decoded)
    )


def _identity(source: Source) -> ProfileKey | None:
    """The profile of a key that stands in JSON as it is; None of any other."""
    _, partition, key = source
    if key is None or b'"' in key or b"\\" in key:
        return None
    name = profile_id(key)
    return None if isinstance(name, DeadLetter) else (partition, KIND, name)
