"""Whether telemetry or committed offsets were lost, from what the broker and the state say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.offsets import _goes_on, _loss

NONE = -1001
"""What librdkafka says where nothing was committed."""


class TestNothingIsLost:
    @pytest.mark.parametrize(
        ("committed", "first", "last", "newest"),
        [
            (NONE, 0, 0, None),
            (NONE, 0, 50, None),
            (NONE, 20, 50, None),
            (0, 0, 0, None),
            (30, 0, 50, None),
            (30, 30, 50, None),
            (50, 0, 50, None),
            (50, 50, 50, None),
            (30, 0, 50, 29),
            (30, 0, 50, 3),
        ],
    )
    def test_where_reading_can_go_on_after_what_the_state_knows(
        self, committed, first, last, newest
    ):
        assert _loss(committed, first, last, newest) is None


class TestLoss:
    def test_of_the_committed_offsets_while_the_state_stayed(self):
        assert "no committed offset, but state from offset 29" in (_loss(NONE, 0, 50, 29) or "")

    def test_of_records_not_yet_read(self):
        told = _loss(30, 40, 50, 29)
        assert told == "records 30 to 39 were deleted before they were read"

    def test_of_a_partition_that_ends_before_what_was_committed(self):
        assert "the partition ends at 10" in (_loss(30, 0, 10, None) or "")

    @pytest.mark.parametrize("committed", [0, 28, 29])
    def test_of_commits_after_the_state(self, committed):
        told = _loss(committed, 0, 50, 29) or ""
        assert f"committed offset is {committed}, but there is state from offset 29" in told


OFFSET = st.integers(0, 30)


@given(committed=st.just(NONE) | OFFSET, first=OFFSET, length=OFFSET, newest=st.none() | OFFSET)
def test_what_is_read_without_loss_neither_skips_nor_repeats_a_record(
    committed, first, length, newest
):
    last = first + length
    if _loss(committed, first, last, newest) is None:
        begins = committed if committed >= 0 else first
        assert first <= begins <= last
        assert newest is None or begins > newest


class TestGoingOnAfterALoss:
    @pytest.mark.parametrize(
        ("policy", "first", "last", "newest", "begins"),
        [
            ("earliest", 0, 50, 29, 30),
            ("earliest", 40, 50, 29, 40),
            ("earliest", 40, 50, None, 40),
            ("earliest", 0, 10, 29, 10),
            ("latest", 0, 50, 29, 50),
            ("latest", 40, 50, None, 50),
            ("latest", 0, 10, 29, 10),
        ],
    )
    def test_begins_behind_the_state_at_what_the_policy_says(
        self, policy, first, last, newest, begins
    ):
        assert _goes_on(policy, first, last, newest) == begins


@given(
    policy=st.sampled_from(("earliest", "latest")),
    first=OFFSET,
    length=OFFSET,
    newest=st.none() | OFFSET,
)
def test_no_policy_leaves_the_partition_or_reads_again_what_the_state_knows(
    policy, first, length, newest
):
    last = first + length
    begins = _goes_on(policy, first, last, newest)
    assert first <= begins <= last
    assert newest is None or newest >= last or begins > newest
