"""How fast a console process catches up: python -m benchmarks.console_catch_up URL_OF_A_STORE.

Writes verdicts and accepted samples into topics of its own on a broker (KAFKA_BOOTSTRAP), starts
`telltale console` on them, and tells verdicts per second from the first one that the store has to
the last, and the memory that the process takes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import orjson
from confluent_kafka import Producer
from sqlalchemy import Engine, create_engine, text

from console.settings import ConsoleSettings
from processor.topics import Topics

PARTITIONS = 4


def main() -> None:
    """Print verdicts per second and megabytes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--profiles", type=int, default=10_000)
    parser.add_argument("--accepted", action="store_true", help="accepted samples as well")
    given = parser.parse_args()
    prefix = f"bench-{uuid.uuid4().hex[:8]}."
    variables = os.environ | {
        "TELLTALE_BOOTSTRAP_SERVERS": os.environ["KAFKA_BOOTSTRAP"],
        "TELLTALE_TOPIC_PREFIX": prefix,
        "TELLTALE_PARTITIONS": str(PARTITIONS),
        "TELLTALE_DATABASE_URL": given.url,
        "TELLTALE_CONSOLE_PORT": "0",
        "TELLTALE_CONSOLE_METRICS_PORT": "0",
    }
    telltale = [sys.executable, "-c", "from processor.cli.entry import main; main()"]
    subprocess.run([*telltale, "topics", "create"], env=variables, check=True)
    subprocess.run([*telltale, "console", "db", "upgrade"], env=variables, check=True)
    fill(Topics(prefix), given.records, given.profiles, accepted=given.accepted)
    store = create_engine(ConsoleSettings(_env_file=None, database_url=given.url).database)
    before = counted(store)
    process = subprocess.Popen([*telltale, "console"], env=variables, stdout=subprocess.DEVNULL)
    try:
        while (first := counted(store) - before) == 0:
            time.sleep(0.02)
        begin = time.perf_counter()
        while (found := counted(store) - before) < given.records:
            time.sleep(0.1)
        seconds = time.perf_counter() - begin
        rate = (found - first) / seconds
        print(f"{found} verdicts of {given.profiles} profiles, {rate:,.0f}/s into {given.url[:10]}")
        days = 0
        begin = time.perf_counter()
        while days < found and time.perf_counter() - begin < 60:
            time.sleep(1)
            days = number(store, "SELECT coalesce(sum(learning + scored), 0) FROM profile_days")
        print(f"days: {days} verdicts counted {time.perf_counter() - begin:.0f} s later")
        print(f"memory: {resident(process.pid):.0f} MB, at most {peak(process.pid):.0f} MB")
    finally:
        process.terminate()
        process.wait()


def counted(store: Engine) -> int:
    """Verdicts that the store has counted."""
    return number(store, "SELECT coalesce(sum(records), 0) FROM verdict_hours")


def number(store: Engine, query: str) -> int:
    """The number that a query gives."""
    with store.connect() as connection:
        return int(connection.execute(text(query)).scalar_one())


def fill(topics: Topics, records: int, profiles: int, *, accepted: bool) -> None:
    """Write verdicts as the scorer does, one in 100 an anomaly."""
    settings = {"bootstrap.servers": os.environ["KAFKA_BOOTSTRAP"], "linger.ms": 50}
    producer = Producer(settings | {"batch.size": 1_000_000, "compression.type": "lz4"})
    now = int(time.time() * 1000)
    for n in range(records):
        profile = n * 7919 % profiles
        partition = profile % PARTITIONS
        body = verdict(n, f"profile-{profile}", partition, now)
        status = b"true" if body["anomaly"] else b"false"
        headers = [("telltale.status", b"scored"), ("telltale.anomaly", status)]
        headers.append(("telltale.severity", str(body["severity"]).encode()))
        key = f"profile-{profile}".encode()
        while True:
            try:
                producer.produce(
                    topics.anomalies, orjson.dumps(body), key, partition, headers=headers
                )
                if accepted and not body["anomaly"]:
                    value = orjson.dumps(sample(n, f"profile-{profile}", now))
                    producer.produce(topics.accepted, value, key, partition)
                break
            except BufferError:
                producer.poll(0.1)
        if n % 1000 == 0:
            producer.poll(0)
    producer.flush()


def verdict(n: int, profile: str, partition: int, now: int) -> dict[str, object]:
    """A verdict, its fields in the scorer's order."""
    anomaly = n % 100 == 0
    reason = {"feature": "a", "value": 1.0, "typical": [0.0, 0.5], "contribution": 1.0}
    return {
        "verdict_id": f"telemetry.features-{partition}-{n}",
        "profile_id": profile,
        "kind": "features",
        "status": "scored",
        "anomaly": anomaly,
        "score": 0.31415926,
        "decision": -0.1 if anomaly else 0.1,
        "p_value": n * 31 % 100 / 100,
        "severity": "high" if anomaly else "none",
        "model_version": 1,
        "generation": 0,
        "samples_seen": 200,
        "samples_needed": 200,
        "reasons": [reason] * 10 if anomaly else [],
        "rule_severity": None,
        "suppressed": False,
        "regime": "usual",
        "late": False,
        "source": None,
        "observed_at": now,
        "scored_at": now,
    }


def sample(n: int, profile: str, now: int) -> dict[str, object]:
    """An accepted sample of five features."""
    return {
        "profile_id": profile,
        "kind": "features",
        "generation": 0,
        "model_version": 1,
        "features": list("abcde"),
        "vectors": [[(n * 37 + k * 11) % 17 / 17 for k in range(5)]],
        "p_values": [0.5],
        "since_anomaly": 3,
        "observed_at": now,
        "source": "scorer",
        "verdict_id": f"telemetry.features-0-{n}",
    }


def resident(pid: int) -> float:
    """Megabytes that a process takes now."""
    return memory(pid, "VmRSS")


def peak(pid: int) -> float:
    """Megabytes that a process took at most."""
    return memory(pid, "VmHWM")


def memory(pid: int, name: str) -> float:
    """A line of /proc in megabytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


if __name__ == "__main__":
    main()
