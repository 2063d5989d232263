"""What must hold of the answers to a batch, whatever the payloads were."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
from pydantic import ValidationError

from models.detectors.forecast.state import from_bytes
from processor.dead_letter import TRUNCATED_BYTES
from processor.records import ConsumerRecord, ProducerRecord
from processor.state import ring_codec
from processor.topics import DEAD_LETTER_LIMIT, OUTPUT_LIMIT
from schemas import AcceptedSample, LifecycleEvent, ModelRecord, Verdict
from tests.fuzz.payloads import NOW, TOPICS, UNTOUCHED, Payload

REASONS: Final = frozenset(
    (
        "invalid_key",
        "invalid_json",
        "invalid_record",
        "too_large",
        "key_mismatch",
        "kind_mismatch",
        "feature_mismatch",
        "unanswerable",
    )
)
FIELD: Final = re.compile(r"(key|value|values|events|profile_id|kind|\$[^ ]*):? ")
"""A detail begins with the part of the record, or the path of the field, that it is about."""

DETAIL_BYTES: Final = 2000
LETTER_HEADERS: Final = (
    "telltale.reason",
    "telltale.detail",
    "telltale.topic",
    "telltale.partition",
    "telltale.offset",
)


class Broken(Exception):
    """An invariant that does not hold."""


@dataclass(frozen=True)
class Answer:
    """What became of a payload.

    Attributes:
        outcome: ``learning``, ``scored``, ``anomaly``, ``abstained`` or ``dead letter``.
        reason: of a dead letter.
    """

    outcome: str
    reason: str | None = None


def ensure(holds: bool, what: str) -> None:
    if not holds:
        raise Broken(what)


def answers(batch: Sequence[Payload], outputs: Sequence[ProducerRecord]) -> list[Answer]:
    """The answer to each payload of a batch, in order.

    Raises:
        Broken: an invariant does not hold.
    """
    said: list[ProducerRecord] = []
    accepted: dict[str, list[ProducerRecord]] = defaultdict(list)
    for out in outputs:
        if out.topic in (TOPICS.anomalies, TOPICS.dead_letter):
            said.append(out)
        elif out.topic == TOPICS.accepted:
            accepted[orjson.loads(out.value or b"")["verdict_id"]].append(out)
        else:
            internal(out)
    ensure(len(said) == len(batch), f"{len(batch)} records have {len(said)} answers")
    found = []
    for item, out in zip(batch, said, strict=True):
        record = item.record
        samples = accepted.pop(f"{record.topic}-{record.partition}-{record.offset}", [])
        if out.topic == TOPICS.anomalies:
            found.append(verdict(record, item.kind, out, samples))
        else:
            ensure(item.what != UNTOUCHED, "a valid record is a dead letter")
            ensure(not samples, "a dead letter has an accepted sample")
            found.append(letter(record, out))
    ensure(not accepted, "an accepted sample without a verdict")
    return found


def verdict(
    record: ConsumerRecord, kind: str, out: ProducerRecord, samples: Sequence[ProducerRecord]
) -> Answer:
    raw = orjson.loads(out.value or b"")
    try:
        said = Verdict.model_validate(raw)
    except ValidationError as error:
        raise Broken(f"the verdict is not valid: {error}") from None
    place = f"{record.topic}-{record.partition}-{record.offset}"
    ensure(said.verdict_id == place, f"answers {place} as {said.verdict_id}")
    ensure(out.partition == record.partition and out.key == record.key, "verdict elsewhere")
    ensure(out.size <= OUTPUT_LIMIT, "the verdict does not fit its topic")
    ensure(said.profile_id.encode() == record.key and said.kind == kind, "of another profile")
    ensure(out.timestamp == said.scored_at == NOW, "not at the time of its production")
    headers = {
        "telltale.status": said.status.encode(),
        "telltale.anomaly": b"true" if said.anomaly else b"false",
        "telltale.severity": said.severity.encode(),
    }
    ensure(
        {**headers, **dict(out.headers or ())} == dict(out.headers or ()),
        "headers differ from the verdict",
    )
    numbers = (said.score, said.decision, said.p_value, said.model_version)
    if said.status == "scored":
        ensure(None not in numbers, f"a scored verdict without numbers: {numbers}")
        ensure(said.anomaly == bool(said.reasons), "reasons exactly of an anomaly")
    else:
        ensure(not any(number is not None for number in numbers[:3]), "numbers, but not scored")
        ensure(not said.reasons and not said.samples, "reasons, but not scored")
    ensure(len(said.samples) <= 100, "more than 100 samples")
    ensure(said.samples_omitted == 0 or len(said.samples) == 100, "samples omitted, but room")
    ensure(not said.samples or said.anomaly, "anomalous samples of a normal record")
    wanted = said.status == "scored" and not said.anomaly and not said.suppressed
    ensure(len(samples) == wanted, f"{len(samples)} accepted samples, expected {int(wanted)}")
    for sample in samples:
        accepted_sample(record, sample)
    return Answer("anomaly" if said.anomaly else said.status)


def accepted_sample(record: ConsumerRecord, out: ProducerRecord) -> None:
    try:
        said = AcceptedSample.model_validate(orjson.loads(out.value or b""))
    except ValidationError as error:
        raise Broken(f"the accepted sample is not valid: {error}") from None
    ensure(out.partition == record.partition and out.key == record.key, "sample elsewhere")
    ensure(out.size <= OUTPUT_LIMIT, "the accepted sample does not fit its topic")
    ensure(len(said.p_values) == len(said.vectors) > 0, "not one p-value a row")
    ensure(None not in said.p_values, "a p-value that is no number")


def letter(record: ConsumerRecord, out: ProducerRecord) -> Answer:
    own = len(record.headers)
    ensure(out.key == record.key and out.partition == record.partition, "key or place changed")
    headers = tuple(out.headers or ())
    ensure(headers[:own] == record.headers, "headers changed")
    added = dict(headers[own:])
    names = tuple(name for name, _ in headers[own:])
    ensure(names[:5] == LETTER_HEADERS, f"headers of a dead letter: {names}")
    said = {name: (value or b"").decode() for name, value in added.items()}
    ensure(said["telltale.topic"] == record.topic, "another topic")
    ensure(said["telltale.partition"] == str(record.partition), "another partition")
    ensure(said["telltale.offset"] == str(record.offset), "another offset")
    value = record.value
    if out.value != value:
        ensure(value is not None and len(value) > TRUNCATED_BYTES, "value changed")
        told = f"{len(value or b'')} {hashlib.sha256(value or b'').hexdigest()}"
        ensure(out.value == (value or b"")[:TRUNCATED_BYTES], "value changed, not only cut")
        ensure(said.get("telltale.truncated") == told, "length and digest of a cut value")
    ensure(out.size <= DEAD_LETTER_LIMIT, "the dead letter does not fit its topic")
    reason, detail = said["telltale.reason"], said["telltale.detail"]
    ensure(reason in REASONS, f"unknown reason {reason}")
    ensure(FIELD.match(detail) is not None, f"the detail names no field: {detail[:200]}")
    ensure(len(detail.encode()) <= DETAIL_BYTES, f"the detail has {len(detail)} characters")
    return Answer("dead letter", reason)


def internal(out: ProducerRecord) -> None:
    """A record that Telltale writes for itself must be readable when it starts again."""
    if out.topic == TOPICS.cold_start:
        kind, profile_id, place = ring_codec.parse_key(out.key or b"")
        ensure(bool(kind and profile_id), f"slot under {out.key!r}")
        if out.value is not None and place == ring_codec.HEAD:
            from_bytes(ring_codec.decode_online(out.value)[1])
        elif out.value is not None:
            ensure(not np.isinf(ring_codec.decode_slot(out.value).rows).any(), "an infinite sample")
    elif out.topic in (TOPICS.models, TOPICS.lifecycle):
        model: Any = ModelRecord if out.topic == TOPICS.models else LifecycleEvent
        try:
            model.model_validate(orjson.loads(out.value or b""))
        except ValidationError as error:
            raise Broken(f"{out.topic} is not valid: {error}") from None
    else:
        raise Broken(f"a record for {out.topic}")
    ensure(out.size <= OUTPUT_LIMIT, f"a record for {out.topic} does not fit: {out.size}")
