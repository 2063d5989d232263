"""Dead letters as operators see them: what each holds, which are wanted, and the list by reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from processor.names import Topics
from processor.records import Headers, Incoming, Outgoing

REPLAYED = "telltale.replayed"
CUTS = ("telltale.truncated", "telltale.headers_omitted", "telltale.key_truncated")
"""Headers that say what of its record a dead letter does not hold whole."""

ADDED = (
    "telltale.reason",
    "telltale.detail",
    "telltale.topic",
    "telltale.partition",
    "telltale.offset",
    *CUTS,
)
"""Headers that a dead letter has beyond those of its record, in their order."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter.

    Attributes:
        record: as it lies in the dead-letter topic.
        topic: where it came from, with ``partition`` and ``offset``.
        replayed: how often it was sent back before.
        truncated: not all of its value, key and headers was kept.
    """

    record: Incoming
    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    replayed: int
    truncated: bool

    @property
    def came_from(self) -> str:
        return f"{self.topic}-{self.partition}-{self.offset}"


def letter(record: Incoming) -> Letter:
    """Read a dead letter's headers; the last of a name counts: an earlier one is the producer's."""
    headers = {name: value or b"" for name, value in record.headers}

    def text(name: str) -> str:
        return headers.get(name, b"").decode("utf-8", "replace")

    def number(name: str, absent: int) -> int:
        digits = text(name)
        return int(digits) if digits.isascii() and digits.isdigit() else absent

    return Letter(
        record=record,
        reason=text("telltale.reason") or "unknown",
        detail=text("telltale.detail"),
        topic=text("telltale.topic"),
        partition=number("telltale.partition", -1),
        offset=number("telltale.offset", -1),
        replayed=number(REPLAYED, 0),
        truncated=any(name in CUTS for name, _ in record.headers[-1:]),
    )


@dataclass(frozen=True)
class Wanted:
    """Which dead letters are meant; times in epoch milliseconds, of the dead letter itself."""

    reason: str | None = None
    topic: str | None = None
    since: int | None = None
    until: int | None = None

    def __call__(self, found: Letter) -> bool:
        at = found.record.timestamp
        return (
            self.reason in (None, found.reason)
            and self.topic in (None, found.topic)
            and (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
        )


def original(found: Letter, topics: Topics) -> Outgoing | str:
    """The record as it was, for where it came from, or why it cannot be sent back."""
    if found.truncated:
        return "truncated: the whole record was not kept"
    if found.topic == topics.candidates:
        return "a candidate: the retrainer proposes another one"
    if found.topic not in (*topics.kinds(), topics.accepted) or found.partition < 0:
        return f"not from a topic that is read here: {found.topic or 'none named'!r}"
    count = (REPLAYED, str(found.replayed + 1).encode())
    record = found.record
    headers = [*(h for h in _own_headers(record.headers) if h[0] != REPLAYED), count]
    return Outgoing(found.topic, record.value, record.key, found.partition, headers=headers)


def _own_headers(headers: Headers) -> Headers:
    """Headers without those that were added at the end."""
    own = list(headers)
    for name in reversed(ADDED):
        if own and own[-1][0] == name:
            own.pop()
    return tuple(own)


@dataclass
class Group:
    """The dead letters of one reason.

    Attributes:
        waiting: not sent back yet.
        again: sent back before, and dead again.
        newest: epoch milliseconds of the newest.
        sample: the newest itself.
    """

    count: int = 0
    waiting: int = 0
    again: int = 0
    newest: int = -1
    topics: set[str] = field(default_factory=set)
    sample: dict[str, Any] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**vars(self), "topics": sorted(self.topics)}


def by_reason(letters: Iterable[tuple[Letter, bool]]) -> dict[str, Group]:
    """Reason → its dead letters; each comes with whether it still waits to be sent back."""
    groups: dict[str, Group] = {}
    for found, waits in letters:
        group = groups.setdefault(found.reason, Group())
        group.count += 1
        group.waiting += waits
        group.again += found.replayed > 0
        group.topics.add(found.topic)
        if found.record.timestamp >= group.newest:
            group.newest = found.record.timestamp
            group.sample = {
                "from": found.came_from,
                "key": (found.record.key or b"").decode("utf-8", "replace"),
                "detail": found.detail,
            }
    return dict(sorted(groups.items(), key=lambda item: -item[1].count))
