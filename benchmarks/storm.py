"""Storms: many profiles reach their trigger within a minute; many are due for retraining."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Sequence
from time import monotonic, sleep, time

import numpy as np
import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks import measure, prepared, report
from benchmarks.bed import PARTITIONS, Bed, bed, broker, ends, fill, role, wait
from benchmarks.progress import Progress
from benchmarks.report import Figure
from processor.artifacts.proof import HEADER, prove
from processor.artifacts.storage import storage
from processor.kafka import config as kafka
from processor.settings import Settings
from schemas import Mark

STORM_SECONDS = 60.0
BACKGROUND = 160
"""Active profiles whose records go on during the storm."""
BACKGROUND_RATE = 400
"""Of their records a second."""
POOLED = 500


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure both storms; figures to the results, a table to standard output."""
    parser = argparse.ArgumentParser(prog="benchmarks.storm", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short look: a tenth of it")
    parser.add_argument("--only", choices=("cold-start", "retrain"))
    options = parser.parse_args(arguments)
    part = 10 if options.quick else 1
    figures: list[Figure] = []
    with broker() as bootstrap:
        if options.only != "retrain":
            figures += cold_starts(bootstrap, 10_000 // part, STORM_SECONDS / part)
        if options.only != "cold-start":
            figures += retrainings(bootstrap, 3_000 // part)
    report.save("storm", figures)
    return 0


def cold_starts(bootstrap: str, profiles: int, seconds: float) -> list[Figure]:
    """Profiles, all one sample short of their training, get it within so many seconds."""
    with bed(bootstrap, "storm") as made:
        prepared.active(made, BACKGROUND)
        prepared.learning(made, profiles, prepared.SAMPLES - 1, name="learner")
        prepared.begin(made)
        group = f"{made.settings.application}-scorer"
        topic = made.names.telemetry(prepared.KIND)
        progress = Progress(made.settings, group, {(topic, p): 1 for p in range(PARTITIONS)})
        with role(made, "score") as scorer:
            wait([scorer], scorer.ready)
            fill(made.settings, prepared.telemetry(made, iter(range(BACKGROUND))))
            wait([scorer], lambda: progress.answered() == BACKGROUND)
            times, began, ended = stormed(made, profiles, seconds)
            trained = scorer.metric("telltale_trainings_total", 'outcome="trained"')
        progress.close()
        if trained != profiles:
            raise RuntimeError(f"{trained:.0f} of {profiles} profiles were trained")
    stall = max(measure.longest_gap(found, began, ended) for found in times.values())
    name = f"{profiles:,} cold-start trainings due within {seconds:.0f} s"
    whole = profiles == 10_000
    must, aim = ("≤ 5", "1") if whole else ("", "")
    return [
        Figure(f"{name}: longest stall of a partition", stall, "s", must=must, aim=aim),
        Figure(f"{name}: all answered after", ended - began, "s"),
        Figure(f"{name}: trainings", profiles / (ended - began), "profiles/s"),
    ]


def stormed(
    made: Bed, profiles: int, seconds: float
) -> tuple[dict[int, list[float]], float, float]:
    """When verdicts became visible, by partition; when the storm began; when all were answered."""
    own = {"group.id": "storm-reader", "isolation.level": "read_committed"}
    reader = Consumer(kafka.base(made.settings) | own | {"fetch.queue.backoff.ms": 1})
    from_here = ends(made.admin, [made.names.anomalies])
    reader.assign([TopicPartition(topic, p, offset) for (topic, p), offset in from_here.items()])
    reader.consume(1, 0.5)
    expected = profiles + int(BACKGROUND_RATE * seconds)
    process = multiprocessing.get_context("spawn").Process(
        target=send, args=(made.settings, made.names.telemetry(prepared.KIND), profiles, seconds)
    )
    process.start()
    times: dict[int, list[float]] = {p: [] for p in range(PARTITIONS)}
    seen, began, last = 0, 0.0, time()
    while seen < expected:
        found = reader.consume(1000, 0.01)
        now = time()
        for message in found:
            times[message.partition()].append(now)
        seen += len(found)
        if found:
            # The storm begins with the first record, not with the first verdict.
            began = began or int(orjson.loads(found[0].value())["observed_at"]) / 1e3
            last = now
        elif now - last > 120:
            raise RuntimeError(f"{seen} of {expected} verdicts came, none for 120 s")
    process.join()
    reader.close()
    return times, began, last


def send(settings: Settings, topic: str, profiles: int, seconds: float) -> None:
    """The last samples of the learners and the others' records, in random order and at a pace."""
    values = prepared.values(4)
    rng = np.random.default_rng(5)
    background = rng.integers(BACKGROUND, size=int(BACKGROUND_RATE * seconds)).tolist()
    records = [("profile", number) for number in background]
    records += [("learner", number) for number in range(profiles)]
    order = rng.permutation(len(records)).tolist()
    producer = Producer(kafka.plain_producer(settings) | {"linger.ms": 0})
    producer.list_topics(topic, timeout=10)
    began, sent = monotonic(), 0
    while sent < len(order):
        due = min(len(order), int((monotonic() - began) / seconds * len(order)))
        for place in order[sent:due]:
            name, number = records[place]
            key = f"{name}-{number}".encode()
            value = values[number % prepared.TEMPLATES][place % prepared.VALUES]
            producer.produce(topic, key=key, value=value, partition=number % PARTITIONS)
        sent = max(sent, due)
        producer.poll(0)
        sleep(0.002)
    producer.flush(30)


def retrainings(bootstrap: str, profiles: int) -> list[Figure]:
    """Profiles, all with a pool, of which the scorer's marks ask that they be retrained."""
    with bed(bootstrap, "retrain") as made:
        prepared.active(made, profiles)
        prepared.pooled(made, profiles, POOLED)
        prepared.begin(made)
        ask(made, profiles)
        group = f"{made.settings.application}-retrainer"
        progress = Progress(
            made.settings, group, {(made.names.accepted, p): 1 for p in range(PARTITIONS)}
        )
        with role(made, "retrain") as retrainer:
            changes = progress.follow(retrainer, profiles, 120)
        progress.close()
        proposed = sum(ends(made.admin, [made.names.candidates]).values())
        if not proposed:
            raise RuntimeError("no candidate was proposed")
    name = f"retrainer, {prepared.SAMPLES} + {POOLED} samples of 17"
    rate, cost = measure.rate(changes, profiles), measure.cost(changes, profiles) / 1e3
    return [
        Figure(name, rate, "profiles/s", must="≥ 150", aim="300"),
        Figure(f"{name}: processor time", cost, "ms a profile"),
        Figure(f"{name}: candidates that the gate let pass", proposed / profiles, ""),
    ]


def ask(made: Bed, profiles: int) -> None:
    """Write the scorer's word that profiles are to be retrained, proven as the scorer proves it."""
    secret = storage(made.settings).shared_secret()
    producer = Producer(kafka.plain_producer(made.settings))
    for number in range(profiles):
        asked = Mark(
            mark="retrain",
            profile_id=f"profile-{number}",
            kind=prepared.KIND,
            generation=0,
            version=1,
            command_id=f"c-{number}",
        )
        place = number % PARTITIONS, asked.profile_id.encode(), asked.model_dump_json().encode()
        headers = [(HEADER, prove(secret, *place))]
        partition, key, value = place
        producer.produce(
            made.names.accepted, key=key, value=value, partition=partition, headers=headers
        )
    if producer.flush(60):
        raise RuntimeError("the broker did not take the marks within 60 s")


if __name__ == "__main__":
    sys.exit(main())
