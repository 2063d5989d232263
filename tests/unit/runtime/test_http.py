"""/metrics and /health on a real port."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.client import HTTPConnection
from select import select
from socket import create_connection, socket
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry, Counter

from processor.runtime import http
from processor.stream.health import BROKER_SECONDS, Health
from processor.text.escaping import LONGEST
from tests.unit.operations.hostile import EVERY, raw

ROLES = {"scorer": Health(), "retrainer": Health()}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    registry = CollectorRegistry()
    Counter("telltale_things", "Things.", registry=registry).inc(3)
    server = http.serve("127.0.0.1", 0, registry, ROLES)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def healthy() -> None:
    for health in ROLES.values():
        vars(health).update(vars(Health(waiting=None)))


def get(url: str) -> tuple[int, str, str]:
    place = urlsplit(url)
    connection = HTTPConnection(place.netloc, timeout=60)
    connection.request("GET", place.path)
    with connection.getresponse() as answer:
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


def asked(url: str) -> tuple[int, dict[str, str]]:
    status, content, body = get(url)
    assert content == "application/json"
    return status, json.loads(body)["roles"]


def test_metrics_are_in_prometheus_text(address):
    status, content, body = get(f"{address}/metrics")
    assert status == 200
    assert content.startswith("text/plain")
    assert "telltale_things_total 3.0" in body


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
class TestBothChecks:
    def test_are_200_while_all_is_well(self, address, path):
        assert asked(address + path) == (200, {"scorer": "ok", "retrainer": "ok"})

    def test_are_503_after_a_fatal_error_and_say_so(self, address, path):
        ROLES["retrainer"].fatal = "fenced by a newer one"
        assert asked(address + path) == (
            503,
            {"scorer": "ok", "retrainer": "fatal: fenced by a newer one"},
        )

    def test_are_503_once_the_loop_hangs(self, address, path):
        ROLES["scorer"].turned = monotonic() - 61
        status, why = asked(address + path)
        assert status == 503
        assert "the loop has not turned for 61 s" in why["scorer"]


class TestReadyAlone:
    def test_is_503_while_a_role_waits(self, address):
        ROLES["scorer"].waiting = "restoring: 5 records read"
        assert asked(f"{address}/health/ready") == (
            503,
            {"scorer": "restoring: 5 records read", "retrainer": "ok"},
        )
        assert asked(f"{address}/health/live")[0] == 200

    def test_is_503_while_the_broker_is_silent(self, address):
        ROLES["scorer"].broker_seen = monotonic() - BROKER_SECONDS - 1
        status, why = asked(f"{address}/health/ready")
        assert status == 503
        assert "the broker has not answered for 16 s" in why["scorer"]
        assert asked(f"{address}/health/live")[0] == 200

    def test_a_fatal_error_is_told_before_all_else(self, address):
        ROLES["scorer"].fatal = "fenced"
        ROLES["scorer"].broker_seen = monotonic() - BROKER_SECONDS - 1
        assert asked(f"{address}/health/ready")[1]["scorer"] == "fatal: fenced"


class TestSlowClients:
    """A connection is a thread and a descriptor: whoever is slow, or many, gets few of them."""

    @pytest.fixture
    def own(self) -> Iterator[Any]:
        server = http.serve("127.0.0.1", 0, CollectorRegistry(), {"scorer": Health(waiting=None)})
        yield server
        server.shutdown()
        server.server_close()

    @pytest.mark.parametrize(
        ("beginning", "seconds"),
        [(b"", 5.0), (b"GET /", 1.0), (b"GET /health/live HTTP/1.0\r\nHost: x\r\n", 1.0)],
    )
    def test_hundreds_of_half_sent_requests_neither_stay_nor_keep_a_probe_out(
        self, own, monkeypatch, beginning, seconds
    ):
        assert http.REQUEST_SECONDS == 5.0
        monkeypatch.setattr(http, "REQUEST_SECONDS", seconds)
        before = descriptors()
        with ExitStack() as held:
            clients = [held.enter_context(connected(own.server_port)) for _ in range(200)]
            for client in clients:
                with suppress(OSError):
                    client.sendall(beginning)

            began = monotonic()
            status, _, _ = get(f"http://127.0.0.1:{own.server_port}/health/ready")

            assert status == 200
            assert monotonic() - began < 2
            assert len(own._connections) <= http.MOST_CONNECTIONS
            # All of them wait as long as they like, and are closed all the same.
            until(lambda: not own._connections, http.REQUEST_SECONDS + 5)
            for client in clients:
                client.settimeout(5)
                with suppress(ConnectionResetError):
                    assert client.recv(100) == b""
        until(lambda: descriptors() <= before, 5)

    def test_a_request_that_comes_a_byte_at_a_time_has_no_longer(self, own, monkeypatch):
        monkeypatch.setattr(http, "REQUEST_SECONDS", 1.0)
        with connected(own.server_port) as client:
            began = monotonic()
            for sign in b"GET /health/live HTTP/1.0" + b"x" * 1000:
                try:
                    client.sendall(bytes([sign]))
                except OSError:
                    break
                if select([client], [], [], 0.1)[0]:
                    break

            assert monotonic() - began < http.REQUEST_SECONDS + 5

    def test_a_whole_request_keeps_its_place_before_those_that_are_not_there_yet(self, own):
        with ExitStack() as held:
            first = held.enter_context(connected(own.server_port))
            until(lambda: len(own._connections) == 1, 5)
            own.has_read(next(iter(own._connections)))

            for _ in range(2 * http.MOST_CONNECTIONS):
                held.enter_context(connected(own.server_port))
            status, _, _ = get(f"http://127.0.0.1:{own.server_port}/health/ready")
            first.sendall(b"GET /health/live HTTP/1.0\r\n\r\n")
            first.settimeout(10)

            assert status == 200
            assert first.recv(12) == b"HTTP/1.0 200"


def connected(port: int) -> socket:
    return create_connection(("127.0.0.1", port), timeout=10)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Return once a condition holds."""
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, f"not after {seconds} s"
        select([], [], [], 0.01)


class TestWhatIsSaid:
    def test_names_no_profile_and_is_short(self, address):
        ROLES["scorer"].waiting = (
            "the model directory does not answer: "
            "features/alice-3f6ab194bcdc9d22/2-c84234636d4fa47f.joblib: " + "no space " * 100
        )

        why = asked(f"{address}/health/ready")[1]["scorer"]

        assert "alice" not in why
        assert "features/…-3f6ab194bcdc9d22/" in why
        assert len(why) == LONGEST

    def test_holds_no_control_characters(self, address):
        ROLES["scorer"].fatal = EVERY

        assert raw(asked(f"{address}/health/live")[1]["scorer"]) == []


def test_a_role_that_has_just_begun_is_alive_but_not_ready():
    assert (Health().live(), Health().ready()) == (None, "starting")


def test_any_other_path_is_404_and_says_which_there_are(address):
    status, _, body = get(f"{address}/healthz")
    assert status == 404
    assert "/health/ready" in json.loads(body)["error"]


def test_a_port_in_use_is_an_os_error(address):
    port = int(address.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        http.serve("127.0.0.1", port, CollectorRegistry(), ROLES)
