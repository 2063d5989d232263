"""The broker's settings in tests: one node, small and quick, otherwise as Kafka ships them."""

import base64
import uuid
from collections.abc import Mapping

# Everything else is Kafka's default, above all the time limits of transactions and their scan.
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # Compaction within a test's patience, for topics whose own settings ask for it.
    # Kafka 4.2 and 4.3 apply the end of an older load of a group to the newer one, after kill -9
    # and where loading takes longer than an election: committed offsets are then those of long ago.
    # A small topic is loaded before that.
    "offsets.topic.segment.bytes": str(1 << 20),
    "log.cleaner.backoff.ms": "200",
    "log.cleaner.threads": "1",
    "log.cleaner.dedupe.buffer.size": str(16 << 20),
}


def properties(settings: Mapping[str, str]) -> str:
    """The text of a `server.properties` file."""
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def cluster_id() -> str:
    """A new cluster id in Kafka's form: 16 random bytes in URL-safe base64."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
