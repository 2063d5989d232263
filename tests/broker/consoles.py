"""Consoles in processes of their own."""

import socket
import subprocess
from dataclasses import dataclass
from typing import Any

import httpx

from tests.broker.harness import PATIENCE, Telltale

COLD_START = "5"
SECRET = "a secret that is long enough for HS256"  # noqa: S105
PASSWORD = "a long password"  # noqa: S105
WAIT = {"Prefer": "wait=30"}


@dataclass
class Running:
    """A console in a process of its own."""

    process: subprocess.Popen[bytes]
    http: httpx.Client

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return self.http.post(path, json=body, headers=WAIT | headers)

    def json(self, path: str) -> Any:
        return self.http.get(path).json()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def start(telltale: Telltale, store_url: str, **variables: str) -> Running:
    """A console that is ready."""
    upgraded = telltale.run("console", "db", "upgrade", TELLTALE_DATABASE_URL=store_url)
    assert upgraded.returncode == 0, upgraded.stderr
    port = free_port()
    process = telltale.start(
        "console",
        TELLTALE_DATABASE_URL=store_url,
        TELLTALE_CONSOLE_PORT=str(port),
        TELLTALE_CONSOLE_METRICS_PORT="0",
        TELLTALE_COLD_START_SAMPLES=COLD_START,
        TELLTALE_RATE_LIMIT="1000000/minute",
        **variables,
    )
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE)

    def ready() -> bool:
        assert process.poll() is None, telltale.log()
        try:
            return client.get("/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    telltale.wait_until(ready, "the console is ready")
    return Running(process, client)


def add_admin(telltale: Telltale, store_url: str, email: str) -> None:
    """An admin of a store that has its tables."""
    subprocess.run(
        [telltale.command, "console", "user", "add", email, "--role", "admin"],
        input=f"{PASSWORD}\n",
        env=telltale.variables(TELLTALE_DATABASE_URL=store_url),
        stdout=subprocess.DEVNULL,
        text=True,
        check=True,
    )


def sign_in(console: Running, email: str) -> dict[str, str]:
    """The header of a user who has logged in."""
    told = console.http.post("/api/v1/auth/token", json={"email": email, "password": PASSWORD})
    return {"Authorization": f"Bearer {told.json()['access_token']}"}
