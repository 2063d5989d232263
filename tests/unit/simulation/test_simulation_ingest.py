"""Ingest under random schedules: every source record is answered once, and rates never jump."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from prometheus_client import CollectorRegistry

from processor.ingest.role import IngestRole
from processor.ingest.sources import SourcesFile
from processor.metrics.metrics import Metrics
from processor.records import ConsumerRecord, Partition
from processor.stream.step import Step
from schemas.sources import Source
from tests.unit.simulation.world import LOG, PARTITIONS, SETTINGS, TOPICS, Kafka

SOURCE = "counters"
SOURCE_PARTITIONS = 3
"""More than Telltale's topics have."""

FILE = SourcesFile(
    Path("sources.yaml"),
    (
        Source.model_validate(
            {
                "name": "net",
                "topic": SOURCE,
                "kind": "features",
                "each": "hosts",
                "where": "!skip",
                "profile_id": "{name}",
                "observed_at": {"path": "at", "unit": "ms"},
                "values": {"bytes": "bytes", "up": "up"},
                "rate": ["bytes"],
            }
        ),
    ),
    None,
)
COUNTS = {TOPICS.ingest_counters: PARTITIONS, SOURCE: SOURCE_PARTITIONS}
HOST = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "a", "a", "b", "b", None]), "bytes": st.integers(0, 9)},
    optional={"skip": st.just(True), "up": st.integers(0, 2)},
)
VALUE = st.one_of(
    st.fixed_dictionaries({"hosts": st.lists(HOST, min_size=1, max_size=2)}),
    st.sampled_from([None, "broken"]),
)
WHO = st.integers(0, 1)
ENDS = st.sampled_from(["commit", "commit", "commit", "abort", "die before", "die after"])


class Member:
    """A process of the role that polls, computes, commits and dies when it is told to."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self.epoch = 0
        self.given: tuple[int, ...] = ()
        self.positions: dict[Partition, int] = {}
        self.role = self._born()

    def _born(self) -> IngestRole:
        return IngestRole(SETTINGS, FILE, None, Metrics(CollectorRegistry()), LOG)

    def crash(self) -> None:
        self.role = self._born()
        self.assign(self.given, self.epoch)

    def assign(self, given: Iterable[int], epoch: int) -> None:
        """Take partitions of the source, and restore their counters."""
        self.given, self.epoch = tuple(given), epoch
        self.role.drop()
        parts = self.role.divide({SOURCE: set(self.given)}, COUNTS)
        for partition in parts.common:
            for record in self._kafka.compacted(TOPICS.ingest_counters, partition):
                self.role.load(record)
        self.role.restored(parts.common)
        committed = self._kafka.offsets["ingest"]
        self.positions = {place: committed.get(place, 0) for place in parts.places}
        for place, newest in self.role.restored_offsets().items():
            assert self.positions[place] > newest, f"state ahead of the offsets at {place}"

    def poll(self, most: int, ready: Step[Any] | None = None) -> Sequence[ConsumerRecord]:
        positions = self.positions | (ready.offsets if ready is not None else {})
        return [
            record
            for place, offset in positions.items()
            for record in self._kafka.logs[place][offset : offset + most]
        ]

    def step(self, most: int, ready: Step[Any] | None = None) -> Step[Any] | None:
        records = self.poll(most, ready)
        return self.role.compute(records, self._kafka.now) if records else None

    def commit(self, step: Step[Any], epoch: int) -> bool:
        """A process of a past epoch is fenced."""
        if self.epoch != epoch:
            return False
        self._kafka.commit("ingest", step.outputs, step.offsets)
        return True

    def apply(self, step: Step[Any]) -> None:
        self.role.apply(step)
        self.positions |= step.offsets


class IngestDelivery(RuleBasedStateMachine):
    """Two processes on three partitions of a source."""

    @initialize()
    def start(self) -> None:
        self.kafka = Kafka()
        self.epoch = 1
        self.members = [Member(self.kafka), Member(self.kafka)]
        self.members[0].assign((0, 2), 1)
        self.members[1].assign((1,), 1)

    @rule(
        partition=st.integers(0, SOURCE_PARTITIONS - 1),
        values=st.lists(VALUE, min_size=2, max_size=8),
    )
    def records_arrive(self, partition: int, values: list[Any]) -> None:
        for value in values:
            # Now and then two records of one time, or one that is older.
            self.kafka.now += (1000, 1000, 0, -500)[len(self.kafka.logs[SOURCE, partition]) % 4]
            for host in value["hosts"] if isinstance(value, dict) else ():
                host["at"] = self.kafka.now
            raw = None if value is None else orjson.dumps(value)
            self.kafka.append(SOURCE, partition, None, raw)

    @rule(who=WHO, most=st.integers(1, 8), end=ENDS)
    def a_step_is_made(self, who: int, most: int, end: str) -> None:
        self.end(self.members[who], self.members[who].step(most), end)

    @rule(who=WHO, most=st.integers(1, 4), end=ENDS)
    def a_step_is_computed_ahead_of_the_commit_before(self, who: int, most: int, end: str) -> None:
        member = self.members[who]
        ready = member.step(most)
        if ready is None:
            return
        before = dict(member.role._counters)
        undo = member.role.apply_speculatively(ready)
        assert undo is not None
        following = member.step(most, ready)
        if end == "abort":
            undo()
            assert member.role._counters == before, "a Step that is dropped leaves no trace"
        elif self.end(member, ready, end) and following is not None:
            self.end(member, following, "commit")

    def end(self, member: Member, step: Step[Any] | None, end: str) -> bool:
        """Whether the Step was committed and its process lives."""
        if step is None or end == "abort":
            return False
        done = end != "die before" and member.commit(step, self.epoch)
        if end.startswith("die"):
            member.crash()
        elif done:
            member.apply(step)
            return True
        else:
            member.crash()
        return False

    @rule(who=WHO)
    def a_process_is_killed(self, who: int) -> None:
        self.members[who].crash()

    @rule(first=st.sets(st.integers(0, SOURCE_PARTITIONS - 1)))
    def the_group_rebalances(self, first: set[int]) -> None:
        self.epoch += 1
        self.members[0].assign(sorted(first), self.epoch)
        self.members[1].assign(sorted(set(range(SOURCE_PARTITIONS)) - first), self.epoch)

    @rule(who=WHO, most=st.integers(1, 8))
    def a_zombie_wakes_up(self, who: int, most: int) -> None:
        zombie, other = self.members[who], self.members[1 - who]
        step = zombie.step(most)
        self.epoch += 1
        other.assign(range(SOURCE_PARTITIONS), self.epoch)
        if step is not None:
            assert not zombie.commit(step, self.epoch), "a zombie is fenced"
        zombie.assign((), self.epoch)

    @invariant()
    def every_record_is_answered_once(self) -> None:
        if not hasattr(self, "kafka"):
            return
        written: Counter[tuple[str, bytes]] = Counter()
        letters: Counter[str] = Counter()
        for partition in range(PARTITIONS):
            for record in self.kafka.logs[TOPICS.telemetry("features"), partition]:
                place = (dict(record.headers)["telltale.source"] or b"").decode()
                written[place, record.value or b""] += 1
            for record in self.kafka.logs[TOPICS.dead_letter, partition]:
                told = {name: (value or b"").decode() for name, value in record.headers}
                letters[
                    "-".join(told[f"telltale.{n}"] for n in ("topic", "partition", "offset"))
                ] += 1
        wanted: Counter[tuple[str, bytes]] = Counter()
        dead: Counter[str] = Counter()
        for partition in range(SOURCE_PARTITIONS):
            answered = self.kafka.offsets["ingest"].get((SOURCE, partition), 0)
            log = self.kafka.logs[SOURCE, partition][:answered]
            self.expect(log, wanted, dead)
        assert written == wanted
        assert letters == dead

    def expect(
        self,
        log: Sequence[ConsumerRecord],
        wanted: Counter[tuple[str, bytes]],
        dead: Counter[str],
    ) -> None:
        """What the records of a partition come to, in the plainest words."""
        last: dict[str, tuple[int, int]] = {}
        for record in log:
            place = f"{record.topic}-{record.partition}-{record.offset}"
            value = orjson.loads(record.value or b"null")
            if value == "broken":
                # It has no hosts: nothing to observe, as JMESPath has it.
                continue
            hosts = [h for h in (value or {}).get("hosts", ()) if not h.get("skip")]
            if any(host["name"] is None for host in hosts):
                dead[place] += 1
                continue
            for host in hosts:
                values = {"up": host["up"]} if "up" in host else {}
                then, before = last.get(host["name"], (None, 0))
                if then is not None and host["at"] > then and host["bytes"] >= before:
                    seconds = (host["at"] - then) / 1000
                    values["bytes"] = (host["bytes"] - before) / seconds
                if then is None or host["at"] > then:
                    last[host["name"]] = (host["at"], host["bytes"])
                if values:
                    wanted[place, orjson.dumps({"values": values, "observed_at": host["at"]})] += 1

    def teardown(self) -> None:
        """In the end everything is answered."""
        if not hasattr(self, "kafka"):
            return
        self.the_group_rebalances(set(range(SOURCE_PARTITIONS)))
        while (step := self.members[0].step(100)) is not None:
            self.end(self.members[0], step, "commit")
        for partition in range(SOURCE_PARTITIONS):
            log = self.kafka.logs[SOURCE, partition]
            assert self.kafka.offsets["ingest"].get((SOURCE, partition), 0) == len(log)
        self.every_record_is_answered_once()


IngestDelivery.TestCase.settings = settings(
    max_examples=int(os.environ.get("SCHEDULES", "150")),
    stateful_step_count=30,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TestIngestDelivery = IngestDelivery.TestCase
