"""The process of a worker; as a program of its own, it ends with the console that started it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping

from console.jobs.registry import TYPES, JobType
from console.jobs.worker import NICE, Worker
from console.settings import ConsoleSettings
from console.store.database import Database
from processor.runtime import logs
from processor.settings import Settings, load, load_as


def main(
    settings: ConsoleSettings,
    kafka: Settings,
    *,
    attached: bool = False,
    types: Mapping[str, JobType] = TYPES,
) -> int:
    """Run jobs until SIGTERM or SIGINT; the exit code.

    Args:
        attached: whether it also ends with the process that started it, when its standard input
            does.

    Raises:
        OldSchema: the store is not of this version.
    """
    logs.configure(kafka.log_format, kafka.log_level)
    os.nice(NICE - os.nice(0))
    accounts = Database(settings.database, 2, 5)
    if accounts.sqlite:
        accounts.upgrade()
    else:
        accounts.check()
    worker = Worker(settings, kafka, accounts, types)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.end())
    if attached:

        def follow() -> None:
            # Not through sys.stdin: its lock would be held when the interpreter ends.
            while os.read(0, 4096):
                pass
            worker.end()

        threading.Thread(target=follow, name="parent", daemon=True).start()
    worker.run()
    accounts.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(load_as(ConsoleSettings), load(), attached=True))
