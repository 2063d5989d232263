"""How far dead letters were sent back: a position, and what was left behind before it.

Both are committed as one offset with its metadata, in the transaction that sends records back, so
that a filter may leave some out and none is ever sent back twice.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass

import orjson

from processor.kafka.reading import ToolError

FORMAT = "1:"
LONGEST = 4000
"""Characters of metadata; a broker takes 4096 (``offset.metadata.max.bytes``)."""

Runs = tuple[tuple[int, int], ...]
"""First and last offsets of runs of records, ascending."""


@dataclass(frozen=True)
class Progress:
    """How far one partition was worked through.

    Attributes:
        position: every record from here on waits.
        left: runs of records before it that wait as well.
    """

    position: int = 0
    left: Runs = ()

    @property
    def start(self) -> int:
        """The first offset that may wait."""
        return self.left[0][0] if self.left else self.position

    def waits(self, offset: int) -> bool:
        """Whether the record of that offset was not sent back yet."""
        return offset >= self.position or any(a <= offset <= b for a, b in self.left)


@dataclass
class Scan:
    """A walk over a partition in the order of offsets, from ``before.start`` on."""

    before: Progress
    _runs: list[tuple[int, int]]
    _open: bool = False
    _seen: int = -1

    @classmethod
    def over(cls, before: Progress) -> Scan:
        return cls(before, [])

    def leave(self, offset: int) -> None:
        """The record waits on."""
        self._seen = offset
        if self._open:
            self._runs[-1] = (self._runs[-1][0], offset)
        else:
            self._runs.append((offset, offset))
            self._open = True

    def settle(self, offset: int) -> None:
        """The record is sent back now, or was before."""
        self._seen = offset
        self._open = False

    def progress(self) -> Progress:
        """What is to be committed once all that was settled so far is sent."""
        rest = [(max(a, self._seen + 1), b) for a, b in self.before.left if b > self._seen]
        return Progress(max(self.before.position, self._seen + 1), (*self._runs, *rest))


def encode_progress(left: Runs) -> str:
    """The metadata of an offset.

    Raises:
        ToolError: too many runs for it.
    """
    if not left:
        return ""
    deltas, at = [], 0
    for first, last in left:
        deltas += [first - at, last - first]
        at = last
    text = FORMAT + base64.b64encode(zlib.compress(orjson.dumps(deltas), 9)).decode()
    if len(text) > LONGEST:
        raise ToolError(
            "those that would be left behind are too scattered to be remembered: choose a wider "
            "time, or send back all (without --reason and --topic)"
        )
    return text


def decode_progress(position: int, metadata: str | None) -> Progress:
    """The progress that an offset and its metadata hold; a negative offset is none.

    Raises:
        ToolError: metadata of another format.
    """
    if position < 0:
        return Progress()
    if not metadata:
        return Progress(position)
    try:
        if not metadata.startswith(FORMAT):
            raise ValueError(metadata[:20])
        deltas = orjson.loads(zlib.decompress(base64.b64decode(metadata[len(FORMAT) :])))
        if type(deltas) is not list or not {int}.issuperset(map(type, deltas)):
            raise ValueError("not an array of integers")
        runs, at = [], 0
        for gap, length in zip(deltas[::2], deltas[1::2], strict=True):
            runs.append((at + gap, at + gap + length))
            at += gap + length
    except (ValueError, zlib.error) as error:
        raise ToolError(f"the progress of earlier replays cannot be read: {error}") from None
    return Progress(position, tuple(runs))
