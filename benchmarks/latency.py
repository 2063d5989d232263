"""Latency: from a record's timestamp to its verdict in the hands of a read_committed reader."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic, sleep, time

import numpy as np
import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks import prepared, report
from benchmarks.bed import PARTITIONS, Bed, bed, broker, ends, fill, role, wait
from benchmarks.measure import percentile
from benchmarks.report import Figure
from processor import kafka
from processor.settings import Settings

PROFILES = 200
RATES = (500, 2_000, 10_000)
SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
TARGETS = {(2_000, "p50"): ("≤ 25", "10"), (2_000, "p99"): ("≤ 60", "30")}
TICK_SECONDS = 0.002
QUIET_SECONDS = 3.0
WARM_UP_RATE = 2_000


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
    found: dict[int, list[list[float]]] = {rate: [] for rate in rates}
    with broker() as bootstrap, bed(bootstrap, "latency") as made:
        prepared.active(made, PROFILES)
        prepared.begin(made)
        with role(made, "score") as scorer:
            wait([scorer], scorer.ready)
            # Opens the models, and lets every cache see its first records.
            everyone = prepared.telemetry(made, iter(list(range(PROFILES)) * 20))
            fill(made.settings, everyone)
            sleep(QUIET_SECONDS)
            # A broker's first transactions take five times as long: Java compiles what is hot.
            measured(made, Load(WARM_UP_RATE, 15.0 if options.quick else 60.0))
            for _ in range(repeat):
                for rate in rates:
                    found[rate].append(measured(made, Load(rate, length)))
                    scorer.check()
                    print(f"{rate}/s: {told(found[rate][-1])}", flush=True)
    report.save("latency", [figure for rate in rates for figure in to_figures(rate, found[rate])])
    return 0


def told(latencies: Sequence[float]) -> str:
    return ", ".join(f"{name} {percentile(latencies, s):.1f} ms" for name, s in SHARES.items())


def to_figures(rate: int, repetitions: Sequence[Sequence[float]]) -> list[Figure]:
    """The percentiles of each repetition: their median and spread."""
    return [
        report.several(
            f"latency at {rate:,} records/s, {name}",
            "ms",
            [percentile(latencies, share) for latencies in repetitions],
            *TARGETS.get((rate, name), ("", "")),
        )
        for name, share in SHARES.items()
    ]


def measured(made: Bed, load: Load) -> list[float]:
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
    from_here = ends(made.admin, [made.names.anomalies])
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
            continue
        waiting = [message, *reader.consume(1000, 0)]
        now = time() * 1e3
        for one in waiting:
            observed = int(orjson.loads(one.value())["observed_at"])
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
