"""The workers that a console starts: processes beside it, begun again if they end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from pydantic_settings import BaseSettings

from processor.settings import PREFIX

AGAIN_SECONDS = 2.0
LOOK_SECONDS = 0.5


def variables(*settings: BaseSettings) -> dict[str, str]:
    """Settings that were given otherwise than by the environment, as the environment has them."""
    found = {}
    for each in settings:
        for name in each.model_fields_set:
            value = getattr(each, name)
            if isinstance(value, str | int | float | Path):
                found[PREFIX + name.upper()] = str(value)
    return found


class Workers:
    """Keeps a number of worker processes running.

    Args:
        environment: of the processes, beside this one's.
    """

    def __init__(self, count: int, environment: Mapping[str, str], log: Any) -> None:
        self._count = count
        self._environment = {**os.environ, **environment}
        self._log = log
        self._stopping = threading.Event()
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * count
        self._begin_at = [0.0] * count
        self._thread = threading.Thread(target=self._look, name="workers", daemon=True)

    def start(self) -> None:
        """Start them."""
        self._thread.start()

    def ask(self) -> None:
        """Have them end: each gives back its job."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        for process in filter(None, self._processes):
            process.terminate()

    def stop(self, seconds: float) -> None:
        """Wait until they have ended; one that has not by then is killed."""
        self.ask()
        deadline = monotonic() + seconds
        for process in filter(None, self._processes):
            try:
                process.wait(max(0.0, deadline - monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()

    def pids(self) -> list[int]:
        """Their process ids."""
        return [process.pid for process in self._processes if process is not None]

    def _look(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            for number, process in enumerate(self._processes):
                if process is not None and process.poll() is not None:
                    self._log.warning("worker ended", exit_code=process.returncode)
                    self._processes[number] = None
                    self._begin_at[number] = monotonic() + AGAIN_SECONDS
                elif process is None and monotonic() >= self._begin_at[number]:
                    self._processes[number] = self._begun()

    def _begun(self) -> subprocess.Popen[bytes]:
        # Its standard input ends with this process: then the worker does too.
        command = [sys.executable, "-m", "console.jobs"]
        return subprocess.Popen(command, stdin=subprocess.PIPE, env=self._environment)  # noqa: S603
