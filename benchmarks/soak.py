"""Soak: a steady rate over the four kinds for a long time, on a real Kafka, both roles running.

Memory of each process, processor time and lag are noted at each sample. Topics are kept short, so
that the disk stays bounded however long it runs: ``python -m benchmarks.soak --minutes 30``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import orjson
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from prometheus_client.parser import text_string_to_metric_families

from processor.kafka import admin as topic_admin
from processor.kafka import config as kafka
from processor.settings import Settings
from processor.simulation.kinds import NAMES
from processor.simulation.simulator import Plan, simulate
from processor.topics import Topics
from tests.kafka.broker import JvmBroker, free_ports

PARTITIONS = 8
TICK_SECONDS = 0.05
SHARES = {"features": 0.85, "series": 0.05, "drowsiness": 0.05, "behavior": 0.05}
OTHERS = tuple(kind for kind in SHARES if kind != "features")
ROLES = {"scorer": "score", "retrainer": "retrain"}
KEPT = {"retention.ms": "300000", "segment.ms": "20000", "segment.bytes": str(64 * 2**20)}
COMPACTED = {
    "segment.ms": "60000",
    "min.cleanable.dirty.ratio": "0.2",
    "max.compaction.lag.ms": "120000",
    "delete.retention.ms": "60000",
}
BROKER = {"log.retention.check.interval.ms": "15000", "log.segment.delete.delay.ms": "5000"}
BEHIND_SECONDS = 10.0
"""A role whose lag is more than so many seconds of input at the end has not kept up."""


@dataclass(frozen=True)
class Sample:
    """What was seen at one moment.

    Attributes:
        minute: since the load began.
        sent: records of telemetry, so far.
        answered: verdicts and dead letters of them, so far.
        lag: records by role.
        rss: bytes resident by process.
        cores: processor time by process, of one core, since the sample before.
        profiles: by state.
        trainings: of both roles, so far.
    """

    minute: float
    sent: int
    answered: int
    lag: dict[str, int]
    rss: dict[str, int]
    cores: dict[str, float]
    profiles: dict[str, int]
    trainings: int


def main(arguments: Sequence[str]) -> int:
    """Print a line for each sample, then all as JSON; 1 where a role fell behind or ended."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description=__doc__)
    parser.add_argument("--rate", type=int, default=5000, help="records a second")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long")
    parser.add_argument("--profiles", type=int, default=2000, help="of all kinds together")
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two samples")
    parser.add_argument("--retrain-samples", type=int, default=500, help="as the setting")
    parser.add_argument("--cold-start", type=int, default=200, help="as the setting")
    parser.add_argument("--json", type=Path, help="a file for the samples, beside standard output")
    given = parser.parse_args(arguments)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = None
        bootstrap = os.environ.get("KAFKA_BOOTSTRAP")
        if not bootstrap:
            broker = stack.enter_context(JvmBroker(directory / "kafka", BROKER, heap="1g"))
            bootstrap = broker.bootstrap
        name = f"soak-{uuid.uuid4().hex[:8]}"
        settings = Settings(
            _env_file=None,
            bootstrap_servers=bootstrap,
            topic_prefix=f"{name}.",
            application=name,
            slot="0",
            model_dir=str(directory / "models"),
            retrain_samples=given.retrain_samples,
            cold_start_samples=given.cold_start,
        )
        prepare(settings)
        ports = dict(zip(ROLES, free_ports(len(ROLES)), strict=True))
        running = {
            role: stack.enter_context(started(settings, role, ports[role])) for role in ROLES
        }
        pids = {role: process.pid for role, process in running.items()}
        pids |= {"broker": broker.pid} if broker is not None and broker.pid else {}
        samples = list(soak(given, settings, running, ports, pids))
    told = {"arguments": {k: str(v) for k, v in vars(given).items()}}
    told["samples"] = [asdict(sample) for sample in samples]
    print(json.dumps(told))
    if given.json is not None:
        given.json.write_text(json.dumps(told, indent=1) + "\n")
    return int(not samples or max(samples[-1].lag.values()) > BEHIND_SECONDS * given.rate)


def prepare(settings: Settings) -> None:
    """Create the topics, and keep them short."""
    admin = AdminClient(kafka.base(settings))
    names = Topics(settings.topic_prefix)
    topic_admin.create(admin, names, PARTITIONS, 1)
    compacted = (names.models, names.cold_start, names.profiles, names.pool)
    changes = [
        ConfigResource(
            ResourceType.TOPIC,
            topic,
            incremental_configs=[
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
                for name, value in (COMPACTED if topic in compacted else KEPT).items()
            ],
        )
        for topic in names.configs()
    ]
    for future in admin.incremental_alter_configs(changes).values():
        future.result()


def started(settings: Settings, role: str, port: int) -> subprocess.Popen[bytes]:
    """A role in a process of its own, as a user starts it."""
    chosen = (
        "bootstrap_servers",
        "topic_prefix",
        "application",
        "slot",
        "model_dir",
        "retrain_samples",
        "cold_start_samples",
    )
    variables = {f"TELLTALE_{name.upper()}": str(getattr(settings, name)) for name in chosen}
    process = Ended(
        [
            str(Path(sys.executable).with_name("telltale")),
            ROLES[role],
            "--http-port",
            str(port),
            "--log-level",
            "warning",
        ],
        env=os.environ | variables,
    )
    deadline = monotonic() + 120
    while not ready(port):
        if process.poll() is not None or monotonic() > deadline:
            raise RuntimeError(f"the {role} did not get ready")
        sleep(0.1)
    return process


class Ended(subprocess.Popen[bytes]):
    """A process that is told to end where its context does."""

    def __exit__(self, *_: object) -> None:
        self.terminate()
        self.wait(30)


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def soak(
    given: argparse.Namespace,
    settings: Settings,
    running: dict[str, subprocess.Popen[bytes]],
    ports: dict[str, int],
    pids: dict[str, int],
) -> Iterator[Sample]:
    """Send, and look now and then; ends early where a process does."""
    print("| minute | sent | answered | lag s / r | RSS MB " + " / ".join(pids) + end_of_head())
    producer = Producer(kafka.plain_producer(settings) | {"linger.ms": 20})
    names = Topics(settings.topic_prefix)
    load = records(given.profiles, given.rate, settings)
    began = looked = monotonic()
    sent, used = 0, {name: processor_seconds(pid) for name, pid in pids.items()}
    while (now := monotonic()) - began < given.minutes * 60 + TICK_SECONDS:
        for kind, key, value in next(load)[: max(0, round((now - began) * given.rate) - sent)]:
            producer.produce(names.telemetry(kind), key=key, value=value)
            sent += 1
        producer.poll(0)
        if now - looked >= given.every:
            spent = {name: processor_seconds(pid) for name, pid in pids.items()}
            cores = {name: (spent[name] - used[name]) / (now - looked) for name in pids}
            looked, used = now, spent
            yield told(sample((now - began) / 60, sent, ports, pids, cores))
            if any(process.poll() is not None for process in running.values()):
                print("a process ended", file=sys.stderr)
                return
        sleep(TICK_SECONDS)
    producer.flush(30)


def end_of_head() -> str:
    return " | cores | learning / active | trainings |\n|---|---|---|---|---|---|---|---|"


def told(found: Sample) -> Sample:
    """Print a line of the table."""
    print(
        f"| {found.minute:.1f} | {found.sent:,} | {found.answered:,} "
        f"| {' / '.join(f'{lag:,}' for lag in found.lag.values())} "
        f"| {' / '.join(f'{size / 2**20:.0f}' for size in found.rss.values())} "
        f"| {' / '.join(f'{share:.2f}' for share in found.cores.values())} "
        f"| {found.profiles['learning']} / {found.profiles['active']} | {found.trainings} |",
        flush=True,
    )
    return found


def records(profiles: int, rate: int, settings: Settings) -> Iterator[list[tuple[str, str, bytes]]]:
    """For each tick more records than it needs, mixed: kind, key and value."""
    rng = np.random.default_rng(settings.seed)
    each = {kind: max(1, round(profiles * share)) for kind, share in SHARES.items()}
    mean = rng.uniform(20, 200, (each["features"], len(NAMES)))
    spread = mean * rng.uniform(0.03, 0.12, mean.shape)
    plan = Plan(
        3 * min(each[kind] for kind in OTHERS), OTHERS, None, 0.005, dict.fromkeys(OTHERS, 500)
    )
    others = simulate(plan)
    most = max(1, round(rate * TICK_SECONDS * 4))
    while True:
        kinds = rng.random(most) < SHARES["features"]
        chosen = rng.integers(each["features"], size=most)
        values = np.round(mean[chosen] + spread[chosen] * rng.normal(size=(most, len(NAMES))), 4)
        tick = []
        for is_features, number, row in zip(kinds, chosen.tolist(), values.tolist(), strict=True):
            if is_features:
                value = orjson.dumps({"values": dict(zip(NAMES, row, strict=True))})
                tick.append(("features", f"machine-{number}", value))
            else:
                other = next(others)
                tick.append((other.kind, other.profile_id, orjson.dumps(other.value)))
        yield tick


def sample(
    minute: float, sent: int, ports: dict[str, int], pids: dict[str, int], cores: dict[str, float]
) -> Sample:
    """Look at the metrics and at the processes."""
    found = {role: metrics(port) for role, port in ports.items()}
    scorer = found["scorer"]
    return Sample(
        minute=round(minute, 2),
        sent=sent,
        answered=int(total(scorer, "telltale_records_total")),
        lag={role: int(total(those, "telltale_consumer_lag")) for role, those in found.items()},
        rss={name: resident(pid) for name, pid in pids.items()},
        cores={name: round(share, 3) for name, share in cores.items()},
        profiles={
            state: int(total(scorer, "telltale_profiles", state=state))
            for state in ("learning", "active")
        },
        trainings=int(sum(total(those, "telltale_trainings_total") for those in found.values())),
    )


def metrics(port: int) -> list[Any]:
    """The samples that a role serves."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return [s for family in text_string_to_metric_families(text) for s in family.samples]


def total(found: Sequence[Any], name: str, **labels: str) -> float:
    """Sum of the series of a name that have these labels."""
    return sum(
        sample.value
        for sample in found
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def resident(pid: int) -> int:
    """Bytes resident of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if "VmRSS" in line).split()[1]) * 1024


def processor_seconds(pid: int) -> float:
    """Processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
