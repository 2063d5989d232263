"""Records read by the layout of earlier ones: only what the decoder takes, with the same values."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.features import KINDS, align
from models.features.template_reader import (
    LONGEST,
    MAX_TEMPLATES,
    TEMPLATES_PER_SCHEMA,
    TemplateReader,
)
from processor.scorer.decode import Decoded, decode
from processor.settings import Limits
from tests.unit.builders import GROSS, NOW, TOPICS, Scorer, mutated, normal, record, stream

NAMES = ("a", "b", "ä")
LIMITS = Limits(1_000_000, 10_000, 10_000)
FULL = {
    "profile_id": "p",
    "kind": "features",
    "observed_at": 1_790_000_000_000,
    "values": {"b": 2.5, "a": -1, "ä": None},
    "host": "web-1",
    "sequence": 7,
    "tags": {"zone": "b", "values": {"a": 1.5}, "list": [1, "x", None, True]},
}
TOKENS = (
    b"null", b"true", b"1.0", b"1e400", b"9" * 40, b"-0", b"-0.0", b'"x"', b"[]", b"{}", b"01",
    b'"kind":"series",', b'"observed_at":5,', b'"profile_id":"p",', b'"profile_id":"q",', b"1.",
    b'"a":1,', b'"zz":[[1]],', b"\xff", b"\\ud800", b"\\", b'"', b" ", b"-9223372036854775809",
    b"18446744073709551615", b"1e-400", b"253402300799999", b"253402300800000", b"-", b"+1", b".5",
    b"0.1234567890123456789", b"123456789012345678", b"1e5", b"1E+05", b"2e-3", b"1e99", b"\x00",
)  # fmt: skip


def read(text: bytes, learnt: bytes, key: bytes = b"p") -> tuple[np.ndarray, int] | None:
    """What is read by the layout of another record; None where nothing is."""
    layouts = TemplateReader()
    layouts.learn([(learnt, key, NAMES)])
    found = layouts.read([layouts.range(NAMES)], [3], [1], [key], [text], LIMITS.record_bytes)
    if not found.good[0]:
        return None
    if written := found.vectors.text.tobytes():
        assert written == orjson.dumps(found.values.tolist())[1:-1]
    return found.values, int(found.times[0])


def as_decoded(text: bytes, key: str = "p") -> tuple[np.ndarray, int] | None:
    """The same of the decoder; None where it refuses."""
    found = decode(record(text, key=key, timestamp=7), "features", LIMITS)
    if not isinstance(found, Decoded):
        return None
    return align(found.extracted, NAMES).rows[0], found.observed_at


def agree(text: bytes, learnt: bytes, key: bytes = b"p") -> bool:
    """Whether a record is read, and then as the decoder reads it."""
    quick = read(text, learnt, key)
    if quick is None:
        return False
    slow = as_decoded(text, key.decode())
    assert slow is not None
    assert quick[0].tobytes() == slow[0].tobytes()
    assert slow[1] == (7 if quick[1] < 0 else quick[1])
    return True


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (",\n\t", " : ")])
@pytest.mark.parametrize("escaped", [True, False])
def test_a_record_is_read_whose_text_differs_in_numbers_and_plain_strings(separators, escaped):
    def text(value):
        return json.dumps(value, separators=separators, ensure_ascii=escaped).encode()

    later = FULL | {
        "observed_at": 0,
        "values": {"b": 1e-7, "a": None, "ä": 12345.678},
        "host": "",
        "sequence": -1.5e3,
        "tags": {"zone": "", "values": {"a": 2}, "list": [0.25, "", None, True]},
    }

    assert agree(text(FULL), text(FULL))
    assert agree(text(later), text(FULL))
    assert agree(text({"values": [1, None, 3.5]}), text({"values": [9, 9, 9]}))


@pytest.mark.parametrize(
    "other",
    [
        FULL | {"profile_id": "q"},
        FULL | {"kind": "series"},
        FULL | {"observed_at": "2026-01-02T03:04:05Z"},
        FULL | {"observed_at": 1.0},
        FULL | {"observed_at": 253_402_300_800_000},
        FULL | {"values": {"b": None, "a": None, "ä": None}},
        FULL | {"values": {"b": "1", "a": 1, "ä": 1}},
        FULL | {"values": {"a": 1, "b": 1, "ä": 1}},
        FULL | {"host": 'quote " in it'},
        {"values": {"a": 1.0}},
    ],
)
def test_a_record_that_is_another_is_left_to_the_decoder(other):
    assert read(orjson.dumps(other), orjson.dumps(FULL)) is None


@pytest.mark.parametrize(
    "text",
    [
        b'{"values":{"a":1,"b":2,"\xc3\xa4":3,"a":4}}',
        b'{"values":{"a":1,"b":2,"\xc3\xa4":3},"values":{"a":1,"b":2,"\xc3\xa4":3}}',
        b'{"values":{"a":1,"b":2}}',
        b'{"values":{"a":1,"b":2,"\xc3\xa4":3,"d":4}}',
        b'{"observed_at":"2026-01-02T03:04:05Z","values":[1,2,3]}',
        b'{"profile_id":"\\u0070","values":[1,2,3]}',
        b'{"values":[1,2,3],"text":"' + b"x" * LONGEST + b'"}',
    ],
)
def test_no_layout_is_learnt_of_a_record_that_others_would_not_resemble(text):
    assert read(text, text) is None


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**64 - 1))
def test_numbers_are_those_of_the_decoder_bit_by_bit(real, whole):
    learnt = orjson.dumps({"values": [1, 2, 3]})
    text = orjson.dumps({"values": [real, whole, 3]})

    if not agree(text, learnt):
        digits = len(repr(real).partition("e")[0].replace(".", "").lstrip("-0"))
        far = real != 0 and not 1e-40 < abs(real) < 1e40
        assert far or digits > 17 or len(str(abs(whole))) > 18


@given(
    st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,22})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
)
def test_any_decimal_is_read_as_the_decoder_reads_it_or_not_at_all(text):
    agree(b'{"values":[1.5,2.5,%b]}' % text.encode(), b'{"values":[1,2,3]}')


@given(
    st.lists(
        st.from_regex(r"-?(0|[1-9][0-9]{0,3})\.(0{0,5}[0-9]{0,7}[1-9]|0)", fullmatch=True)
        | st.just("null"),
        min_size=3,
        max_size=3,
    ).filter(lambda texts: set(texts) != {"null"})
)
def test_a_vector_is_written_as_it_came_where_it_came_as_it_is_written(texts):
    a, b, other = (text.encode() for text in texts)
    learnt = orjson.dumps({"values": {"b": 1, "ä": 2, "a": 3}})
    text = '{"values":{"b":%s,"ä":%s,"a":%s}}'.encode() % (b, other, a)
    layouts = TemplateReader()
    layouts.learn([(learnt, b"p", NAMES)])

    found = layouts.read([layouts.range(NAMES)], [3], [1], [b"p"], [text], LIMITS.record_bytes)

    (row,) = orjson.loads(b"[[%b,%b,%b]]" % (a, b, other))
    written, usual = found.vectors.text.tobytes(), orjson.dumps(row)[1:-1]
    short = all(len(part.replace(".", "").lstrip("-")) <= 15 for part in texts)
    plain = all(value is None or value == 0.0 or abs(value) >= 1e-4 for value in row)
    assert found.good[0]
    assert written == (usual if short and plain else b"")


@pytest.mark.parametrize(
    "text", ["9007199254740993", "9007199254740992.5", "4503599627370497.5", "0.1", "1e22", "1e23"]
)
def test_what_lies_half_way_between_two_doubles_is_rounded_to_the_even_one(text):
    assert agree(b'{"values":[1,2,%b]}' % text.encode(), b'{"values":[1,2,3]}')


@pytest.mark.parametrize("seed", range(4))
def test_changed_bytes_are_never_taken_for_what_they_are_not(seed):
    draw = random.Random(seed)
    taken = 0
    for _ in range(2_000):
        taken += agree(mutated(FULL, TOKENS, draw), orjson.dumps(FULL))
    assert 20 < taken < 1900


def test_all_records_of_a_group_are_read_or_none_and_groups_do_not_mix():
    layouts = TemplateReader()
    layouts.learn([(b'{"values":[1,2,3]}', b"p", NAMES), (b'{"values":[1]}', b"q", ("x",))])
    good, bad = b'{"values":[4,5,6]}', b'{"values":[4,"5",6]}'

    found = layouts.read(
        [layouts.range(NAMES), layouts.range(NAMES), layouts.range(("x",)), (0, 0)],
        [3, 3, 1, 1],
        [2, 2, 2, 1],
        [b"p", b"q", b"r", b"s"],
        [good, good, good, bad, b'{"values":[7]}', b'{"values":[8]}', b'{"values":[9]}'],
        100,
    )

    assert found.good.tolist() == [True, False, True, False]
    assert found.values[:6].tolist() == [4, 5, 6, 4, 5, 6]
    assert found.values[12:14].tolist() == [7, 8]


def test_a_record_longer_than_allowed_is_left_to_the_decoder():
    text = b'{"values":[1,2,3]}'
    layouts = TemplateReader()
    layouts.learn([(text, b"p", NAMES)])

    for longest, good in ((len(text), True), (len(text) - 1, False)):
        read = layouts.read([layouts.range(NAMES)], [3], [1], [b"p"], [text], longest)
        assert read.good[0] == good


def test_layouts_kept_are_bounded_and_the_newest_of_some_names_are_known():
    layouts = TemplateReader()
    for number in range(TEMPLATES_PER_SCHEMA + 1):
        layouts.learn([(b'{"n%d":1,"values":[1,2,3]}' % number, b"p", NAMES)])
    first, last = layouts.range(NAMES)
    assert last - first == TEMPLATES_PER_SCHEMA
    newest = b'{"n%d":1,"values":[1,2,3]}' % TEMPLATES_PER_SCHEMA
    assert layouts.read([(first, last)], [3], [1], [b"p"], [newest], 100).good[0]

    for number in range(2 * MAX_TEMPLATES):
        layouts.learn([(b'{"values":{"x%d":1}}' % number, b"p", (f"x{number}",))])
    assert (
        sum(layouts.range((f"x{n}",)) != (0, 0) for n in range(2 * MAX_TEMPLATES)) <= MAX_TEMPLATES
    )


def test_nothing_is_compiled_after_the_warm_up():
    """Neither reading nor writing, in a process that has just begun."""
    code = """
from models.kernels import calibration
from models.kernels.text import compose, read_template, read_window
from processor.runtime.warmup import warm_up
from tests.unit.builders import Scorer, normal, record, stream
kernels = (
    read_template.read_groups, compose.compose, calibration.follow_groups,
    read_window.read_windows, read_window.window,
)
warm_up()
before = [kernel.signatures for kernel in kernels]
scorer = Scorer(cold_start_samples=5)
scorer.taught()
scorer.step(stream(normal(2), first=50))
scorer.step(stream(normal(2), first=50))
for name in ("endTimestamp", "end_timestamp"):
    scorer.step([record({"startTimestamp": 0, name: 9}, kind="behavior")])
assert before == [kernel.signatures for kernel in kernels], before
"""
    subprocess.run([sys.executable, "-c", code], check=True)


TRACE = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
NUMBERS = st.none() | st.floats(7.0, 13.0) | st.sampled_from([10, 1e300, 5e-324, -0.0, 1e6])
RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["p", "Zoë", 'quote " and \\']),
        st.lists(NUMBERS, min_size=3, max_size=3),
        st.sampled_from([(), (TRACE,)]),
        st.none() | st.integers(0, 2**47),
        st.booleans(),
    ),
    max_size=30,
)


@given(RECORDS)
def test_a_step_does_not_depend_on_what_layouts_are_known(given_records):
    batch = [
        record(
            {"values": dict(zip("cab" if turned else "abc", values, strict=True))}
            | ({} if observed is None else {"observed_at": observed, "profile_id": profile}),
            key=profile,
            offset=10_000 + place,
            headers=headers,
        )
        for place, (profile, values, headers, observed, turned) in enumerate(given_records)
    ]
    known = KNOWING.step(batch)
    KNOWING.context.fast_path.templates.__init__()
    unknown = KNOWING.step(batch)
    again = KNOWING.step(batch)

    assert known.outputs == unknown.outputs == again.outputs
    changed = KNOWING.changed(known)
    assert changed == KNOWING.changed(unknown) == KNOWING.changed(again)
    assert known.counts == unknown.counts == again.counts
    assert known.offsets == unknown.offsets
    assert sorted(known.timestamps) == sorted(unknown.timestamps)
    assert KNOWING.heard(known) == KNOWING.heard(unknown)


def knowing() -> Scorer:
    made = Scorer(cold_start_samples=40)
    for number, profile in enumerate(["p", "Zoë", 'quote " and \\']):
        made.taught(profile=profile, first=1000 * number)
    return made


KNOWING = knowing()


def test_a_step_that_ends_early_answers_the_runs_up_to_there():
    scorer = Scorer(cold_start_samples=5, trainings_per_step=1)
    scorer.taught(profile="p")
    scorer.step(stream(normal(1), first=50))
    active = stream([*normal(3, seed=1), GROSS], first=100)
    learning = [
        made
        for number, profile in enumerate(("q", "r"))
        for made in stream(normal(5), key=profile, first=200 + 10 * number)
    ]
    batch = [*active[:2], *learning, *active[2:]]

    step = scorer.step(batch)

    assert [one.offset for one in step.unprocessed] == [214, 102, 103]
    assert step.offsets == {(TOPICS.telemetry("features"), 0): 214}
    said = [orjson.loads(out.value) for out in step.outputs if out.topic == TOPICS.anomalies]
    assert [one["verdict_id"].rpartition("-")[2] for one in said] == [
        "100", "101", "200", "201", "202", "203", "204", "210", "211", "212", "213",
    ]  # fmt: skip
    assert scorer.context.fast_path.templates.range(("a", "b", "c")) != (0, 0)
    assert KINDS["features"].features is None
    assert said[0]["scored_at"] == NOW
