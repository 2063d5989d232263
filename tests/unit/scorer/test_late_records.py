"""Records that are history when they are judged: their verdicts say ``late``, by either path."""

from __future__ import annotations

from dataclasses import replace

import pytest

from processor.columnar.fast_path import NoFastPath
from tests.unit.builders import GROSS, NOW, TOPICS, Scorer, normal, of, record, vector, verdicts

HOUR = 3_600_000


@pytest.fixture(scope="module", params=["fast", "plain"])
def scorer(request: pytest.FixtureRequest) -> Scorer:
    """A scorer whose profile p has learnt from 40 samples; its Steps are dropped."""
    taught = Scorer(cold_start_samples=40)
    taught.taught()
    if request.param == "plain":
        taught.context = replace(taught.context, fast_path=NoFastPath())
    return taught


@pytest.mark.parametrize(
    ("value", "key"), [(normal(1)[0], "p"), (GROSS, "p"), (vector(1.0, 2.0), "q")]
)
@pytest.mark.parametrize(("age", "late"), [(0, False), (HOUR, False), (HOUR + 1, True)])
def test_a_record_older_than_an_hour_is_late(scorer, value, key, age, late):
    written = scorer.step([record({**value, "observed_at": NOW - age}, key=key, offset=99)])

    (verdict,), (out,) = verdicts(written), of(written, TOPICS.anomalies)

    assert verdict.late is late
    assert dict(out.headers or ()).get("telltale.late") == (b"true" if late else None)


def test_how_old_is_late_can_be_set(scorer):
    context = scorer.context
    patient = replace(context, settings=context.settings.model_copy(update={"late_minutes": 90.0}))
    old = [record({**normal(1)[0], "observed_at": NOW - HOUR - 1}, offset=99)]

    scorer.context = patient
    (verdict,) = verdicts(scorer.step(old))
    scorer.context = context

    assert not verdict.late
