"""Migrations up from each earlier revision, on data, in both databases."""

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    insert,
    select,
)

from console.settings import ConsoleSettings
from console.store import tables as t
from console.store.database import MIGRATIONS, Database, head

REVISIONS = [script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()]


def value_of(column: Column[Any], number: int) -> Any:
    """Something that the column takes, another one for each number."""
    if isinstance(column.type, JSON):
        return {"n": number}
    if isinstance(column.type, Boolean):
        return True
    if isinstance(column.type, Float):
        return number / 2
    if isinstance(column.type, BigInteger):
        return 1_800_000_000_000 + number
    if isinstance(column.type, Integer):
        return 200 + number
    if isinstance(column.type, LargeBinary):
        return b"bytes %d" % number
    return f"{column.name} {number}"


def rows_of(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Table → its rows, as the database itself says what tables there are."""
    held = MetaData()
    found = {}
    with database.read() as connection:
        held.reflect(connection)
        for name, table in held.tables.items():
            rows = connection.execute(select(table)).mappings().all()
            found[name] = [dict(row) for row in rows]
    return found


@pytest.mark.parametrize("revision", [each for each in REVISIONS if each != head()])
def test_an_upgrade_from_an_earlier_revision_keeps_every_row(store_url: str, revision: str):
    database = Database(ConsoleSettings(_env_file=None, database_url=store_url).database)
    database.upgrade(revision)
    assert database.current() == revision
    held = MetaData()
    with database.write() as connection:
        held.reflect(connection)
        for table in held.tables.values():
            if table.name == "alembic_version":
                continue
            for number in range(3):
                row = {column.name: value_of(column, number) for column in table.columns}
                connection.execute(insert(table).values(row))
    before = rows_of(database)

    database.upgrade()

    after = rows_of(database)
    for name, rows in before.items():
        if name != "alembic_version":
            kept = [{column: row[column] for column in rows[0]} for row in after[name]]
            assert kept == rows, name
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, t.metadata) == []
    database.check()
    database.close()
