"""The producer of a role on a real broker, by itself."""

from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, TopicPartition

from processor.kafka import config as kafka
from processor.records import ProducerRecord
from processor.settings import Settings
from processor.stream.transaction import Aborted, Transactions
from tests.broker.harness import Telltale


@pytest.fixture
def settings(telltale: Telltale, bootstrap: str, prefix: str) -> Settings:
    telltale.create_topics(partitions=1)
    return Settings(_env_file=None, bootstrap_servers=bootstrap, topic_prefix=prefix)


@pytest.fixture
def consumer(telltale: Telltale, settings: Settings, prefix: str) -> Iterator[Consumer]:
    """A consumer that has joined its group."""
    consumer = Consumer(kafka.group_consumer(settings, f"{prefix}own"))
    consumer.subscribe([f"{prefix}telemetry.features"])

    def joined() -> bool:
        consumer.poll(0.1)
        return bool(consumer.assignment())

    telltale.wait_until(joined, "no partition was assigned")
    yield consumer
    consumer.close()


def test_more_records_than_the_producers_queue_takes_are_all_written_once_and_in_order(
    telltale: Telltale, settings: Settings, consumer: Consumer, prefix: str
) -> None:
    small = {"queue.buffering.max.messages": 100, "linger.ms": 0}
    transactions = Transactions(
        kafka.transactional_producer(settings, f"{prefix}own") | small, lambda: None
    )
    values = [b"%d" % number for number in range(1_000)]

    transactions.start()
    outputs = [ProducerRecord(f"{prefix}anomalies", value, b"p", 0) for value in values]
    offsets = {(f"{prefix}telemetry.features", 0): 7}
    transactions.commit(outputs, offsets, consumer.consumer_group_metadata())

    assert [message.value() for message in telltale.read("anomalies")] == values


def test_what_was_computed_under_a_membership_that_has_ended_leaves_no_trace(
    telltale: Telltale, settings: Settings, consumer: Consumer, prefix: str
) -> None:
    transactions = Transactions(
        kafka.transactional_producer(settings, f"{prefix}own"), lambda: None
    )
    transactions.start()
    group = consumer.consumer_group_metadata()
    consumer.close()

    outputs = [ProducerRecord(f"{prefix}anomalies", b"{}", b"p", 0)]
    with pytest.raises(Aborted, match="UNKNOWN_MEMBER_ID"):
        transactions.commit(outputs, {(f"{prefix}telemetry.features", 0): 7}, group)

    later = Consumer(kafka.group_consumer(settings, f"{prefix}own"))
    place = TopicPartition(f"{prefix}telemetry.features", 0)
    (committed,) = later.committed([place], timeout=60)
    later.close()
    assert committed.offset < 0
    assert telltale.read("anomalies") == []
