"""Normal records of one sample, nearly all that there are: their answers, a batch at a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, partial
from itertools import pairwise, repeat
from operator import attrgetter
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from models._kernels_text import SLACK, compose
from processor.names import Topics
from processor.records import Incoming, Outgoing
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
        self._records: list[Incoming] = []
        self._since: list[int | None] = []
        self._observed: list[int] = []
        self._rows: list[int] = []

    def add(
        self,
        announced: ModelRecord,
        records: Sequence[Incoming],
        since: Sequence[int | None],
        observed: Sequence[int],
        rows: Sequence[int],
    ) -> None:
        """Note normal records of a profile.

        Args:
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
        self._records += records
        self._since += since
        self._observed += observed
        self._rows += rows

    def write(self, numbers: Sequence[Filling]) -> list[list[Outgoing]]:
        """Verdict and accepted sample of each record, in their order.

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
            filling_of([record.offset for record in self._records]),
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
        return list(map(list, zip(map(outgoing, verdicts), map(outgoing, samples), strict=True)))


PARTITION, KEY = attrgetter("partition"), attrgetter("key")

outgoing = partial(tuple.__new__, Outgoing)
"""``Outgoing._make`` in a third of its time."""


class Filling(NamedTuple):
    """Texts for the holes of others: where each begins and ends in one text."""

    text: bytes
    starts: Integers
    ends: Integers

    def at(self, places: Integers) -> Filling:
        """Some of them, in this order."""
        return Filling(self.text, self.starts[places], self.ends[places])


def filling(texts: Sequence[bytes]) -> Filling:
    """Texts one after another."""
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
    return Filling(b"".join(texts), np.concatenate([[0], ends[:-1]]), ends)


def filling_of(numbers: Sequence[int | None] | Floats) -> Filling:
    """Each number as JSON."""
    text = orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY)
    marks = np.flatnonzero(np.frombuffer(text, np.uint8) == ord(","))
    return Filling(text, np.concatenate([[1], marks + 1]), np.concatenate([marks, [len(text) - 1]]))


def filling_of_vectors(tables: Sequence[Floats]) -> Filling:
    """Each row of some tables as JSON without its brackets."""
    text = b"".join(
        orjson.dumps(table, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1] for table in tables
    )
    signs = np.frombuffer(text, np.uint8)
    return Filling(text, np.flatnonzero(signs == ord("[")) + 1, np.flatnonzero(signs == ord("]")))


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
    text = b"".join((*(fillings[hole].text for hole in used), bytes(SLACK)))
    compose(
        np.frombuffer(pieces.text + bytes(SLACK), np.uint8), pieces.ends, which,
        np.frombuffer(text, np.uint8), starts, ends, out, out_ends,
    )  # fmt: skip
    written, at = out.tobytes(), [0, *out_ends.tolist()]
    return [written[a:b] for a, b in pairwise(at)]
