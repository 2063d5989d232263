"""Types of jobs for tests, and a worker that knows them: ``python -m`` this module."""

import os
import sys
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from pydantic import BaseModel

from console.jobs.__main__ import main
from console.jobs.context import Context, JobError
from console.jobs.registry import JobType
from console.settings import ConsoleSettings
from processor.settings import load, load_as


class Config(BaseModel):
    """Of all of them."""

    epochs: int = 3
    seconds: float = 0.0
    notes: str = ""


def count(context: Context) -> dict[str, Any]:
    """Reports epochs; notes that it runs, and which process runs it, for as long as it does."""
    config = Config(**context.config)
    note = Path(config.notes) / context.job_id if config.notes else None
    if note is not None:
        with note.open("a") as file:
            file.write(f"{os.getpid()} begins\n")
    for epoch in range(1, config.epochs + 1):
        sleep(config.seconds)
        context.keep(reached=epoch)
        context.report(epoch=epoch, epochs=config.epochs, loss=1 / epoch, accuracy=0.5)
        if note is not None:
            with note.open("a") as file:
                file.write(f"{os.getpid()} {epoch}\n")
    return {"reached": config.epochs}


def stubborn(context: Context) -> dict[str, Any]:
    """Does not stop when it is told to."""
    context.report(epoch=1, epochs=1, loss=0.25)
    context.keep(reached=1)
    deadline = monotonic() + 120
    while monotonic() < deadline:
        sleep(0.05)
    return {}


def broken(_: Context) -> dict[str, Any]:
    """Fails by an error of its own."""
    raise RuntimeError("the password is 1234")


def refused(_: Context) -> dict[str, Any]:
    """Fails with a sentence for whoever asked."""
    raise JobError("rows: expected at least 10, got 3")


def _named(function: str, **wanted: Any) -> JobType:
    here = "tests.unit.console.job_types"
    return JobType(f"{here}:{function}", f"{here}:Config", **wanted)


TYPES = {
    "count": _named("count"),
    "stubborn": _named("stubborn"),
    "broken": _named("broken"),
    "refused": _named("refused"),
    "once": _named("count", repeatable=False),
}

if __name__ == "__main__":
    sys.exit(main(load_as(ConsoleSettings), load(), types=TYPES))
