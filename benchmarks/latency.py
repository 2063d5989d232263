"""Latency: from a record's timestamp to its verdict in the hands of a read_committed reader.

Beside it that of a transactional pass-through, which scores nothing: what broker and client take.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import monotonic, sleep, time

import numpy as np
import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks import peer, prepared, report
from benchmarks.bed import (
    PARTITIONS,
    Bed,
    Running,
    bed,
    broker,
    commit,
    ends,
    fill,
    inputs,
    role,
    wait,
)
from benchmarks.measure import percentile, ratios
from benchmarks.peer import OURS, PASSING
from benchmarks.report import Figure
from processor.kafka import config as kafka
from processor.settings import Settings

PROFILES = 200
RATES = (500, 2_000, 10_000)
SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
TARGETS = {(2_000, "p50"): ("≤ 25", "10"), (2_000, "p99"): ("≤ 60", "30")}
TICK_SECONDS = 0.002
QUIET_SECONDS = 3.0
WARM_UP_RATE = 2_000
AT_ONCE = replace(PASSING, arguments=(*PASSING.arguments, "--at-once"))


@dataclass(frozen=True)
class Load:
    """What is sent: so many records a second, for so many seconds."""

    rate: int
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure at each rate; figures to the results, a table to standard output."""
    parser = argparse.ArgumentParser(prog="benchmarks.latency", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short look")
    parser.add_argument("--rate", type=int, action="append", help="records/s, instead of all")
    parser.add_argument("--repeat", type=int)
    options = parser.parse_args(arguments)
    length = 8.0 if options.quick else 20.0
    repeat = options.repeat or (1 if options.quick else 3)
    rates = options.rate or RATES
    found: dict[tuple[str, int], list[list[float]]] = {
        (name, rate): [] for rate in rates for name in (OURS, PASSING.name)
    }
    with broker() as bootstrap, bed(bootstrap, "latency") as made, peer.topics(made):
        prepared.active(made, PROFILES)
        prepared.begin(made)
        with ours(made) as scorer:
            # A broker's first transactions take five times as long: Java compiles what is hot.
            measured(made, Load(WARM_UP_RATE, 15.0 if options.quick else 120.0), scorer)
        for number in range(repeat):
            order = (ours, passing) if number % 2 == 0 else (passing, ours)
            for started in order:
                with started(made) as one:
                    for rate in rates:
                        latencies = measured(made, Load(rate, length), one)
                        found[one.name, rate].append(latencies)
                        print(f"{one.name}, {rate}/s: {told(latencies)}", flush=True)
    report.save("latency", [figure for rate in rates for figure in to_figures(rate, found)])
    return 0


@dataclass(frozen=True)
class Measured:
    """A process that answers telemetry, and the topic of its verdicts."""

    name: str
    process: Running
    verdicts: str


@contextmanager
def ours(made: Bed) -> Iterator[Measured]:
    """A scorer that has opened all models."""
    names, group = made.names, f"{made.settings.application}-scorer"
    commit(made.settings, group, ends(made.admin, inputs(names)))
    with role(made, "score") as scorer:
        wait([scorer], scorer.ready)
        one = Measured(OURS, scorer, names.anomalies)
        shown(made, one)
        yield one


@contextmanager
def passing(made: Bed) -> Iterator[Measured]:
    """A pass-through that has its partitions."""
    group = f"{made.settings.application}-peer"
    commit(made.settings, group, ends(made.admin, [made.names.telemetry(prepared.KIND)]))
    with peer.started(made, AT_ONCE, group, prepared.KIND, made.directory) as process:
        one = Measured(PASSING.name, process, peer.outputs(made)[0])
        shown(made, one)
        yield one


def shown(made: Bed, one: Measured) -> None:
    """Have records of every profile answered, so that every cache has seen them."""

    def answered() -> int:
        return sum(ends(made.admin, [one.verdicts]).values())

    before = answered()
    sent = fill(made.settings, prepared.telemetry(made, iter(list(range(PROFILES)) * 20)))
    # A topic's end counts the marks of transactions, too: some records may be left.
    wait([one.process], lambda: answered() - before > sent)
    sleep(QUIET_SECONDS)


def told(latencies: Sequence[float]) -> str:
    return ", ".join(f"{name} {percentile(latencies, s):.1f} ms" for name, s in SHARES.items())


def to_figures(
    rate: int, found: Mapping[tuple[str, int], Sequence[Sequence[float]]]
) -> Iterator[Figure]:
    """The percentiles of each repetition, ours beside the pass-through's: median and spread."""
    for share_name, share in SHARES.items():
        name = f"latency at {rate:,} records/s, {share_name}"
        own, theirs = (
            [percentile(latencies, share) for latencies in found[who, rate]]
            for who in (OURS, PASSING.name)
        )
        yield report.several(name, "ms", own, *TARGETS.get((rate, share_name), ("", "")))
        yield report.several(f"{name}: {PASSING.name}", "ms", theirs)
        ratio, least, most = ratios(own, theirs)
        yield Figure(f"{name}: ours ÷ {PASSING.name}", ratio, "", least, most)


def measured(made: Bed, load: Load, one: Measured) -> list[float]:
    """Milliseconds of each record of a load but those of its first second, ascending."""
    reader = Consumer(
        kafka.base(made.settings)
        | {
            "group.id": "latency-reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 1,
        }
    )
    from_here = ends(made.admin, [one.verdicts])
    reader.assign([TopicPartition(topic, p, offset) for (topic, p), offset in from_here.items()])
    reader.consume(1, 0.5)
    process = multiprocessing.get_context("spawn").Process(
        target=send, args=(made.settings, made.names.telemetry(prepared.KIND), load)
    )
    process.start()
    expected, latencies, seen = int(load.rate * load.seconds), [], 0
    first: int | None = None
    deadline = monotonic() + load.seconds + 120
    while seen < expected:
        if monotonic() > deadline:
            raise RuntimeError(f"{seen} of {expected} verdicts came")
        message = reader.poll(1.0)
        if message is None:
            one.process.check()
            continue
        waiting = [message, *reader.consume(1000, 0)]
        now = time() * 1e3
        for verdict in waiting:
            observed = int(orjson.loads(verdict.value())["observed_at"])
            first = observed if first is None else first
            seen += 1
            if observed - first >= 1000:
                latencies.append(now - observed)
    process.join()
    reader.close()
    return sorted(latencies)


def send(settings: Settings, topic: str, load: Load) -> None:
    """Write a load at its pace; the client stamps each record as it is produced."""
    values = prepared.values(3)
    chosen = np.random.default_rng(4).integers(PROFILES, size=1 << 16).tolist()
    producer = Producer(kafka.plain_producer(settings) | {"linger.ms": 0})
    producer.list_topics(topic, timeout=10)
    began, sent, total = monotonic(), 0, int(load.rate * load.seconds)
    while sent < total:
        due = min(total, int((monotonic() - began) * load.rate))
        for number in range(sent, due):
            profile = chosen[number % len(chosen)]
            producer.produce(
                topic,
                key=f"profile-{profile}".encode(),
                value=values[profile % prepared.TEMPLATES][number % prepared.VALUES],
                partition=profile % PARTITIONS,
            )
        sent = max(sent, due)
        producer.poll(0)
        sleep(TICK_SECONDS)
    producer.flush(30)


if __name__ == "__main__":
    sys.exit(main())
