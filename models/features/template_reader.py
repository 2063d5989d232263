"""Reads `features` records by JSON templates that are learnt from earlier records.

Producers write record after record with the same names in the same order. Where a record's text is
the same as that of one before it but for its numbers, there is nothing to parse but these: no
object is made for it. Whatever is not plain is left to the decoder, which stays the definition.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Final, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from models.kernels.memory import SLACK
from models.kernels.text import read_template
from models.kernels.text.byte_strings import Integers, StringColumn, concat, from_offsets
from models.kernels.text.read_template import IDENTITY, NUMBER, STRING, TIME
from schemas.base import SECONDS

Floats = NDArray[np.float64]

MAX_TEMPLATES: Final = 256
"""Layouts kept; beyond so many all are dropped and learnt again."""

TEMPLATES_PER_SCHEMA: Final = 4
"""Layouts kept for the same names, the newest."""

LONGEST: Final = 65_536
"""Bytes of a record whose layout is learnt, at most."""

_TOKEN = re.compile(
    rb'[ \t\r\n]+|[][{},:]|"(?:[^"\\]|\\.)*"|true|false|null'
    rb"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
)
_PLAIN_STRING = re.compile(rb'"[ !#-\[\]-~]*"')


@dataclass(frozen=True)
class RecordTemplate:
    """The constant text of a record, and what stands in the holes between its pieces.

    Attributes:
        pieces: text before each hole, and behind the last.
        holes: column of each hole, or what else it is.
    """

    pieces: tuple[bytes, ...]
    holes: tuple[int, ...]

    @cached_property
    def laid_out(self) -> tuple[bytes, Integers, Integers]:
        """The whole text, where each piece before a hole ends, and the holes, as the kernel has it.

        Made once: a new layout joins up to ``MAX_TEMPLATES`` others, each of which may have a
        thousand holes.
        """
        ends = np.fromiter(accumulate(map(len, self.pieces[:-1])), np.int64, len(self.holes))
        return b"".join(self.pieces), ends, np.array(self.holes, np.int64)


class ParsedRecords(NamedTuple):
    """Records that were read group by group.

    Attributes:
        good: whether all records of a group could be read, (g,); nothing else holds of the others.
        values: their vectors one after another, flat.
        times: milliseconds of each record's time of observation, -1 where it tells none.
        vectors: each record's vector as JSON without brackets, empty where it is not written so.
    """

    good: NDArray[np.bool_]
    values: Floats
    times: Integers
    vectors: StringColumn


class TemplateReader:
    """The layouts that are known; what they give is what the decoder gives, only sooner."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], deque[RecordTemplate]] = {}
        self._ranges: dict[tuple[str, ...], tuple[int, int]] = {}
        self._table: tuple[NDArray[np.generic], ...] = ()

    def learn(self, records: Iterable[tuple[bytes, bytes, tuple[str, ...]]]) -> None:
        """Know the layouts of records that the decoder accepts.

        Args:
            records: value, key, and the names of the profile's columns.
        """
        new = False
        for text, key, names in records:
            layout = template_of(text, key, names) if len(text) <= LONGEST else None
            if layout is None or layout in self._known.get(names, ()):
                continue
            if sum(map(len, self._known.values())) >= MAX_TEMPLATES:
                self._known.clear()
            self._known.setdefault(names, deque(maxlen=TEMPLATES_PER_SCHEMA)).append(layout)
            new = True
        if new:
            self._lay_out()

    def range(self, names: tuple[str, ...]) -> tuple[int, int]:
        """The layouts of these names: the first, and one behind the last."""
        return self._ranges.get(names, (0, 0))

    def read(
        self,
        ranges: Sequence[tuple[int, int]] | Integers,
        widths: Sequence[int] | Integers,
        counts: Sequence[int] | Integers,
        keys: Sequence[bytes],
        records: Sequence[bytes],
        longest: int,
    ) -> ParsedRecords:
        """Read records that stand group by group, those of a group with one key and one width.

        Args:
            ranges: of each group, from ``range``.
            widths: columns of each group.
            counts: records of each group.
            keys: key of each group, UTF-8 without quotes and backslashes.
            records: as they came, of any bytes.
            longest: bytes of a record at most.
        """
        firsts, lasts = np.array(ranges, dtype=np.int64).reshape(-1, 2).T.copy()
        of_each, wide = np.array(counts, dtype=np.int64), np.array(widths, dtype=np.int64)
        text, ends = concat(records, SLACK)
        vectors, vector_ends = np.empty(len(text), np.uint8), np.zeros_like(ends)
        good, times = np.zeros(len(counts), dtype=np.bool_), np.empty_like(ends)
        values = np.empty(int(of_each @ wide))
        if self._table and len(records):
            read_template.read_groups(
                *self._table, firsts, lasts, of_each, wide, text, ends, longest,
                *concat(keys), values, times, good, vectors, vector_ends,
                np.empty(2 * int(wide.max()), np.int64),
            )  # fmt: skip
            # The decoder tells which unit these count in.
            seconds = (times >= SECONDS[0]) & (times <= SECONDS[1])
            good[np.repeat(np.arange(of_each.size), of_each)[seconds]] = False
        used = int(vector_ends[-1]) if len(records) else 0
        return ParsedRecords(good, values, times, from_offsets(vectors[:used], vector_ends))

    def _lay_out(self) -> None:
        """Have all layouts as arrays for the kernel, those of the same names together."""
        every: list[RecordTemplate] = []
        self._ranges = {}
        for names, known in self._known.items():
            self._ranges[names] = (len(every), len(every) + len(known))
            every += known
        texts, pieces, holes = zip(*(layout.laid_out for layout in every), strict=True)
        text, ends = concat(texts)
        firsts = [0, *accumulate(map(len, holes))]
        self._table = (
            text,
            np.concatenate([np.zeros(1, np.int64), ends]),
            np.concatenate(pieces),
            np.concatenate(holes),
            np.array(firsts, np.int64),
        )


def template_of(text: bytes, key: bytes, names: tuple[str, ...]) -> RecordTemplate | None:
    """The layout of a record that the decoder accepts; None if it has none that would recur.

    Args:
        key: the record's key.
        names: of the profile's columns; the record has them all, in any order, and no others.
    """
    columns = {name: column for column, name in enumerate(names)}
    pieces, holes, at, begin = [], [], 0, 0
    members: list[tuple[str, str]] = []
    stack: list[bytes] = []
    named, name, member, index = False, "", "", 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if match.start() != at:
            return None
        at = match.end()
        depth, hole, inside = len(stack), None, 0
        if token in b"{[":
            stack.append(token)
            named, index = token == b"{", 0
        elif token in b"}]":
            stack.pop()
        elif token == b",":
            named, index = stack[-1] == b"{", index + 1
        elif token == b":" or token.isspace():
            pass
        elif named and token[:1] == b'"':
            named, name = False, orjson.loads(token)
            if depth == 1:
                member = name
            if depth == 1 or (depth == 2 and member == "values"):
                members.append((member if depth == 2 else "", name))
        elif depth == 2 and member == "values":
            column = columns.get(name) if stack[1] == b"{" else index
            if column is None or column >= len(names):
                return None
            hole = column
        elif depth == 1 and member == "observed_at" and token != b"null":
            if token[:1] == b'"':
                return None
            hole = TIME
        elif depth == 1 and member == "profile_id" and token != b"null":
            if token[1:-1] != key:
                return None
            hole, inside = IDENTITY, 1
        elif depth == 1 and member == "kind":
            pass
        elif _PLAIN_STRING.fullmatch(token):
            hole, inside = STRING, 1
        elif token[:1] in b"-0123456789":
            hole = NUMBER
        if hole is not None:
            pieces.append(text[begin : match.start() + inside])
            holes.append(hole)
            begin = at - inside
    filled = sorted(hole for hole in holes if hole >= 0)
    if at != len(text) or len(set(members)) < len(members) or filled != list(range(len(names))):
        return None
    return RecordTemplate((*pieces, text[begin:]), tuple(holes))
