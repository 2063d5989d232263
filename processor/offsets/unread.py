"""How many records wait in partitions that nobody reads, asked of the broker beside the loop."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from processor.records import Partition

ANSWER_SECONDS = 5.0


class UnreadRecords:
    """One question after another, and the answer to the last one that was answered.

    Attributes:
        waiting: records behind the committed offset of each partition, or behind its first.
    """

    def __init__(self, group: str) -> None:
        self.waiting: dict[Partition, int] = {}
        self._group = group
        self._admin: AdminClient | None = None
        self._places: tuple[Partition, ...] = ()
        self._firsts: dict[Partition, Future[Any]] = {}
        self._ends: dict[Partition, Future[Any]] = {}
        self._committed: Future[Any] | None = None

    def ask(self, admin: AdminClient, places: Sequence[Partition]) -> None:
        """Ask for these partitions; others are forgotten."""
        self.waiting = {place: n for place, n in self.waiting.items() if place in places}
        self._places, self._committed = tuple(places), None
        if not places:
            return
        # The client is to be kept until it has answered.
        self._admin = admin
        self._firsts = _listed(admin, places, OffsetSpec.earliest())
        self._ends = _listed(admin, places, OffsetSpec.latest())
        asked = ConsumerGroupTopicPartitions(
            self._group, [TopicPartition(*place) for place in places]
        )
        answers = admin.list_consumer_group_offsets([asked], request_timeout=ANSWER_SECONDS)
        self._committed = answers[self._group]

    def hear(self) -> None:
        """Take the answers, once all are there."""
        committed = self._committed
        if committed is None or not committed.done():
            return
        if not all(f.done() for each in (self._firsts, self._ends) for f in each.values()):
            return
        self._committed = None
        try:
            told = {(p.topic, p.partition): p.offset for p in committed.result().topic_partitions}
            self.waiting = {
                place: max(
                    0,
                    self._ends[place].result().offset
                    - max(self._firsts[place].result().offset, told.get(place, -1)),
                )
                for place in self._places
            }
        except KafkaException:
            # What was told before stands until the broker answers again.
            return


def _listed(
    admin: AdminClient, places: Sequence[Partition], spec: OffsetSpec
) -> dict[Partition, Future[Any]]:
    asked = {TopicPartition(*place): spec for place in places}
    answers = admin.list_offsets(asked, request_timeout=ANSWER_SECONDS)
    return {(place.topic, place.partition): future for place, future in answers.items()}
