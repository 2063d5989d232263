"""Normal records of one sample are answered from a template: with the same bytes as all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.columnar.fast_path import NoFastPath
from processor.records import ConsumerRecord, ProducerRecord
from processor.scorer.pipeline import compute
from processor.stream.step import Step
from tests.unit.builders import GROSS, NOW, TOPICS, Scorer, normal, of, record, stream, vector

TRACE = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
PROFILES = ("p", "Zoë", 'quote " and \\', "100%b", "\u2028 line")

NUMBERS = st.none() | st.floats(7.0, 13.0) | st.sampled_from([10, 1e300, 5e-324, -0.0])
RECORDS = st.lists(
    st.tuples(
        st.sampled_from(PROFILES),
        st.lists(NUMBERS, min_size=3, max_size=3),
        st.sampled_from([(), (TRACE,), (("other", None), TRACE)]),
        st.none() | st.integers(0, 2**47),
    ),
    max_size=30,
)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    made = Scorer(cold_start_samples=40)
    for number, profile in enumerate(PROFILES):
        made.taught(profile=profile, first=1000 * number)
    return made


def by_fields(scorer: Scorer, batch: Sequence[ConsumerRecord]) -> Step:
    plain = replace(scorer.context, fast_path=NoFastPath())
    return compute(scorer.state, batch, NOW, plain)


@given(RECORDS)
def test_template_and_fields_give_the_same_step(scorer: Scorer, given_records):
    batch = [
        record(
            vector(*values) | ({} if observed is None else {"observed_at": observed}),
            key=profile,
            offset=10_000 + place,
            headers=headers,
        )
        for place, (profile, values, headers, observed) in enumerate(given_records)
    ]

    quick, slow = scorer.step(batch), by_fields(scorer, batch)

    assert quick.outputs == slow.outputs
    assert scorer.changed(quick) == scorer.changed(slow)
    assert quick.counts == slow.counts
    assert sorted(quick.timestamps) == sorted(slow.timestamps)
    assert scorer.heard(quick) == scorer.heard(slow)


def test_an_anomaly_between_normal_records_starts_their_count_anew(scorer: Scorer):
    batch = stream([*normal(2, seed=1), GROSS, *normal(3, seed=2)], first=20_000)

    quick, slow = scorer.step(batch), by_fields(scorer, batch)

    assert quick.outputs == slow.outputs
    assert len(of(quick, TOPICS.anomalies)) == 6
    accepted: list[ProducerRecord] = of(quick, TOPICS.accepted)
    assert [b'"since_anomaly":1,' in out.value for out in accepted[-3:]] == [True, False, False]
