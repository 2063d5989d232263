"""A process: one role or several in threads of their own, signals and HTTP in the main thread."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Sequence
from time import monotonic
from typing import Any

import confluent_kafka
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from processor.artifacts.model_store import ModelStore
from processor.artifacts.storage import storage
from processor.ingest.role import open_ingest
from processor.kafka.admin import retention
from processor.kafka.consuming import Follower
from processor.metrics.metrics import Metrics
from processor.retrainer.role import RetrainerRole
from processor.runtime import http, logs
from processor.runtime.warmup import warm_up
from processor.scorer.role import ScorerRole
from processor.settings import Settings, SettingsError
from processor.stream.role import Role
from processor.stream.worker import Worker

SHUTDOWN_SECONDS = 9.0
COLLECT_AFTER = 1_000_000
PORTS = {"scorer": 9464, "retrainer": 9465, "ingest": 9467}


def run_process(settings: Settings, roles: Sequence[str]) -> int:
    """Run roles until SIGTERM, SIGINT or an error without remedy; the exit code.

    Raises:
        SettingsError: the HTTP address cannot be had, or a Kafka property is wrong.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    logs.configure(settings.log_format, settings.log_level)
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    if roles != ["ingest"]:
        warm_up()
    # A batch makes and drops tens of thousands of small objects, hardly one of them in a cycle.
    gc.set_threshold(COLLECT_AFTER, 20, 100)
    workers = build(settings, roles, Metrics(registry))
    port = PORTS[roles[0]] if settings.http_port is None else settings.http_port
    health = {name: worker.health for name, worker in workers.items()}
    try:
        server = http.serve(settings.http_host, port, registry, health)
    except OSError as error:
        address = f"{settings.http_host}:{port}"
        raise SettingsError(
            f"TELLTALE_HTTP_PORT: expected a free address, got {address}: {error.strerror or error}"
        ) from None
    logs.logger(roles[0]).info("listening", host=settings.http_host, port=server.server_port)
    codes = run_workers(workers, stopping)
    server.shutdown()
    return max(codes.values())


def build(settings: Settings, roles: Sequence[str], metrics: Metrics) -> dict[str, Worker]:
    """The workers of the roles; each has models of its own."""
    workers = {}
    for name in roles:
        log = logs.logger(name)
        metrics.start(name, settings, confluent_kafka.libversion()[0])
        workers[name] = Worker(_role(name, settings, metrics, log), settings, metrics, log)
    return workers


def _role(name: str, settings: Settings, metrics: Metrics, log: Any) -> Role:
    if name == "ingest":
        return open_ingest(settings, metrics, log)
    store = ModelStore(storage(settings), settings.model_memory)
    if name == "scorer":
        return ScorerRole(settings, store, metrics, log, retention=retention)
    return RetrainerRole(settings, store, metrics, log, follow=Follower)


def run_workers(workers: dict[str, Worker], stopping: threading.Event) -> dict[str, int]:
    """Turn the loops until ``stopping`` is set or one of them ends; exit codes by role.

    A loop that hangs in a call to the broker does not keep the process: it ends with 1 then.
    """
    codes: dict[str, int] = {}

    def turn(name: str, worker: Worker) -> None:
        codes[name] = worker.run()
        stopping.set()

    threads = [
        threading.Thread(target=turn, args=item, name=item[0], daemon=True)
        for item in workers.items()
    ]
    for thread in threads:
        thread.start()
    stopping.wait()
    for worker in workers.values():
        worker.stop()
    deadline = monotonic() + SHUTDOWN_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - monotonic()))
    if any(thread.is_alive() for thread in threads):
        logs.logger("process").error("hung", detail="a loop did not end; the process ends with 1")
        os._exit(1)
    return codes
