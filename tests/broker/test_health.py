"""Health as a supervisor asks for it: the broker goes, the loop hangs, an error ends the role."""

import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import RemoteDisconnected
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from processor.metrics.metrics import Metrics
from processor.runtime import http, process
from processor.settings import load
from tests.broker.harness import PATIENCE, Telltale, on_a_broker_of_its_own
from tests.broker.test_pipeline import vectors
from tests.kafka.broker import HOST, JvmBroker, free_ports

FEW = {"TELLTALE_COLD_START_SAMPLES": "30"}
SHORT = {"TELLTALE_MAX_POLL_INTERVAL_MS": "10000", "TELLTALE_TRANSACTION_TIMEOUT_MS": "3000"}


def asked(port: int, path: str) -> tuple[int, str]:
    """Status and body; (0, …) where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (OSError, RemoteDisconnected) as error:
        return 0, str(error)


def live(port: int) -> tuple[int, str]:
    return asked(port, "/health/live")


def ready(port: int) -> tuple[int, str]:
    return asked(port, "/health/ready")


def shown_as_ready(port: int, role: str) -> bool:
    return f'telltale_ready{{role="{role}"}} 1.0' in asked(port, "/metrics")[1]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[JvmBroker, Telltale]]:
    """A broker of the test's own, which it may stop, and an application on it."""
    with on_a_broker_of_its_own(tmp_path, FEW) as made:
        yield made


def test_while_the_broker_is_away_both_roles_live_and_are_not_ready(
    own: tuple[JvmBroker, Telltale],
) -> None:
    broker, telltale = own
    (port,) = free_ports(1)
    telltale.create_topics()
    both = telltale.start("run", "--slot", "0", TELLTALE_HTTP_PORT=str(port))
    assert ready(port)[0] != 200
    telltale.wait_until(lambda: ready(port)[0] == 200, "ready")
    assert shown_as_ready(port, "scorer")
    assert shown_as_ready(port, "retrainer")

    broker.stop()
    telltale.wait_until(lambda: ready(port)[0] == 503, "not ready without the broker")
    said = json.loads(ready(port)[1])["roles"]
    telltale.wait_until(
        lambda: not shown_as_ready(port, "scorer"), "the scorer is shown as waiting"
    )
    lives = live(port)
    broker.start()
    telltale.wait_until(lambda: ready(port)[0] == 200, "ready again")

    assert any(reason != "ok" for reason in said.values()), said
    assert lives[0] == 200
    assert both.poll() is None
    assert telltale.stop(both) == 0


def test_a_loop_that_hangs_is_neither_live_nor_ready_and_the_process_still_ends(
    telltale: Telltale, tmp_path: Path
) -> None:
    records, _ = vectors(profiles=1, count=35, seed=1)
    (port,) = free_ports(1)
    telltale.create_topics(1)
    telltale.produce("telemetry.features", records[:31])
    first = telltale.start("score", "--slot", "0", **FEW)
    telltale.wait_for(31)
    assert telltale.stop(first) == 0
    # Whoever opens a pipe for reading hangs until somebody writes: a disk that never answers.
    (artefact,) = (tmp_path / "models").rglob("*.joblib")
    artefact.unlink()
    os.mkfifo(artefact)

    hangs = telltale.start("score", "--slot", "0", TELLTALE_HTTP_PORT=str(port), **FEW, **SHORT)
    telltale.wait_until(lambda: ready(port)[0] == 200, "ready before it needs the model")
    telltale.produce("telemetry.features", records[31:])
    telltale.wait_until(lambda: live(port)[0] == 503, "not live once it hangs")

    assert "the loop has not turned for 1" in live(port)[1]
    assert ready(port)[0] == 503
    assert not shown_as_ready(port, "scorer")
    assert telltale.stop(hangs) == 1


def test_after_a_fatal_error_a_role_is_never_healthy_again(
    telltale: Telltale, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    records, _ = vectors(profiles=12, count=5, seed=1)
    for name, value in (environment | FEW | {"TELLTALE_SLOT": "0"}).items():
        monkeypatch.setenv(name, value)
    telltale.create_topics(2)
    registry = CollectorRegistry()
    worker = process.build(load(), ["scorer"], Metrics(registry))["scorer"]
    server = http.serve(HOST, 0, registry, {"scorer": worker.health})
    codes: list[int] = []
    loop = threading.Thread(target=lambda: codes.append(worker.run()), daemon=True)
    loop.start()
    telltale.wait_until(lambda: ready(server.server_port)[0] == 200, "ready")

    twin = telltale.start("score", "--slot", "0", **FEW)
    telltale.wait_until(
        lambda: any(line["event"] == "restored" for line in telltale.log_lines()), "the twin works"
    )
    # Each holds one of the two partitions: the older learns of the twin when it answers.
    telltale.produce("telemetry.features", records)
    loop.join(PATIENCE)
    worker.health.turned = worker.health.broker_seen = float("inf")
    worker.health.waiting = None

    assert codes == [1]
    for path in ("/health/live", "/health/ready"):
        status, body = asked(server.server_port, path)
        assert (status, "fatal: " in body) == (503, True)
    assert not shown_as_ready(server.server_port, "scorer")
    telltale.wait_for(len(records))
    assert telltale.stop(twin) == 0
    server.shutdown()
    server.server_close()
