"""Whatever a foreign writer puts on the topics, the projection goes on, on both kinds of store."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from console.live.reading import take
from console.live.state import load
from console.store import projection
from console.store import tables as t
from console.store.database import Database
from console.store.projection import Batch, project
from processor.record_batch import RecordBatch
from processor.records import ConsumerRecord
from tests.unit.console.records import (
    NOON,
    TOPICS,
    anomaly,
    attributes,
    dead_letter,
    event,
    label,
    model,
    verdict,
)
from tests.unit.console.test_console_api import client_of, made

WIDE = (2**63, 2**64 - 1, -(2**63) - 1, 10**30, -(10**400))
MADE = (
    lambda n: verdict(n),
    lambda n: anomaly(n),
    lambda n: verdict(n, status="learning"),
    lambda n: event(n, "drifting"),
    lambda n: event(n, "suppressed", detail=f"until {NOON}: pump"),
    lambda n: model(n),
    lambda n: label(n, f"telemetry.features-0-{n}", "anomaly"),
    lambda n: attributes(n, {"site": "Graz"}),
    lambda n: dead_letter(n, n),
)
scalars: Any = st.one_of(
    st.sampled_from([*WIDE, 2**63 - 1, -1, 0, 1.5, 1e308, None, True, "", "x", "a\x00b", "\x7f"]),
    st.text(max_size=5),
)
values = st.one_of(scalars, st.lists(scalars, max_size=2), st.dictionaries(st.text(), scalars))
keys: Any = st.sampled_from(
    [None, b"", b"p", b"\xff", b"features:p", b":", b"features:" + b"x" * 300]
)


@st.composite
def foreign(draw: Any) -> list[ConsumerRecord]:
    """Records of all topics, in which something is not as it should be."""
    found = []
    for offset in range(draw(st.integers(1, 12))):
        record = draw(st.sampled_from(MADE))(offset)
        if draw(st.booleans()):
            record = record._replace(key=draw(keys))
        body = json.loads(record.value) if record.topic != TOPICS.dead_letter else None
        if isinstance(body, dict):
            names = st.sampled_from([*body, "generation", "version", "figures", "weight", "more"])
            body |= draw(st.dictionaries(names, values, max_size=3))
            record = record._replace(value=json.dumps(body, allow_nan=True).encode())
        elif body is None:
            headers = [(name, draw(st.binary(max_size=9))) for name, _ in record.headers]
            headers.append(("telltale.replayed", b"9" * draw(st.integers(0, 40))))
            record = record._replace(headers=tuple(headers))
        if draw(st.integers(0, 9)) == 0:
            record = record._replace(value=draw(st.sampled_from([None, b"", b"[]", b"{", b"\xff"])))
        found.append(record._replace(timestamp=draw(st.sampled_from([-1, NOON, 2**62]))))
    return found


def take_in(database: Database, records: list[ConsumerRecord]) -> None:
    """What the two threads do with a batch; offsets go on from those in the store."""
    state = load(database, 10)
    offsets = {(topic, 0): state.offsets.get((topic, 0), 0) for topic in {r.topic for r in records}}
    ahead = dict(offsets)
    placed = []
    for record in records:
        place = (record.topic, 0)
        placed.append(record._replace(partition=0, offset=ahead[place]))
        ahead[place] += 1
    taken = take(RecordBatch.of(placed), offsets, state, TOPICS, 3)
    assert taken is not None
    batch = Batch(taken.items, taken.begins, taken.ends, taken.normals)
    project(database, batch, state.profiles, 3, NOON)
    with database.read() as connection:
        held = projection.offsets(connection)
    assert {place: held[place] for place in ahead} == ahead


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(records=foreign())
@example(records=[anomaly(0, observed_at=2**63)])
@example(records=[verdict(0, status="learning", generation=2**63, samples_seen=2**64 - 1)])
@example(records=[event(0, "drifting", version=10**30, figures={"n": 10**30})])
@example(records=[model(0, trained_on=10**30)])
@example(records=[attributes(0, {"n": 10**30})])
def test_foreign_records_never_stop_the_projection(
    database: Database, records: list[ConsumerRecord]
):
    take_in(database, records)


@pytest.mark.parametrize("number", WIDE[:4])
def test_what_is_told_of_foreign_records_can_be_answered(database: Database, number: int):
    more = {"figures": {"n": number, "deep": [{"n": number}]}, "note": number}
    take_in(database, [event(0, "drifting", **more), anomaly(0, **more), anomaly(1)])
    client = client_of(made(database))

    for path in ("/api/v1/verdicts", "/api/v1/events/recent", "/dashboard", "/statistics"):
        assert client.get(path).status_code == 200, path
    with database.read() as connection:
        count = connection.execute(select(func.count()).select_from(t.verdicts)).scalar_one()
    assert count == 2
