"""What tests of every kind share: the broker of the session and names that are a test's own."""

import os
import shutil
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka import docker
from tests.kafka.broker import BrokerError, JvmBroker
from tests.kafka.jars import BrokerUnavailableError
from tests.postgres import NoPostgresError, Postgres


def pytest_configure() -> None:
    """Begun in the background of a script, the suite ignores Ctrl-C; what it starts must not."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The session's broker: `KAFKA_BOOTSTRAP`, else a container, else Kafka on the JVM.

    No broker by any of these fails the test; it is never skipped.
    """
    if given := os.environ.get("KAFKA_BOOTSTRAP"):
        yield given
        return
    if docker.answers():
        with docker.DockerBroker() as container:
            yield container.bootstrap
        return
    broker = JvmBroker(tmp_path_factory.mktemp("kafka"))
    try:
        broker.start()
    except (BrokerUnavailableError, BrokerError) as error:
        pytest.fail(
            "No Kafka broker for the tests: KAFKA_BOOTSTRAP is not set, no Docker daemon answers, "
            f"and it could not be started on the JVM (which takes Java 17 and Maven): {error}",
            pytrace=False,
        )
    yield broker.bootstrap
    broker.stop()
    shutil.rmtree(broker.data)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The session's PostgreSQL server; without one, tests skip, and fail under CI."""
    try:
        server = Postgres()
    except NoPostgresError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new and empty store, of both kinds one after the other."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/console.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.create()


@pytest.fixture
def prefix() -> str:
    """A `TELLTALE_TOPIC_PREFIX` that no other test has."""
    return f"t{uuid.uuid4().hex[:10]}."
