"""``telltale demo``: the main job on the embedded broker, with simulated profiles, in one process.

Everything but the broker is what runs in production: both roles, their topics, their transactions.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep, time_ns

from confluent_kafka import KafkaException, Producer
from prometheus_client import CollectorRegistry

from models.features import KINDS
from processor.demo.console import console_beside
from processor.demo.scoreboard import Board
from processor.demo.view import View
from processor.kafka import config as kafka
from processor.kafka.mock_broker import EmbeddedBroker
from processor.kafka.reading import ToolError, poll, reader
from processor.metrics.metrics import Metrics
from processor.operations.produce import ProduceReport
from processor.runtime import logs, process
from processor.runtime.warmup import warm_up
from processor.settings import Settings
from processor.simulation.send import send
from processor.simulation.simulator import Plan, Simulated, simulate
from processor.stream.worker import Worker
from processor.topics import Topics

READY_SECONDS = 60.0
REST_SECONDS = 10.0
POLL_SECONDS = 0.1
POLL_RECORDS = 2000
GUIDE = (
    "Open it: profiles learn before your eyes, anomalies appear, one key labels each, and new "
    "versions are adopted. The overview says what to look at."
)


@dataclass(frozen=True)
class Script:
    """What the demo shows.

    Attributes:
        seconds: how long telemetry flows.
        rate: records a second, of all profiles together.
        console: whether a console runs beside it, on until Ctrl-C.
    """

    seconds: float = 20.0
    profiles: int = 24
    rate: float = 480.0
    anomaly_rate: float = 0.02
    cold_start: int = 100
    retrain: int = 200
    seed: int = 0
    console: bool = False


def settings_for(script: Script, given: Settings, bootstrap: str, directory: Path) -> Settings:
    """The demo's settings: its own, whatever the environment says, but budget and detector."""
    return Settings.model_construct(
        bootstrap_servers=bootstrap,
        application="telltale-demo",
        slot="demo",
        model_dir=str(directory / "models"),
        cold_start_samples=script.cold_start,
        retrain_samples=script.retrain,
        alert_budget=given.alert_budget,
        detector=given.detector,
        seed=script.seed,
        lost_offsets="earliest",
    )


def run_demo(script: Script, given: Settings, view: View) -> None:
    """Run the demo and show its summary.

    Raises:
        ToolError: something failed: a role ended, or a record was left without a verdict.
    """
    with tempfile.TemporaryDirectory(prefix="telltale-demo-") as place, EmbeddedBroker() as broker:
        directory = Path(place)
        settings = settings_for(script, given, broker.bootstrap, directory)
        topics = Topics(settings.topic_prefix)
        broker.create(topics.configs())
        log = directory / "log.jsonl"
        with log.open("w") as stream:
            logs.configure("json", "info", stream)
            with ExitStack() as stack:
                workers = stack.enter_context(roles(settings))
                if script.console:
                    url = stack.enter_context(console_beside(settings, directory))
                    view.say(f"console: {url}/ui/ (no login: this machine alone reaches it)")
                    view.say(GUIDE)
                whole = show_demo(script, settings, topics, workers, view, log)
                if script.console and whole:
                    view.say(f"The console goes on at {url}/ui/, until Ctrl-C.")
                    keep_serving(workers, log)


def keep_serving(workers: dict[str, Worker], log: Path) -> None:
    """Wait for Ctrl-C.

    Raises:
        ToolError: a role ended.
    """
    try:
        while True:
            check_demo(workers, log)
            sleep(POLL_SECONDS)
    except KeyboardInterrupt:
        return


@contextmanager
def roles(settings: Settings) -> Iterator[dict[str, Worker]]:
    """Both roles, turning in threads until the block ends."""
    workers = process.build(settings, ["scorer", "retrainer"], Metrics(CollectorRegistry()))
    stopping = threading.Event()
    turning = threading.Thread(target=process.run_workers, args=(workers, stopping), daemon=True)
    turning.start()
    try:
        yield workers
    finally:
        stopping.set()
        turning.join(process.SHUTDOWN_SECONDS + 1)


def show_demo(
    script: Script,
    settings: Settings,
    topics: Topics,
    workers: dict[str, Worker],
    view: View,
    log: Path,
) -> bool:
    """Send, watch, and sum up; whether it went on to its end, and was not stopped by Ctrl-C."""
    whole = True
    board = Board(alert_budget=settings.alert_budget)
    plan = Plan(
        profiles=script.profiles,
        kinds=tuple(KINDS),
        records=None,
        anomaly_rate=script.anomaly_rate,
        learning={kind: settings.cold_start(kind) for kind in KINDS},
        seed=script.seed,
        start=time_ns() // 1_000_000,
    )
    watched = [topics.anomalies, topics.lifecycle]
    producer = Producer(kafka.plain_producer(settings))
    partitions = len(producer.list_topics(topics.anomalies).topics[topics.anomalies].partitions)
    consumer = reader(settings, {(name, p): 0 for name in watched for p in range(partitions)})
    stopping = threading.Event()
    sent: list[ProduceReport] = []

    def on_truth(record: Simulated, topic: str, partition: int, offset: int) -> None:
        board.sent(record, f"{topic}-{partition}-{offset}")

    def feed() -> None:
        sent.append(
            send(
                producer,
                topics,
                simulate(plan),
                stopping,
                on_truth,
                rate=script.rate,
                seconds=script.seconds,
            )
        )

    feeding = threading.Thread(target=feed, name="feed", daemon=True)
    try:
        with view.watching(board, script.seconds):
            compiled = threading.Thread(target=warm_up, daemon=True)
            compiled.start()
            await_ready(workers, compiled, view, log)
            feeding.start()
            board.begin()
            deadline = monotonic() + script.seconds + REST_SECONDS
            while feeding.is_alive() or not board.complete:
                for record in poll(consumer, POLL_RECORDS, POLL_SECONDS)[0]:
                    board.take(record, topics)
                view.refresh()
                check_demo(workers, log)
                if monotonic() > deadline:
                    left = len(board.truth) - board.answered
                    raise ToolError(f"{left} records without a verdict after {REST_SECONDS:.0f} s")
    except KeyboardInterrupt:
        view.say("stopped")
        whole = False
    except KafkaException as error:
        raise ToolError(f"the embedded broker: {error.args[0].str()}") from None
    finally:
        stopping.set()
        if feeding.is_alive():
            feeding.join(REST_SECONDS)
        consumer.close()
    if sent and sent[0].undelivered:
        raise ToolError(f"{sent[0].undelivered} records not delivered: {sent[0].reason}")
    view.summary(board)
    return whole


def await_ready(
    workers: dict[str, Worker], compiled: threading.Thread, view: View, log: Path
) -> None:
    """Wait until both roles have their partitions and the kernels are compiled."""
    deadline = monotonic() + READY_SECONDS
    while waiting := _waiting(workers, compiled):
        check_demo(workers, log)
        if monotonic() > deadline:
            raise ToolError(f"not ready after {READY_SECONDS:.0f} s: {waiting}")
        view.waiting(waiting)
        compiled.join(POLL_SECONDS)


def _waiting(workers: dict[str, Worker], compiled: threading.Thread) -> str:
    parts = [f"{name}: {why}" for name, w in workers.items() if (why := w.health.ready())]
    if compiled.is_alive():
        parts.append("compiling the scoring kernels (once on a machine)")
    return "; ".join(parts)


def check_demo(workers: dict[str, Worker], log: Path) -> None:
    """Raise if a role has ended."""
    for name, worker in workers.items():
        if worker.health.fatal is not None:
            last = log.read_text().splitlines()[-1:] or [""]
            raise ToolError(f"the {name} ended: {worker.health.fatal} ({last[0][:300]})")
