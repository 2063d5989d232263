"""Normal records of one sample, nearly all that there are: their answers, a batch at a time."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import accumulate, chain, pairwise, repeat
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from models._kernels_text import compose
from models._memory import SLACK
from models.drift import UNKNOWN
from models.texts import Integers, Texts, joined, numbered, parted, stacked
from processor.batch import Batch
from processor.names import Topics
from processor.records import HeaderList, Outgoing, outgoing
from processor.rows import distinct
from processor.standing import SHARED, Names
from processor.tracing import traceparent
from processor.verdicts import accepted_fields, headers_of, scored_fields

Floats = NDArray[np.float64]


class Part(NamedTuple):
    """Some normal records of a batch, profile by profile.

    Attributes:
        names: of the profiles' ``Standing``.
        name: which of them each profile has.
        texts: of each profile's ``Standing``.
        ends: the same, in one row for each profile.
        counts: records of each profile.
        positions: places of the records in the batch.
        since: records since the last anomaly, of each; ``UNKNOWN`` where that is not known.
        observed: epoch milliseconds of each.
        rows: which of the rows that were judged is that of each.
    """

    names: Sequence[Names]
    name: Integers
    texts: Sequence[bytes]
    ends: Integers
    counts: Integers
    positions: Integers
    since: Integers
    observed: Integers
    rows: Integers


class Normals:
    """The answers to a batch's normal records of one sample, written by one compiled call.

    Byte for byte what ``scored`` and ``accepted_record`` give: a text of constant pieces, whose
    holes are filled with what a profile's records share, with numbers of each record, and with
    numbers of each row that was judged.
    """

    def __init__(self, batch: Batch, topics: Topics, now: int) -> None:
        self._batch = batch
        self._topics = topics.anomalies, topics.accepted
        self._now = now
        self._parts: list[Part] = []

    def add(self, part: Part) -> list[int]:
        """Note normal records; epoch milliseconds of each."""
        if len(part.positions):
            self._parts.append(part)
        stamps: list[int] = self._batch.timestamps[part.positions].tolist()
        return stamps

    def write(self, numbers: Sequence[Texts]) -> Sequence[Sequence[Outgoing]]:
        """Verdict and accepted sample of each normal record of the batch, of others nothing.

        Args:
            numbers: score, decision and p-value, in one, and vector of each row that was judged.
        """
        answers: list[Sequence[Outgoing]] = [()] * len(self._batch)
        if not self._parts:
            return answers
        batch, part = self._batch, merged(self._parts)
        # In their order, so that memory is written as it will be read.
        order = np.argsort(part.positions)
        positions, rows = part.positions[order], part.rows[order]
        places = positions.tolist()
        # Only the count since an anomaly can be unknown: the others are never below 0.
        counted = np.array([batch.offsets[positions], part.since[order], part.observed[order]])
        clock = filling([b"%d" % self._now]).at(np.zeros_like(rows))
        fillings = stacked(
            [
                *shared(batch, part, order),
                filling_of_known(counted),
                *(number.at(rows) for number in numbers),
                clock,
            ],
            SLACK,
        )
        said, taken = (composed(of, fillings) for of in _skeletons())
        anomalies, accepted = self._topics
        keys = list(map(batch.keys.__getitem__, places))
        partitions = batch.partitions[positions].tolist()
        headers, none = headers_of("scored", "none"), repeat(None)
        told: Iterable[HeaderList] = repeat(headers)
        passed: Iterable[HeaderList | None] = none
        if any(batch.headers):
            traces = [traceparent(batch.headers[at]) for at in places]
            told = [[*headers, *traced] if traced else headers for traced in traces]
            passed = [list(traced) or None for traced in traces]
        now = repeat(self._now)
        verdicts = zip(repeat(anomalies), said, keys, partitions, none, none, now, told)
        samples = zip(repeat(accepted), taken, keys, partitions, none, none, repeat(0), passed)
        both = zip(map(outgoing, verdicts), map(outgoing, samples), strict=True)
        deque(map(answers.__setitem__, places, both), maxlen=0)
        return answers


def merged(parts: Sequence[Part]) -> Part:
    """Some parts as one."""
    names, name, texts, *numbers = zip(*parts, strict=True)
    flat = chain.from_iterable
    found, which = numbered(list(flat(names)))
    begins = accumulate(map(len, names[:-1]), initial=0)
    of_each = np.concatenate([of + begin for of, begin in zip(name, begins, strict=True)])
    return Part(found, which[of_each], list(flat(texts)), *map(np.concatenate, numbers))


def shared(batch: Batch, part: Part, order: Integers) -> Iterable[Texts]:
    """What the records of a profile have in common, for each record; in the order of holes.

    Args:
        order: which of the part's records is the first, the second, ….
    """
    profile = np.repeat(np.arange(len(part.counts)), part.counts)[order]
    firsts = part.positions[np.cumsum(part.counts) - part.counts]
    topics = {topic: number for number, topic in enumerate(dict.fromkeys(batch.topics))}
    number = map(topics.__getitem__, map(batch.topics.__getitem__, firsts.tolist()))
    numbers = np.fromiter(number, np.int64, len(firsts)) * 2**32 + batch.partitions[firsts]
    of_first, place = distinct(numbers)
    places = [(batch.topics[at], int(batch.partitions[at])) for at in firsts[of_first].tolist()]
    text, ends = joined(part.texts)
    begins = ends - part.ends[:, -1]
    yield filling([b'"%b-%d-' % (topic.encode(), number) for topic, number in places]).at(
        place[profile]
    )
    stops = begins + part.ends.T
    yield Texts(text, np.vstack([begins, stops[:-1]]), stops).at(profile)
    yield filling([found.text for found in part.names]).at(part.name[profile])


def filling(texts: Sequence[bytes]) -> Texts:
    """Texts one after another."""
    return parted(*joined(texts))


def filling_of(numbers: Integers | Floats) -> Texts:
    """Each number as JSON; of a table, in rows."""
    text = orjson.dumps(np.ravel(numbers), option=orjson.OPT_SERIALIZE_NUMPY)
    found = np.frombuffer(text, np.uint8)
    marks = np.flatnonzero(found == ord(","))
    starts, ends = np.concatenate([[1], marks + 1]), np.concatenate([marks, [len(found) - 1]])
    return Texts(found, starts.reshape(numbers.shape), ends.reshape(numbers.shape))


def filling_of_known(numbers: Integers) -> Texts:
    """The same, null where a number is ``UNKNOWN``."""
    found = filling_of(numbers)
    missing, size = numbers == UNKNOWN, len(found.text)
    return Texts(
        np.concatenate([found.text, np.frombuffer(b"null", np.uint8)]),
        np.where(missing, size, found.starts),
        np.where(missing, size + 4, found.ends),
    )


def filling_of_vectors(tables: Sequence[Floats]) -> Texts:
    """Each row of some tables as JSON without its brackets."""
    dumped = [orjson.dumps(table, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1] for table in tables]
    text, _ = joined(dumped)
    return Texts(text, np.flatnonzero(text == ord("[")) + 1, np.flatnonzero(text == ord("]")))


_HOLES = (
    "place",
    *SHARED,
    "features",
    "offset",
    "since_anomaly",
    "observed_at",
    "score",
    "decision",
    "p_value",
    "row",
    "now",
)


@cache
def _skeletons() -> tuple[Skeleton, Skeleton]:
    """Of verdict and accepted sample: from their fields, with a mark where a number is missing."""

    def hole(*names: str, form: bytes = b"%b") -> Any:
        return orjson.Fragment(
            form % b"".join(b"\0%c" % (_FIRST + _HOLES.index(name)) for name in names)
        )

    identity = hole("place", "offset", form=b'%b"')
    announced: Any = SimpleNamespace(**{name: hole(name) for name in (*SHARED, "features")})
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
        now=hole("now"),
    )
    accepted = accepted_fields(
        announced,
        vectors=hole("row", form=b"[[%b]]"),
        p_values=hole("p_value", form=b"[%b]"),
        since_anomaly=hole("since_anomaly"),
        observed_at=hole("observed_at"),
        verdict_id=identity,
    )
    return skeleton_of(orjson.dumps(verdict)), skeleton_of(orjson.dumps(accepted))


_FIRST = ord("A")
_MARK = re.compile(rb"\0(.)", re.DOTALL)


class Skeleton(NamedTuple):
    """A record's text but for what fills its holes.

    Attributes:
        text, ends: the pieces between holes, and where each ends; ``SLACK`` behind the last.
        holes: which filling each hole takes.
    """

    text: NDArray[np.uint8]
    ends: Integers
    holes: Integers


def skeleton_of(text: bytes) -> Skeleton:
    """The skeleton of a text that has, for a hole, a byte that JSON never holds and its number."""
    parts = _MARK.split(text)
    holes = np.array([part[0] - _FIRST for part in parts[1::2]])
    return Skeleton(*joined(parts[::2], SLACK), holes)


BLOCK = 256
"""Texts put together at once: they are in the caches when they are parted and passed on."""


def composed(skeleton: Skeleton, fillings: Texts) -> Iterator[bytes]:
    """Texts by a skeleton, each with its column of the fillings' rows."""
    return chain.from_iterable(_blocks(skeleton, fillings))


def _blocks(skeleton: Skeleton, fillings: Texts) -> Iterator[list[bytes]]:
    lengths = (fillings.ends - fillings.starts)[skeleton.holes]
    sizes = lengths.sum(axis=0) + skeleton.ends[-1]
    for begin in range(0, len(sizes), BLOCK):
        at = [0, *np.cumsum(sizes[begin : begin + BLOCK]).tolist()]
        out = np.empty(at[-1] + SLACK, np.uint8)
        compose(*skeleton, *fillings, out, begin, len(at) - 1)
        written = out.tobytes()
        yield [written[a:b] for a, b in pairwise(at)]
