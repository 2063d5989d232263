"""Entry point of the command: takes the signals before anything slow is imported."""

from __future__ import annotations

import os
import signal
import sys

from processor.cli.streams import guard

LONG_RUNNING = ("score", "retrain", "run", "console", "ingest")


def _runs_long(words: list[str]) -> bool:
    """Whether a command runs until it is told to end; sub-commands of ``console`` do not."""
    if words[:1] == ["console"] and any(not word.startswith("-") for word in words[1:2]):
        return False
    if words[:1] == ["ingest"]:
        return words[1:2] == ["run"]
    return bool(words) and words[0] in LONG_RUNNING


def main() -> None:
    """Run the command line; a role or ``tail`` that is told to end before it began ends with 0."""
    command = sys.argv[1:2]
    if _runs_long(sys.argv[1:]):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(0))
    guard()
    try:
        from processor.cli.main import main as run

        run()
    except KeyboardInterrupt:
        # Only while modules are imported: from there on the command line knows what to do.
        raise SystemExit(0 if command == ["tail"] else 130) from None
