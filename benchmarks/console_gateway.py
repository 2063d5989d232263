"""How fast a running console answers: python -m benchmarks.console_gateway http://127.0.0.1:8000.

Requests go out at a fixed rate, whether or not those before them were answered, and their times
count from when they were due. The scorer's own time comes out of the same run: to the time that
the verdict names, which is before its transaction ends, and to a read_committed reader beside
(broker and prefix of the topics as for every command). No login: for a console on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from statistics import quantiles
from typing import Any

import httpx
import orjson
from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from processor.kafka import config as kafka
from processor.kafka.reading import admin_client, places_of, poll
from processor.settings import load
from processor.topics import Topics

RATE, SECONDS, PROFILES, LEARN = 50.0, 10.0, 20, 210


def main() -> None:
    """Print p50 and p99 of each kind of request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    given = parser.parse_args()
    asyncio.run(measure(given.url, given.rate, given.seconds))


async def measure(url: str, rate: float, seconds: float) -> None:
    """Train some profiles, then send each kind of request at the rate."""
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        await learn(client)
        scorer: list[float] = []
        sent_at: dict[str, float] = {}

        async def score(number: int) -> None:
            sent = time.time()
            told = await client.post(path(number), json=body(number))
            verdict = told.raise_for_status().json()
            scorer.append(max(0.0, verdict["scored_at"] / 1000 - sent))
            sent_at[verdict["verdict_id"]] = sent

        async def accept(number: int) -> None:
            prefer = {"Prefer": "respond-async"}
            told = await client.post(path(number), json=body(number), headers=prefer)
            assert told.status_code == 202, told.text

        async def get(path_: str) -> None:
            (await client.get(path_)).raise_for_status()

        async def batch(number: int) -> None:
            events = [record(number * 100 + n) for n in range(100)]
            told = await client.post("/telemetry/batch", json={"events": events})
            assert all("verdict_id" in item for item in told.raise_for_status().json())

        with reader() as arrived:
            await show("POST records, to the verdict", score, rate, seconds)
        tell("  of which to the time that the verdict names", scorer)
        both = sent_at.keys() & arrived.keys()
        tell("  of which to a read_committed reader", [arrived[v] - sent_at[v] for v in both])
        await show("POST records, respond-async", accept, rate, seconds)
        await show("GET /statistics", lambda _: get("/statistics"), rate, seconds)
        await show("GET /events/recent", lambda _: get("/events/recent"), rate, seconds)
        await show("POST /telemetry/batch, 100 records", batch, 10.0, seconds)


@contextmanager
def reader() -> Iterator[dict[str, float]]:
    """Verdict's id → when a reader of committed records had it, while the block runs."""
    settings = load()
    topic = Topics(settings.topic_prefix).anomalies
    places = places_of(admin_client(settings), [topic])
    consumer = Consumer(kafka.reader_config(settings))
    consumer.assign([TopicPartition(topic, place.partition, OFFSET_END) for place in places])
    found: dict[str, float] = {}
    stopping, ready = threading.Event(), threading.Event()

    def run() -> None:
        ended: set[object] = set()
        while not stopping.is_set():
            records, at_end = poll(consumer, 1, 0.05)
            now = time.time()
            ended.update(at_end)
            if len(ended) == len(places):
                ready.set()
            for record in records:
                found[orjson.loads(record.value or b"{}")["verdict_id"]] = now

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(30.0)
    try:
        yield found
    finally:
        stopping.set()
        thread.join()
        consumer.close()


async def learn(client: httpx.AsyncClient) -> None:
    """Profiles that have a model."""
    for _ in range(LEARN):
        events = [record(n) for n in range(PROFILES)]
        (await client.post("/api/v1/records", json={"events": events})).raise_for_status()


async def show(
    name: str, send: Callable[[int], Awaitable[None]], rate: float, seconds: float
) -> None:
    """Send at a rate and print the times."""
    begin = time.perf_counter()
    times: list[float] = []

    async def one(number: int) -> None:
        due = begin + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await send(number)
        times.append(time.perf_counter() - due)

    await asyncio.gather(*(one(number) for number in range(int(rate * seconds))))
    tell(f"{name}, {rate:g}/s", times)


def tell(name: str, times: list[float]) -> None:
    """Print p50 and p99 in milliseconds."""
    cuts = quantiles(times, n=100)
    print(f"{name}: p50 {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms")


def path(number: int) -> str:
    """Where a profile's records go."""
    return f"/api/v1/profiles/features/bench-{number % PROFILES}/records"


def body(number: int) -> dict[str, Any]:
    """A normal record."""
    return {"values": {name: (number * 37 + n * 11) % 17 / 17 for n, name in enumerate("abcde")}}


def record(number: int) -> dict[str, Any]:
    """The same as one of a batch."""
    return body(number) | {"kind": "features", "profile_id": f"bench-{number % PROFILES}"}


if __name__ == "__main__":
    main()
