"""What was answered last: the tails of ``anomalies`` and ``dead-letter``, read backwards.

Every telemetry record has a verdict or a dead letter on its own partition, in the order of the
telemetry. So the newest answered offset of a topic is found at the end, in pieces that grow until
each topic in question was met.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.dead_letter import letter
from processor.kafka.authorization import denied
from processor.kafka.consuming import earliest_offsets, is_transient, latest_offsets, split_errors
from processor.records import ConsumerRecord, Partition
from processor.topics import Topics

MOST = 100_000
"""Offsets of a partition that are looked through, at most."""

FIRST_PIECE = 500
GROWTH = 4
RECORDS = 10_000


class Answered:
    """The newest answered offset of telemetry partitions, as far as it can be found.

    Attributes:
        newest: of each partition that was found.
        unchecked: why a partition could not be looked through to its end, a sentence each.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        admin: AdminClient,
        topics: Topics,
        asked: Mapping[Partition, int],
        most: int = MOST,
    ) -> None:
        """Begin to look.

        Args:
            asked: telemetry partition → where it ends; an answer from beyond is of no record of it.
            most: offsets of a partition that are looked through.
        """
        self.newest: dict[Partition, int] = {}
        self.unchecked: list[str] = []
        self._readers: dict[str, Callable[[ConsumerRecord], Partition | None]] = {
            topics.anomalies: self._verdict,
            topics.dead_letter: self._letter,
        }
        self._most = most
        self._asked = dict(asked)
        # What is still to be met in a partition that is read, and the piece that is read of it.
        self._sought: dict[Partition, set[Partition]] = {}
        for place in asked:
            for name in self._readers:
                self._sought.setdefault((name, place[1]), set()).add(place)
        self._begins: dict[Partition, int] = {}
        self._ends: dict[Partition, int] = {}
        self._firsts: dict[Partition, int] = {}
        self._left: set[Partition] = set()
        self._consumer: Consumer | None = None
        if self._sought:
            places = [TopicPartition(*place) for place in self._sought]
            self._ends, self._firsts = (
                latest_offsets(admin, places),
                earliest_offsets(admin, places),
            )
            self._last = dict(self._ends)
            self._consumer = Consumer(dict(config))
            self._begin(FIRST_PIECE)

    @property
    def done(self) -> bool:
        return not self._left

    def poll(self, timeout: float) -> None:
        """Read some more.

        Raises:
            KafkaException: the broker reports an error that does not pass by itself.
        """
        if self._consumer is None or self.done:
            return
        found, said = split_errors(self._consumer.consume(RECORDS, timeout))
        for record in found:
            self._take(record)
        for place, offset in found.last_offsets().items():
            self._passed(place, offset + 1)
        for message, error in said:
            place = (message.topic() or "", message.partition() or 0)
            if error.code() == KafkaError._PARTITION_EOF:
                self._passed(place, message.offset() or 0)
            elif denied(error) and error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                self._give_up(place[0])
            elif not is_transient(error) and not denied(error):
                raise KafkaException(error)
        if not self._left:
            self._begin(self._piece * GROWTH)

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
        self._left = set()

    def _take(self, record: ConsumerRecord) -> None:
        place = (record.topic, record.partition)
        if place not in self._left or record.offset >= self._ends[place]:
            return
        found = self._readers[record.topic](record)
        if found is not None:
            self._sought[place].discard(found)

    def _verdict(self, record: ConsumerRecord) -> Partition | None:
        try:
            topic, _, offset = orjson.loads(record.value or b"")["verdict_id"].rpartition("-")
            place = (topic.rpartition("-")[0], record.partition)
            return self._met(place, int(offset))
        except (ValueError, KeyError, TypeError, AttributeError):
            # It is none of ours.
            return None

    def _letter(self, record: ConsumerRecord) -> Partition | None:
        found = letter(record)
        if found.offset is None:
            return None
        return self._met((found.topic, record.partition), found.offset)

    def _met(self, place: Partition, offset: int) -> Partition:
        if -1 < offset < self._asked.get(place, 0):
            self.newest[place] = max(offset, self.newest.get(place, -1))
        return place

    def _passed(self, place: Partition, offset: int) -> None:
        if offset >= self._ends.get(place, 0):
            self._left.discard(place)

    def _give_up(self, topic: str) -> None:
        """Leave a topic alone that may not be read."""
        told = f"{topic} may not be read (docs/security.md lists what each role needs)"
        if any(place[0] == topic for place in self._sought):
            self.unchecked.append(told)
        self._sought = {
            place: sought for place, sought in self._sought.items() if place[0] != topic
        }
        self._left = {place for place in self._left if place[0] != topic}

    def _begin(self, piece: int) -> None:
        """Read the next piece before the one that was read, where something is still sought."""
        self._piece = piece
        for place in [place for place, sought in self._sought.items() if not sought]:
            del self._sought[place]
        begins: dict[Partition, int] = {}
        for place in list(self._sought):
            end = self._begins.get(place, self._ends[place])
            bound = max(self._firsts[place], self._last[place] - self._most)
            if end > bound:
                self._ends[place] = end
                begins[place] = max(bound, end - piece)
                continue
            if bound > self._firsts[place]:
                self.unchecked.append(
                    f"{place[0]} [{place[1]}]: the latest {self._most} offsets name none of "
                    + ", ".join(sorted(topic for topic, _ in self._sought[place]))
                )
            del self._sought[place]
        self._begins = begins
        self._left = set(begins)
        if self._consumer is not None:
            self._consumer.assign([TopicPartition(*p, at) for p, at in begins.items()])
