"""Polling: what the consumer gives, as records; and what came instead of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from processor.kafka import authorization
from processor.kafka.consuming import is_transient, split_errors
from processor.offsets.unreadable import Unreadable
from processor.records import ConsumerRecord, Partition
from processor.stream.assignment import Assignment
from processor.stream.transaction import Fatal

POLL_SECONDS = 0.02
FULL_BATCH_SHARE = 0.2
"""From this share of ``batch_records`` on, a backlog is assumed."""

LOOK_SECONDS = 2.0
"""Between two looks for an offset that was committed behind what cannot be read."""


class Poller:
    """Polls the consumer of a role.

    Attributes:
        complaint: the last error that passed by itself, as the end of a sentence.
        stopped: inputs that stand still at an offset that cannot be read.
    """

    def __init__(
        self, consumer: Consumer, assignment: Assignment, batch_records: int, log: Any
    ) -> None:
        self.complaint = ""
        self.stopped: Sequence[Partition] = ()
        self._consumer = consumer
        self._assignment = assignment
        self._most = batch_records
        self._log = log
        self._unreadable = Unreadable(log)
        self._looked = monotonic()

    @property
    def unreadable(self) -> str | None:
        """Why an input stands still, or None."""
        return self._unreadable.reason(monotonic())

    def poll(self, timeout: float, computed: Mapping[Partition, int]) -> Sequence[ConsumerRecord]:
        """The records that are there, those left out that were answered before.

        Args:
            computed: next offsets of a Step that is computed and not committed.

        Raises:
            Fatal: an error that no waiting mends.
            KafkaException: an ACL is missing.
        """
        found, told = split_errors(self._messages(timeout))
        firsts = found.first_offsets()
        self._assignment.fetching.read(firsts)
        self._unreadable.passed(firsts)
        for message, error in told:
            self._on_event(message, error)
        until = self._assignment.positions | dict(computed)
        # The first record of each partition tells, for offsets go up.
        if all(until.get(place, offset + 1) <= offset for place, offset in firsts.items()):
            return found
        return [
            record
            for record in found
            if until.get((record.topic, record.partition), record.offset + 1) <= record.offset
        ]

    def _on_event(self, message: Message, error: KafkaError) -> None:
        """Take note of what came instead of a record."""
        if error.code() == KafkaError._PARTITION_EOF:
            place = (message.topic(), message.partition())
            self._assignment.fetching.ended(place, message.offset())
            self._unreadable.passed([place])
        elif authorization.denied(error):
            raise KafkaException(error)
        elif not is_transient(error) or error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise Fatal(f"{message.topic()} [{message.partition()}]: {error.str()}")
        else:
            offset = message.offset()
            if offset is not None and offset >= 0:
                place = (message.topic(), message.partition())
                self._unreadable.note(place, offset, error.str(), monotonic())
            self.complaint = f"; the last error was: {error.str()}"
            self._log.debug("consumer", error=error.str())

    def _messages(self, timeout: float) -> list[Message]:
        """All records that are there; if there are none, the first that come within a time-out.

        So a batch is as large as what came during the transaction before it, and a single record
        does not wait for others. A batch near the limit waits to be filled: a
        transaction costs the same whatever its size.
        """
        most = self._most
        found: list[Message] = self._consumer.consume(most, 0.0)
        if not found and timeout > 0.0:
            found = self._consumer.consume(1, timeout)
            if found and most > 1:
                found += self._consumer.consume(most - 1, 0.0)
        if most > len(found) >= most * FULL_BATCH_SHARE:
            found += self._consumer.consume(most - len(found), POLL_SECONDS)
        return found

    def pass_skipped(self) -> None:
        """Go on behind what cannot be read, once ``dead-letter skip`` has committed that offset."""
        now = monotonic()
        self._unreadable.keep(self._assignment.positions)
        stops = self._unreadable.lasting(now)
        self.stopped = list(stops)
        if not stops or now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        try:
            passed = self._assignment.follow_committed(stops)
        except KafkaException as error:
            if not is_transient(error.args[0]):
                raise
            return
        for (topic, partition), offset in passed.items():
            self._log.warning("skipped", topic=topic, partition=partition, begins_at=offset)
        self._unreadable.passed(passed)
