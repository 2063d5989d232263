"""Migrations, users and idempotency keys in the store."""

import asyncio
import stat
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select

from console.auth import users
from console.gateway.idempotency import Idempotency, Kept
from console.gateway.producing import unavailable
from console.live.state import now_ms
from console.problems import Problem
from console.settings import ConsoleSettings
from console.store import tables as t
from console.store.database import Database, OldSchema, head


def test_migrations_from_an_empty_store_give_the_tables_of_this_version(database: Database):
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, t.metadata) == []
    assert database.current() == head()
    database.check()


def test_an_upgrade_twice_changes_nothing(database: Database):
    users.add(database, users.NewUser("a@b.org", "a long password", "admin"))

    database.upgrade()

    assert users.count(database) == 1


def test_an_empty_store_is_told_how_to_be_upgraded(store_url: str):
    empty = Database(ConsoleSettings(_env_file=None, database_url=store_url).database)

    with pytest.raises(OldSchema, match=r"revision none.*telltale console db upgrade"):
        empty.check()
    empty.close()


def test_nobody_else_on_the_machine_reads_the_file(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/deep/console.db"
    Database(ConsoleSettings(_env_file=None, database_url=url).database).close()

    assert stat.S_IMODE((tmp_path / "deep/console.db").stat().st_mode) == 0o600


def test_a_user_is_known_by_the_password_alone_and_it_is_not_kept(database: Database):
    users.add(database, users.NewUser("Ada@Example.org", "a long password", "analyst"))

    found = users.check(database, "ada@example.ORG", "a long password")

    assert found is not None
    assert found.role == "analyst"
    assert users.check(database, "ada@example.org", "another password") is None
    assert users.check(database, "eve@example.org", "a long password") is None
    with database.read() as connection:
        kept = connection.execute(select(t.users.c.password_hash)).scalar_one()
    assert kept.startswith("$argon2id$")


@pytest.mark.parametrize(
    ("email", "password", "role", "said"),
    [
        ("ada", "a long password", "admin", "email: expected an address"),
        ("a@b.org", "short", "admin", "password: expected 12"),
        ("a@b.org", "a long password", "boss", "role: expected one of"),
    ],
)
def test_a_user_that_cannot_be_is_refused(
    sqlite: Database, email: str, password: str, role: str, said: str
):
    with pytest.raises(users.InvalidUser, match=said):
        users.add(sqlite, users.NewUser(email, password, role))


def test_an_email_is_given_once(database: Database):
    users.add(database, users.NewUser("a@b.org", "a long password", "admin"))

    with pytest.raises(users.InvalidUser, match="already"):
        users.add(database, users.NewUser("A@b.org", "another password", "viewer"))


def test_the_same_key_gives_the_same_answer_and_runs_once(database: Database):
    ran: list[int] = []

    async def run() -> Kept:
        ran.append(1)
        await asyncio.sleep(0.05)
        return Kept(202, {"n": len(ran)}, {"Location": "/x"})

    async def twice_at_once_and_later() -> list[Kept]:
        one = Idempotency(database)
        at_once = await asyncio.gather(*(one.once("s", "k", "h", run) for _ in range(3)))
        return [*at_once, await Idempotency(database).once("s", "k", "h", run)]

    found = asyncio.run(twice_at_once_and_later())

    assert found == [Kept(202, {"n": 1}, {"Location": "/x"})] * 4
    assert ran == [1]


def test_replicas_that_get_the_same_key_at_once_run_it_once(database: Database):
    ran: list[int] = []

    async def run() -> Kept:
        ran.append(1)
        await asyncio.sleep(0.3)
        return Kept(200, len(ran), {})

    async def at_once() -> list[Kept]:
        replicas = [Idempotency(database) for _ in range(3)]
        return await asyncio.gather(*(one.once("s", "k", "h", run) for one in replicas))

    assert asyncio.run(at_once()) == [Kept(200, 1, {})] * 3
    assert ran == [1]


def test_a_key_of_another_request_is_refused_and_of_another_subject_is_not(database: Database):
    async def run() -> Kept:
        return Kept(200, "done", {})

    one = Idempotency(database)
    asyncio.run(one.once("s", "k", "h", run))

    with pytest.raises(Problem) as told:
        asyncio.run(one.once("s", "k", "other", run))
    assert (told.value.status, told.value.name) == (422, "idempotency_key_reused")
    assert asyncio.run(one.once("another", "k", "other", run)).body == "done"


def test_a_request_that_produced_nothing_may_be_sent_again_with_its_key(database: Database):
    answers = iter([Problem(422, "invalid_record", "no"), Kept(200, "yes", {})])

    async def run() -> Kept:
        found = next(answers)
        if isinstance(found, Problem):
            raise found
        return found

    one = Idempotency(database)
    with pytest.raises(Problem, match="no"):
        asyncio.run(one.once("s", "k", "h", run))
    assert asyncio.run(one.once("s", "k", "h", run)).body == "yes"


def test_a_record_that_was_perhaps_produced_is_not_produced_again(database: Database):
    ran: list[int] = []

    async def run() -> Kept:
        ran.append(1)
        raise unavailable("timed out", perhaps=True)

    one = Idempotency(database)
    with pytest.raises(Problem):
        asyncio.run(one.once("s", "k", "h", run))

    assert asyncio.run(one.once("s", "k", "h", run)).status == 503
    assert ran == [1]


def test_a_request_whose_process_died_is_not_run_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("console.gateway.idempotency.WAIT_SECONDS", 0.1)
    row = {"subject": "s", "key": "k", "request_hash": "h", "expires_at": now_ms() + 10_000}
    with database.write() as connection:
        connection.execute(insert(t.idempotency).values(row))

    async def run() -> Kept:
        raise AssertionError("a second record")

    with pytest.raises(Problem) as told:
        asyncio.run(Idempotency(database).once("s", "k", "h", run))
    assert (told.value.status, told.value.name) == (409, "idempotency_unresolved")
