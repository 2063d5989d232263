"""A schema registry for tests: Apicurio Registry on the JVM, in memory, with Confluent's API."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.kafka.broker import HOST, free_ports
from tests.kafka.jars import ROOT, BrokerUnavailableError, java

VERSION = "2.6.13.Final"
ARTIFACT = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
CACHE = ROOT / "build" / "registry"
PATIENCE = 240.0


def fetch(cache: Path = CACHE, timeout: float = 600) -> Path:
    """Directory with the registry's jar, fetched by Maven at the first call.

    The directory appears whole or not at all. Raises BrokerUnavailableError without Maven.
    """
    home = cache / VERSION
    if home.is_dir():
        return home
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if home.is_dir():
            return home
        maven = shutil.which("mvn")
        if not maven:
            raise BrokerUnavailableError("mvn is not on PATH: install Apache Maven (Debian: maven)")
        with tempfile.TemporaryDirectory(dir=cache) as partial:
            done = subprocess.run(
                [maven, "-q", "-B", "dependency:copy", f"-Dartifact={ARTIFACT}",
                 f"-DoutputDirectory={partial}"],
                cwd=partial, capture_output=True, text=True, timeout=timeout, check=False,
            )  # fmt: skip
            found = list(Path(partial).glob("*.tar.gz"))
            if done.returncode or not found:
                told = (done.stdout + done.stderr)[-3000:]
                raise BrokerUnavailableError(f"Maven could not fetch {ARTIFACT}:\n{told}")
            with tarfile.open(found[0]) as archive:
                archive.extractall(Path(partial, "home"), filter="data")
            Path(partial, "home").rename(home)
    return home


class Registry:
    """A registry of its own port; it forgets its schemas when it stops."""

    def __init__(self, directory: Path) -> None:
        self._log = directory / "registry.log"
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Of the API that Confluent's clients speak."""
        return f"http://{HOST}:{self.port}/apis/ccompat/v7"

    def start(self) -> None:
        """Return once it answers. Raises RuntimeError with the tail of its log if it does not."""
        (jar,) = fetch().rglob("apicurio-registry-app-*-runner.jar")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [java(), "-Xmx384m", "-XX:TieredStopAtLevel=1",
                 f"-Dquarkus.http.port={self.port}", f"-Dquarkus.http.host={HOST}",
                 "-jar", str(jar)],
                stdout=log, stderr=log, env=os.environ | {"LOG_LEVEL": "WARN"},
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the registry did not start:\n{self._log.read_text()[-3000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Have it answer nothing meanwhile; it keeps its schemas."""
        if self._process is None:
            raise RuntimeError("the registry is not running")
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def __enter__(self) -> "Registry":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _answers(self) -> bool:
        try:
            # Its own URL, of the loopback interface.
            with urllib.request.urlopen(f"{self.url}/subjects", timeout=5) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
