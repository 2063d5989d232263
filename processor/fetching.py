"""Which inputs are fetched: idle ones are only looked at now and then while another is busy.

librdkafka has no fetch sessions (KIP-227): each request names every partition that is fetched, and
the broker looks each of them up. Of a scorer's inputs most are idle most of the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import NamedTuple

from processor.records import TopicPartition as Place

BUSY_SECONDS = 1.0
"""A topic is busy for so long after a record."""

IDLE_SECONDS = 10.0
"""A topic is idle when none came for so long."""

LOOK_SECONDS = 0.2
"""Between two looks at what is idle; so long its next record may wait to be fetched."""


class Change(NamedTuple):
    """Partitions that are fetched no more, and those that are fetched again."""

    pause: list[Place]
    resume: list[Place]


class Fetching:
    """Which of some partitions are to be fetched; all of them at first.

    A topic is paused as a whole, and only where each partition was read to its end. A look fetches
    it again until each has told its end anew, or a record comes. Where nothing is busy, everything
    is fetched.
    """

    def __init__(self, places: Iterable[Place]) -> None:
        self._places: dict[str, set[Place]] = {}
        for place in places:
            self._places.setdefault(place[0], set()).add(place)
        self._open = {topic: set(held) for topic, held in self._places.items()}
        self._heard = dict.fromkeys(self._places, -inf)
        self._paused: set[str] = set()
        self._looked = -inf

    @property
    def paused(self) -> list[Place]:
        """Partitions that are not fetched now."""
        return self._of(self._paused)

    def read(self, places: Iterable[Place], now: float) -> None:
        """Note that records came; before the ends that were told with them."""
        for place in places:
            if place[0] in self._places:
                self._heard[place[0]] = now
                self._open[place[0]].add(place)

    def ended(self, place: Place) -> None:
        """Note that a partition was read to its end."""
        if place[0] in self._places:
            self._open[place[0]].discard(place)

    def change(self, now: float) -> Change:
        """What is to be paused and resumed now, and counts as paused or resumed from here on."""
        if not any(now - heard < BUSY_SECONDS for heard in self._heard.values()):
            return Change([], self._resumed())
        if self._paused and now - self._looked >= LOOK_SECONDS:
            self._looked = now
            return Change([], self._resumed())
        idle = {
            topic
            for topic, heard in self._heard.items()
            if topic not in self._paused and now - heard >= IDLE_SECONDS and not self._open[topic]
        }
        self._paused |= idle
        return Change(self._of(idle), [])

    def _resumed(self) -> list[Place]:
        """Have what is paused fetched again, until it tells its end."""
        places = self.paused
        for topic in self._paused:
            self._open[topic] = set(self._places[topic])
        self._paused = set()
        return places

    def _of(self, topics: Iterable[str]) -> list[Place]:
        return [place for topic in topics for place in self._places[topic]]
