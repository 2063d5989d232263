"""Reads `features` records of active profiles together, by JSON templates learnt from earlier ones.

Other records are left to ``scorer.decode``, which gives the same for those that can be read here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.features.template_reader import TemplateReader
from processor.columnar.columnar_records import ColumnarRecords
from processor.columnar.profile_lookup import FoundProfiles, Reader
from processor.record_batch import RecordBatch

KIND = "features"

UnknownTemplates = list[tuple[int, tuple[str, ...]]]
"""Records whose layout was not known: place in the batch, and names of the profile."""


def read_features(
    reader: Reader,
    layouts: TemplateReader,
    telemetry: RecordBatch,
    found: FoundProfiles,
    wanted: NDArray[np.bool_],
) -> tuple[ColumnarRecords, UnknownTemplates]:
    """Records of some profiles that templates can read, and templates worth learning.

    Args:
        wanted: which profiles are of the kind.
    """
    columns = [each.columns for each in found.names]
    widths = np.array(list(map(len, columns)), dtype=np.int64)[found.name]
    ranges = np.array(list(map(layouts.range, columns)), dtype=np.int64).reshape(-1, 2)[found.name]
    readable, known = found.opened & wanted, ranges[:, 0] < ranges[:, 1]
    missed = [
        (int(found.firsts[at]), columns[found.name[at]])
        for at in np.flatnonzero(readable & ~known).tolist()
    ]
    chosen = np.flatnonzero(readable & known)
    chosen = chosen[np.lexsort((found.firsts[chosen], widths[chosen]))]
    of_each = found.rank(chosen)
    positions = np.argsort(of_each, kind="stable")[np.count_nonzero(of_each < 0) :]
    widths, counts, firsts = widths[chosen], found.counts[chosen], found.firsts[chosen]
    batch = layouts.read(
        ranges[chosen],
        widths,
        counts,
        [telemetry.keys[at] or b"" for at in firsts.tolist()],
        [telemetry.values[at] or b"" for at in positions.tolist()],
        reader.record_bytes,
    )
    runs = found.records(
        KIND,
        telemetry,
        reader.profiles,
        chosen,
        widths,
        positions,
        batch.times,
        batch.values,
        batch.vectors,
    )
    if not batch.good.all():
        missed += [
            (int(firsts[at]), runs.columns(at)) for at in np.flatnonzero(~batch.good).tolist()
        ]
        runs = runs.filter(np.repeat(batch.good, counts))
    return runs, sorted(missed)
