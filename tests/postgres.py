"""A PostgreSQL server of the tests' own, from the programs that Debian installs."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

START_SECONDS = "60"


class NoPostgresError(Exception):
    """Where the programs should be, and what installs them."""


def programs() -> Path:
    """The directory of ``initdb`` and ``pg_ctl``, of the newest version that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: p.parts[4])
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).parent
    if not found:
        raise NoPostgresError(
            "PostgreSQL is not installed: no initdb under /usr/lib/postgresql "
            "(apt-get install postgresql)"
        )
    return found[-1].parent


class Postgres:
    """A server in a directory of its own; it does not run as root, which it refuses to."""

    def __init__(self) -> None:
        self._programs = programs()
        self._directory = Path(tempfile.mkdtemp(prefix="telltale-postgres-"))
        self._user = None
        if os.getuid() == 0:
            self._user = pwd.getpwnam("postgres")
            os.chown(self._directory, self._user.pw_uid, self._user.pw_gid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def __enter__(self) -> Self:
        data = str(self._directory / "data")
        self._run("initdb", "-D", data, "-U", "test", "--auth=trust", "--no-sync", "-E", "UTF8")
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off "
            f"-c unix_socket_directories={self._directory} -c max_connections=200"
        )
        log = str(self._directory / "log")
        self._run(
            "pg_ctl", "-D", data, "-w", "-t", START_SECONDS, "-l", log, "-o", options, "start"
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run("pg_ctl", "-D", str(self._directory / "data"), "-m", "immediate", "stop")
        shutil.rmtree(self._directory)

    def create(self) -> str:
        """The URL of a new and empty database."""
        name = f"t{uuid.uuid4().hex[:12]}"
        at = f"host=127.0.0.1 port={self.port} user=test dbname=postgres"
        with psycopg.connect(at, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql://test@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *arguments: str) -> None:
        owner = (
            {} if self._user is None else {"user": self._user.pw_uid, "group": self._user.pw_gid}
        )
        subprocess.run(
            [str(self._programs / program), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=self._directory,
            **owner,
        )
