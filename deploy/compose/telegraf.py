"""Telegraf-like records on the topic `telegraf`: the CPUs of some hosts, one of which is odd.

Stands in for an existing producer: the topic, the format and the keys are not Telltale's.
"""

import json
import math
import os
import random
import time

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

TOPIC = "telegraf"
HOSTS = tuple(f"web-{number}" for number in range(1, 6))
INTERVAL_SECONDS = float(os.environ.get("INTERVAL_SECONDS", "1"))
ODD_EVERY = 90
"""The last host's CPU is busy for one record of so many, once all have learnt."""


def cpu(host: str, number: int, rng: random.Random) -> dict[str, object]:
    """A record of Telegraf's input `cpu`, as its JSON output writes it."""
    odd = host == HOSTS[-1] and number > 250 and number % ODD_EVERY == 0
    user = 95.0 if odd else 12 + 4 * math.sin(number / 40) + rng.gauss(0, 1)
    system, wait = abs(rng.gauss(4, 0.5)), abs(rng.gauss(0.4, 0.1))
    return {
        "fields": {
            "usage_idle": max(0.0, 100 - user - system - wait),
            "usage_iowait": wait,
            "usage_system": system,
            "usage_user": user,
        },
        "name": "cpu",
        "tags": {"cpu": "cpu-total", "host": host},
        "timestamp": int(time.time()),
    }


def main() -> None:
    servers = {"bootstrap.servers": os.environ["TELLTALE_BOOTSTRAP_SERVERS"]}
    admin = AdminClient(servers)
    if TOPIC not in admin.list_topics(timeout=30).topics:
        admin.create_topics([NewTopic(TOPIC, 3, 1)])[TOPIC].result()
    producer, rng = Producer(servers), random.Random(0)  # noqa: S311
    number = 0
    while True:
        for host in HOSTS:
            producer.produce(TOPIC, value=json.dumps(cpu(host, number, rng)))
        producer.flush()
        number += 1
        time.sleep(INTERVAL_SECONDS)


if __name__ == "__main__":
    main()
