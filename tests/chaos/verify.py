"""The ledger of a run: every committed record in, and what contradicts exactly-once out.

It knows no broker: records are given to it in the order of each partition, in any order between
partitions and topics, each once. What it has checked it keeps, so a round costs what it brought.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from processor.records import ConsumerRecord
from processor.state import ring_codec
from processor.topics import Topics

Place = tuple[str, int, int]
"""Topic, partition and offset of a record."""
Key = tuple[int, str, str]
"""Partition, kind and profile."""


@dataclass(frozen=True)
class Finding:
    """Something that must not be: its sort, where it was found, and what was expected."""

    sort: str
    where: str
    detail: str

    def __str__(self) -> str:
        return f"{self.sort}: {self.where}: {self.detail}"


@dataclass
class _Profile:
    generation: int
    seen: int = 0
    version: int = 0
    scored: bool = False
    newest: int = -1


@dataclass
class _Pool:
    records: int = 0
    samples: int = 0
    newest: int = -1


class Ledger:
    """Books inputs against their answers.

    ``waiting`` says what is still to come; once nothing is, or the patience is over, ``check``
    gives the findings.
    """

    def __init__(self, topics: Topics, source: str | None = None) -> None:
        """
        Args:
            source: the topic that ingest reads.
        """
        self._source = source
        self._read: set[Place] = set()
        self._mapped: set[Place] = set()
        self._origins: dict[Place, str] = {}
        self.records = 0
        self.dead_letters = 0
        self._topics = topics
        self._kinds = topics.kinds()
        self._samples: dict[Place, int] = {}
        self._answered: set[Place] = set()
        self._normal: set[Place] = set()
        self._accepted: set[Place] = set()
        self._admitted: dict[tuple[int, int], tuple[Key, int]] = {}
        self._emptied: dict[Key, int] = {}
        self._pooled: set[tuple[int, int]] = set()
        self._counted: dict[Key, tuple[int, int]] = {}
        self._verdicts: list[tuple[Place, int, dict[str, Any]]] = []
        self._profiles: dict[Key, _Profile] = {}
        self._pools: dict[Key, _Pool] = {}
        self._models: dict[Key, tuple[int, int]] = {}
        self._versions: set[tuple[Key, int]] = set()
        self._events: set[tuple[Key, int]] = set()
        self._drifts: set[tuple[Key, int, int]] = set()
        self._shifts: set[tuple[str, Key, str]] = set()
        self._candidates: Counter[Key] = Counter()
        self._outcomes: Counter[Key] = Counter()
        self._found: list[Finding] = []
        names = topics
        self._books = {
            names.anomalies: self._verdict,
            names.dead_letter: self._dead_letter,
            names.accepted: self._accept,
            names.pool: self._pool,
            names.models: self._model,
            names.candidates: self._candidate,
            names.lifecycle: self._event,
        } | dict.fromkeys(self._kinds, self._input)
        if source is not None:
            self._books[source] = self._of_source

    @property
    def topics(self) -> list[str]:
        """The topics whose records it books."""
        return list(self._books)

    @property
    def waiting(self) -> dict[str, int]:
        """What is still to come, by sort; empty once all is there."""
        counts = {
            "source records": len(self._read - self._mapped),
            "answers": len(self._samples.keys() - self._answered),
            "accepted samples": len(self._normal - self._accepted),
            "counted samples": len(self._uncounted()),
            "outcomes of candidates": (self._candidates - self._outcomes).total(),
        }
        return {sort: count for sort, count in counts.items() if count}

    def take(self, record: ConsumerRecord) -> None:
        """Book a record."""
        self._books[record.topic](record)

    def check(self) -> list[Finding]:
        """All findings so far; to be called when every topic was read to its end."""
        for place, partition, verdict in self._verdicts:
            if place in self._samples:
                if verdict.get("source") != self._origins.get(place):
                    told = f"source {verdict.get('source')}, expected {self._origins.get(place)}"
                    self._find("source", _named(place), told)
                key = (partition, verdict["kind"], verdict["profile_id"])
                self._found += self._judge(place, key, verdict)
        self._verdicts.clear()
        return [*self._found, *self._missing()]

    def _uncounted(self) -> list[tuple[int, int]]:
        """Accepted records beyond the newest that their profile's pool has counted."""
        return sorted(
            place
            for place, (key, _) in self._admitted.items()
            if place[1] > self._counted.get(key, (-1, 0))[0]
        )

    def _missing(self) -> Iterator[Finding]:
        for place in sorted(self._read - self._mapped):
            yield Finding("lost", _named(place), "neither telemetry nor dead letter")
        for place in sorted(self._mapped - self._read):
            yield Finding("invented", _named(place), "mapped, but no committed record")
        for place in sorted(self._samples.keys() - self._answered):
            yield Finding("lost", _named(place), "neither verdict nor dead letter")
        for place in sorted(self._answered - self._samples.keys()):
            yield Finding("invented", _named(place), "answered, but no committed record")
        for place in sorted(self._normal - self._accepted):
            yield Finding("lost", _named(place), "scored as normal, but not in accepted-normal")
        for place in sorted(self._accepted - self._normal):
            yield Finding("invented", _named(place), "in accepted-normal without such a verdict")
        for partition, offset in self._uncounted():
            where = _named((self._topics.accepted, partition, offset))
            yield Finding("lost", where, "accepted, but not counted by the retrainer")
        sums: Counter[Key] = Counter()
        for (_, offset), (key, samples) in self._admitted.items():
            if offset > self._emptied.get(key, -1):
                sums[key] += samples
        for key, (_, counted) in self._counted.items():
            if counted != sums[key]:
                sort = "doubled" if counted > sums[key] else "lost"
                told = f"the retrainer counted {counted} accepted samples of {sums[key]}"
                yield Finding(sort, _profile(key), told)
        for partition, offset in sorted(self._pooled - self._admitted.keys()):
            where = _named((self._topics.accepted, partition, offset))
            yield Finding("invented", where, "pooled, but no committed accepted sample")
        for key, count in (self._candidates - self._outcomes).items():
            yield Finding("lost", _profile(key), f"{count} candidates neither adopted nor refused")
        for key, count in (self._outcomes - self._candidates).items():
            yield Finding("doubled", _profile(key), f"{count} outcomes more than candidates")
        for key, version in sorted(self._versions ^ self._events):
            has, lacks = ("announced", "event") if (key, version) in self._versions else (
                "told by an event", "announcement"
            )  # fmt: skip
            yield Finding("version", _profile(key), f"version {version} is {has}, without {lacks}")

    def _find(self, sort: str, where: str, detail: str) -> None:
        self._found.append(Finding(sort, where, detail))

    def _input(self, record: ConsumerRecord) -> None:
        self.records += 1
        place = (record.topic, record.partition, record.offset)
        self._samples[place] = samples_of(self._kinds[record.topic], record.value)
        origin = dict(record.headers).get("telltale.source")
        if origin is not None:
            self._origins[place] = origin.decode()
            self._map(place_of(origin.decode()), record, "telemetry record")

    def _of_source(self, record: ConsumerRecord) -> None:
        self.records += 1
        self._read.add((record.topic, record.partition, record.offset))

    def _map(self, place: Place, by: ConsumerRecord, sort: str) -> None:
        if place in self._mapped:
            self._find("doubled", _named(place), f"a further {sort} at {_at(by)}")
        self._mapped.add(place)

    def _answer(self, place: Place, by: ConsumerRecord, sort: str) -> bool:
        if place in self._answered:
            self._find("doubled", _named(place), f"a further {sort} at {_at(by)}")
            return False
        self._answered.add(place)
        return True

    def _verdict(self, record: ConsumerRecord) -> None:
        verdict = orjson.loads(record.value or b"")
        place = place_of(verdict["verdict_id"])
        if place[1] != record.partition:
            self._find(
                "order", _named(place), f"its verdict is on another partition: {_at(record)}"
            )
        if not self._answer(place, record, "verdict"):
            return
        self._verdicts.append((place, record.partition, verdict))
        if verdict["status"] == "scored" and not verdict["anomaly"] and not verdict["suppressed"]:
            self._normal.add(place)

    def _dead_letter(self, record: ConsumerRecord) -> None:
        self.dead_letters += 1
        headers = {name: (value or b"").decode() for name, value in record.headers}
        place = (
            headers["telltale.topic"],
            int(headers["telltale.partition"]),
            int(headers["telltale.offset"]),
        )
        if place[0] == self._source:
            self._map(place, record, f"dead letter ({headers['telltale.reason']})")
        elif place[0] in self._kinds:
            self._answer(place, record, f"dead letter ({headers['telltale.reason']})")
        else:
            self._find("refused", _named(place), headers["telltale.detail"])

    def _accept(self, record: ConsumerRecord) -> None:
        sample = orjson.loads(record.value or b"")
        if "mark" in sample:
            if sample["mark"] == "rollback":
                # An adoption of a new normal: the pool begins again.
                key = (record.partition, sample["kind"], sample["profile_id"])
                self._emptied[key] = record.offset
            return
        place = place_of(sample["verdict_id"])
        if place in self._accepted:
            self._find("doubled", _named(place), f"accepted again at {_at(record)}")
        self._accepted.add(place)
        key = (record.partition, sample["kind"], sample["profile_id"])
        self._admitted[record.partition, record.offset] = (key, len(sample["vectors"]))

    def _pool(self, record: ConsumerRecord) -> None:
        kind, profile_id, at = ring_codec.parse_key(record.key or b"")
        key = (record.partition, kind, profile_id)
        if record.value is None:
            if at != ring_codec.HEAD:
                # It is emptied, and begins again.
                self._pools.pop(key, None)
            return
        if at == ring_codec.HEAD:
            head = orjson.loads(record.value)
            self._counted[key] = (head["offset"], head["accepted"])
            return
        slot = ring_codec.decode_slot(record.value)
        pool = self._pools.setdefault(key, _Pool())
        place = (record.partition, slot.offset)
        if place in self._pooled:
            where = _named((self._topics.accepted, *place))
            self._find("doubled", where, f"pooled again at {_at(record)}")
        elif (slot.number, slot.before) != (pool.records, pool.samples):
            self._find(
                "learning",
                _profile(key),
                f"record {slot.number} of the pool after {slot.before} samples at {_at(record)}, "
                f"expected record {pool.records} after {pool.samples}",
            )
        self._pooled.add(place)
        pool.records, pool.samples = slot.number + 1, slot.before + slot.rows.shape[0]

    def _model(self, record: ConsumerRecord) -> None:
        if record.value is None:
            self._find("version", repr(record.key), f"forgotten at {_at(record)}")
            return
        value = orjson.loads(record.value)
        key = (record.partition, value["kind"], value["profile_id"])
        version, generation = self._models.get(key, (0, value["generation"]))
        if value["version"] != version + 1:
            sort = "doubled" if value["version"] == version else "version"
            told = f"version {value['version']} after version {version} at {_at(record)}"
            self._find(sort, _profile(key), told)
        if value["generation"] != generation:
            told = f"{value['generation']} after {generation} at {_at(record)}"
            self._find("generation", _profile(key), told)
        self._models[key] = (value["version"], value["generation"])
        self._versions.add((key, value["version"]))

    def _candidate(self, record: ConsumerRecord) -> None:
        value = orjson.loads(record.value or b"")
        self._candidates[record.partition, value["kind"], value["profile_id"]] += 1

    def _event(self, record: ConsumerRecord) -> None:
        value = orjson.loads(record.value or b"")
        key = (record.partition, value["kind"], value["profile_id"])
        event = value["event"]
        if event == "refused" and value["role"] == "retrainer":
            return
        by_shift = event == "adopted" and "known" in (value.get("figures") or {})
        if event in ("adopted", "refused") and not by_shift:
            self._outcomes[key] += 1
        if event in ("trained", "adopted"):
            if (key, value["version"]) in self._events:
                self._find("doubled", _profile(key), f"{event} again: version {value['version']}")
            self._events.add((key, value["version"]))
        elif event in ("shifted", "shift_ended"):
            self._shift(key, event, value)
        elif event == "drifting":
            # By chance: a model of 20 samples is off by three standard errors now and then.
            told = (key, value["version"], value["figures"]["records"])
            if told in self._drifts:
                self._find("doubled", _profile(key), f"{event} again: version {value['version']}")
            self._drifts.add(told)
        elif event != "refused":
            self._find("event", _profile(key), f"{event}: {value['detail']}")

    def _shift(self, key: Key, event: str, value: dict[str, Any]) -> None:
        """A shift is told once, until it has ended."""
        since = value["figures"]["since"]
        if (event, key, since) in self._shifts:
            self._find("doubled", _profile(key), f"{event} again, since {since}")
        self._shifts.add((event, key, since))

    def _judge(self, place: Place, key: Key, verdict: dict[str, Any]) -> Iterator[Finding]:
        """What a verdict contradicts in the ones before it of its profile."""
        status, offset = verdict["status"], place[2]
        if status == "abstained":
            return
        state = self._profiles.setdefault(key, _Profile(offset))
        if offset < state.newest:
            yield Finding("order", _named(place), f"answered after offset {state.newest}")
        state.newest = offset
        if verdict["generation"] != state.generation:
            told = f"{verdict['generation']}, expected {state.generation}, of {_profile(key)}"
            yield Finding("generation", _named(place), told)
        if status == "learning":
            expected = state.seen + self._samples[place]
            if state.scored or state.seen >= verdict["samples_needed"]:
                yield Finding("learning", _named(place), f"{_profile(key)} had learnt already")
            elif verdict["samples_seen"] != expected:
                told = f"sample {verdict['samples_seen']} of {_profile(key)}, expected {expected}"
                yield Finding("learning", _named(place), told)
            state.seen = verdict["samples_seen"]
            return
        state.scored = True
        if verdict["samples_seen"] != state.seen:
            told = f"scored with {verdict['samples_seen']} samples, but {state.seen} were learnt"
            yield Finding("learning", _named(place), f"{told} of {_profile(key)}")
        if verdict["model_version"] < max(1, state.version):
            told = f"{_profile(key)} judged by {verdict['model_version']} after {state.version}"
            yield Finding("version", _named(place), told)
        state.version = verdict["model_version"]


def samples_of(kind: str, value: bytes | None) -> int:
    """Samples of a telemetry record; 0 where it is not one of its kind."""
    try:
        parsed = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return 0
    counted = {"series": "values", "drowsiness": "events"}.get(kind)
    held = parsed.get(counted) if isinstance(parsed, dict) and counted else None
    return len(held) if isinstance(held, list) else 1


def place_of(verdict_id: str) -> Place:
    """The telemetry record that a verdict's id names."""
    topic, partition, offset = verdict_id.rsplit("-", 2)
    return topic, int(partition), int(offset)


def _named(place: Place) -> str:
    return f"{place[0]} [{place[1]}] @{place[2]}"


def _at(record: ConsumerRecord) -> str:
    return _named((record.topic, record.partition, record.offset))


def _profile(key: Key) -> str:
    return f"{key[1]}:{key[2]} [{key[0]}]"
