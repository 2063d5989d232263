"""What a worker shows of itself: lag, readiness, and whether the broker answers."""

from __future__ import annotations

from concurrent.futures import Future
from time import monotonic
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from processor import kafka
from processor.assignment import Assignment
from processor.http import Health
from processor.metrics import Metrics
from processor.records import TopicPartition as Place
from processor.role import Role
from processor.settings import Settings

OBSERVE_SECONDS = 0.5
PROBE_SECONDS = 5.0


class Watch:
    """Sets a worker's gauges and probes the broker, a few times a second at most."""

    def __init__(
        self,
        consumer: Consumer,
        settings: Settings,
        role: Role,
        assignment: Assignment,
        health: Health,
        metrics: Metrics,
    ) -> None:
        self._consumer = consumer
        self._settings = settings
        self._admin = AdminClient(kafka.base(settings))
        self._role = role
        self._assignment = assignment
        self._health = health
        self._metrics = metrics
        self._shown: set[Place] = set()
        self._observed = 0.0
        self._probed = 0.0
        self._probe: Future[Any] | None = None

    def look(self, unanswered: set[Place]) -> None:
        """Set the gauges.

        Args:
            unanswered: partitions of which polled records wait for the next Step.
        """
        if monotonic() - self._observed < OBSERVE_SECONDS:
            return
        self._observed = monotonic()
        self._probe_broker()
        name = self._role.name
        self._role.observe()
        self._metrics.ready.labels(name).set(0 if self._health.ready() else 1)
        self._metrics.restore_seconds.labels(name).set(self._assignment.restore_seconds)
        self._metrics.restore_remaining.labels(name).set(self._assignment.restore_remaining)
        held = self._assignment.positions
        for topic, partition in self._shown - held.keys():
            self._metrics.consumer_lag.remove(name, topic, str(partition))
        self._shown = set(held)
        for place, position in held.items():
            behind = self._behind(place, position, waits=place in unanswered)
            self._metrics.consumer_lag.labels(name, place[0], str(place[1])).set(behind)

    def _behind(self, place: Place, position: int, *, waits: bool) -> int:
        """Records of a partition that are not yet answered."""
        try:
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
        except KafkaException:
            return 0
        # Beyond the last record only control records follow, which are never delivered.
        at_end = not waits and self._assignment.ends.get(place, -1) >= high
        return 0 if at_end else max(0, high - position)

    def _probe_broker(self) -> None:
        """Ask the broker something small every few seconds, without waiting for the answer."""
        if self._probe is not None and self._probe.done():
            if self._probe.exception() is None:
                self._health.broker_seen = monotonic()
            else:
                # A client from before a restart may never answer again.
                self._admin = AdminClient(kafka.base(self._settings))
            self._probe = None
        if self._probe is None and monotonic() - self._probed > PROBE_SECONDS:
            self._probed = monotonic()
            place = TopicPartition(self._role.inputs[0], 0)
            asked = self._admin.list_offsets(
                {place: OffsetSpec.latest()}, request_timeout=PROBE_SECONDS
            )
            self._probe = asked[place]
