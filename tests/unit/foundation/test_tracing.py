"""The trace context of a record goes with its verdict, its accepted sample and its dead letter."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.records import ConsumerRecord
from processor.retrainer.role import RetrainerRole
from processor.scorer.role import ScorerRole
from processor.trace_context import traceparent
from tests.unit.builders import NOW, TOPICS, normal, record, stream, vector

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
HEADER = ("traceparent", TRACE)
MALFORMED = [
    None,
    b"",
    b"nonsense",
    TRACE.upper(),
    TRACE + b"\n",
    TRACE + b"-more",
    TRACE[:-1],
    b"ff" + TRACE[2:],
    b"00-" + b"0" * 32 + TRACE[35:],
    TRACE[:36] + b"0" * 16 + b"-01",
    b" " + TRACE,
]


def headers_by_topic(outputs) -> dict[str, list[dict[str, bytes | None]]]:
    found: dict[str, list[dict[str, bytes | None]]] = {}
    for out in outputs:
        found.setdefault(out.topic, []).append(dict(out.headers or ()))
    return found


def test_every_answer_carries_the_trace_of_its_record(make_role):
    role = make_role(ScorerRole)
    role.apply(role.compute(stream(normal(5)), NOW))
    learning = record(vector(1.0, 2.0, 3.0), key="q", offset=5, headers=(HEADER,))
    scored = record(vector(10.0, 10.0, 10.0), offset=6, headers=(("other", b"x"), HEADER))
    bad = record(b"{", offset=7, headers=(HEADER, ("other", b"x")))

    found = headers_by_topic(role.compute([learning, scored, bad], NOW).outputs)

    assert [headers["traceparent"] for headers in found[TOPICS.anomalies]] == [TRACE, TRACE]
    assert [headers["traceparent"] for headers in found[TOPICS.accepted]] == [TRACE]
    (letter,) = found[TOPICS.dead_letter]
    assert (letter["traceparent"], letter["other"]) == (TRACE, b"x")
    assert all("other" not in headers for headers in found[TOPICS.anomalies])


def test_each_answer_of_a_batch_carries_the_trace_of_its_own_record(make_role):
    role = make_role(ScorerRole)
    role.apply(role.compute(stream(normal(5)), NOW))
    traces = [TRACE.replace(b"4bf9", f"{number:04x}".encode()) for number in range(1, 9)]
    batch = [
        record(value, offset=5 + number, headers=(("traceparent", trace),))
        for number, (value, trace) in enumerate(zip(normal(8, seed=1), traces, strict=True))
    ]

    outputs = role.compute([*batch, record(vector(1.0, 2.0, 3.0), offset=13)], NOW).outputs

    found = {
        (out.topic, orjson.loads(out.value)["verdict_id"]): dict(out.headers or ()).get(
            "traceparent"
        )
        for out in outputs
    }
    own = {f"telemetry.features-0-{5 + number}": trace for number, trace in enumerate(traces)}
    assert {found[topic, verdict_id] for topic, verdict_id in found} == {*traces, None}
    assert all(trace == own.get(verdict_id) for (_, verdict_id), trace in found.items())


def test_a_dead_letter_of_the_retrainer_keeps_all_headers(make_role):
    role = make_role(RetrainerRole)
    bad = ConsumerRecord(TOPICS.accepted, 0, 0, b"p", b"{}", (HEADER, ("other", b"x")), NOW)

    found = headers_by_topic(role.compute([bad], NOW).outputs)

    (letter,) = found[TOPICS.dead_letter]
    assert (letter["traceparent"], letter["other"]) == (TRACE, b"x")


@pytest.mark.parametrize("value", MALFORMED)
def test_what_is_no_trace_context_is_not_carried(value):
    assert traceparent((("traceparent", value),)) == ()


def test_of_several_the_last_counts():
    other = TRACE.replace(b"4bf9", b"0000")
    assert traceparent((("traceparent", other), HEADER)) == (HEADER,)
    assert traceparent((HEADER, ("traceparent", b"?"))) == ()


def test_what_a_later_version_adds_goes_along():
    later = b"01" + TRACE[2:]
    assert traceparent((("traceparent", later),)) == (("traceparent", later),)
    assert traceparent((("traceparent", later + b"-and-more"),))
    assert traceparent((("traceparent", later + b"and-more"),)) == ()


@given(st.lists(st.tuples(st.text(max_size=12), st.none() | st.binary(max_size=60))).map(tuple))
def test_other_headers_are_never_carried(headers):
    assert traceparent(headers) in ((), (HEADER,))
