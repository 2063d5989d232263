"""Plainly valid records of `series` and `drowsiness`, read in batches without pydantic.

The models stay the definition: what is read here they accept, and with the same samples; a property
test compares both. Everything else is left to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, islice
from operator import lt
from typing import Any, Final

import numpy as np

from models.features import drowsiness, series
from models.features.drowsiness import Event
from models.features.vectors import Extracted, bounded
from models.kernels.limits import LIMIT

_INTEGERS, _NUMBERS = frozenset((int,)), frozenset((int, float))
_OWN = ("ear_value", "duration_ms", "is_drowsy")

Points = tuple[list[int], list[float]]
"""Times and values of a record of `series`."""


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


def plain_points(parsed: Mapping[str, Any]) -> Points | None:
    """Times and values, as many, the times ascending; None if that is not plain."""
    times, values = parsed.get("timestamps"), parsed.get("values")
    if type(times) is not list or type(values) is not list or len(times) != len(values):
        return None
    if not _INTEGERS.issuperset(map(type, times)) or not _NUMBERS.issuperset(map(type, values)):
        return None
    return (times, values) if all(map(lt, times, islice(times, 1, None))) else None


def extract_points(records: Sequence[Points]) -> list[Extracted]:
    """What ``extract_series`` gives, for some records together."""
    flat = chain.from_iterable
    rows = bounded(np.array([*flat(values for _, values in records)], np.float64))[:, np.newaxis]
    times = np.clip(np.array([*flat(times for times, _ in records)], np.float64), -LIMIT, LIMIT)
    ends = list(accumulate(len(values) for _, values in records))
    return [
        Extracted(series.NAMES, rows[begin:end], False, end - begin == 1, times[begin:end])
        for begin, end in zip([0, *ends], ends, strict=False)
    ]


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
    "series": Plain(plain_points, extract_points),
    "drowsiness": Plain(plain_events, extract_events, drowsiness.rule_of),
}
"""Kind → how its plainly valid records are read."""
