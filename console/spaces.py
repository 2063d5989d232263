"""Organisations with topics of their own: each has a store and a live state of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from console.live.follow import Follow
from console.live.receipts import Receipts
from console.live.state import LiveState
from console.services import Services, make_space
from console.settings import ConsoleSettings
from console.store import tables as t
from console.store.data_files import DataFiles
from console.store.database import Database, OldSchema
from processor.settings import Settings

LOOK_SECONDS = 5.0
_opening = threading.Lock()


def topic_prefixes(accounts: Database) -> list[str]:
    """Topic prefixes of the organisations that have topics of their own."""
    held = t.organizations.c.topic_prefix
    with accounts.read() as connection:
        return list(connection.execute(select(held).where(held.is_not(None))).scalars())


def open_space(root: Services, topic_prefix: str) -> None:
    """Follow the topics under a prefix, unless that is done already.

    Raises:
        OldSchema: its store is not of this version.
        DBAPIError: the store does not answer.
    """
    with _opening:
        if topic_prefix in root.spaces or root.stopping:
            return
        store = root.database.beside(topic_prefix)
        try:
            if store.sqlite or store.current() is None:
                store.upgrade()
            else:
                store.check()
        finally:
            store.close()
        made = make_space(root, topic_prefix)
        made.follow.start()
        root.spaces[topic_prefix] = made


class Spaces:
    """Looks for organisations that another replica has added, until it is told to stop."""

    def __init__(self, root: Services, log: Any) -> None:
        self._root = root
        self._log = log
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look, name="organisations", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Stop looking, and what follows."""
        self._stopping.set()
        deadline = monotonic() + seconds
        self._thread.join(seconds)
        for made in self._root.spaces.values():
            made.follow.stop(max(0.0, deadline - monotonic()))
            made.database.close()

    def _look(self) -> None:
        while not self._stopping.is_set():
            try:
                for prefix in topic_prefixes(self._root.accounts):
                    open_space(self._root, prefix)
            except (DBAPIError, OldSchema) as error:
                self._log.warning("organisations", detail=str(error).splitlines()[0])
            self._stopping.wait(LOOK_SECONDS)


def follow_maker(
    settings: ConsoleSettings,
    producing: Any,
    log: Any,
    failed: Callable[[], None],
    *,
    live: bool,
) -> Callable[[Settings, Database, LiveState], Follow]:
    """What makes the part that follows topics: settings of Kafka, store and state → it.

    Args:
        live: whether this process writes what it reads into the store.
    """

    def make(kafka: Settings, database: Database, state: LiveState) -> Follow:
        files = DataFiles(settings.data_dir)
        receipts = Receipts(kafka, database, producing, files, settings.console_backup_days)
        return Follow(
            kafka,
            database,
            state,
            receipts=receipts,
            writes=live,
            one_in=settings.console_sample,
            retention_days=settings.console_retention_days,
            log=log,
            failed=failed,
        )

    return make
