"""However dead letters are filtered, run after run, each is sent back once and none is lost."""

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.kafka.reading import ToolError
from processor.operations.dead_letter_progress import (
    FORMAT,
    Progress,
    Scan,
    decode_progress,
    encode_progress,
)


def run(
    progress: Progress, offsets: list[int], wanted: set[int], stop: int
) -> tuple[Progress, set]:
    """One replay of a partition, ended after ``stop`` records; what it sent back."""
    scan, sent = Scan.over(progress), set()
    for offset in [offset for offset in offsets if offset >= progress.start][:stop]:
        if progress.waits(offset) and offset in wanted:
            sent.add(offset)
            scan.settle(offset)
        elif progress.waits(offset):
            scan.leave(offset)
        else:
            scan.settle(offset)
    return scan.progress(), sent


@given(
    held=st.sets(st.integers(0, 60), max_size=40),
    runs=st.lists(
        st.tuples(st.sets(st.integers(0, 60), max_size=40), st.integers(0, 40)), max_size=5
    ),
)
def test_each_record_goes_back_once_whatever_the_filters_and_wherever_runs_ended(held, runs):
    offsets = sorted(held)
    progress, sent = Progress(), set()
    for wanted, stop in runs:
        progress, now = run(
            decode_progress(progress.position, encode_progress(progress.left)),
            offsets,
            wanted,
            stop,
        )
        assert not sent & now
        sent |= now

    last, rest = run(progress, offsets, held, len(offsets))

    assert not sent & rest
    assert sent | rest == held
    assert not any(last.waits(offset) for offset in offsets)


def test_records_left_side_by_side_are_one_run_across_control_records():
    scan = Scan.over(Progress())
    for offset in (0, 1, 5, 9):
        scan.leave(offset)
    scan.settle(12)

    assert scan.progress() == Progress(13, ((0, 9),))


def test_nothing_committed_means_that_everything_waits():
    assert decode_progress(-1001, None) == Progress()
    assert decode_progress(5, "") == Progress(5)


def packed(text: bytes) -> str:
    return FORMAT + base64.b64encode(zlib.compress(text)).decode()


@pytest.mark.parametrize(
    "metadata",
    [
        "something else",
        "1:",
        "1:%%%",
        packed(b"{"),
        packed(b"{}"),
        packed(b"7"),
        packed(b"[1]"),
        packed(b'["a", "b"]'),
        packed(b"[null, 1]"),
        packed(b"[[], 1]"),
        packed(b"[1.5, 2]"),
    ],
)
def test_metadata_of_another_format_stops_the_command(metadata):
    with pytest.raises(ToolError, match="cannot be read"):
        decode_progress(5, metadata)


def test_what_does_not_fit_into_metadata_stops_the_command_before_anything_is_sent():
    scattered = np.random.default_rng(1).choice(10**6, 20_000, replace=False)

    with pytest.raises(ToolError, match="too scattered"):
        encode_progress(tuple((offset, offset) for offset in sorted(scattered.tolist())))
