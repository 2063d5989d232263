"""Tests here stand on a real broker: all of them carry the mark `broker`."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.broker)


@pytest.fixture
def environment(bootstrap: str, prefix: str, tmp_path: Path) -> dict[str, str]:
    """Variables for a process under test: the broker, and names, files and ports of its own."""
    return {
        "TELLTALE_BOOTSTRAP_SERVERS": bootstrap,
        "TELLTALE_TOPIC_PREFIX": prefix,
        "TELLTALE_APPLICATION": prefix.rstrip("."),
        "TELLTALE_MODEL_DIR": str(tmp_path / "models"),
        "TELLTALE_HTTP_PORT": "0",
    }
