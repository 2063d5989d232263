"""What a worker shows of itself: lag, readiness, and whether the broker answers."""

from __future__ import annotations

from concurrent.futures import Future
from time import monotonic, time_ns
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from processor.kafka import config as kafka
from processor.kafka import topic_identity
from processor.metrics.metrics import Metrics
from processor.offsets.unread import UnreadRecords
from processor.records import Partition
from processor.settings import Settings
from processor.stream.assignment import Assignment
from processor.stream.health import Health
from processor.stream.role import Role

OBSERVE_SECONDS = 0.5
PROBE_SECONDS = 5.0
IDENTITY_SECONDS = 30.0
"""Between two looks whether the topics are still the same; ``PROBE_SECONDS`` if some are apart."""


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
        self._shown: set[Partition] = set()
        self._observed = 0.0
        self._probed = 0.0
        self._probe: dict[Partition, Future[Any]] = {}
        self._marks: dict[Partition, int] = {}
        self._marked = self._asked = 0
        self._unread = UnreadRecords(f"{settings.application}-{role.name}")
        self._identities: dict[str, Future[Any]] = {}
        self._identified = 0.0

    def look(self, unanswered: set[Partition]) -> None:
        """Set the gauges.

        Args:
            unanswered: partitions of which polled records wait for the next Step.

        Raises:
            LostOffsets: an input or a changelog was deleted and recreated.
        """
        if monotonic() - self._observed < OBSERVE_SECONDS:
            return
        self._observed = monotonic()
        self._probe_broker()
        self._identify()
        name = self._role.name
        if self._marks and all(self._passed(place, unanswered) for place in self._marks):
            self._role.set_watermark(self._marked)
        self._role.update_gauges()
        self._metrics.restore_seconds.labels(name).set(self._assignment.restore_seconds)
        self._metrics.restore_remaining.labels(name).set(self._assignment.restore_remaining)
        self._metrics.unread_partitions.labels(name).set(len(self._assignment.unread))
        held = self._assignment.positions
        lags = {p: n for p, n in self._unread.waiting.items() if p in self._assignment.unread}
        for place, position in held.items():
            lags[place] = self._behind(place, position, waits=place in unanswered)
        for topic, partition in self._shown - lags.keys():
            self._metrics.consumer_lag.remove(name, topic, str(partition))
        self._shown = set(lags)
        for place, behind in lags.items():
            self._metrics.consumer_lag.labels(name, place[0], str(place[1])).set(behind)

    def _behind(self, place: Partition, position: int, *, waits: bool) -> int:
        """Records of a partition that are not yet answered."""
        try:
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
        except KafkaException:
            return 0
        # Beyond the last record only control records follow, which are never delivered.
        at_end = not waits and self._assignment.fetching.ends.get(place, -1) >= high
        return 0 if at_end else max(0, high - position)

    def _passed(self, place: Partition, unanswered: set[Partition]) -> bool:
        """Whether a partition is answered up to its end when the broker was last asked."""
        answered = self._assignment.positions.get(place, -1)
        if place not in unanswered:
            answered = max(answered, self._assignment.fetching.ends.get(place, -1))
        return answered >= self._marks[place]

    def _identify(self) -> None:
        """Ask now and then which topics these are, without waiting for the answer."""
        self._unread.hear()
        if self._identities and all(future.done() for future in self._identities.values()):
            answers, self._identities = self._identities, {}
            try:
                topics = topic_identity.told(answers, 0.0)
            except KafkaException:
                return
            self._assignment.heard(topics)
        seconds = IDENTITY_SECONDS if self._assignment.apart is None else PROBE_SECONDS
        # The demo's broker tells no ids, and never answers this question.
        tells = any(
            topic.id != topic_identity.UNKNOWN for topic in self._assignment.topics.values()
        )
        if tells and not self._identities and monotonic() - self._identified > seconds:
            self._identified = monotonic()
            self._identities = topic_identity.asked(self._admin, self._assignment.names)

    def _probe_broker(self) -> None:
        """Ask the broker for the ends of the inputs every few seconds, without waiting for it."""
        if self._probe and all(future.done() for future in self._probe.values()):
            answers = {p: f.result().offset for p, f in self._probe.items() if not f.exception()}
            if answers:
                self._health.broker_seen = monotonic()
            else:
                # A client from before a restart may never answer again.
                self._admin = AdminClient(kafka.base(self._settings))
            if len(answers) == len(self._probe):
                self._marks, self._marked = answers, self._asked
            self._probe = {}
        if not self._probe and monotonic() - self._probed > PROBE_SECONDS:
            self._probed = monotonic()
            self._unread.ask(self._admin, self._assignment.unread)
            self._asked = time_ns() // 1_000_000
            held = self._assignment.places or [(self._assignment.names[0], 0)]
            places = [TopicPartition(*place) for place in held]
            wanted = dict.fromkeys(places, OffsetSpec.latest())
            asked = self._admin.list_offsets(wanted, request_timeout=PROBE_SECONDS)
            self._probe = {(place.topic, place.partition): f for place, f in asked.items()}
