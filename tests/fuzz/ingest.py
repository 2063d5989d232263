"""Fuzzing of ingest: source records by number, each mapped, filtered or dead-lettered once.

    python -m tests.fuzz.ingest --payloads 100000 --seed 1

What is mapped must be telemetry that the scorer accepts. Payload n of a seed is always the same.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Final

import fastavro
import orjson

from processor.ingest import presets
from processor.ingest.pipeline import UNEXPECTED, CounterDelta, IngestContext, compute
from processor.ingest.placing import murmur2
from processor.records import ConsumerRecord
from processor.scorer.decode import Decoded, decode
from processor.topics import OUTPUT_LIMIT
from tests.fuzz.bytewise import BYTE_MUTATIONS
from tests.fuzz.payloads import ODD_HEADERS, ODD_TIMES, odd_key, restructured
from tests.unit.ingest.builders import DATA, LIMITS, NOW, TOPICS, context, source

PARTITIONS: Final = 4
AVRO: Final = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "store", "type": "string"},
        {"name": "total", "type": ["null", "double", "string"]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "tags", "type": {"type": "map", "values": "double"}},
        {"name": "many", "type": {"type": "array", "items": "float"}},
    ],
}
PROTO: Final = """syntax = "proto3";
message Order {
  string store = 1; double total = 2; int64 at = 3; map<string, double> tags = 4;
  repeated float many = 5;
}
"""
ORDER: Final = {"store": "s-1", "total": 2.5, "at": NOW, "tags": {"a": 1.0}, "many": [1.5, 2.5]}
SHAPES: Final = {
    "rates": (
        {"kind": "features", "profile_id": "{tags.host}", "values": {"*": "fields"},
         "rate": ["available", "usage_user"], "observed_at": {"path": "timestamp", "unit": "s"}},
        "telegraf",
    ),
    "series": (
        {"kind": "series", "profile_id": "{tags.host}-{name}", "value": "fields.usage_user",
         "coerce": True},
        "telegraf",
    ),
    "coerced": (
        {"kind": "features", "profile_id": "{key}", "values": {"*": "flat(@)"}, "coerce": True},
        "metricbeat",
    ),
    "drowsiness": (
        {"kind": "drowsiness", "profile_id": "{subject || source}",
         "ear_value": "to_number('0.3')", "is_drowsy": "data.note == 'ok'",
         "duration_ms": "data.temperature || `5`"},
        "cloudevents",
    ),
    "behavior": (
        {"kind": "behavior", "profile_id": "{partition}-{key}",
         "window": "{startTimestamp: `0`, endTimestamp: to_number(value), clicks: clicks}"},
        "prometheus",
    ),
}  # fmt: skip
"""Sources beside the presets, and whose recorded sample they are fed."""

FROM_ORDER: Final = {
    "kind": "features",
    "profile_id": "{store}",
    "observed_at": {"path": "at", "unit": "ms"},
    "values": {"total": "total", "first": "many[0]", "*": "tags"},
}


class Broken(Exception):
    """A record that is not answered once, or whose telemetry the scorer would refuse."""


class IngestFuzzer:
    """Sources of every sort, and the records that each is fed."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.reasons: Counter[str] = Counter()
        self._seed = seed
        self._known: CounterDelta = {}
        self._cases: list[tuple[str, IngestContext, list[bytes]]] = []
        for name in presets.names():
            self._add(name, context(source(preset=name)), recorded(name))
        for name, (fields, sample) in SHAPES.items():
            self._add(name, context(source(**fields)), recorded(sample))
        (directory / "o.avsc").write_bytes(orjson.dumps(AVRO))
        (directory / "o.proto").write_text(PROTO)
        stream = BytesIO()
        fastavro.schemaless_writer(stream, fastavro.parse_schema(dict(AVRO)), ORDER)
        files = (("avro", "o.avsc", stream.getvalue()), ("protobuf", "o.proto", _PROTO_ORDER))
        for form, file, value in files:
            one = source(**FROM_ORDER, format=form, schema=file)
            self._add(form, context(one, directory=directory), [value])

    def _add(self, name: str, held: IngestContext, values: list[bytes]) -> None:
        self._cases.append((name, held, values))

    def run(self, number: int) -> None:
        """Feed one payload.

        Raises:
            Broken: it breaks an invariant; the message has the payload.
        """
        rng = Random(f"{self._seed} {number}")
        name, held, values = rng.choice(self._cases)
        record = self._payload(rng, number, values)
        try:
            self._check(name, held, record)
        except Exception as error:
            raise Broken(f"payload {number} for {name}: {error!r}\n{record!r:.3000}") from error

    def _payload(self, rng: Random, number: int, values: list[bytes]) -> ConsumerRecord:
        valid = rng.choice(values)
        value: bytes | None = valid
        drawn = rng.random()
        if drawn < 0.55 and valid[:1] == b"{":
            value, _ = restructured(rng, valid)
        elif drawn < 0.9:
            mutated = valid
            for _ in range(rng.choice((1, 1, 2, 3))):
                if mutated:
                    other = rng.choice(values)
                    mutated = rng.choice(BYTE_MUTATIONS)(rng, bytearray(mutated), other)
            value = mutated
        elif drawn < 0.92:
            value = rng.choice((None, b"", b"{}", b"null", b"[]", b"0"))
        headers = tuple(rng.choices(ODD_HEADERS, k=2)) if rng.random() < 0.1 else ()
        if rng.random() < 0.2:
            headers = (*headers, ("tenant", b"t"), ("ce_specversion", b"1.0"))
        at = rng.choice(ODD_TIMES) if rng.random() < 0.05 else NOW
        key = odd_key(rng) if rng.random() < 0.3 else b"k"
        return ConsumerRecord("in", rng.randrange(9), number, key, value, headers, at)

    def _check(self, name: str, held: IngestContext, record: ConsumerRecord) -> None:
        step = compute(self._known, [record], held)
        self._known.update({k: c for k, c in step.delta.items() if c is not None})
        told = [(labels[1], n) for (what, labels), n in step.counts.items() if what == _COUNTED]
        if [n for _, n in told] != [1] or step.offsets != {
            ("in", record.partition): record.offset + 1
        }:
            raise Broken(f"not answered once: {told}, {step.offsets}")
        ((outcome, _),) = told
        self.outcomes[name, outcome] += 1
        letters = [out for out in step.outputs if out.topic == TOPICS.dead_letter]
        telemetry = [out for out in step.outputs if out.topic in TOPICS.kinds()]
        if (len(letters) == 1, bool(telemetry)) != (outcome == "dead", outcome == "mapped"):
            raise Broken(f"{outcome}, but {len(letters)} letters and {len(telemetry)} records")
        for letter in letters:
            self.reasons[dict(letter.headers or ())["telltale.reason"].decode()] += 1
            if dict(letter.headers or ())["telltale.detail"].startswith(UNEXPECTED.encode()):
                raise Broken(f"{letter.headers}")
            if letter.partition != record.partition % PARTITIONS:
                raise Broken(f"the dead letter is on partition {letter.partition}")
        for out in telemetry:
            sent = ConsumerRecord(
                out.topic, out.partition, 0, out.key, out.value, tuple(out.headers or ()), NOW
            )
            found = decode(sent, TOPICS.kinds()[out.topic], LIMITS)
            if not isinstance(found, Decoded):
                raise Broken(f"the scorer refuses it: {found}, {out.value!r:.500}")
            if out.partition != (murmur2(out.key or b"") & 0x7FFFFFFF) % PARTITIONS:
                raise Broken(f"{out.key!r} is on partition {out.partition}")
        if any(out.size > OUTPUT_LIMIT for out in step.outputs if out.topic != TOPICS.dead_letter):
            raise Broken("a record that its topic does not take")


_COUNTED: Final = "ingest_records"
_PROTO_ORDER: Final = (
    b"\x0a\x03s-1\x11\0\0\0\0\0\0\x04\x40\x18\x80\xd0\x95\xff\xbc\x31"
    b"\x22\x0c\x0a\x01a\x11\0\0\0\0\0\0\xf0\x3f\x2a\x08\0\0\xc0\x3f\0\0\x20\x40"
)
"""``ORDER`` by ``PROTO``."""


def recorded(name: str) -> list[bytes]:
    """The recorded sample of a preset, as values."""
    return (DATA / f"{name}.jsonl").read_bytes().splitlines()


def main() -> int:
    import tempfile

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.ingest", description=__doc__)
    parser.add_argument("--payloads", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        fuzzer = IngestFuzzer(given.seed, Path(directory))
        for number in range(given.payloads):
            fuzzer.run(number)
    for (name, outcome), count in sorted(fuzzer.outcomes.items()):
        print(f"{name:26} {outcome:9} {count:8,}")
    print(f"reasons: {dict(fuzzer.reasons)}")
    print(f"{sum(fuzzer.outcomes.values()):,} payloads, each answered once")
    return 0


if __name__ == "__main__":
    sys.exit(main())
