"""Dead letters as operators see them: what each holds, which are wanted, and the list by reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from processor import headers
from processor.names import Topics
from processor.records import Headers, Incoming, Outgoing

REPLAYED = "telltale.replayed"
CUTS = ("telltale.truncated", "telltale.headers_omitted", "telltale.key_truncated")
"""Headers that say what of its record a dead letter does not hold whole."""
MAX_REASON, MAX_TOPIC, MAX_DETAIL, MAX_KEY = 100, 249, 2000, 256
"""Characters of a header, and of a key, that are kept: the topic's producers choose their length.
"""

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
        topic: where it came from, with ``partition`` and ``offset``, None if no header tells.
        replayed: how often it was sent back before.
        truncated: not all of its value, key and headers was kept.
    """

    record: Incoming
    reason: str
    detail: str
    topic: str
    partition: int | None
    offset: int | None
    replayed: int
    truncated: bool

    @property
    def came_from(self) -> str:
        places = ("?" if n is None else str(n) for n in (self.partition, self.offset))
        return "-".join((self.topic or "?", *places))


def letter(record: Incoming) -> Letter:
    """Read a dead letter's headers; the last of a name counts: an earlier one is the producer's."""
    held = dict(record.headers)
    return Letter(
        record=record,
        reason=headers.text(held.get("telltale.reason"), MAX_REASON) or "unknown",
        detail=headers.text(held.get("telltale.detail"), MAX_DETAIL),
        topic=headers.text(held.get("telltale.topic"), MAX_TOPIC),
        partition=headers.number(held.get("telltale.partition")),
        offset=headers.number(held.get("telltale.offset")),
        replayed=headers.number(held.get(REPLAYED)) or 0,
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


def original(found: Letter, topics: Topics, counts: Mapping[str, int]) -> Outgoing | str:
    """The record as it was, for where it came from, or why it cannot be sent back.

    Args:
        counts: partitions of each topic that is read here.
    """
    if found.truncated:
        return "truncated: the whole record was not kept"
    if found.topic == topics.candidates:
        return "a candidate: the retrainer proposes another one"
    if found.topic not in (*topics.kinds(), topics.accepted):
        return f"not from a topic that is read here: {found.topic or 'none named'!r}"
    # The broker would refuse the whole transaction, and again at each replay.
    if found.partition is None or found.partition >= counts.get(found.topic, 0):
        return f"not from a partition that {found.topic} has"
    count = (REPLAYED, str(found.replayed + 1).encode())
    record = found.record
    own = [*(h for h in _own_headers(record.headers) if h[0] != REPLAYED), count]
    return Outgoing(found.topic, record.value, record.key, found.partition, headers=own)


def _own_headers(held: Headers) -> Headers:
    """Headers without those that were added at the end."""
    own = list(held)
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
        newest: epoch milliseconds of the newest, as its producer set them; None if there is none.
        sample: the newest itself.
    """

    count: int = 0
    waiting: int = 0
    again: int = 0
    newest: int | None = None
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
        if group.newest is None or found.record.timestamp >= group.newest:
            group.newest = found.record.timestamp
            group.sample = {
                "from": found.came_from,
                "key": headers.text(found.record.key, MAX_KEY),
                "detail": found.detail,
            }
    return dict(sorted(groups.items(), key=lambda item: -item[1].count))
