"""Runs: `features` records of one active profile, read together by the layout of their text.

What cannot be read so is left to ``decode``, which gives the same for all that can.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from models.artifacts import Model
from models.features.extracted import Extracted
from processor.decode import Decoded, profile_id
from processor.draft import FIRST, Draft, Floats, Pending
from processor.opened import open_models
from processor.records import DeadLetter, Incoming, ProfileKey, Source
from processor.state import Active
from schemas.base import MAX_EPOCH_MS

KIND = "features"
LEARNT = 4
"""Layouts learnt in a batch, at most."""


class Run(NamedTuple):
    """Records of an active profile, each with one sample.

    Attributes:
        positions: their places in the batch, ascending.
        observed: epoch milliseconds of each.
        rows: their samples, shape (records, features).
    """

    key: ProfileKey
    active: Active
    model: Model
    positions: list[int]
    records: list[Incoming]
    observed: list[int]
    rows: Floats

    def before(self, position: int) -> Run:
        """Those that stand before a place in the batch."""
        count = bisect_left(self.positions, position)
        return self._replace(
            positions=self.positions[:count],
            records=self.records[:count],
            observed=self.observed[:count],
            rows=self.rows[:count],
        )

    def pending(self, at: int) -> Pending:
        """One of them as any other record that waits for its score."""
        rows = self.rows[at : at + 1]
        extracted = Extracted(self.model.features, rows, False, True)
        decoded = Decoded(KIND, self.key[2], self.observed[at], extracted)
        return Pending(self.records[at], decoded, self.key, self.active, rows, FIRST)


Missed = list[tuple[int, tuple[str, ...]]]
"""Records whose layout was not known: place in the batch, and names of the profile."""


def read_runs(
    draft: Draft,
    telemetry: Sequence[Incoming],
    together: dict[Source, list[int]],
) -> tuple[list[Run], Missed]:
    """The records that can be read by their layout, and some of those that might be next time.

    Args:
        together: places in the batch of what comes from one source; runs are taken out of it.
    """
    topic = draft.rules.topics.telemetry(KIND)
    active = {
        source: (key, profile)
        for source in together
        if source[0] == topic
        and (key := _identity(source)) is not None
        and isinstance(profile := draft.profile(key), Active)
    }
    open_models(draft, active.values())
    missed: Missed = []
    asked: list[tuple[Source, ProfileKey, Active, list[int], Model]] = []
    ranges = []
    for source, (key, profile) in active.items():
        model, positions = draft.models.get(profile.record.sha256), together[source]
        if model is None:
            continue
        known = draft.rules.layouts.range(model.features)
        if known[0] == known[1]:
            missed.append((positions[0], model.features))
        else:
            asked.append((source, key, profile, positions, model))
            ranges.append(known)
    order = [telemetry[at] for _, _, _, positions, _ in asked for at in positions]
    batch = draft.rules.layouts.read(
        ranges,
        [len(model.features) for *_, model in asked],
        [len(positions) for *_, positions, _ in asked],
        [source[2] or b"" for source, *_ in asked],
        [record.value or b"" for record in order],
        draft.rules.limits.record_bytes,
    )
    stamps = np.clip([record.timestamp for record in order], 0, MAX_EPOCH_MS)
    observed = np.where(batch.times < 0, stamps, batch.times).tolist()
    runs, begin, at = [], 0, 0
    for (source, key, profile, positions, model), good in zip(
        asked, batch.good.tolist(), strict=True
    ):
        width = len(model.features)
        end, until = begin + len(positions), at + len(positions) * width
        if good:
            rows = batch.values[at:until].reshape(-1, width)
            records, times = order[begin:end], observed[begin:end]
            runs.append(Run(key, profile, model, positions, records, times, rows))
            del together[source]
        else:
            missed.append((positions[0], model.features))
        begin, at = end, until
    return runs, missed


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
