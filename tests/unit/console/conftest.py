"""Stores and records for tests of the console without a broker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from console.settings import ConsoleSettings
from console.store.database import Database


@pytest.fixture
def database(store_url: str) -> Iterator[Database]:
    """An upgraded store, of both kinds one after the other."""
    found = Database(ConsoleSettings(_env_file=None, database_url=store_url).database)
    found.upgrade()
    yield found
    found.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    """An upgraded SQLite store: for what does not depend on the store."""
    url = f"sqlite:///{tmp_path}/only.db"
    found = Database(ConsoleSettings(_env_file=None, database_url=url).database)
    found.upgrade()
    yield found
    found.close()
