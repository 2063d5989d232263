"""The producer of a role on a real broker, by itself."""

from confluent_kafka import Consumer

from processor import kafka
from processor.records import Outgoing
from processor.settings import Settings
from processor.transaction import Transactions
from tests.broker.harness import Telltale


def test_more_records_than_the_producers_queue_takes_are_all_written_once_and_in_order(
    telltale: Telltale, bootstrap: str, prefix: str
) -> None:
    telltale.create_topics(partitions=1)
    settings = Settings(_env_file=None, bootstrap_servers=bootstrap, topic_prefix=prefix)
    small = {"queue.buffering.max.messages": 100, "linger.ms": 0}
    transactions = Transactions(
        kafka.transactional_producer(settings, f"{prefix}own") | small, lambda: None
    )
    consumer = Consumer(kafka.group_consumer(settings, f"{prefix}own"))
    values = [b"%d" % number for number in range(1_000)]

    transactions.start()
    outputs = [Outgoing(f"{prefix}anomalies", value, b"p", 0) for value in values]
    transactions.commit(outputs, {(f"{prefix}telemetry.features", 0): 7}, consumer)
    consumer.close()

    assert [message.value() for message in telltale.read("anomalies")] == values
