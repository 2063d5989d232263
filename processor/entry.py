"""Entry point of the command: takes the signals before anything slow is imported."""

from __future__ import annotations

import os
import signal
import sys

LONG_RUNNING = ("score", "retrain", "run")


def main() -> None:
    """Run the command line; a role that is told to end before it began ends with 0."""
    if sys.argv[1:2] and sys.argv[1] in LONG_RUNNING:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(0))
    from processor.cli import main as run

    run()
