"""Apache Kafka on the JVM for tests, the chaos harness and benchmarks: start, kill, restart."""

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.kafka import jars, settings
from tests.kafka.security import LISTENER, Security

HOST = "127.0.0.1"
LOG4J = Path(__file__).with_name("log4j2.properties")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class BrokerError(RuntimeError):
    """The broker did not come up or did not stop; the message ends with the tail of its log."""


def free_ports(count: int) -> list[int]:
    """`count` different TCP ports of the loopback interface that nobody holds now.

    They lie below the range from which Linux serves outgoing connections, so that none is taken
    while a broker that will come back to it is down.
    """
    with contextlib.ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < count:
            held = stack.enter_context(socket.socket())
            port = 20_000 + secrets.randbelow(12_000)
            with contextlib.suppress(OSError):
                held.bind((HOST, port))
                ports.append(port)
        return ports


def wait_for_metadata(
    host: str, port: int, check: Callable[[], None], client: Mapping[str, str] | None = None
) -> None:
    """Returns when a broker answers a metadata request; calls `check`, which may raise, meanwhile.

    The socket is tried before librdkafka is, which would log every refused connection. `client` is
    what it takes to log in.
    """
    while True:
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            break
        check()
        time.sleep(0.05)
    admin = AdminClient(
        {
            "bootstrap.servers": f"{host}:{port}",
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 200,
            "log_level": 0,
            **(client or {}),
        }
    )
    while True:
        with contextlib.suppress(KafkaException):
            if admin.list_topics(timeout=1).brokers:
                return
        check()


class JvmBroker:
    """One Kafka node (broker and controller, KRaft) with its ports, data and log in `directory`.

    The ports are chosen at construction and kept, and so is the data: `start` after `stop` or
    `kill` is a restart of the same broker. `overrides` are settings of `server.properties` above
    those of `tests.kafka.settings`; `heap` is the JVM's -Xmx, `java` are more of its options. With
    `security` clients come in by TLS and SCRAM alone, and ACLs say what they may. On Linux the
    kernel ends the broker with the thread that started it: start it from a thread that lives as
    long as it should.
    """

    def __init__(
        self,
        directory: Path,
        overrides: Mapping[str, str] | None = None,
        heap: str = "512m",
        security: Security | None = None,
        java: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.port, self.controller_port = free_ports(2)
        self.overrides = dict(overrides or {})
        self.heap = heap
        self.security = security
        self.java = java
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """What clients take as `bootstrap.servers`."""
        return f"{HOST}:{self.port}"

    @property
    def data(self) -> Path:
        """Where the broker keeps its partitions."""
        return self.directory / "data"

    @property
    def log(self) -> Path:
        """The broker's log, of all its lives."""
        return self.directory / "broker.log"

    @property
    def pid(self) -> int | None:
        """The process id while the broker runs, else None."""
        running = self.process is not None and self.process.poll() is None
        return self.process.pid if self.process is not None and running else None

    def start(self, deadline: float = 240) -> None:
        """Formats the data directory once, starts the broker, returns when it answers.

        `deadline` is in seconds. Raises BrokerError when it is over or the process ends first,
        `tests.kafka.jars.BrokerUnavailableError` when Java or the jars cannot be had.
        """
        if self.pid is not None:
            raise BrokerError(f"the broker on {self.bootstrap} runs already (process {self.pid})")
        until = time.monotonic() + deadline
        self.data.mkdir(parents=True, exist_ok=True)
        config = self.directory / "server.properties"
        config.write_text(settings.properties(self._settings()))
        if not (self.data / "meta.properties").exists():
            self._format(config, deadline)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._java("kafka.Kafka", str(config)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                # Ctrl-C in a terminal is for the tests: the broker ends after them.
                start_new_session=True,
                preexec_fn=_die_with_parent(os.getpid()),
            )
        try:
            login = None if self.security is None else self.security.client()
            wait_for_metadata(HOST, self.port, lambda: self._check(until), login)
        except BaseException:
            self.kill()
            raise

    def stop(self, deadline: float = 120) -> None:
        """A clean shutdown (SIGTERM), a hard one after `deadline` seconds, said by BrokerError."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.kill()
            raise BrokerError(self._told(f"did not stop within {deadline:.0f} s")) from None
        self.process = None

    def kill(self) -> None:
        """Kill -9, as a crash would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nobody answers, as on a machine that hangs."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after `pause`."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> "JvmBroker":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.resume()
        self.stop()

    def _settings(self) -> dict[str, str]:
        name = "PLAINTEXT" if self.security is None else LISTENER
        listeners = f"{name}://{HOST}:{self.port},CONTROLLER://{HOST}:{self.controller_port}"
        own = {
            "listeners": listeners,
            "advertised.listeners": listeners,
            "controller.quorum.bootstrap.servers": f"{HOST}:{self.controller_port}",
            "log.dirs": str(self.data),
        }
        secured = {} if self.security is None else self.security.settings()
        return settings.SETTINGS | own | secured | self.overrides

    def _java(self, main: str, *arguments: str) -> list[str]:
        return [
            jars.java(),
            f"-Xmx{self.heap}",
            *self.java,
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={LOG4J}",
            "-cp",
            f"{jars.fetch()}/*",
            main,
            *arguments,
        ]

    def _format(self, config: Path, deadline: float) -> None:
        # The option is joined to its value: an id that begins with a dash would be an option.
        command = self._java(
            "kafka.tools.StorageTool", "format", "--standalone",
            f"--cluster-id={settings.cluster_id()}", f"--config={config}",
            *(self.security.format_arguments() if self.security else ()),
        )  # fmt: skip
        with self.log.open("ab") as log:
            done = subprocess.run(
                command, stdout=log, stderr=log, cwd=self.directory, timeout=deadline, check=False
            )
        if done.returncode != 0:
            raise BrokerError(self._told("could not format its data directory"))

    def _check(self, until: float) -> None:
        if self.process is None or self.process.poll() is not None:
            code = self.process.returncode if self.process else None
            raise BrokerError(self._told(f"ended while it started (exit code {code})"))
        if time.monotonic() > until:
            raise BrokerError(self._told("did not answer in time"))

    def _told(self, what: str) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return f"the broker on {self.bootstrap} {what}; its log:\n" + "\n".join(lines[-40:])


def _die_with_parent(parent: int) -> Callable[[], None] | None:
    """A hook for the child: SIGKILL from the kernel when the parent is gone, however it went."""
    libc = _libc
    if libc is None:
        return None

    def hook() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return hook
