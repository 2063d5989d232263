"""Where the jars of Apache Kafka are: fetched once by Maven, shared by tests and benchmarks."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
POM = Path(__file__).with_name("pom.xml")
CACHE = ROOT / "build" / "kafka"


class BrokerUnavailableError(RuntimeError):
    """No broker can be had here; the message says what to install."""


def java() -> str:
    """Path of the `java` to run: that of JAVA_HOME, else the one on PATH.

    Raises BrokerUnavailableError where there is none.
    """
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else None
    found = found or shutil.which("java")
    if not found:
        raise BrokerUnavailableError(
            "java is not on PATH: install Java 17 or newer (Debian: openjdk-17-jre-headless)"
        )
    return found


def fetch(cache: Path = CACHE, timeout: float = 600) -> Path:
    """Directory with every jar that `pom.xml` needs, fetched by Maven at the first call.

    The name carries the digest of `pom.xml`, so another version of Kafka never meets old jars.
    A file lock lets runs at the same time share one download; the directory appears whole or
    not at all. `timeout` is in seconds. Raises BrokerUnavailableError without a
    working Maven.
    """
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    libs = cache / f"libs-{digest}"
    if libs.is_dir():
        return libs
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if libs.is_dir():
            return libs
        partial = cache / f"{libs.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        _copy_dependencies(partial, timeout)
        partial.rename(libs)
    return libs


def _copy_dependencies(target: Path, timeout: float) -> None:
    maven = shutil.which("mvn")
    if not maven:
        raise BrokerUnavailableError("mvn is not on PATH: install Apache Maven (Debian: maven)")
    command = [
        maven, "-q", "-B", "-f", str(POM), "dependency:copy-dependencies",
        "-DincludeScope=runtime", f"-DoutputDirectory={target}",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise BrokerUnavailableError(f"Maven did not fetch Kafka within {timeout:.0f} s") from error
    if done.returncode != 0 or not any(target.glob("kafka_2.13-*.jar")):
        told = (done.stdout + done.stderr)[-3000:]
        raise BrokerUnavailableError(f"Maven could not fetch Kafka ({' '.join(command)}):\n{told}")
