"""Reading on: the committed records of all topics since the last look, to every end."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from processor.kafka.consuming import latest_offsets, to_record_batch
from processor.records import ConsumerRecord

RECORDS = 5000


class Reader:
    """A reader of committed records that remembers how far it came."""

    def __init__(self, bootstrap: str, topics: list[str], partitions: int) -> None:
        self._bootstrap = bootstrap
        self._next = {(topic, p): 0 for topic in topics for p in range(partitions)}
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "chaos-reader",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "fetch.queue.backoff.ms": 20,
                "fetch.wait.max.ms": 50,
                "reconnect.backoff.max.ms": 1000,
                "log_level": 0,
            }
        )
        self._consumer.assign([TopicPartition(t, p, at) for (t, p), at in self._next.items()])

    def read(self, timeout: float) -> list[ConsumerRecord]:
        """Records that came within ``timeout`` seconds.

        Raises:
            KafkaException: an offset that was read is gone: the broker lost committed records.
        """
        messages = []
        for message in self._consumer.consume(RECORDS, timeout):
            error = message.error()
            place = (message.topic() or "", message.partition() or 0)
            offset = message.offset() or 0
            if error is None:
                messages.append(message)
                self._next[place] = offset + 1
            elif error.code() == KafkaError._PARTITION_EOF:
                self._next[place] = max(offset, self._next[place])
            elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                raise KafkaException(error)
        return to_record_batch(messages)

    def behind(self) -> dict[tuple[str, int], int]:
        """Offsets between what was read and the end, open transactions included.

        Raises:
            KafkaException: the broker does not answer now.
        """
        # A new client each time: one from before a broker's restart may not see the new leader.
        admin = AdminClient({"bootstrap.servers": self._bootstrap, "log_level": 0})
        last = latest_offsets(admin, [TopicPartition(t, p) for t, p in self._next])
        return {
            place: end - self._next[place] for place, end in last.items() if end > self._next[place]
        }

    def close(self) -> None:
        self._consumer.close()
