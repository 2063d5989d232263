"""No record costs far more time a byte than an honest one: bounds are ratios within one run."""

import gc
import random
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import orjson
import pytest
from numba.misc import quicksort

from models.features.template_reader import TemplateReader
from processor.records import ConsumerRecord, DeadLetter
from processor.runtime.process import COLLECT_AFTER
from processor.scorer.decode import Decoded, decode_all
from processor.settings import Limits
from tests.unit.builders import TOPICS, record

LIMITS = Limits(record_bytes=1_000_000, features=1000, samples=10_000)
MOST = 5.0
"""Times the time a byte of an honest record that an adverse one may take."""

ROUNDS = 7
"""Times that each is timed, turn about: the least of them is the one that nothing disturbed."""

Case = tuple[str, bytes]


@pytest.fixture(autouse=True)
def collected_as_in_a_role() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(COLLECT_AFTER, 20, 100)
    yield
    gc.set_threshold(*before)


def listed(part: bytes, count: int) -> bytes:
    return b"[" + b",".join([part] * count) + b"]"


def named(count: int, name: Callable[[int], str], value: bytes) -> bytes:
    return b"{" + b",".join(b'"%b":%b' % (name(i).encode(), value) for i in range(count)) + b"}"


def window(**events: object) -> Case:
    return "behavior", orjson.dumps({"startTimestamp": 0, "endTimestamp": 60_000, **events})


def loose_window(**events: object) -> Case:
    """A window in snake_case, which is checked event by event."""
    return "behavior", orjson.dumps({"start_timestamp": 0, "end_timestamp": 60_000, **events})


def scrolls(times: Sequence[int]) -> Case:
    return window(scrollEvents=[{"t": time, "dy": -120} for time in times])


def beside(unknown: bytes) -> Case:
    """A vector with a field that is ignored."""
    return "features", b'{"values":{"a":1},"other":' + unknown + b"}"


def killer(size: int) -> list[int]:
    """The order that numba's quicksort takes longest for (McIlroy, A killer adversary, 1999)."""
    undecided = size
    values = [undecided] * size
    decided, candidate = 0, 0

    def less(one: int, two: int) -> bool:
        nonlocal decided, candidate
        if values[one] == values[two] == undecided:
            values[one if one == candidate else two] = decided
            decided += 1
        if values[one] == undecided:
            candidate = one
        elif values[two] == undecided:
            candidate = two
        return values[one] < values[two]

    quicksort.make_py_quicksort(lt=less).run_quicksort(np.arange(size))
    return values


SHUFFLED = random.Random(1).sample(range(29_000), 29_000)
ORGAN_PIPE = [*range(0, 29_000, 2), *range(28_999, 0, -2)]
EVENTS = [{"t": 3 * i, "x": i % 999, "y": i % 777} for i in range(18_000)]
MIXED = random.Random(1).sample(EVENTS, len(EVENTS))
EVENT = {"ear_value": 0.31, "is_drowsy": False, "duration_ms": 120.5}
LOOSE = loose_window(scroll_events=[{"t": 1_000_000 + 3 * i, "dy": -120} for i in range(29_000)])
"""An honest record of 700 kB of the sort that takes longest."""

SMALL = "features", b'{"values":' + named(1000, str, b"1.5") + b"}"
"""An honest vector of many short names."""

HONEST_POINTS = "series", orjson.dumps({"timestamps": list(range(10_000)), "values": [1] * 10_000})


ADVERSE: dict[str, tuple[Case, Case]] = {
    "scrolls against quicksort": (
        scrolls([1_000_000 + time for time in killer(3_000)]),
        scrolls(range(1_000_000, 1_003_000)),
    ),
    "scrolls like organ pipes": (scrolls(ORGAN_PIPE), scrolls(range(29_000))),
    "scrolls shuffled": (scrolls(SHUFFLED), scrolls(range(29_000))),
    "clicks shuffled": (window(clicks=MIXED), window(clicks=EVENTS)),
    "keys shuffled": (
        window(keyEvents=[{"code": "KeyT", "downTime": time} for time in SHUFFLED[:18_000]]),
        window(keyEvents=[{"code": "KeyT", "downTime": time} for time in range(18_000)]),
    ),
    "paths without a point": (loose_window(mousePaths=[[]] * 250_000), LOOSE),
    "paths of one point": (loose_window(mousePaths=[[{"t": 1, "x": 1, "y": 1}]] * 40_000), LOOSE),
    "events of few bytes": (loose_window(clicks=[{"t": 1, "x": 1, "y": 1}] * 40_000), LOOSE),
    "events with unknown names": (
        loose_window(clicks=[{**EVENTS[0], **{f"z{i}": 0 for i in range(20)}}] * 5_000),
        LOOSE,
    ),
    "a number of many digits": (
        ("behavior", b'{"startTimestamp":0,"endTimestamp":6.' + b"7" * 900_000 + b"}"),
        LOOSE,
    ),
    "an integer of many digits": (
        ("behavior", b'{"startTimestamp":0,"endTimestamp":' + b"7" * 900_000 + b"}"),
        LOOSE,
    ),
    "a time that is none after many digits": (
        loose_window(observed_at="2026-01-01T00:00:00." + "1" * 900_000),
        LOOSE,
    ),
    "many names instead of a number": (
        (
            "behavior",
            b'{"endTimestamp":1,"startTimestamp":'
            + named(70_000, lambda i: f"{i * 7919 % 99_991}", b"1")
            + b"}",
        ),
        LOOSE,
    ),
    "60 levels of arrays": (beside(listed(b"[" * 60 + b"]" * 60, 7_800)), LOOSE),
    "60 levels of objects": (beside(listed(b'{"":' * 60 + b"1" + b"}" * 60, 3_200)), LOOSE),
    "70 levels, which are too many": (beside(listed(b"[" * 70 + b"]" * 70, 6_700)), LOOSE),
    "arrays without an element": (beside(listed(b"[]", 310_000)), LOOSE),
    "brackets in one string": (beside(b'["' + b"[{" * 450_000 + b'"]'), LOOSE),
    "brackets in many strings": (beside(listed(b'"["', 220_000)), LOOSE),
    "quotes and backslashes escaped": (beside(listed(b'"\\"[\\\\"', 90_000)), LOOSE),
    "one name again and again": (
        ("features", b'{"values":{' + b",".join([b'"a":1'] * 150_000) + b"}}"),
        LOOSE,
    ),
    "one field again and again": (
        ("features", b"{" + b",".join([b'"values":{"a":1}'] * 55_000) + b"}"),
        LOOSE,
    ),
    "60 levels in a vector that is looked at twice": (
        (
            "features",
            b'{"observed_at":"2026-01-01T00:00:00Z","values":{"a":1},"other":'
            + listed(b"[" * 60 + b"]" * 60, 7_800)
            + b"}",
        ),
        LOOSE,
    ),
    "a thousand wrong values": (
        ("features", b'{"values":' + named(1000, str, b'"x"') + b"}"),
        SMALL,
    ),
    "a thousand absent values": (
        ("features", b'{"values":' + named(1000, str, b"null") + b"}"),
        SMALL,
    ),
    "points of which the last is early": (
        (
            "series",
            orjson.dumps({"timestamps": [*range(1, 10_000), 0], "values": [1] * 10_000}),
        ),
        HONEST_POINTS,
    ),
    "far more times than values": (
        ("series", orjson.dumps({"timestamps": list(range(140_000)), "values": [1]})),
        LOOSE,
    ),
    "drowsiness at the limit": (
        ("drowsiness", orjson.dumps({"events": [EVENT] * 10_000})),
        ("drowsiness", orjson.dumps({"events": [EVENT] * 1_000})),
    ),
}


def telemetry(case: Case) -> ConsumerRecord:
    kind, raw = case
    assert len(raw) <= LIMITS.record_bytes
    return record(raw, kind=kind)


def seconds(call: Callable[[], object]) -> float:
    begin = time.process_time()
    call()
    return time.process_time() - begin


def least(calls: Sequence[Callable[[], object]]) -> list[float]:
    """Of calls that are timed turn about, the least processor time of each."""
    rounds = [[*map(seconds, calls)] for _ in range(ROUNDS)]
    return [min(times) for times in zip(*rounds, strict=True)]


def decoding(case: Case) -> Callable[[], list[Decoded | DeadLetter]]:
    """Decodes and extracts as many of the record as make up about a megabyte."""
    one = telemetry(case)
    batch = [one] * max(1, LIMITS.record_bytes // len(case[1]))
    return lambda: decode_all(batch, TOPICS.kinds(), LIMITS)


def bytes_of(case: Case) -> int:
    return len(case[1]) * max(1, LIMITS.record_bytes // len(case[1]))


@pytest.mark.parametrize("name", ADVERSE)
def test_an_adverse_record_takes_no_more_than_five_times_as_long_a_byte(name: str):
    adverse, honest = ADVERSE[name]

    hard, usual = least([decoding(adverse), decoding(honest)])

    ratio = (hard / bytes_of(adverse)) / (usual / bytes_of(honest))
    assert ratio <= MOST, f"{name}: {ratio:.1f} times as long a byte as an honest record"


@pytest.mark.parametrize("name", ADVERSE)
def test_what_is_called_honest_is_valid(name: str):
    (found,) = decode_all([telemetry(ADVERSE[name][1])], TOPICS.kinds(), LIMITS)

    assert isinstance(found, Decoded)


def test_a_new_layout_takes_as_long_to_learn_beside_many_others():
    order = random.Random(1)
    columns = [[f"sensor {number} {i}" for i in range(300)] for number in range(62)]

    def learn(layouts: TemplateReader, number: int) -> Callable[[], None]:
        def call() -> None:
            names = columns[number]
            text = orjson.dumps({"values": dict.fromkeys(order.sample(names, len(names)), 1.5)})
            layouts.learn([(text, b"p", tuple(names))])

        return call

    few, many = TemplateReader(), TemplateReader()
    for number in range(62):
        for _ in range(4):
            learn(many, number)()
    alone, among = least([learn(few, 0), learn(many, 0)])

    assert among <= MOST * alone
