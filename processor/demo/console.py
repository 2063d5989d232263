"""The console beside the demo, in a process of its own: it stands above this package."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from processor.kafka.reading import ToolError
from processor.settings import PREFIX, Settings

READY_SECONDS = 60.0
END_SECONDS = 10.0
LOOK_SECONDS = 0.2


@contextmanager
def console_beside(settings: Settings, directory: Path) -> Iterator[str]:
    """A console over the demo's broker, with a store that goes with the demo; its URL.

    It serves this machine alone, without a login.

    Raises:
        ToolError: it did not start; the message is its own last line.
    """
    port = os.environ.get(f"{PREFIX}CONSOLE_PORT") or "8000"
    log = directory / "console.log"
    own = {
        "BOOTSTRAP_SERVERS": settings.bootstrap_servers,
        "APPLICATION": settings.application,
        "MODEL_DIR": settings.model_dir,
        "COLD_START_SAMPLES": str(settings.cold_start_samples),
        "DATABASE_URL": f"sqlite:///{directory}/console.db",
        "CONSOLE_HOST": "127.0.0.1",
        "CONSOLE_PORT": port,
        "CONSOLE_METRICS_PORT": "0",
        "CONSOLE_ENVIRONMENT": "development",
        "CONSOLE_GUIDE": "true",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "warning",
    }
    # Settings of another installation are left out: the demo has its own.
    outside = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", "from processor.cli.entry import main; main()", "console"],
            env=outside | {PREFIX + name: value for name, value in own.items()},
            cwd=directory,
            stdout=file,
            stderr=file,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _await(process, url, log)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = monotonic() + READY_SECONDS
    while not _ready(url):
        if process.poll() is not None or monotonic() > deadline:
            last = log.read_text().strip().splitlines()[-1:] or ["it said nothing"]
            raise ToolError(f"the console did not start: {last[0][:300]}")
        sleep(LOOK_SECONDS)


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
