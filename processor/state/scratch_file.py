"""A scratch database on the local disk."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

PAGE_BYTES = 4096


CACHE_KIB = 16 * 1024


def open_scratch_db(limit: int, schema: Sequence[str]) -> sqlite3.Connection:
    """An empty file of so many bytes at most, which has no name any more.

    Raises:
        sqlite3.OperationalError, OSError: there is no place for it.
    """
    handle, path = tempfile.mkstemp(prefix="telltale-spill-")
    os.close(handle)
    file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        file.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        # The journal undoes what a full disk interrupts; nothing has to outlive the process.
        for pragma in ("journal_mode = MEMORY", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
            file.execute(f"PRAGMA {pragma}")
        file.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        file.execute(f"PRAGMA max_page_count = {max(8, limit // PAGE_BYTES)}")
        for statement in schema:
            file.execute(statement)
    except sqlite3.Error:
        file.close()
        raise
    finally:
        os.unlink(path)
    return file


@contextmanager
def transaction(file: sqlite3.Connection) -> Iterator[None]:
    """Take what is done inside, or leave everything as it was."""
    file.execute("BEGIN")
    try:
        yield
        file.execute("COMMIT")
    except BaseException:
        if file.in_transaction:
            file.execute("ROLLBACK")
        raise
