"""The histogram that takes a batch at a time counts as Prometheus' own does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from processor.metrics.batch_histogram import BatchHistogram

BOUNDS = (0.5, 1, 10)
BATCHES = st.lists(st.lists(st.sampled_from([0.0, 0.4, 0.5, 0.7, 1.0, 2.5, 10.0, 99.0])))


def samples(registry: CollectorRegistry, name: str) -> dict[tuple[str, str], float]:
    """Suffix and bound → value."""
    (family,) = [family for family in registry.collect() if family.name == name]
    return {
        (sample.name.removeprefix(name), sample.labels.get("le", "")): sample.value
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(BATCHES)
def test_a_batch_counts_as_its_records_one_by_one(batches: list[list[float]]) -> None:
    registry = CollectorRegistry()
    ours = BatchHistogram("ours", "By the batch.", BOUNDS, registry)
    ours.begin("scorer")
    theirs = Histogram("theirs", "One by one.", buckets=BOUNDS, registry=registry)

    for batch in batches:
        ours.observe("scorer", np.array(batch, dtype=np.float64))
        for seconds in batch:
            theirs.observe(seconds)

    assert samples(registry, "ours") == pytest.approx(samples(registry, "theirs"))


def test_each_role_has_series_of_its_own_and_none_before_its_first_value() -> None:
    registry = CollectorRegistry()
    ours = BatchHistogram("ours", "By the batch.", BOUNDS, registry)

    ours.observe("retrainer", np.array([]))
    ours.observe("scorer", np.array([3.0]))

    assert registry.get_sample_value("ours_count", {"role": "scorer"}) == 1
    assert registry.get_sample_value("ours_count", {"role": "retrainer"}) is None
