"""Apache Kafka's official image, where a Docker daemon answers."""

import time
from contextlib import AbstractContextManager
from functools import cache

from tests.kafka import settings
from tests.kafka.broker import BrokerError, free_ports, wait_for_metadata

IMAGE = "apache/kafka:4.2.0"
DEADLINE = 240
"""Seconds from the start to the first answer; the pull is not counted."""


@cache
def answers() -> bool:
    """Whether a Docker daemon can be reached, by the rules of the `docker` command."""
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=5)
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except DockerException:
        return False
    finally:
        client.close()


class DockerBroker(AbstractContextManager["DockerBroker"]):
    """One Kafka node in a container, with the settings of the broker on the JVM."""

    def __init__(self) -> None:
        from testcontainers.core.container import DockerContainer

        (self.port,) = free_ports(1)
        own = {
            "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
            "advertised.listeners": f"PLAINTEXT://localhost:{self.port}",
            "controller.quorum.voters": "1@localhost:9093",
            "log.dirs": "/var/lib/kafka/data",
        }
        self._container = DockerContainer(IMAGE).with_bind_ports(9092, self.port)
        self._container.with_env("CLUSTER_ID", settings.cluster_id())
        # The image takes each setting of server.properties from a variable of that name.
        for name, value in (settings.SETTINGS | own).items():
            self._container.with_env("KAFKA_" + name.upper().replace(".", "_"), value)

    @property
    def bootstrap(self) -> str:
        """What clients take as `bootstrap.servers`."""
        return f"localhost:{self.port}"

    def __enter__(self) -> "DockerBroker":
        self._container.start()
        try:
            until = time.monotonic() + DEADLINE
            wait_for_metadata("localhost", self.port, lambda: self._check(until))
        except BaseException:
            self._container.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._container.stop()

    def _check(self, until: float) -> None:
        if time.monotonic() > until:
            output, errors = self._container.get_logs()
            told = (output + errors).decode(errors="replace")[-4000:]
            raise BrokerError(f"{IMAGE} did not answer within {DEADLINE} s; its log:\n{told}")
