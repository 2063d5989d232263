"""Producing, and learning from the delivery report where a record lies."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from console.problems import Problem
from processor.kafka import config as kafka
from processor.settings import Settings

DELIVERY_MS = 10_000
FLUSH_SECONDS = 3.0


_Report = tuple[asyncio.Future[tuple[int, int]], KafkaError | None, tuple[int, int]]


class Producing:
    """One producer for the process; a thread of its own takes the delivery reports."""

    def __init__(self, settings: Settings) -> None:
        own = {"linger.ms": 0, "message.timeout.ms": DELIVERY_MS}
        self._producer = Producer(kafka.plain_producer(settings) | own)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._turn, name="delivery", daemon=True)
        self._partitions: dict[str, int] = {}
        self._reports: deque[_Report] = deque()
        self._told = False

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(FLUSH_SECONDS)
        self._producer.flush(FLUSH_SECONDS)

    def _turn(self) -> None:
        while not self._stopping.is_set():
            self._producer.poll(0.1)

    def send(
        self, topic: str, key: bytes, value: bytes | None, partition: int | None
    ) -> asyncio.Future[tuple[int, int]]:
        """Produce a record; partition and offset once the broker has it.

        Raises:
            Problem: 503, in the call or in the future, where the broker does not take it.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[int, int]] = loop.create_future()

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            place = (message.partition() or 0, message.offset() or 0)
            self._reports.append((future, error, place))
            # Of many that come together the first one wakes the loop.
            if not self._told:
                self._told = True
                try:
                    loop.call_soon_threadsafe(self._settle)
                except RuntimeError:  # the loop has ended, and with it whoever waits
                    self._told = False

        self._produce(topic, key, value, partition, on_delivery)
        return future

    def _settle(self) -> None:
        self._told = False
        while self._reports:
            future, error, place = self._reports.popleft()
            if future.done():
                continue
            if error is None:
                future.set_result(place)
            else:
                future.set_exception(unavailable(error.str(), perhaps=True))

    def send_now(
        self, topic: str, key: bytes, value: bytes | None, partition: int | None
    ) -> tuple[int, int]:
        """Produce a record and wait; partition and offset. For threads, not for the event loop.

        Raises:
            Problem: 503, the broker does not take it.
        """
        told: queue.SimpleQueue[KafkaError | tuple[int, int]] = queue.SimpleQueue()

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            told.put(error or (message.partition() or 0, message.offset() or 0))

        self._produce(topic, key, value, partition, on_delivery)
        try:
            found = told.get(timeout=DELIVERY_MS / 1000 + 1)
        except queue.Empty:
            raise unavailable("no answer", perhaps=True) from None
        if isinstance(found, KafkaError):
            raise unavailable(found.str(), perhaps=True)
        return found

    def _produce(
        self,
        topic: str,
        key: bytes,
        value: bytes | None,
        partition: int | None,
        on_delivery: Callable[[KafkaError | None, Message], None],
    ) -> None:
        where: dict[str, Any] = {} if partition is None else {"partition": partition}
        try:
            self._producer.produce(topic, value=value, key=key, on_delivery=on_delivery, **where)
        except BufferError:
            raise unavailable("too many records wait for the broker") from None
        except KafkaException as error:
            raise unavailable(error.args[0].str()) from None

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has; blocks.

        Raises:
            Problem: 503, the broker does not say, or there is no such topic.
        """
        known = self._partitions.get(topic)
        if known is None:
            try:
                told = self._producer.list_topics(topic, timeout=5.0).topics[topic]
            except KafkaException as error:
                raise unavailable(error.args[0].str()) from None
            if told.error is not None:
                raise unavailable(told.error.str())
            known = self._partitions[topic] = len(told.partitions)
        return known


class Unconfirmed(Problem):
    """A record that the broker may have taken, or not."""


def unavailable(why: str, *, perhaps: bool = False) -> Problem:
    """503: the broker does not take a record now.

    Args:
        perhaps: it may have taken it, and has not said so.
    """
    return (Unconfirmed if perhaps else Problem)(
        503,
        "broker_unavailable",
        f"the broker has not confirmed the record: {why}",
        headers={"Retry-After": "2"},
    )
