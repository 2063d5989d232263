"""Inputs at whose next record the client reports an error, again and again at the same offset.

A batch that unpacks to more than the client takes, or whose checksum is wrong, is one: the client
fetches it for ever. Neither the broker nor the group shows it, so the role has to.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from processor.records import Partition

NOT_READY_SECONDS = 15.0
"""After so long at one offset the role is not ready."""


class Stop(NamedTuple):
    """Where reading stands still.

    Attributes:
        since: monotonic time of the first error there.
        logged: whether the log has it.
    """

    offset: int
    since: float
    error: str
    logged: bool = False


class Unreadable:
    """The partitions that stand still, each until a record or its end comes."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._stops: dict[Partition, Stop] = {}

    def note(self, place: Partition, offset: int, error: str, now: float) -> None:
        """Note an error at an offset; one that is there a second time is logged, once."""
        before = self._stops.get(place)
        if before is None or before.offset != offset:
            self._stops[place] = Stop(offset, now, error)
        elif not before.logged:
            self._stops[place] = before._replace(logged=True)
            self._log.warning(
                "unreadable",
                topic=place[0],
                partition=place[1],
                offset=offset,
                error=error,
                remedy=f"telltale dead-letter skip {place[0]} {place[1]} {offset}",
            )

    def passed(self, places: Iterable[Partition]) -> None:
        """Note partitions of which a record, or the end, came."""
        if self._stops:
            for place in places:
                self._stops.pop(place, None)

    def keep(self, places: Iterable[Partition]) -> None:
        """Forget all but some: the others are not read here any more."""
        if self._stops:
            self._stops = {place: self._stops[place] for place in places if place in self._stops}

    def lasting(self, now: float) -> dict[Partition, Stop]:
        """The partitions that stand still for longer than the role may be ready."""
        return {
            place: stop
            for place, stop in self._stops.items()
            if now - stop.since >= NOT_READY_SECONDS
        }

    def reason(self, now: float) -> str | None:
        """Why the role is not ready, or None."""
        for (topic, partition), stop in sorted(self.lasting(now).items()):
            return (
                f"{topic} [{partition}] cannot be read at offset {stop.offset}: {stop.error}; to "
                f"go past it: telltale dead-letter skip {topic} {partition} {stop.offset}"
            )
        return None
