"""The broker of the tests is Kafka itself: transactions, offsets of a group, crash and return."""

import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.broker.harness import PATIENCE
from tests.kafka.broker import BrokerError, JvmBroker

# The controller lets a broker back in when the session of its last life is over.
QUICK_RETURN = {"broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "500"}


def create(bootstrap: str, topic: str) -> None:
    client = AdminClient({"bootstrap.servers": bootstrap})
    client.create_topics([NewTopic(topic, 1, 1)])[topic].result(PATIENCE)


def transactional(bootstrap: str, name: str) -> Producer:
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": name})
    producer.init_transactions(PATIENCE)
    return producer


def read_to_end(bootstrap: str, topic: str) -> list[bytes | None]:
    """Values of partition 0 that a read_committed reader sees up to its end."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{topic}-reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    seen: list[bytes | None] = []
    deadline = time.monotonic() + PATIENCE
    try:
        while True:
            message: Message | None = consumer.poll(1)
            assert time.monotonic() < deadline, f"no end of {topic} within {PATIENCE} s"
            if message is None:
                continue
            error = message.error()
            if error is None:
                seen.append(message.value())
            # Another error passes: a broker that has just come back does not know all at once.
            elif error.code() == KafkaError._PARTITION_EOF:
                return seen
    finally:
        consumer.close()


def test_a_reader_sees_committed_transactions_and_never_aborted_ones(bootstrap, prefix):
    topic = f"{prefix}records"
    create(bootstrap, topic)
    producer = transactional(bootstrap, f"{prefix}writer")

    producer.begin_transaction()
    producer.produce(topic, b"kept")
    producer.commit_transaction(PATIENCE)
    producer.begin_transaction()
    producer.produce(topic, b"dropped")
    producer.flush(PATIENCE)
    producer.abort_transaction(PATIENCE)

    assert read_to_end(bootstrap, topic) == [b"kept"]


def test_a_broker_killed_comes_back_on_its_port_with_what_was_committed(tmp_path: Path):
    with JvmBroker(tmp_path, QUICK_RETURN) as broker:
        create(broker.bootstrap, "records")
        producer = transactional(broker.bootstrap, "writer")
        producer.begin_transaction()
        producer.produce("records", b"before the crash")
        producer.commit_transaction(PATIENCE)
        address = broker.bootstrap

        broker.kill()
        assert broker.pid is None
        broker.start()

        assert broker.bootstrap == address
        assert read_to_end(address, "records") == [b"before the crash"]


def test_a_broker_that_cannot_start_says_why_with_its_log(tmp_path: Path):
    broker = JvmBroker(tmp_path, {"process.roles": "nonsense"})

    with pytest.raises(BrokerError, match=r"process\.roles"):
        broker.start()

    assert broker.pid is None
