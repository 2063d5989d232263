"""Odd metrics through the scorer: any values and times that the schema accepts get a verdict."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.builders import Retrainer, Scorer, accepted, consumed, reasons, record, verdicts

LEARNT = 32
KEY = (0, "series", "p")
VALUES = st.one_of(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8),
    st.integers(1, 8).map(lambda count: [7.0] * count),
    st.lists(st.sampled_from([0, 1, -1e300, 1e300, 5e-324]), min_size=1, max_size=8),
)
STARTS = st.one_of(
    st.sampled_from([0, 1_700_000_000, 1_700_000_000_000, -(2**63), 2**63 - 9]),
    st.integers(-(2**63), 2**63 - 9),
)
RECORDS = st.lists(st.tuples(STARTS, VALUES), min_size=20, max_size=40)


@settings(max_examples=60)
@given(RECORDS, st.integers(1, 5))
def test_every_record_gets_a_verdict_and_can_be_learnt_from(drawn, steps: int) -> None:
    scorer = Scorer(cold_start_samples=LEARNT, detector__series="forecast")
    batch = [
        record(
            {"timestamps": list(range(start, start + len(values))), "values": values},
            kind="series",
            offset=offset,
        )
        for offset, (start, values) in enumerate(drawn)
    ]
    outputs = []
    size = len(batch) // steps + 1
    for begin in range(0, len(batch), size):
        outputs += scorer.feed(batch[begin : begin + size])

    assert reasons(outputs) == []
    assert len(verdicts(outputs)) == len(batch)
    if KEY in scorer.state.profiles and accepted(outputs):
        retrainer = Retrainer(scorer.memory, retrain_samples=1, detector__series="forecast")
        retrainer.know(scorer.current(KEY))
        retrainer.feed(consumed(outputs, "accepted-normal"))
