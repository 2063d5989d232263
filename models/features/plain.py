"""Plainly valid records of `series` and `drowsiness`, read in batches without pydantic.

The models stay the definition: what is read here they accept, and with the same samples; a property
test compares both. Everything else is left to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.features import drowsiness, series
from models.features.drowsiness import Event
from models.features.vectors import Extracted, bounded
from models.kernels.text.byte_strings import concat
from schemas.base import SECONDS

_NUMBERS = frozenset((int, float))
_OWN = ("ear_value", "duration_ms", "is_drowsy")


class ParsedPoints(NamedTuple):
    """Records of `series` that were read from their text.

    Attributes:
        samples: of each record; None of one that is not plainly valid.
        times: milliseconds of each record's time of observation, -1 where it tells none.
    """

    samples: list[Extracted | None]
    times: NDArray[np.int64]


class PointColumns(NamedTuple):
    """Records of `series` that were read from their text, as columns.

    Attributes:
        counts: points of each record, -1 of one that is not plainly valid.
        points, stamps: values and times of all points, one record behind another.
        observed: milliseconds of each record's time of observation, -1 where it tells none.
    """

    counts: NDArray[np.int64]
    points: NDArray[np.float64]
    stamps: NDArray[np.float64]
    observed: NDArray[np.int64]


@dataclass(frozen=True)
class Plain:
    """How records of one kind are read.

    Attributes:
        read: a record's JSON object → its own fields, or None if they are not plainly valid.
        extract: the fields of some records → the samples of each.
        rule: severity of the fields by fixed rule, of kinds that have one.
    """

    read: Callable[[Mapping[str, Any]], Any]
    extract: Callable[[Sequence[Any]], list[Extracted]]
    rule: Callable[[Any], str] | None = None


def parse_points(values: Sequence[bytes], keys: Sequence[bytes], most: int) -> ParsedPoints:
    """What ``extract_series`` gives for the records that are plainly valid, and their times.

    Args:
        values: records as they came, of any bytes.
        keys: the key of each, of which its profile has to be where it names one.
        most: points of a record, at most.
    """
    counts, points, stamps, observed = parse_point_columns(values, keys)
    rows = points[:, np.newaxis]
    good = (counts >= 0) & (counts <= most)
    lasts = np.cumsum(np.maximum(counts, 0)).tolist()
    samples = [
        Extracted(
            series.NAMES, rows[end - count : end], False, count == 1, stamps[end - count : end]
        )
        if plain
        else None
        for count, end, plain in zip(counts.tolist(), lasts, good.tolist(), strict=True)
    ]
    return ParsedPoints(samples, observed)


def parse_point_columns(values: Sequence[bytes], keys: Sequence[bytes]) -> PointColumns:
    """As ``parse_points``, as columns, and however many points a record has."""
    from models.kernels.memory import SLACK
    from models.kernels.text import read_points

    text, ends = concat(values, 2 * SLACK)
    room = len(text) // read_points.SHORTEST + 1
    stamps, points = np.empty(room), np.empty(room)
    counts, observed = np.empty_like(ends), np.empty_like(ends)
    read_points.read_points(text, ends, *concat(keys, 2 * SLACK), stamps, points, counts, observed)
    # The decoder tells which unit these count in.
    unclear = (observed >= SECONDS[0]) & (observed <= SECONDS[1])
    if unclear.any():
        held = np.repeat(~unclear & (counts >= 0), np.maximum(counts, 0))
        points, stamps = points[: held.size][held], stamps[: held.size][held]
        counts[unclear] = -1
    used = int(np.maximum(counts, 0).sum())
    return PointColumns(counts, points[:used], stamps[:used], observed)


def plain_events(parsed: Mapping[str, Any]) -> list[Event] | None:
    """The events of a record, or its own as the only one; None if they are not plainly valid."""
    events: Any = parsed.get("events")
    if events is None:
        events = [parsed]
    elif type(events) is not list or any(parsed.get(name) is not None for name in _OWN):
        return None
    found: list[Event] = []
    event: Any
    for event in events:
        if type(event) is not dict:
            return None
        fields: list[Any] = [event.get(name) for name in _OWN]
        ear, duration, drowsy = fields
        if type(ear) not in _NUMBERS or type(duration) not in _NUMBERS or type(drowsy) is not bool:
            return None
        if not (0 <= ear <= 1 and duration >= 0):
            return None
        found.append((ear, duration, drowsy))
    return found


def extract_events(records: Sequence[list[Event]]) -> list[Extracted]:
    """What ``extract_drowsiness`` gives, for some records together."""
    single = [events[0] for events in records if len(events) == 1]
    rows = iter(bounded(drowsiness.rows_without_history(single))[:, np.newaxis])
    return [
        Extracted(drowsiness.NAMES, next(rows), evident=True)
        if len(events) == 1
        else Extracted(drowsiness.NAMES, bounded(drowsiness.event_rows(events)))
        for events in records
    ]


PLAIN: Final[dict[str, Plain]] = {
    "drowsiness": Plain(plain_events, extract_events, drowsiness.rule_of),
}
"""Kind → how its plainly valid records are read."""
