"""The image's health check says what a role's /health/live says."""

import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kafka.broker import free_ports

SCRIPT = Path(__file__).parents[3] / "deploy/docker/healthcheck.py"


@contextmanager
def process_that_answers(status: int) -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/health/live"
            self.send_response(status if found else 404)
            self.end_headers()
            self.wfile.write(b'{"live": "told"}')

        def log_message(self, *_: object) -> None:
            """Nothing: the test's own output stays readable."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


def check(port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT],
        env={**os.environ, "TELLTALE_HTTP_PORT": str(port)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_a_live_process_is_healthy():
    with process_that_answers(200) as port:
        assert check(port).returncode == 0


def test_a_process_that_says_503_is_not_and_its_reason_is_shown():
    with process_that_answers(503) as port:
        done = check(port)

    assert done.returncode == 1
    assert '503 {"live": "told"}' in done.stderr


def test_nobody_there_is_not_healthy():
    (port,) = free_ports(1)

    assert check(port).returncode == 1
