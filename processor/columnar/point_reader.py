"""Reads `series` records of active profiles together, those of one point each.

Other records are left to ``scorer.decode``, which gives the same for those that can be read here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.detectors.forecast.detector import Forecast
from models.features import parse_point_columns
from models.kernels.text.byte_strings import StringColumn
from processor.columnar.columnar_records import ColumnarRecords
from processor.columnar.profile_lookup import FoundProfiles, Reader
from processor.record_batch import RecordBatch

KIND = "series"


def read_point_records(
    reader: Reader, telemetry: RecordBatch, found: FoundProfiles, wanted: NDArray[np.bool_]
) -> list[ColumnarRecords]:
    """Records of some profiles that all have one point each and are plainly valid.

    Args:
        wanted: which profiles are of the kind.

    Returns:
        Those of detectors that judge points in their order, and those of all others.
    """
    chosen = np.flatnonzero(found.opened & wanted)
    chosen = chosen[np.argsort(found.firsts[chosen])]
    of_each = found.rank(chosen)
    # Read in their order, so that memory is read as it was written.
    places = np.flatnonzero(of_each >= 0)
    values = [telemetry.values[at] or b"" for at in places.tolist()]
    read = parse_point_columns(values, [telemetry.keys[at] or b"" for at in places.tolist()])
    sizes = np.fromiter(map(len, values), np.int64, len(values))
    good = (read.counts == 1) & (sizes <= reader.record_bytes)
    # Where each record's first point stands; of one that has none it is not asked.
    firsts = np.cumsum(np.maximum(read.counts, 0)) - 1
    firsts[~good] = 0
    order = np.argsort(of_each[places], kind="stable")
    positions, firsts, good = places[order], firsts[order], good[order]
    nothing = np.zeros(len(places), np.int64)
    runs = found.records(
        KIND,
        telemetry,
        reader.profiles,
        chosen,
        np.ones(len(chosen), np.int64),
        positions,
        read.observed[order],
        np.append(read.points, 0.0)[firsts],
        StringColumn(np.zeros(0, np.uint8), nothing, nothing),
        np.append(read.stamps, 0.0)[firsts],
    )
    # Points are judged in their order: where one is left all of its profile are.
    profile = runs.profile
    left = np.bincount(profile[~good], minlength=len(chosen)) > 0
    in_order = np.array([each is Forecast for each in runs.detector_classes], np.bool_)[runs.sort]
    return [
        runs.filter((~left & (in_order == which))[profile])._replace(in_order=which)
        for which in (True, False)
    ]
