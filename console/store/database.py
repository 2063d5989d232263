"""Connections to the store, its transactions, and its migrations."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import orjson
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL

BUSY_SECONDS = 20.0
MIGRATIONS = Path(__file__).parents[1] / "migrations"
MIGRATION_LOCK = 0x7E117A1E
"""Of PostgreSQL, held while migrations run: two that start together do not mix."""


class OldSchema(Exception):
    """The store's tables are not those of this version."""


class Database:
    """The store. One object for a process; any thread may use it."""

    def __init__(self, url: URL, pool: int = 10, most: int = 20, schema: str | None = None) -> None:
        self.sqlite = url.get_backend_name() == "sqlite"
        # SQLite lets a writer that waits for another one sleep for up to 0.1 s: within a process,
        # the next one goes on at once.
        self._writes: Any = threading.Lock() if self.sqlite else nullcontext()
        self._url = url
        self._schema = schema
        options: dict[str, Any] = {
            "pool_size": pool,
            "max_overflow": most - pool,
            "pool_pre_ping": not self.sqlite,
            # What an exception says is logged: never a value of a row.
            "hide_parameters": True,
            "json_serializer": _json,
        }
        if self.sqlite:
            path = Path(url.database or "")
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                # It holds hashes of passwords: no one else on the machine reads it.
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            options["connect_args"] = {"timeout": BUSY_SECONDS, "check_same_thread": False}
        else:
            options["connect_args"] = {"connect_timeout": 5}
            if schema is not None:
                options["connect_args"]["options"] = f"-csearch_path={schema}"
        self.engine: Engine = create_engine(url, **options)
        if self.sqlite:
            event.listen(self.engine, "connect", _configure)
            event.listen(self.engine, "begin", _begin)

    def beside(self, name: str) -> Database:
        """A store of its own beside this one: a file beside the file, a schema of the database."""
        digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
        if not self.sqlite:
            return Database(self._url, 2, 5, f"telltale_{digest}")
        path = Path(self._url.database or "")
        own = path.with_name(f"{path.stem}-{digest}{path.suffix}")
        return Database(self._url.set(database=str(own)))

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes: committed at the end, rolled back by an exception.

        There is none in another one of the same thread.
        """
        with self._writes, self.engine.connect() as plain:
            connection = plain.execution_options(telltale_writes=True)
            with connection.begin():
                yield connection

    def insert(self, table: Any) -> Any:
        """An insert of the store's dialect, which knows ``on_conflict_do_update``."""
        return sqlite.insert(table) if self.sqlite else postgresql.insert(table)

    def add(self, connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
        """Insert a row; False if there is one with its key already."""
        key = next(iter(table.primary_key.columns))
        adding = self.insert(table).values(row).on_conflict_do_nothing().returning(key)
        return connection.execute(adding).first() is not None

    def upgrade(self, revision: str = "head") -> None:
        """Bring the tables to a revision, from an empty store or any earlier one."""
        with self.write() as connection:
            if not self.sqlite:
                connection.execute(
                    text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK}
                )
            if self._schema is not None:
                connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {self._schema}"))
            command.upgrade(_config(connection), revision)

    def current(self) -> str | None:
        """The revision of the store's tables; None where there are none."""
        with self.read() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def check(self) -> None:
        """Raise unless the tables are those of this version.

        Raises:
            OldSchema: with a sentence that says what to do.
        """
        held, wanted = self.current(), head()
        if held != wanted:
            raise OldSchema(
                f"the store is at revision {held or 'none'}, this version needs {wanted}: "
                "run telltale console db upgrade"
            )

    def truncate_log(self) -> None:
        """Have SQLite's write-ahead log hold nothing that was deleted, as far as none reads it."""
        if not self.sqlite:
            return
        raw = self.engine.raw_connection()
        try:
            raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            raw.close()

    def close(self) -> None:
        self.engine.dispose()


def head() -> str | None:
    """The revision that this version needs."""
    return ScriptDirectory.from_config(_config(None)).get_current_head()


def _json(value: Any) -> str:
    # Several times as fast, but for what it does not take: whole numbers of more than 64 bits.
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value)


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _configure(connection: Any, _: object) -> None:
    # SQLAlchemy begins transactions itself, below: the driver would begin some of them too late.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        "secure_delete=ON",
        # As in PostgreSQL: who sees "mill-" does not see "MILL-".
        "case_sensitive_like=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # One that reads first and writes later would fail, rather than wait, where another has written.
    writes = connection.get_execution_options().get("telltale_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
