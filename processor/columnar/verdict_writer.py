"""Normal records of one sample, nearly all that there are: their answers, a batch at a time."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, pairwise, repeat
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from models.calibration.drift import UNKNOWN
from models.kernels.memory import SLACK
from models.kernels.text.byte_strings import (
    Integers,
    StringColumn,
    concat,
    factorize,
    from_offsets,
    stack,
)
from models.kernels.text.compose import compose
from processor.columnar.profile_table import unique_inverse
from processor.columnar.version_constants import CONSTANT_FIELDS, FeatureNames
from processor.record_batch import RecordBatch
from processor.records import HeaderList, ProducerRecord, outgoing
from processor.topics import Topics
from processor.trace_context import traceparent

Floats = NDArray[np.float64]


class NormalRecords(NamedTuple):
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

    names: Sequence[FeatureNames]
    name: Integers
    texts: Sequence[bytes]
    ends: Integers
    counts: Integers
    positions: Integers
    since: Integers
    observed: Integers
    rows: Integers


class JsonTemplate(NamedTuple):
    """A record's text but for what fills its holes.

    Attributes:
        text, ends: the pieces between holes, and where each ends; ``SLACK`` behind the last.
        holes: which filling each hole takes.
    """

    text: NDArray[np.uint8]
    ends: Integers
    holes: Integers


class NormalTemplates(NamedTuple):
    """What the answers to normal records are made from, and the headers of their verdicts."""

    verdict: JsonTemplate
    accepted: JsonTemplate
    headers: HeaderList


class NormalVerdictWriter:
    """The answers to a batch's normal records of one sample, written by one compiled call.

    Byte for byte what ``scored`` and ``accepted_record`` give: a text of constant pieces, whose
    holes are filled with what a profile's records share, with numbers of each record, and with
    numbers of each row that was judged.
    """

    def __init__(
        self, batch: RecordBatch, topics: Topics, now: int, templates: NormalTemplates
    ) -> None:
        self._templates = templates
        self._batch = batch
        self._topics = topics.anomalies, topics.accepted
        self._now = now
        self._parts: list[NormalRecords] = []

    def add(self, part: NormalRecords) -> list[int]:
        """Note normal records; epoch milliseconds of each."""
        if len(part.positions):
            self._parts.append(part)
        stamps: list[int] = self._batch.timestamps[part.positions].tolist()
        return stamps

    def write(self, numbers: Sequence[StringColumn]) -> Sequence[Sequence[ProducerRecord]]:
        """Verdict and accepted sample of each normal record of the batch, of others nothing.

        Args:
            numbers: score, decision and p-value, in one, and vector of each row that was judged.
        """
        answers: list[Sequence[ProducerRecord]] = [()] * len(self._batch)
        if not self._parts:
            return answers
        batch, part = self._batch, concat_records(self._parts)
        # In their order, so that memory is written as it will be read.
        order = np.argsort(part.positions)
        positions, rows = part.positions[order], part.rows[order]
        places = positions.tolist()
        # Only the count since an anomaly can be unknown: the others are never below 0.
        counted = np.array([batch.offsets[positions], part.since[order], part.observed[order]])
        clock = encode_texts([b"%d" % self._now]).at(np.zeros_like(rows))
        fillings = stack(
            [
                *constant_columns(batch, part, order),
                encode_known_numbers(counted),
                *(number.at(rows) for number in numbers),
                clock,
            ],
            SLACK,
        )
        said, taken = (render(of, fillings) for of in self._templates[:2])
        anomalies, accepted = self._topics
        keys = list(map(batch.keys.__getitem__, places))
        partitions = batch.partitions[positions].tolist()
        headers, none = self._templates.headers, repeat(None)
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


def concat_records(parts: Sequence[NormalRecords]) -> NormalRecords:
    """Some parts as one."""
    names, name, texts, *numbers = zip(*parts, strict=True)
    flat = chain.from_iterable
    found, which = factorize(list(flat(names)))
    begins = accumulate(map(len, names[:-1]), initial=0)
    of_each = np.concatenate([of + begin for of, begin in zip(name, begins, strict=True)])
    return NormalRecords(found, which[of_each], list(flat(texts)), *map(np.concatenate, numbers))


def constant_columns(
    batch: RecordBatch, part: NormalRecords, order: Integers
) -> Iterable[StringColumn]:
    """What the records of a profile have in common, for each record; in the order of holes.

    Args:
        order: which of the part's records is the first, the second, ….
    """
    profile = np.repeat(np.arange(len(part.counts)), part.counts)[order]
    firsts = part.positions[np.cumsum(part.counts) - part.counts]
    topics = {topic: number for number, topic in enumerate(dict.fromkeys(batch.topics))}
    number = map(topics.__getitem__, map(batch.topics.__getitem__, firsts.tolist()))
    numbers = np.fromiter(number, np.int64, len(firsts)) * 2**32 + batch.partitions[firsts]
    of_first, place = unique_inverse(numbers)
    places = [(batch.topics[at], int(batch.partitions[at])) for at in firsts[of_first].tolist()]
    text, ends = concat(part.texts)
    begins = ends - part.ends[:, -1]
    yield encode_texts([b'"%b-%d-' % (topic.encode(), number) for topic, number in places]).at(
        place[profile]
    )
    stops = begins + part.ends.T
    yield StringColumn(text, np.vstack([begins, stops[:-1]]), stops).at(profile)
    yield encode_texts([found.text for found in part.names]).at(part.name[profile])


def encode_texts(texts: Sequence[bytes]) -> StringColumn:
    """Texts one after another."""
    return from_offsets(*concat(texts))


def encode_numbers(numbers: Integers | Floats) -> StringColumn:
    """Each number as JSON; of a table, in rows."""
    text = orjson.dumps(np.ravel(numbers), option=orjson.OPT_SERIALIZE_NUMPY)
    found = np.frombuffer(text, np.uint8)
    marks = np.flatnonzero(found == ord(","))
    starts, ends = np.concatenate([[1], marks + 1]), np.concatenate([marks, [len(found) - 1]])
    return StringColumn(found, starts.reshape(numbers.shape), ends.reshape(numbers.shape))


def encode_known_numbers(numbers: Integers) -> StringColumn:
    """The same, null where a number is ``UNKNOWN``."""
    found = encode_numbers(numbers)
    missing, size = numbers == UNKNOWN, len(found.text)
    return StringColumn(
        np.concatenate([found.text, np.frombuffer(b"null", np.uint8)]),
        np.where(missing, size, found.starts),
        np.where(missing, size + 4, found.ends),
    )


def encode_vectors(tables: Sequence[Floats]) -> StringColumn:
    """Each row of some tables as JSON without its brackets."""
    dumped = [orjson.dumps(table, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1] for table in tables]
    text, _ = concat(dumped)
    return StringColumn(
        text, np.flatnonzero(text == ord("[")) + 1, np.flatnonzero(text == ord("]"))
    )


_FIRST = ord("A")
PLACEHOLDER_NAMES = (
    "place",
    *CONSTANT_FIELDS,
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


def placeholder(*names: str, form: bytes = b"%b") -> Any:
    """A value for ``orjson`` that stands in a template for what is filled in there.

    Args:
        names: of ``PLACEHOLDER_NAMES``, one behind the other.
        form: JSON around them.
    """
    return orjson.Fragment(
        form % b"".join(b"\0%c" % (_FIRST + PLACEHOLDER_NAMES.index(name)) for name in names)
    )


PLACEHOLDERS: Any = SimpleNamespace(
    **{name: placeholder(name) for name in (*CONSTANT_FIELDS, "features")}
)
"""Stands for the announcement of the version in force."""


_MARK = re.compile(rb"\0(.)", re.DOTALL)


def parse_template(text: bytes) -> JsonTemplate:
    """The skeleton of a text that has, for a hole, a byte that JSON never holds and its number."""
    parts = _MARK.split(text)
    holes = np.array([part[0] - _FIRST for part in parts[1::2]])
    return JsonTemplate(*concat(parts[::2], SLACK), holes)


BLOCK = 256
"""Texts put together at once: they are in the caches when they are parted and passed on."""


def render(skeleton: JsonTemplate, fillings: StringColumn) -> Iterator[bytes]:
    """Texts by a skeleton, each with its column of the fillings' rows."""
    return chain.from_iterable(_blocks(skeleton, fillings))


def _blocks(skeleton: JsonTemplate, fillings: StringColumn) -> Iterator[list[bytes]]:
    lengths = (fillings.ends - fillings.starts)[skeleton.holes]
    sizes = lengths.sum(axis=0) + skeleton.ends[-1]
    for begin in range(0, len(sizes), BLOCK):
        at = [0, *np.cumsum(sizes[begin : begin + BLOCK]).tolist()]
        out = np.empty(at[-1] + SLACK, np.uint8)
        compose(*skeleton, *fillings, out, begin, len(at) - 1)
        written = out.tobytes()
        yield [written[a:b] for a, b in pairwise(at)]
