"""JSON templates: constant text with placeholders, filled in for many records by one kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, pairwise
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from models.kernels.memory import SLACK
from models.kernels.text.byte_strings import Integers, StringColumn, concat
from models.kernels.text.compose import compose
from processor.columnar.version_constants import CONSTANT_FIELDS


class JsonTemplate(NamedTuple):
    """A JSON template: constant pieces with placeholders between them.

    Attributes:
        text, ends: the constant pieces, and where each ends; ``SLACK`` behind the last.
        holes: which value fills each placeholder.
    """

    text: NDArray[np.uint8]
    ends: Integers
    holes: Integers


_FIRST = ord("A")
RECORD_PLACEHOLDERS = (
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
)
"""Placeholders whose values differ from record to record in every batch."""

PLACEHOLDER_NAMES = (*RECORD_PLACEHOLDERS, "now", "late", "source", "time")


def placeholder(*names: str, form: bytes = b"%b") -> Any:
    """A value for ``orjson`` that marks a placeholder in a template.

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
    """A template from JSON text whose placeholders are a byte that JSON never has and a number."""
    parts = _MARK.split(text)
    holes = np.array([part[0] - _FIRST for part in parts[1::2]])
    return JsonTemplate(*concat(parts[::2], SLACK), holes)


def fill_constants(
    template: JsonTemplate, columns: Sequence[str], constants: Mapping[str, bytes]
) -> JsonTemplate:
    """The template with what all records share filled in, and the other placeholders numbered.

    Args:
        columns: names of the placeholders that have a column, in the columns' order.
        constants: what stands in place of those that have none.
    """
    text = template.text.tobytes()
    first, *pieces = (text[a:b] for a, b in pairwise([0, *template.ends.tolist()]))
    texts, holes = [first], []
    for hole, piece in zip(template.holes.tolist(), pieces, strict=True):
        name = PLACEHOLDER_NAMES[hole]
        if name in columns:
            texts.append(piece)
            holes.append(columns.index(name))
        else:
            texts[-1] += constants[name] + piece
    return JsonTemplate(*concat(texts, SLACK), np.array(holes))


BLOCK = 256
"""Texts put together at once: they are in the caches when they are parted and passed on."""


def render(skeleton: JsonTemplate, fillings: StringColumn) -> Iterator[bytes]:
    """One text a column of the placeholders' values."""
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
