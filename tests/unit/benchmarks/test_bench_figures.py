"""Figures of the benchmarks: rates, percentiles, gaps, and how they are shown."""

import math
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import measure, page, report, workload
from benchmarks.measure import Seen
from benchmarks.report import Figure
from models.features import KINDS


def test_a_rate_counts_neither_the_start_nor_the_wait_at_the_end():
    changes = [
        Seen(at=10.0, records=2_000, cpu=5.0),
        Seen(at=11.0, records=4_000, cpu=5.5),
        Seen(at=12.0, records=6_000, cpu=6.0),
        Seen(at=20.0, records=6_500, cpu=9.0),
    ]

    assert measure.rate(changes, total=6_500) == 2_000.0
    assert measure.cost(changes, total=6_500) == 250.0


def test_a_rate_of_two_commits_is_that_between_them():
    assert measure.rate([Seen(0.0, 100), Seen(2.0, 300)], total=300) == 100.0


def test_one_commit_gives_no_rate():
    with pytest.raises(ValueError, match="two are needed"):
        measure.rate([Seen(0.0, 100)], total=100)


@given(st.lists(st.floats(0, 1e6), min_size=1).map(sorted), st.floats(0.001, 1.0))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(values, share):
    found = measure.percentile(values, share)

    needed = share * len(values)
    assert sum(value <= found for value in values) >= needed
    assert sum(value < found for value in values) < needed


def test_ratios_are_taken_within_each_repetition():
    assert measure.ratios([10.0, 30.0, 20.0], [10.0, 10.0, 10.0]) == (2.0, 1.0, 3.0)


def test_the_longest_gap_includes_the_silence_before_the_first_and_after_the_last():
    assert measure.longest_gap([4.0, 5.0], began=0.0, ended=6.0) == 4.0
    assert measure.longest_gap([1.0, 2.0], began=0.0, ended=9.0) == 7.0
    assert measure.longest_gap([], began=0.0, ended=3.0) == 3.0


@pytest.mark.parametrize(
    ("must", "value", "met"),
    [
        ("≥ 0.28", 0.28, True),
        ("≥ 0.28", 0.27, False),
        ("≤ 60", 60.0, True),
        ("≤ 60", 61.0, False),
        ("", 1.0, None),
    ],
)
def test_a_figure_says_whether_it_is_what_it_must_be(must, value, met):
    assert Figure("figure", value, "ms", must=must).met is met


def test_the_page_shows_first_what_must_be_and_names_what_was_missed():
    measured = {"measured": "2026-01-02T03:04:05+00:00", "machine": "2 cores"}
    slow = {"name": "p99", "value": 80.0, "unit": "ms", "must": "≤ 60", "aim": "30"}
    plain = {"name": "p50", "value": 12.0, "unit": "ms"}

    lines = page.lines({"latency": {**measured, "figures": [plain, slow]}})

    assert "- latency: 2026-01-02, on 2 cores" in lines
    missed = "| p99 | 80 ms |  | ≤ 60 | 30 | **missed** |"
    first = lines.index("## What must be")
    assert lines[first : first + 5].count(missed) == 1
    assert lines.count(missed) == 2


def test_numbers_keep_three_digits():
    assert [report.number(value) for value in (123_456.7, 12.345, 0.012345)] == [
        "123,457",
        "12.3",
        "0.0123",
    ]


def test_a_peer_extracts_finite_features_and_no_more_than_ours():
    sent = workload.behavior(profiles=1, samples=5, later=4)

    for value in chain(*sent.learning.values(), *sent.later.values()):
        row = workload.vector("behavior", value)
        assert 17 == len(row) <= len(KINDS["behavior"].features)
        assert all(map(math.isfinite, row))
