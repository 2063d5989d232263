"""The brokers of a run: one, or three that hold a replica of everything each."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from pathlib import Path

from tests.kafka.broker import HOST, BrokerError, JvmBroker

# What a broker forgets about the dead, it forgets sooner here: rounds are short.
QUICK = {
    "group.min.session.timeout.ms": "1000",
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "2000",
}
REPLICATED = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "replica.lag.time.max.ms": "5000",
}


# A broker that lives for minutes is up in half the time without the compiler for years.
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


class Member(JvmBroker):
    """A broker that joins another one's cluster and is no controller."""

    def __init__(self, directory: Path, first: JvmBroker, node: int) -> None:
        super().__init__(directory)
        listener = f"PLAINTEXT://{HOST}:{self.port}"
        self.overrides = {
            **first.overrides,
            "process.roles": "broker",
            "node.id": str(node),
            "listeners": listener,
            "advertised.listeners": listener,
            "controller.quorum.bootstrap.servers": f"{HOST}:{first.controller_port}",
        }
        self._first = first

    def _format(self, config: Path, deadline: float) -> None:
        properties = (self._first.data / "meta.properties").read_text().splitlines()
        cluster = next(line for line in properties if line.startswith("cluster.id="))
        command = self._java(
            "kafka.tools.StorageTool", "format",
            f"--cluster-id={cluster.removeprefix('cluster.id=')}", f"--config={config}",
        )  # fmt: skip
        with self.log.open("ab") as log:
            done = subprocess.run(command, stdout=log, stderr=log, timeout=deadline, check=False)
        if done.returncode != 0:
            raise BrokerError(self._told("could not format its data directory"))


def start(directory: Path, count: int, stack: ExitStack) -> tuple[list[JvmBroker], str]:
    """Start brokers that end with ``stack``: the brokers, and their addresses.

    The first of three is the only controller: while it is away, no other becomes a leader.
    """
    os.environ.setdefault("JDK_JAVA_OPTIONS", JAVA_OPTIONS)
    first = JvmBroker(directory / "1", QUICK if count == 1 else QUICK | REPLICATED)
    others = [Member(directory / str(node), first, node) for node in range(2, count + 1)]
    brokers = [first, *others]
    for broker in brokers:
        broker.directory.mkdir(parents=True, exist_ok=True)
        stack.callback(broker.kill)
        broker.start()
    return brokers, ",".join(broker.bootstrap for broker in brokers)
