"""Tests here stand on a real broker: all of them carry the mark `broker`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker.harness import Telltale, environment_of

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.broker)


@pytest.fixture
def environment(bootstrap: str, prefix: str, tmp_path: Path) -> dict[str, str]:
    """Variables for a process under test: the broker, and names, files and ports of its own."""
    return environment_of(bootstrap, tmp_path, prefix)


@pytest.fixture
def telltale(environment: dict[str, str], tmp_path: Path) -> Iterator[Telltale]:
    """An application of the test's own; what it left running is killed at the end."""
    logs = tmp_path / "logs"
    logs.mkdir()
    application = Telltale(environment, logs)
    yield application
    application.close()
