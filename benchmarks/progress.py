"""How far a consumer group has come, asked of the broker without taking part in the group."""

from __future__ import annotations

from time import monotonic, sleep

from confluent_kafka import Consumer, TopicPartition

from benchmarks.bed import PATIENCE_SECONDS, Offsets, Running
from benchmarks.measure import Seen
from processor.kafka import config as kafka
from processor.settings import Settings


class Progress:
    """Records that a group has answered.

    Offsets and verdicts become visible in one transaction, and offsets can be counted: verdicts
    share their partitions with the marks of the transactions.
    """

    def __init__(self, settings: Settings, group: str, starts: Offsets) -> None:
        # Read uncommitted only means not to wait for the transaction that is open just now.
        own = {"group.id": group, "isolation.level": "read_uncommitted"}
        self._consumer = Consumer(kafka.base(settings) | own)
        self._starts = starts
        self._places = [TopicPartition(topic, p) for topic, p in starts]

    def answered(self) -> int:
        """Records answered since the starts."""
        found = self._consumer.committed(self._places, timeout=10)
        return sum(
            max(0, place.offset - self._starts[place.topic, place.partition]) for place in found
        )

    def follow(self, started: Running, total: int, seconds: float) -> list[Seen]:
        """How far a process is, at each change, until all is answered or the time is over.

        The time counts from the first change on.
        """
        changes: list[Seen] = []
        deadline = monotonic() + PATIENCE_SECONDS
        while monotonic() < deadline:
            count, now = self.answered(), monotonic()
            if count > (changes[-1].records if changes else 0):
                changes.append(Seen(now, count, started.cpu()))
            if count >= total or (changes and now - changes[0].at > seconds):
                return changes
            started.check()
            sleep(0.02)
        raise RuntimeError("nothing was answered")

    def close(self) -> None:
        self._consumer.close()
