"""Dead letters as operators see them: what each holds, which are wanted, and the list by reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from processor.dead_letter import MAX_KEY, Letter
from processor.text import headers


@dataclass(frozen=True)
class DeadLetterFilter:
    """Which dead letters are meant; times in epoch milliseconds, of the dead letter itself.

    Attributes:
        place: partition and offset of the only one that is meant.
    """

    reason: str | None = None
    topic: str | None = None
    since: int | None = None
    until: int | None = None
    place: tuple[int, int] | None = None

    def __call__(self, found: Letter) -> bool:
        at = found.record.timestamp
        return (
            self.place in (None, (found.record.partition, found.record.offset))
            and self.reason in (None, found.reason)
            and self.topic in (None, found.topic)
            and (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
        )


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
                "key": headers.header_text(found.record.key, MAX_KEY),
                "detail": found.detail,
            }
    return dict(sorted(groups.items(), key=lambda item: -item[1].count))
