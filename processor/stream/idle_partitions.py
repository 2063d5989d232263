"""Which inputs are fetched: idle ones only now and then while another is busy.

librdkafka has no fetch sessions (KIP-227): each request names every partition that is fetched, and
the broker looks each of them up. Of a scorer's inputs most are idle most of the time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from math import inf
from time import monotonic
from typing import NamedTuple

from confluent_kafka import Consumer

from processor.offsets.starting_offsets import topic_partitions
from processor.records import Partition

BUSY_SECONDS = 1.0
"""A topic is busy for so long after a record."""

IDLE_SECONDS = 10.0
"""A topic is idle when none came for so long."""

PROBE_INTERVAL = 0.2
"""Seconds between two probes of idle partitions: the most latency that pausing adds."""


class PauseResume(NamedTuple):
    """Partitions that are fetched no more, and those that are fetched again."""

    pause: list[Partition]
    resume: list[Partition]


class IdlePartitions:
    """Which of some partitions are to be fetched; all of them at first.

    A topic is paused as a whole, once each of its partitions was read to its end. A probe fetches
    it again until every partition reports EOF again, or a record comes. If nothing is busy,
    everything is fetched.
    """

    def __init__(self, places: Iterable[Partition]) -> None:
        self._places: dict[str, set[Partition]] = {}
        for place in places:
            self._places.setdefault(place[0], set()).add(place)
        self._open = {topic: set(held) for topic, held in self._places.items()}
        self._heard = dict.fromkeys(self._places, -inf)
        self._paused: set[str] = set()
        self._looked = -inf

    @property
    def paused(self) -> list[Partition]:
        """Partitions that are not fetched now."""
        return self._of(self._paused)

    def read(self, places: Iterable[Partition], now: float) -> None:
        """Note that records came; before the ends that were told with them."""
        for place in places:
            if place[0] in self._places:
                self._heard[place[0]] = now
                self._open[place[0]].add(place)

    def ended(self, place: Partition) -> None:
        """Note that a partition was read to its end."""
        if place[0] in self._places:
            self._open[place[0]].discard(place)

    def change(self, now: float) -> PauseResume:
        """The partitions to pause and to resume now; they count as such from here on."""
        if not any(now - heard < BUSY_SECONDS for heard in self._heard.values()):
            return PauseResume([], self._resumed())
        if self._paused and now - self._looked >= PROBE_INTERVAL:
            self._looked = now
            return PauseResume([], self._resumed())
        idle = {
            topic
            for topic, heard in self._heard.items()
            if topic not in self._paused and now - heard >= IDLE_SECONDS and not self._open[topic]
        }
        self._paused |= idle
        return PauseResume(self._of(idle), [])

    def _resumed(self) -> list[Partition]:
        """Fetch paused partitions again, until they report EOF."""
        places = self.paused
        for topic in self._paused:
            self._open[topic] = set(self._places[topic])
        self._paused = set()
        return places

    def _of(self, topics: Iterable[str]) -> list[Partition]:
        return [place for topic in topics for place in self._places[topic]]


class Fetching:
    """What the consumer fetches of an assignment: no idle inputs, none with a backlog here.

    Attributes:
        ends: offset at which each input was last seen to end.
    """

    def __init__(self, consumer: Consumer) -> None:
        self.ends: dict[Partition, int] = {}
        self._consumer = consumer
        self._idle = IdlePartitions(())
        self._held: set[Partition] = set()

    def begin(self, places: Iterable[Partition]) -> None:
        """Reset read positions, before another assignment is taken."""
        # librdkafka keeps a partition paused beyond its assignment.
        self._consumer.resume(topic_partitions({*self._idle.paused, *self._held}))
        self._held = set()
        self._idle = IdlePartitions(places)
        # What was polled and dropped is polled again: an end is one only behind it.
        self.ends = {}

    def read(self, places: Iterable[Partition]) -> None:
        """Note which partitions had records in a poll; before the ends that came with them."""
        self._idle.read(places, monotonic())

    def ended(self, place: Partition, offset: int) -> None:
        """Note that an input was read to its end."""
        self.ends[place] = offset
        self._idle.ended(place)

    def pause_idle(self) -> None:
        """Fetch idle inputs only now and then while another is busy."""
        pause, resume = self._idle.change(monotonic())
        self._fetch_only(pause, set(resume) - self._held)

    def hold(self, places: set[Partition]) -> None:
        """Fetch nothing more of partitions of which polled records still wait, only of others.

        So polling goes on, which keeps the place in the group, and what waits does not grow.
        """
        if places != self._held:
            before, self._held = self._held, places
            self._fetch_only(places - before, before - places)

    def _fetch_only(self, pause: Collection[Partition], resume: Collection[Partition]) -> None:
        if resume:
            self._consumer.resume(topic_partitions(resume))
        if pause:
            self._consumer.pause(topic_partitions(pause))
