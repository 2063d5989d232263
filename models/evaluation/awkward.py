"""Awkward telemetry: streams of one profile each, with what is normal in them and what is not.

Every kind of difficulty that real producers have, in its smallest form. Who plays the streams
through a scorer is not this module's concern.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.detectors.base import Floats

LEARNT = 200
"""Cold start of the kinds that are played here."""

NORMAL, ANOMALY, UNCOUNTED, VOUCHED = 0, 1, 2, 3
"""What a record is: normal, an anomaly that was planted, part of no figure, or, if it is called an
anomaly, accepted by an analyst."""

FAR = 10.0
"""How far planted anomalies lie from normal, in deviations of the noise."""

WIDTH = 3


@dataclass(frozen=True)
class Stream:
    """The records of one profile, in their order.

    Attributes:
        values: telemetry, one object a record.
        truth: ``NORMAL``, ``ANOMALY`` or ``UNCOUNTED`` of each; what is learnt is not counted.
        key: the profile's id → the record's key.
        retrain_at: position of the record before which the analyst has the profile retrained.
    """

    values: Sequence[dict[str, Any]]
    truth: NDArray[np.int8]
    key: Callable[[str], bytes] = str.encode
    retrain_at: int | None = None


Make = Callable[[np.random.Generator, int], Stream]
"""Draws a stream of so many records."""


@dataclass(frozen=True)
class Case:
    """A difficulty, and what is expected of whoever meets it.

    Attributes:
        group: the sort of difficulty.
        name: of the case; unique.
        make: draws one stream.
        kind: of telemetry.
        false_alarms: least and largest share of normal records that may be anomalies, 0–1.
        found: least share of the planted anomalies that have to be found, 0–1.
        event: lifecycle event that every profile has to bring exactly once.
        dead_letters: whether every record has to be a dead letter.
        long: so many times as many records as other cases have.
    """

    group: str
    name: str
    make: Make
    kind: str = "features"
    false_alarms: tuple[float, float] | None = (0.005, 0.02)
    found: float | None = 0.95
    event: str | None = None
    dead_letters: bool = False
    long: int = field(default=1, kw_only=True)


def vectors(
    rows: Floats,
    truth: NDArray[np.int8],
    names: Sequence[str] = "abc",
    key: Callable[[str], bytes] = str.encode,
) -> Stream:
    """A stream of ``features``; NaN is a name that the record does not have."""
    values = [
        {name: value for name, value in zip(names, row, strict=True) if value == value}
        for row in rows.tolist()
    ]
    return Stream([{"values": each} for each in values], truth, key)


def points_stream(points: Floats, truth: NDArray[np.int8]) -> Stream:
    """A stream of ``points_stream``, one point a record, a minute apart."""
    return Stream(
        [{"timestamps": [60 * at], "values": [value]} for at, value in enumerate(points.tolist())],
        truth,
    )


def planted(records: int, every: int = 50, first: int = LEARNT + 30) -> NDArray[np.int8]:
    """The truth of a stream in which an anomaly stands now and then."""
    truth = np.full(records, NORMAL, dtype=np.int8)
    truth[:LEARNT] = UNCOUNTED
    truth[first::every] = ANOMALY
    return truth


def noise(
    generator: np.random.Generator,
    records: int,
    *,
    width: int = WIDTH,
    centre: float = 20.0,
    spread: float = 1.0,
    equal: int = 0,
    scattered: bool = False,
    repeats: int = 1,
    dependence: float = 0.0,
    polluted: float = 0.0,
    every: int = 50,
) -> tuple[Floats, NDArray[np.int8]]:
    """Normal noise with anomalies in it, shape (records, width), and the truth.

    Args:
        centre, spread: mean and standard deviation.
        equal: so many of the learnt records are the very same, the first ones.
        scattered: the equal ones stand anywhere among those that are learnt.
        repeats: each record comes so many times.
        dependence: correlation of a record with the next one (AR(1)).
        polluted: share of the learnt records that are anomalies, too, of the same sort.
        every: an anomaly stands at each of these.
    """
    distinct = -(-records // repeats)
    drawn = generator.normal(size=(distinct, width))
    if dependence:
        fresh = np.sqrt(1.0 - dependence**2)
        for at in range(1, distinct):
            drawn[at] = dependence * drawn[at - 1] + fresh * drawn[at]
    truth = planted(records, every)
    drawn = np.repeat(drawn, repeats, axis=0)[:records]
    drawn[truth == ANOMALY] = generator.normal(size=((truth == ANOMALY).sum(), width)) + FAR
    if polluted:
        bad = generator.choice(LEARNT, size=round(polluted * LEARNT), replace=False)
        drawn[bad] = generator.normal(size=(bad.size, width)) + FAR
    rows = centre + spread * drawn
    if equal:
        rows[generator.permutation(LEARNT)[:equal] if scattered else np.arange(equal)] = centre
    return rows, truth


def _vectors(generator: np.random.Generator, records: int, **how: Any) -> Stream:
    return vectors(*noise(generator, records, **how))


def _series(generator: np.random.Generator, records: int, **how: Any) -> Stream:
    rows, truth = noise(generator, records, width=1, **how)
    return points_stream(rows[:, 0], truth)


def stationary(generator: np.random.Generator, records: int, *, make: Make) -> Stream:
    """The same noise for many versions; counted is the second half."""
    stream = make(generator, records)
    stream.truth[: records // 2] = UNCOUNTED
    return stream


def constants(generator: np.random.Generator, records: int) -> Stream:
    """One feature that never varies but in anomalies: 3 after a constant 2."""
    rows, truth = noise(generator, records)
    rows[truth == ANOMALY] = 20.0
    rows[:, 2] = np.where(truth == ANOMALY, 3.0, 2.0)
    return vectors(rows, truth)


def short_first(generator: np.random.Generator, records: int) -> Stream:
    """The first record has one of the three names."""
    rows, truth = noise(generator, records)
    rows[0, 1:] = np.nan
    rows[truth == ANOMALY, 0] = 20.0
    return vectors(rows, truth)


def in_turn(generator: np.random.Generator, records: int) -> Stream:
    """Each record has three of seven names, those after the last one's."""
    rows, truth = noise(generator, records, width=7)
    held = (np.arange(7) - 3 * np.arange(records)[:, None]) % 7 < 3
    return vectors(np.where(held, rows, np.nan), truth, "abcdefg")


def counter(generator: np.random.Generator, records: int) -> Stream:
    """One of the features is a total that only grows."""
    rows, truth = noise(generator, records)
    rows[:, 2] = np.cumsum(generator.poisson(30.0, size=records))
    truth[truth == ANOMALY] = NORMAL
    return vectors(rows, truth)


def absent(generator: np.random.Generator, records: int) -> Stream:
    """A feature that no learnt record has brings an absurd value for a while, then a plain one."""
    rows, truth = noise(generator, records)
    rows[truth == ANOMALY] = 20.0
    truth[truth == ANOMALY] = NORMAL
    rows[:LEARNT, 2] = np.nan
    middle = (LEARNT + records) // 2
    rows[LEARNT:middle, 2] = 1e6
    truth[LEARNT:middle] = UNCOUNTED
    return vectors(rows, truth)


def step(generator: np.random.Generator, records: int, *, by: float) -> Stream:
    """Normal moves by some deviations for good; counted is the last quarter, long after."""
    rows, truth = noise(generator, records)
    begin = LEARNT + (records - LEARNT) // 8
    rows[begin:] += by
    truth[: records - (records - LEARNT) // 4] = UNCOUNTED
    return vectors(rows, truth)


def day_and_night(generator: np.random.Generator, records: int) -> Stream:
    """Learnt by day; each night is another normal. Counted is the last half."""
    rows, truth = noise(generator, records)
    at = np.arange(records)
    rows[(at >= LEARNT) & (at // 200 % 2 == 1)] += 40.0
    truth[: (LEARNT + records) // 2] = UNCOUNTED
    return vectors(rows, truth)


def accepted(generator: np.random.Generator, records: int, *, first: int, far: float) -> Stream:
    """Every fourth record is of a sort that was not learnt; an analyst accepts the first of them.

    Counted are those of that sort behind the retraining that the analyst asks for.

    Args:
        first: so many are accepted.
        far: how far the sort lies from what was learnt.
    """
    rows, truth = noise(generator, records)
    at = np.arange(records)
    other = (at >= LEARNT) & (at % 4 == 0) & (truth == NORMAL)
    rows[other] += far
    truth[truth == NORMAL] = UNCOUNTED
    given = np.flatnonzero(other)[:first]
    truth[other] = NORMAL
    truth[given] = VOUCHED
    truth[: given[-1]][truth[: given[-1]] == ANOMALY] = UNCOUNTED
    return replace(vectors(rows, truth), retrain_at=int(given[-1]) + 1)


def in_seconds(generator: np.random.Generator, records: int) -> Stream:
    """``observed_at`` counts seconds."""
    rows, truth = noise(generator, records)
    plain = vectors(rows, truth)
    values = [{**value, "observed_at": 1_700_000_000 + at} for at, value in enumerate(plain.values)]
    return Stream(values, truth)


def enveloped(generator: np.random.Generator, records: int, *, form: str) -> Stream:
    """The key is an envelope as Kafka Connect writes it, or a JSON object."""
    rows, truth = noise(generator, records)
    before, behind = form.split("ID")
    return vectors(rows, truth, key=lambda name: (before + name + behind).encode())
