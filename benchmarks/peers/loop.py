"""The loop that the peers on the plain client share: poll → answer → transaction."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import joblib
from confluent_kafka import Consumer, Message, Producer

LESSONS = "lessons.json"
"""Of metrics, beside the models: the points that each profile learns from, by its name."""

Answer = tuple[bytes, bytes | None]
"""A verdict, and an accepted sample where there is one."""


def arguments() -> argparse.Namespace:
    """What the benchmark tells a peer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--telemetry", required=True)
    parser.add_argument("--verdicts", required=True)
    parser.add_argument("--accepted", required=True)
    parser.add_argument("--models", type=Path, required=True, help="<profile>.joblib for each")
    parser.add_argument("--batch", type=int, default=2000)
    parser.add_argument("--at-once", action="store_true", help="never wait for a batch to fill")
    parser.add_argument("--each", choices=("record", "batch"), default="batch")
    parser.add_argument("--kind", choices=("features", "behavior", "series"), default="features")
    parser.add_argument(
        "--detector", choices=("trees", "forecast"), default="trees", help="river's"
    )
    parser.add_argument("--nothing", action="store_true", help="Quix Streams without a model")
    return parser.parse_args()


def load_models(directory: Path) -> dict[bytes, Any]:
    """The profiles' models by key."""
    return {file.stem.encode(): joblib.load(file) for file in directory.glob("*.joblib")}


def run(options: argparse.Namespace, answer: Callable[[Sequence[Message]], list[Answer]]) -> None:
    """Answer batches exactly once until SIGTERM; librdkafka is tuned as the product tunes it."""
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    consumer = Consumer(
        {
            "bootstrap.servers": options.bootstrap,
            "group.id": options.group,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "fetch.queue.backoff.ms": 20,
            "queued.max.messages.kbytes": 32_768,
            "fetch.min.bytes": 4096,
            "fetch.wait.max.ms": 20,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": options.bootstrap,
            "transactional.id": options.group,
            "retry.backoff.ms": 2,
            "linger.ms": 5,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 1_048_576,
        }
    )
    producer.init_transactions()
    consumer.subscribe([options.telemetry])
    produce, verdicts, accepted = producer.produce, options.verdicts, options.accepted
    while not stopped:
        if options.at_once:
            polled = consumer.consume(options.batch, 0.0) or consumer.consume(1, 0.02)
        else:
            polled = consumer.consume(options.batch, 0.02)
        batch = [message for message in polled if message.error() is None]
        if not batch:
            continue
        answers = answer(batch)
        producer.begin_transaction()
        # First: of offsets a refusal right behind another transaction is tried again at once.
        producer.send_offsets_to_transaction(
            consumer.position(consumer.assignment()), consumer.consumer_group_metadata()
        )
        for message, (verdict, sample) in zip(batch, answers, strict=True):
            key, partition = message.key(), message.partition()
            produce(verdicts, verdict, key, partition)
            if sample is not None:
                produce(accepted, sample, key, partition)
        producer.commit_transaction()
    consumer.close()
