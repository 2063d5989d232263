"""The demo's broker: librdkafka's mock cluster in this process. Nothing about delivery is ever
proved on it: it discards the offsets of transactions, shows aborted records, and compacts nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from confluent_kafka import Producer

ANSWER_SECONDS = 10.0


class EmbeddedBroker:
    """A broker that lives as long as this object; its topics have 4 partitions each."""

    def __init__(self) -> None:
        self._cluster: Producer | None = None
        self.bootstrap = ""

    def __enter__(self) -> Self:
        # The address is never asked: the mock cluster takes its place.
        cluster = Producer(
            {"bootstrap.servers": "embedded", "test.mock.num.brokers": 1, "log_level": 0}
        )
        brokers = cluster.list_topics(timeout=ANSWER_SECONDS).brokers.values()
        self.bootstrap = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
        self._cluster = cluster
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._cluster = None

    def create(self, topics: Iterable[str]) -> None:
        """Create topics: the mock cluster makes what is asked for, and knows no other way."""
        client = Producer({"bootstrap.servers": self.bootstrap, "log_level": 0})
        for name in topics:
            client.list_topics(name, timeout=ANSWER_SECONDS)
