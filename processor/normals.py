"""Normal records of one sample, nearly all that there are: their answers, a batch at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise, repeat
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from models._kernels_text import SLACK, compose
from models.features.layout import joined
from processor.names import Topics
from processor.records import KEY, OFFSET, PARTITION, Incoming, Outgoing, outgoing
from processor.tracing import traceparent
from processor.verdicts import accepted_fields, headers_of, scored_fields
from schemas import ModelRecord

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Normals:
    """The answers to a batch's normal records of one sample, written by one compiled call.

    Byte for byte what ``scored`` and ``accepted_record`` give: a text of constant pieces, whose
    holes are filled with what a profile's records share, with numbers of each record, and with
    numbers of each row that was judged.
    """

    def __init__(self, topics: Topics, now: int) -> None:
        self._topics = topics.anomalies, topics.accepted
        self._now = now
        self._shared: list[bytes] = []
        self._counts: list[int] = []
        self._positions: list[int] = []
        self._records: list[Incoming] = []
        self._since: list[int | None] = []
        self._observed: list[int] = []
        self._rows: list[int] = []

    def add(
        self,
        announced: ModelRecord,
        positions: Sequence[int],
        records: Sequence[Incoming],
        since: Sequence[int | None],
        observed: Sequence[int],
        rows: Sequence[int],
    ) -> None:
        """Note normal records of a profile.

        Args:
            positions: their places in the batch.
            since: records since the last anomaly, of each.
            observed: epoch milliseconds of each.
            rows: which of the rows that were judged is that of each.
        """
        first = records[0]
        self._shared += (
            f'"{first.topic}-{first.partition}-'.encode(),
            orjson.dumps(announced.profile_id),
            orjson.dumps(announced.kind),
            orjson.dumps(announced.version),
            orjson.dumps(announced.generation),
            orjson.dumps(announced.learned),
            orjson.dumps(announced.features),
        )
        self._counts.append(len(records))
        self._positions += positions
        self._records += records
        self._since += since
        self._observed += observed
        self._rows += rows

    def write(self, numbers: Sequence[Filling]) -> Iterable[tuple[int, list[Outgoing]]]:
        """Place in the batch, and verdict and accepted sample, of each record.

        Args:
            numbers: score, decision, p-value and vector of each row that was judged.
        """
        if not self._records:
            return []
        rows = np.array(self._rows)
        places = np.repeat(np.arange(len(self._counts)) * len(SHARED), self._counts)
        shared = filling(self._shared)
        fillings = [
            *(shared.at(places + number) for number in range(len(SHARED))),
            filling_of(list(map(OFFSET, self._records))),
            filling_of(self._since),
            filling_of(self._observed),
            *(number.at(rows) for number in numbers),
        ]
        said, taken = (composed(of, self._now, fillings, len(rows)) for of in _skeletons())
        anomalies, accepted = self._topics
        traces = [traceparent(record.headers) if record.headers else () for record in self._records]
        headers = headers_of("scored", "none")
        verdicts = zip(
            repeat(anomalies),
            map(PARTITION, self._records),
            map(KEY, self._records),
            said,
            [headers + traced if traced else headers for traced in traces],
            repeat(self._now),
        )
        samples = zip(
            repeat(accepted),
            map(PARTITION, self._records),
            map(KEY, self._records),
            taken,
            traces,
            repeat(0),
        )
        both = zip(map(outgoing, verdicts), map(outgoing, samples), strict=True)
        return zip(self._positions, map(list, both), strict=True)


class Filling(NamedTuple):
    """Texts for the holes of others: where each begins and ends in one text."""

    text: NDArray[np.uint8]
    starts: Integers
    ends: Integers

    def at(self, places: Integers) -> Filling:
        """Some of them, in this order."""
        return Filling(self.text, self.starts[places], self.ends[places])


def filling(texts: Sequence[bytes]) -> Filling:
    """Texts one after another."""
    text, ends = joined(texts)
    return Filling(text, np.concatenate([[0], ends[:-1]]), ends)


def filling_of(numbers: Sequence[int | None] | Floats) -> Filling:
    """Each number as JSON."""
    text = np.frombuffer(orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY), np.uint8)
    marks = np.flatnonzero(text == ord(","))
    return Filling(text, np.concatenate([[1], marks + 1]), np.concatenate([marks, [len(text) - 1]]))


def filling_of_vectors(tables: Sequence[Floats]) -> Filling:
    """Each row of some tables as JSON without its brackets."""
    dumped = [orjson.dumps(table, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1] for table in tables]
    text, _ = joined(dumped)
    return Filling(text, np.flatnonzero(text == ord("[")) + 1, np.flatnonzero(text == ord("]")))


SHARED = ("place", "profile_id", "kind", "version", "generation", "learned", "features")
"""What the normal records of a profile have in common."""

_HOLES = (*SHARED, "offset", "since_anomaly", "observed_at", "score", "decision", "p_value", "row")


@cache
def _skeletons() -> tuple[Skeleton, Skeleton]:
    """Of verdict and accepted sample: from their fields, with a mark where a number is missing."""

    def hole(*names: str, form: bytes = b"%b") -> Any:
        return orjson.Fragment(
            form % b"".join(b"\0%c" % (_FIRST + _HOLES.index(name)) for name in names)
        )

    identity = hole("place", "offset", form=b'%b"')
    announced: Any = SimpleNamespace(
        **{name: hole(name) for name in ("profile_id", "kind", "version", "generation")},
        **{name: hole(name) for name in ("learned", "features")},
    )
    now: Any = orjson.Fragment(_NOW)
    verdict = scored_fields(
        announced,
        verdict_id=identity,
        anomaly=False,
        score=hole("score"),
        decision=hole("decision"),
        p_value=hole("p_value"),
        severity="none",
        reasons=[],
        rule_severity=None,
        suppressed=False,
        observed_at=hole("observed_at"),
        now=now,
    )
    accepted = accepted_fields(
        announced,
        vectors=hole("row", form=b"[[%b]]"),
        p_values=hole("p_value", form=b"[%b]"),
        since_anomaly=hole("since_anomaly"),
        observed_at=hole("observed_at"),
        verdict_id=identity,
    )
    return orjson.dumps(verdict), orjson.dumps(accepted)


Skeleton = bytes
"""A record's text; where something is missing, a byte that JSON never holds and its number."""

_NOW = b"\0!"
_FIRST = ord("A")
_MARK = re.compile(rb"\0(.)", re.DOTALL)


def composed(skeleton: Skeleton, now: int, fillings: Sequence[Filling], count: int) -> list[bytes]:
    """So many texts by a skeleton, each with its fillings."""
    parts = _MARK.split(skeleton.replace(_NOW, b"%d" % now))
    pieces, holes = filling(parts[::2]), np.array([part[0] - _FIRST for part in parts[1::2]])
    used = sorted(set(holes.tolist()))
    lengths = [len(fillings[hole].text) for hole in used]
    begins = np.cumsum([0, *lengths[:-1]])[:, np.newaxis]
    starts = np.array([fillings[hole].starts for hole in used]) + begins
    ends = np.array([fillings[hole].ends for hole in used]) + begins
    which = np.searchsorted(used, holes)
    size = count * len(pieces.text) + int((ends - starts)[which].sum())
    out, out_ends = np.empty(size + SLACK, np.uint8), np.empty(count, np.int64)
    slack = np.zeros(SLACK, np.uint8)
    text = np.concatenate([*(fillings[hole].text for hole in used), slack])
    constant = np.concatenate([pieces.text, slack])
    compose(constant, pieces.ends, which, text, starts, ends, out, out_ends)
    written, at = out.tobytes(), [0, *out_ends.tolist()]
    return [written[a:b] for a, b in pairwise(at)]
