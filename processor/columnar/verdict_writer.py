"""Writes the answers to normal records of one sample, a batch at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, repeat
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from models.kernels.memory import SLACK
from models.kernels.text.byte_strings import (
    Integers,
    StringColumn,
    concat,
    factorize,
    stack,
)
from processor.columnar.json_columns import encode_known_numbers, encode_texts
from processor.columnar.json_template import (
    RECORD_PLACEHOLDERS,
    JsonTemplate,
    fill_constants,
    render,
)
from processor.columnar.profile_table import unique_inverse
from processor.columnar.version_constants import FeatureNames
from processor.record_batch import RecordBatch
from processor.records import HeaderList, ProducerRecord, outgoing
from processor.topics import Topics
from processor.trace_context import source_of, traceparent

Floats = NDArray[np.float64]


LATE = ("telltale.late", b"true")
"""Header of the verdict on a record that was late; others have none."""


class NormalRecords(NamedTuple):
    """Some normal records of a batch, profile by profile.

    Attributes:
        names: of the profiles' ``VersionConstants``.
        name: which of them each profile has.
        texts: of each profile's ``VersionConstants``.
        ends: the same, in one row for each profile.
        counts: records of each profile.
        positions: places of the records in the batch.
        since: records since the last anomaly, of each; ``UNKNOWN`` if that is not known.
        observed: epoch milliseconds of each.
        rows: number of the scored row of each record.
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


class NormalTemplates(NamedTuple):
    """Templates of verdict and accepted sample, and the headers of the verdict."""

    verdict: JsonTemplate
    accepted: JsonTemplate
    headers: HeaderList


class NormalVerdictWriter:
    """The answers to a batch's normal records of one sample, written by one compiled call.

    Byte for byte what ``scored`` and ``accepted_record`` give. A JSON template is filled in with
    constants of the profile, numbers of the record and numbers of the scored row.
    """

    def __init__(
        self,
        batch: RecordBatch,
        topics: Topics,
        now: int,
        templates: NormalTemplates,
        late_before: int,
    ) -> None:
        self._templates = templates
        self._batch = batch
        self._topics = topics.anomalies, topics.accepted
        self._now = now
        self._late_before = late_before
        self._parts: list[NormalRecords] = []

    def add(self, part: NormalRecords) -> list[int]:
        """Note normal records; epoch milliseconds of each."""
        if len(part.positions):
            self._parts.append(part)
        stamps: list[int] = self._batch.timestamps[part.positions].tolist()
        return stamps

    def write(
        self, numbers: Sequence[StringColumn], times: StringColumn | None = None
    ) -> Sequence[Sequence[ProducerRecord]]:
        """Verdict and accepted sample of each normal record, by position; () for other records.

        Args:
            numbers: score, decision and p-value, in one, and vector of each row that was judged.
            times: of each row, if the templates have a placeholder for it.
        """
        answers: list[Sequence[ProducerRecord]] = [()] * len(self._batch)
        if not self._parts:
            return answers
        batch, part = self._batch, concat_records(self._parts)
        # In their order, so that memory is written as it will be read.
        order = np.argsort(part.positions)
        positions = part.positions[order]
        places = positions.tolist()
        late = part.observed[order] < self._late_before
        columns, names, constants = self._fillings(part, order, late, numbers, times)
        said, taken = (
            render(fill_constants(of, names, constants), columns) for of in self._templates[:2]
        )
        anomalies, accepted = self._topics
        keys = list(map(batch.keys.__getitem__, places))
        partitions = batch.partitions[positions].tolist()
        headers, none = self._templates.headers, repeat(None)
        told: Iterable[HeaderList] = repeat(headers)
        passed: Iterable[HeaderList | None] = none
        if late.any():
            told = [[*headers, LATE] if each else headers for each in late.tolist()]
        if any(batch.headers):
            traces = [traceparent(batch.headers[at]) for at in places]
            told = [
                [*of_it, *traced] if traced else of_it
                for of_it, traced in zip(told, traces, strict=False)
            ]
            passed = [list(traced) or None for traced in traces]
        now = repeat(self._now)
        verdicts = zip(repeat(anomalies), said, keys, partitions, none, none, now, told)
        samples = zip(repeat(accepted), taken, keys, partitions, none, none, repeat(0), passed)
        both = zip(map(outgoing, verdicts), map(outgoing, samples), strict=True)
        deque(map(answers.__setitem__, places, both), maxlen=0)
        return answers

    def _fillings(
        self,
        part: NormalRecords,
        order: Integers,
        late: NDArray[np.bool_],
        numbers: Sequence[StringColumn],
        times: StringColumn | None,
    ) -> tuple[StringColumn, list[str], dict[str, bytes]]:
        """What fills the placeholders: values of each record, their names, and what all share.

        Args:
            order: which of the part's records is the first, the second, ….
        """
        batch, positions, rows = self._batch, part.positions[order], part.rows[order]
        # Only the count since an anomaly can be unknown: the others are never below 0.
        counted = np.array([batch.offsets[positions], part.since[order], part.observed[order]])
        names = [*RECORD_PLACEHOLDERS]
        columns = [
            *constant_columns(batch, part, order),
            encode_known_numbers(counted),
            *(number.at(rows) for number in numbers),
        ]
        constants = {"now": b"%d" % self._now, "late": b"false", "source": b"null"}
        if late.any():
            names.append("late")
            columns.append(encode_texts([b"false", b"true"]).at(late.astype(np.int64)))
        if any(batch.headers):
            # Where ingest had each record from.
            texts = [orjson.dumps(source_of(batch.headers[at])) for at in positions.tolist()]
            names.append("source")
            columns.append(encode_texts(texts))
        if times is not None:
            names.append("time")
            columns.append(times.at(rows))
        return stack(columns, SLACK), names, constants


def concat_records(parts: Sequence[NormalRecords]) -> NormalRecords:
    """The parts joined to one."""
    names, name, texts, *numbers = zip(*parts, strict=True)
    flat = chain.from_iterable
    found, which = factorize(list(flat(names)))
    begins = accumulate(map(len, names[:-1]), initial=0)
    of_each = np.concatenate([of + begin for of, begin in zip(name, begins, strict=True)])
    return NormalRecords(found, which[of_each], list(flat(texts)), *map(np.concatenate, numbers))


def constant_columns(
    batch: RecordBatch, part: NormalRecords, order: Integers
) -> Iterable[StringColumn]:
    """The constant fields of each record's profile, in the order of placeholders.

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
