"""Decode: the bytes of a telemetry record to a checked value, or to a dead letter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from models.features import (
    KINDS,
    PLAIN,
    Extracted,
    Kind,
    extract_plain,
    parse_points,
    parse_windows,
    plain_numbers,
)
from models.features.behavior import NAMES as OF_WINDOW
from processor.records import INVALID_HEADERS, UNREADABLE_HEADERS, ConsumerRecord, DeadLetter
from processor.settings import Limits
from schemas import InvalidJson, explain, parse_object
from schemas.base import MAX_EPOCH_MS, SECONDS, names_fault, profile_id_of

READ_AS_TEXT = frozenset({"behavior", "series"})
"""Kinds of which a kernel reads the records that are plainly valid."""


class Decoded(NamedTuple):
    """Telemetry as the pipeline needs it.

    Attributes:
        observed_at: epoch milliseconds.
        extracted: names and vectors, one row a sample.
        rule_severity: severity by the kind's fixed rule, where it has one.
    """

    kind: str
    profile_id: str
    observed_at: int
    extracted: Extracted
    rule_severity: str | None = None


def decode_all(
    records: Sequence[ConsumerRecord], kinds: Mapping[str, str], limits: Limits
) -> list[Decoded | DeadLetter]:
    """Check a batch of telemetry records; what ``decode`` gives for each, in less time.

    Args:
        records: in any order.
        kinds: kind of each topic.
        limits: bounds of a record.
    """
    found: list[Decoded | DeadLetter | None] = []
    vectors: dict[int, list[tuple[int, Vector]]] = {}
    texts: dict[str, list[tuple[int, ConsumerRecord, str]]] = {}
    plain: dict[str, list[tuple[int, PlainRecord]]] = {}
    identities: dict[bytes | None, str | DeadLetter] = {}
    for position, record in enumerate(records):
        kind = kinds[record.topic]
        identity = identities.get(record.key)
        if identity is None:
            identity = identities[record.key] = _identity(record.key)
        vector = None
        if (
            record.headers is not UNREADABLE_HEADERS
            and type(identity) is str
            and record.value is not None
            and len(record.value) <= limits.record_bytes
        ):
            if kind == "features":
                parsed = _parsed(record.value)
                if isinstance(parsed, DeadLetter):
                    found.append(parsed)
                    continue
                vector = _vector(record, identity, parsed, limits)
                if vector is None:
                    found.append(_checked(record, kind, identity, parsed, limits))
                    continue
            elif kind in READ_AS_TEXT:
                texts.setdefault(kind, []).append((position, record, identity))
                found.append(None)
                continue
            elif kind in PLAIN:
                read = _plain(record, kind, identity, limits)
                if isinstance(read, Decoded | DeadLetter):
                    found.append(read)
                else:
                    plain.setdefault(kind, []).append((position, read))
                    found.append(None)
                continue
        if vector is not None:
            found.append(None)
            vectors.setdefault(len(vector[3]), []).append((position, vector))
        else:
            found.append(decode(record, kind, limits))
    for alike in vectors.values():
        extracted = extract_plain([vector[2] for _, vector in alike], [v[3] for _, v in alike])
        checked: tuple[str, ...] = ()
        for (position, vector), rows in zip(alike, extracted, strict=True):
            # Records that follow one another with the same names have the same tuple of them.
            if rows.names is not checked:
                if names_fault(rows.names) is not None:
                    found[position] = decode(records[position], "features", limits)
                    continue
                checked = rows.names
            found[position] = Decoded("features", vector[0], vector[1], rows)
    for kind, waiting in texts.items():
        _read_texts(kind, waiting, limits, found)
    for kind, those in plain.items():
        samples = PLAIN[kind].extract([fields for _, (_, _, fields, _) in those])
        for (position, (name, at, _, rule)), of_record in zip(those, samples, strict=True):
            found[position] = Decoded(kind, name, at, of_record, rule)
    return [value for value in found if value is not None]


def _read_texts(
    kind: str,
    waiting: Sequence[tuple[int, ConsumerRecord, str]],
    limits: Limits,
    found: list[Decoded | DeadLetter | None],
) -> None:
    """Decode records from their text: the plainly valid ones at once, others one by one.

    Args:
        waiting: place, record and profile of each, none longer than the limit.
        found: out, what each comes to at its place.
    """
    values = [record.value or b"" for _, record, _ in waiting]
    keys = [record.key or b"" for _, record, _ in waiting]
    if kind == "series":
        samples, times = parse_points(values, keys, limits.samples)
    else:
        good, times, rows = parse_windows(values, keys)
        each = zip(good.tolist(), rows[:, np.newaxis], strict=True)
        samples = [Extracted(OF_WINDOW, row) if valid else None for valid, row in each]
    for (position, record, identity), of_record, time in zip(
        waiting, samples, times.tolist(), strict=True
    ):
        if of_record is not None:
            observed_at = min(max(0, record.timestamp), MAX_EPOCH_MS) if time < 0 else time
            found[position] = Decoded(kind, identity, observed_at, of_record)
        else:
            found[position] = decode(record, kind, limits)


PlainRecord = tuple[str, int, Any, str | None]
"""A record that is plainly valid: profile, time, its own fields, and severity by rule."""

Vector = tuple[str, int, Any, list[float | None]]
"""A `features` record that is checked: profile, time, its values as given, and their numbers.

A plain tuple, as one is made for every record."""


def _identity(key: bytes | None) -> str | DeadLetter:
    try:
        return profile_id_of(key)
    except ValueError as error:
        return DeadLetter("invalid_key", str(error))


def _parsed(value: bytes) -> dict[str, Any] | DeadLetter:
    try:
        return parse_object(value)
    except InvalidJson as error:
        return DeadLetter("invalid_json", f"value: {error}")


def _vector(
    record: ConsumerRecord, identity: str, parsed: dict[str, Any], limits: Limits
) -> Vector | None:
    """A record that is plainly a valid vector; None where ``_checked`` has to look closer."""
    values = parsed.get("values")
    numbers = plain_numbers(values)
    if numbers is None or len(numbers) > limits.features:
        return None
    observed_at = _plain_time(record, parsed)
    if observed_at is None:
        return None
    # Without other fields there is none that could contradict key and topic.
    if len(parsed) > 1 and not _agrees(parsed, "features", identity):
        return None
    return identity, observed_at, values, numbers


def _plain(
    record: ConsumerRecord, kind: str, identity: str, limits: Limits
) -> PlainRecord | Decoded | DeadLetter:
    """A plainly valid record of a kind in ``PLAIN``; any other decoded by its model."""
    parsed = _parsed(record.value or b"")
    if isinstance(parsed, DeadLetter):
        return parsed
    fields, observed_at = PLAIN[kind].read(parsed), _plain_time(record, parsed)
    if (
        fields is None
        or observed_at is None
        or not _agrees(parsed, kind, identity)
        or _excess(parsed, KINDS[kind], limits) is not None
    ):
        return _checked(record, kind, identity, parsed, limits)
    rule = PLAIN[kind].rule
    return identity, observed_at, fields, None if rule is None else rule(fields)


def _plain_time(record: ConsumerRecord, parsed: dict[str, Any]) -> int | None:
    """Epoch milliseconds of a record; None if ``_checked`` has to look closer."""
    observed_at = parsed.get("observed_at")
    if observed_at is None:
        return min(max(0, record.timestamp), MAX_EPOCH_MS)
    if type(observed_at) is not int or not 0 <= observed_at <= MAX_EPOCH_MS:
        return None
    # Which unit that is, ``_checked`` says.
    return None if SECONDS[0] <= observed_at <= SECONDS[1] else observed_at


def _agrees(parsed: dict[str, Any], kind: str, identity: str) -> bool:
    """Whether a record's own profile and kind, if given, are those of its key and topic."""
    return (parsed.get("profile_id", identity), parsed.get("kind", kind)) == (identity, kind)


def decode(record: ConsumerRecord, kind: str, limits: Limits) -> Decoded | DeadLetter:
    """Check a telemetry record and extract its vectors; never raises."""
    if record.headers is UNREADABLE_HEADERS:
        return INVALID_HEADERS
    identity = _identity(record.key)
    if isinstance(identity, DeadLetter):
        return identity
    value = record.value
    if value is None:
        return DeadLetter("invalid_json", "value: expected a JSON object, got null (a tombstone)")
    if len(value) > limits.record_bytes:
        detail = f"value: {len(value)} bytes, expected at most {limits.record_bytes}"
        return DeadLetter("too_large", detail)
    parsed = _parsed(value)
    if isinstance(parsed, DeadLetter):
        return parsed
    return _checked(record, kind, identity, parsed, limits)


def _checked(
    record: ConsumerRecord, kind: str, identity: str, parsed: dict[str, Any], limits: Limits
) -> Decoded | DeadLetter:
    """What a record comes to whose value is the object ``parsed``."""
    try:
        excess = _excess(parsed, KINDS[kind], limits)
        if excess is not None:
            return excess
        telemetry = KINDS[kind].telemetry.model_validate(parsed)
    except ValidationError as error:
        return DeadLetter("invalid_record", explain(error))
    if telemetry.profile_id is not None and telemetry.profile_id != identity:
        return DeadLetter("key_mismatch", "profile_id: expected the record's key")
    if telemetry.kind is not None and telemetry.kind != kind:
        return DeadLetter("kind_mismatch", f"kind: expected {kind}, the topic's")
    extracted = KINDS[kind].extract(telemetry)
    observed_at = telemetry.observed_at_ms()
    rule = KINDS[kind].rule
    return Decoded(
        kind,
        identity,
        min(max(0, record.timestamp), MAX_EPOCH_MS) if observed_at is None else observed_at,
        extracted,
        None if rule is None else rule(telemetry),
    )


def _excess(parsed: dict[str, Any], kind: Kind, limits: Limits) -> DeadLetter | None:
    # Counted before the model sees it: an array or object of a million wrong elements would
    # otherwise be a million errors, or as many names, only to be refused.
    held = parsed.get(kind.bounded) if kind.bounded is not None else None
    if not isinstance(held, list | dict):
        return None
    most = limits.features if kind.counts == "features" else limits.samples
    if len(held) <= most:
        return None
    detail = f"{kind.bounded}: {len(held)} {kind.counts}, expected at most {most}"
    return DeadLetter("too_large", detail)
