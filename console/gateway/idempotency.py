"""``Idempotency-Key``: the same answer for a day, and no second record."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import orjson
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import delete, select, update

from console.gateway.producing import Unconfirmed
from console.live.state import now_ms
from console.problems import Problem
from console.store import tables as t
from console.store.database import Database

KEPT_MS = 24 * 3600 * 1000
WAIT_SECONDS = 35.0
_KEY = re.compile(r"[!-~]{1,200}")


@dataclass(frozen=True)
class Kept:
    """An answer that can be given again."""

    status: int
    body: Any
    headers: dict[str, str]


def fingerprint(method: str, path: str, query: str, body: bytes) -> str:
    """By which a request with the same key is known to be the same."""
    head = f"{method}\0{path}\0{query}\0".encode()
    return hashlib.sha256(head + body).hexdigest()


class Idempotency:
    """Answers by key, in the store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._running: dict[tuple[str, str], asyncio.Future[None]] = {}

    async def once(
        self, subject: str, key: str, request_hash: str, run: Callable[[], Awaitable[Kept]]
    ) -> Kept:
        """Run a request once; whoever sends it again gets the same answer.

        Raises:
            Problem: 422 for the key of another request, 409 where the first one never ended.
        """
        if not _KEY.fullmatch(key):
            raise Problem(
                422, "invalid_request", "Idempotency-Key: expected 1 to 200 printable characters"
            )
        name = (subject, key)
        while (running := self._running.get(name)) is not None:
            await running
        self._running[name] = future = asyncio.get_running_loop().create_future()
        try:
            kept = await self._held(subject, key, request_hash)
            return kept if kept is not None else await self._run(subject, key, run)
        finally:
            del self._running[name]
            future.set_result(None)

    async def _run(self, subject: str, key: str, run: Callable[[], Awaitable[Kept]]) -> Kept:
        try:
            kept = await run()
        except Unconfirmed as problem:
            # A second try could be a second record.
            again = {"status": 503, "detail": problem.detail}
            await run_in_threadpool(self._keep, subject, key, Kept(503, again, problem.headers))
            raise
        except BaseException:
            # Nothing was produced.
            await run_in_threadpool(self._drop, subject, key)
            raise
        await run_in_threadpool(self._keep, subject, key, kept)
        return kept

    async def _held(self, subject: str, key: str, request_hash: str) -> Kept | None:
        deadline = monotonic() + WAIT_SECONDS
        while True:
            row = await run_in_threadpool(self._claim, subject, key, request_hash)
            if row is None:
                return None
            if row.request_hash != request_hash:
                raise Problem(
                    422,
                    "idempotency_key_reused",
                    "Idempotency-Key: it belongs to another request of the last 24 h",
                )
            if row.status is not None:
                return Kept(row.status, orjson.loads(row.answer), row.headers)
            if monotonic() > deadline:
                raise Problem(
                    409,
                    "idempotency_unresolved",
                    "the first request with this key has not ended; whether its record was "
                    "produced is not known here",
                )
            await asyncio.sleep(0.1)

    def _claim(self, subject: str, key: str, request_hash: str) -> Any:
        """The row that there is; None if there was none, and it is ours now."""
        table, now = t.idempotency, now_ms()
        own = (table.c.subject == subject, table.c.key == key)
        with self._database.write() as connection:
            connection.execute(delete(table).where(*own, table.c.expires_at < now))
            row = {
                "subject": subject,
                "key": key,
                "request_hash": request_hash,
                "expires_at": now + KEPT_MS,
            }
            if self._database.add(connection, table, row):
                return None
            return connection.execute(select(table).where(*own)).one()

    def _keep(self, subject: str, key: str, kept: Kept) -> None:
        table = t.idempotency
        with self._database.write() as connection:
            connection.execute(
                update(table)
                .where(table.c.subject == subject, table.c.key == key)
                .values(status=kept.status, answer=orjson.dumps(kept.body), headers=kept.headers)
            )

    def _drop(self, subject: str, key: str) -> None:
        table = t.idempotency
        with self._database.write() as connection:
            connection.execute(delete(table).where(table.c.subject == subject, table.c.key == key))
