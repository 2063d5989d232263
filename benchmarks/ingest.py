"""Ingest on a preloaded backlog of another topic, beside Quix Streams doing the same mapping."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import fastavro
import numpy as np
from confluent_kafka.admin import NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from benchmarks import measure, report
from benchmarks.bed import ROOT, Bed, bed, broker, commit, empty, fill, role, running
from benchmarks.progress import Progress
from benchmarks.report import Figure
from benchmarks.throughput import QUIX_PYTHON
from tests.kafka.registry import Registry

OURS, QUIX = "telltale ingest", "Quix Streams, exactly-once"
TOPIC = "bench-source"
HOSTS = 200
FEATURES = ("usage_idle", "usage_user", "usage_system", "usage_iowait", "usage_steal")
AVRO = {
    "type": "record",
    "name": "Cpu",
    "fields": [
        {"name": "host", "type": "string"},
        {"name": "timestamp", "type": "long"},
        *({"name": name, "type": "double"} for name in FEATURES),
    ],
}
MUST = {"json": "≥ 30000", "avro": "≥ 15000"}


@dataclass(frozen=True)
class Backlog:
    """Records that wait in a topic of others, and the file that maps them."""

    bed: Bed
    form: str
    topic: str
    count: int
    sources: Path
    registry: str

    @property
    def starts(self) -> dict[tuple[str, int], int]:
        return {(self.topic, p): 0 for p in range(self.bed.partitions)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure both formats; figures to the results, a table to standard output."""
    parser = argparse.ArgumentParser(prog="benchmarks.ingest", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short look")
    parser.add_argument("--only", choices=tuple(MUST), help="this format alone")
    parser.add_argument("--partitions", type=int, default=4)
    options = parser.parse_args(arguments)
    repeat, seconds = (1, 3.0) if options.quick else (5, 5.0)
    figures: list[Figure] = []
    count = 100_000 if options.quick else 500_000
    with (
        broker() as bootstrap,
        tempfile.TemporaryDirectory() as directory,
        Registry(Path(directory)) as registry,
    ):
        for form in (options.only,) if options.only else tuple(MUST):
            with backlog(bootstrap, form, options.partitions, count, registry.url) as made:
                figures += measured(made, repeat, seconds)
    report.save("ingest", figures)
    return 0


@contextmanager
def backlog(
    bootstrap: str, form: str, partitions: int, count: int, registry: str
) -> Iterator[Backlog]:
    """A filled topic of Telegraf's records, as JSON or as Avro with the registry's id."""
    with bed(bootstrap, "ingest", partitions) as made:
        topic = f"{made.settings.topic_prefix}{TOPIC}"
        made.admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result()
        try:
            values = encoded(form, registry)
            rows = (
                (topic, number % partitions, b"", values[number % len(values)])
                for number in range(count)
            )
            fill(made.settings, rows)
            yield Backlog(made, form, topic, count, file_of(made, form, topic, registry), registry)
        finally:
            made.admin.delete_topics([topic])[topic].result()


def encoded(form: str, registry: str) -> list[bytes]:
    """Some thousand values of all hosts."""
    rng = np.random.default_rng(1)
    found = []
    if form == "avro":
        client = SchemaRegistryClient({"url": registry})
        number = client.register_schema(f"{TOPIC}-value", Schema(json.dumps(AVRO), "AVRO"))
        schema = fastavro.parse_schema(AVRO)
    for at in range(20 * HOSTS):
        drawn = rng.uniform(0, 100, len(FEATURES)).round(4).tolist()
        fields = dict(zip(FEATURES, drawn, strict=True))
        host, time = f"host-{at % HOSTS:03d}", 1_700_000_000 + at // HOSTS
        if form == "avro":
            stream = BytesIO(b"\x00" + number.to_bytes(4, "big"))
            stream.seek(5)
            value = {"host": host, "timestamp": time, **fields}
            fastavro.schemaless_writer(stream, schema, value)
            found.append(stream.getvalue())
        else:
            told = {
                "fields": fields,
                "name": "cpu",
                "tags": {"cpu": "cpu-total", "host": host},
                "timestamp": time,
            }
            found.append(json.dumps(told, separators=(",", ":")).encode())
    return found


def file_of(made: Bed, form: str, topic: str, registry: str) -> Path:
    """The file of sources: plain dotted paths."""
    inner = "" if form == "avro" else "fields."
    source = {
        "name": "cpu",
        "topic": topic,
        "format": form,
        "kind": "features",
        "profile_id": "{host}" if form == "avro" else "{tags.host}",
        "observed_at": {"path": "timestamp", "unit": "s"},
        "values": {name: f"{inner}{name}" for name in FEATURES},
    }
    whole: dict[str, object] = {"sources": [source]}
    if form == "avro":
        (made.directory / "registry.properties").write_text(f"url={registry}\n")
        whole["schema_registry"] = "registry.properties"
    path = made.directory / "sources.yaml"
    path.write_text(json.dumps(whole))
    return path


def measured(made: Backlog, repeat: int, seconds: float) -> list[Figure]:
    """Rates of both in turn, and ours by theirs."""
    rates: dict[str, list[float]] = {OURS: [], QUIX: []}
    costs: dict[str, list[float]] = {OURS: [], QUIX: []}
    if not QUIX_PYTHON.exists():
        print(f"{QUIX}: not installed in {QUIX_PYTHON.parent.parent.relative_to(ROOT)}")
        del rates[QUIX], costs[QUIX]
    for number in range(repeat):
        print(f"{made.form}, repetition {number + 1} of {repeat}", flush=True)
        for name in (*rates,) if number % 2 else (*reversed(rates),):
            rate, cost = ours(made, seconds) if name == OURS else theirs(made, seconds)
            rates[name].append(rate)
            costs[name].append(cost)
            print(f"  {name}: {rate:,.0f}/s, {cost:,.1f} µs a record", flush=True)
    what = f"`{made.form}`, {made.bed.partitions} partitions, {len(FEATURES)} features"
    figures = []
    for name, found in rates.items():
        must = MUST[made.form] if name == OURS else ""
        one = report.several(f"{what}: {name}", "records/s", found)
        figures.append(Figure(one.name, one.value, one.unit, one.least, one.most, must))
        figures.append(
            report.several(f"{what}: {name}, processor time", "µs a record", costs[name])
        )
    if QUIX in rates:
        ratio, least, most = measure.ratios(rates[OURS], rates[QUIX])
        figures.append(Figure(f"{what}: ours ÷ {QUIX}", ratio, "", least, most, "≥ 1.0"))
    return figures


def ours(made: Backlog, seconds: float) -> tuple[float, float]:
    """Records a second and microseconds a record of the role, from the beginning."""
    group = f"{made.bed.settings.application}-ingest"
    commit(made.bed.settings, group, made.starts)
    with role(made.bed, "ingest", arguments=("run", str(made.sources))) as started:
        found = followed(made, group, started, seconds)
    empty(made.bed.admin, [made.bed.names.telemetry("features")], made.bed.partitions)
    return found


def theirs(made: Backlog, seconds: float) -> tuple[float, float]:
    """The same of Quix Streams."""
    group = f"peer-{uuid.uuid4().hex[:8]}"
    commit(made.bed.settings, group, made.starts)
    output = made.bed.names.telemetry("features")
    command = [
        str(QUIX_PYTHON), "-m", "benchmarks.peers.quix_ingest", "--group", group,
        "--bootstrap", made.bed.settings.bootstrap_servers, "--source", made.topic,
        "--output", output, "--format", made.form, "--registry", made.registry,
    ]  # fmt: skip
    with running(command, made.bed.directory) as started:
        found = followed(made, group, started, seconds)
    empty(made.bed.admin, [output], made.bed.partitions)
    return found


def followed(made: Backlog, group: str, started: object, seconds: float) -> tuple[float, float]:
    progress = Progress(made.bed.settings, group, made.starts)
    changes = progress.follow(started, made.count, seconds)  # type: ignore[arg-type]
    progress.close()
    return measure.rate(changes, made.count), measure.cost(changes, made.count)


if __name__ == "__main__":
    sys.exit(main())
