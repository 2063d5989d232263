"""Makes the reports that wait, and runs the standing monitors that are due: one thread."""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy.exc import DBAPIError

from console.governance import monitors, reports
from console.services import Services

LOOK_SECONDS = 5.0
"""So often it looks for reports that another process was asked for, and for monitors due."""


class Worker:
    """Makes reports until it is told to stop.

    Args:
        root: whose spaces are looked after as well.
    """

    def __init__(self, root: Services, log: Any) -> None:
        self._root = root
        self._log = log
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Stop; a report that is being made is taken up by the next process."""
        self._stopping.set()
        self._root.reports_asked.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._root.reports_asked.clear()
            for console in self._root.every():
                try:
                    self._work(console)
                except DBAPIError as error:
                    self._log.warning("reports", detail=str(error.orig).splitlines()[0])
            self._root.reports_asked.wait(LOOK_SECONDS)

    def _work(self, console: Services) -> None:
        monitors.run_due(console)
        for report_id in reports.queued(console):
            if self._stopping.is_set():
                return
            reports.make_report(console, report_id)
            monitors.settle(console, report_id)
