"""Continuous load over the four kinds and a topic of others, from profiles that come and go."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from time import monotonic, time_ns
from typing import Any

import numpy as np
from confluent_kafka import KafkaError, Producer

from processor.simulation.kinds import SIMULATIONS, Make, Moment
from processor.topics import Topics

RECORDS_OF_A_PROFILE = 120
BAD = 0.03
ANOMALOUS = 0.04
STEPS_AT = 50
"""Records after which a profile of `features` steps to a new normal."""
FLUSH_SECONDS = 150.0
SOURCE = "chaos-source"
SOURCE_EVERY = 4
"""One record in so many goes to the topic that ingest reads."""

SOURCES = f"""\
sources:
  - name: chaos
    topic: {SOURCE}
    kind: features
    profile_id: "{{host}}"
    observed_at: {{path: at, unit: ms}}
    values: {{a: v.a, b: v.b, n: v.n}}
    rate: [n]
"""


class Profile:
    """A simulated profile on one partition."""

    def __init__(self, kind: str, partition: int, number: int, seed: int) -> None:
        rng = np.random.default_rng([seed, partition, number, len(kind)])
        self.kind = kind
        self.partition = partition
        self.profile_id = f"{kind[0]}{partition}-{number:04d}"
        self.made = 0
        self._rng = rng
        self._make: Make = SIMULATIONS[kind].profile(rng)
        self._anomalies = sorted(SIMULATIONS[kind].anomalies)

    def record(self) -> bytes | None:
        """The next record; now and then an anomalous one, or one that is no telemetry."""
        draw = self._rng.random()
        if draw < BAD and self.made:
            return self._bad()
        what = str(self._rng.choice(self._anomalies)) if draw > 1 - ANOMALOUS else None
        self.made += 1
        moment = Moment(self.made, time_ns() // 1_000_000, 0.0, what)
        value = self._make(moment)
        if self.kind == "features" and self.made > STEPS_AT:
            # For good, by far more than chance: adopted while it is still there.
            value["values"] = {
                name: None if held is None else 3.0 * held + 50.0
                for name, held in value["values"].items()
            }
        return json.dumps(value).encode()

    def _bad(self) -> bytes | None:
        wrong: list[bytes | None] = [
            None,
            b"{",
            b'{"values": NaN}',
            b'{"profile_id": "somebody else", "values": [1], "timestamps": [1]}',
            b'{"kind": "unknown", "values": [1], "timestamps": [1]}',
        ]
        if self.kind == "features":
            wrong.append(b'{"values": {"never seen before": 1}}')
        return wrong[int(self._rng.integers(len(wrong)))]


def profiles(partitions: int, seed: int) -> Iterator[Profile]:
    """Who sends next: all kinds and partitions in turn; who sent its part is replaced."""
    places = [(kind, partition) for kind in SIMULATIONS for partition in range(partitions)]
    # Staggered, so that at any moment some learn, some retrain, and some end.
    step = RECORDS_OF_A_PROFILE // len(places)
    live = {place: Profile(*place, 0, seed) for place in places}
    until = {place: RECORDS_OF_A_PROFILE - n * step for n, place in enumerate(places)}
    number = dict.fromkeys(places, 0)
    while True:
        for place in places:
            if live[place].made >= until[place]:
                number[place] += 1
                live[place] = Profile(*place, number[place], seed)
                until[place] = RECORDS_OF_A_PROFILE
            yield live[place]


class Load:
    """A thread that sends telemetry at a rate, as an upstream producer would."""

    def __init__(
        self, bootstrap: str, topics: Topics, partitions: int, seed: int, rate: float
    ) -> None:
        self.sent = 0
        self.error: str | None = None
        self._topics = topics
        self._partitions = partitions
        self._rng = np.random.default_rng([seed, 77])
        self._to_source = 0
        self._rate = rate
        self._profiles = profiles(partitions, seed)
        self._running = threading.Event()
        self._idle = threading.Event()
        self._ended = threading.Event()
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "linger.ms": 5,
                # It waits for a broker that is away, however long.
                "message.timeout.ms": 0,
                # A request that a frozen broker never answers is sent again, and told apart there.
                "socket.timeout.ms": 10_000,
                "reconnect.backoff.max.ms": 1000,
                "log_level": 0,
            }
        )
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()

    def resume(self) -> None:
        """Send from now on."""
        self._idle.clear()
        self._running.set()

    def pause(self) -> None:
        """Stop sending; returns when the broker has what was sent.

        Raises:
            RuntimeError: it has not, or refused a record.
        """
        self._running.clear()
        self._idle.wait(FLUSH_SECONDS)
        left = self._producer.flush(FLUSH_SECONDS)
        if left or self.error:
            raise RuntimeError(f"the load's producer: {self.error or f'{left} not delivered'}")

    def close(self) -> None:
        self._ended.set()
        self._running.set()
        self._thread.join(5.0)
        self._producer.purge()

    def _run(self) -> None:
        began, due = monotonic(), 0
        while not self._ended.is_set():
            if not self._running.is_set():
                self._idle.set()
                self._running.wait()
                began, due = monotonic(), 0
                continue
            if due >= (monotonic() - began) * self._rate:
                self._producer.poll(0.01)
                continue
            due += 1
            if due % SOURCE_EVERY:
                self._send(next(self._profiles))
            else:
                self._send_to_source()

    def _send(self, profile: Profile) -> None:
        self._producer.produce(
            self._topics.telemetry(profile.kind),
            key=profile.profile_id.encode(),
            value=profile.record(),
            partition=profile.partition,
            on_delivery=self._delivered,
        )
        self.sent += 1

    def _send_to_source(self) -> None:
        """A record of another format, keyless, on any partition; now and then a broken one."""
        self._to_source += 1
        partition = int(self._rng.integers(self._partitions))
        a, b = self._rng.normal(10, 1, 2).tolist()
        host = f"host-{partition}-{self._to_source // (3 * RECORDS_OF_A_PROFILE)}"
        value = {
            "host": host,
            "at": time_ns() // 1_000_000,
            "v": {"a": a, "b": b, "n": self._to_source},
        }
        raw = b"{" if self._rng.random() < BAD else json.dumps(value).encode()
        self._producer.produce(SOURCE, value=raw, partition=partition, on_delivery=self._delivered)
        self.sent += 1

    def _delivered(self, error: KafkaError | None, _: Any) -> None:
        if error is not None:
            self.error = error.str()
