"""/metrics and /health on a real port."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from time import monotonic
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry, Counter

from processor import http
from processor.http import BROKER_SECONDS, Health

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
