"""Whether telemetry or committed offsets were lost, from what the broker and the state say."""

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from processor.kafka.topic_identity import Described, Note
from processor.offsets.starting_offsets import (
    Found,
    LostOffsets,
    Start,
    _goes_on,
    _loss,
    starting_offsets,
)

NONE = -1001
"""What librdkafka says where nothing was committed."""

PLACE = ("telemetry.features", 0)
CHANGELOGS = ("models", "cold-start")
TOPICS = {name: Described(f"id-of-{name}", 1) for name in (PLACE[0], *CHANGELOGS)}
OURS = Note("id-of-telemetry.features", ("id-of-models", "id-of-cold-start"))
ANOTHER_TOPIC = Note("gone", OURS.changelogs)
OTHER_MODELS = Note(OURS.topic, ("gone", "id-of-cold-start"))


def told(committed: int, first: int, last: int, newest: int | None, answered: int | None = None):
    loss = _loss(Found(committed, None, first, last), newest, answered)
    return None if loss is None else loss.why


def start(
    found: Found, newest: int | None = None, answered: int | None = None, policy: str = "stop"
) -> Start:
    log = structlog.wrap_logger(structlog.testing.CapturingLogger())
    known = {} if newest is None else {PLACE: newest}
    said = {} if answered is None else {PLACE: answered}
    return starting_offsets({PLACE: found}, known, said, CHANGELOGS, TOPICS, policy, log)


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
        assert told(committed, first, last, newest) is None

    def test_where_an_earlier_version_committed_behind_what_it_answered(self):
        begun = start(Found(30, None, 0, 50), newest=12, answered=29)
        assert begun.positions == {PLACE: 30}


class TestLoss:
    def test_of_the_committed_offsets_while_the_state_stayed(self):
        assert "no committed offset, but state from offset 29" in (told(NONE, 0, 50, 29) or "")

    def test_of_records_not_yet_read(self):
        why = told(30, 40, 50, 29)
        assert why == "records 30 to 39 were deleted before they were read"

    def test_of_a_partition_that_ends_before_what_was_committed(self):
        assert "the partition ends at 10" in (told(30, 0, 10, None) or "")

    @pytest.mark.parametrize("committed", [0, 28, 29])
    def test_of_commits_after_the_state(self, committed):
        why = told(committed, 0, 50, 29) or ""
        assert f"committed offset is {committed}, but there is state from offset 29" in why

    @pytest.mark.parametrize("newest", [None, 12])
    def test_of_commits_after_an_answer(self, newest):
        why = told(30, 0, 50, newest, 49)
        assert why == "the committed offset is 30, but there is an answer to offset 49"

    def test_of_committed_offsets_while_there_are_answers(self):
        assert told(NONE, 0, 50, None, 29) == "no committed offset, but an answer to offset 29"

    def test_of_a_topic_that_went_with_its_committed_offsets(self):
        why = told(NONE, 0, 10, 29) or ""
        assert why.endswith("the partition ends at 10: the topic was deleted and recreated")


class TestMadeAnew:
    """By the note that was committed with the offset."""

    def test_the_topic_itself_is_a_loss_that_names_both_ids(self):
        with pytest.raises(LostOffsets, match="recreated: offset 3 was committed for the one with"):
            start(Found(3, ANOTHER_TOPIC, 0, 10), newest=2)

    @pytest.mark.parametrize(("policy", "begins"), [("earliest", 0), ("latest", 10)])
    def test_the_new_topic_is_read_as_the_policy_says(self, policy, begins):
        assert start(Found(3, ANOTHER_TOPIC, 0, 10), 29, None, policy).positions[PLACE] == begins

    def test_state_of_the_earlier_topic_is_no_loss_at_the_start_after(self):
        before = start(Found(3, ANOTHER_TOPIC, 0, 10), 29, None, "earliest")
        note = Note(OURS.topic, OURS.changelogs, earlier=29)
        again = start(Found(20, note, 0, 40), newest=29)
        assert before.notes[PLACE] == str(note) == again.notes[PLACE]
        assert again.positions == {PLACE: 20}
        assert again.restated == []

    def test_newer_state_counts_again(self):
        note = Note(OURS.topic, OURS.changelogs, earlier=29)
        with pytest.raises(LostOffsets, match="but there is state from offset 30"):
            start(Found(20, note, 0, 40), newest=30)

    def test_a_changelog_is_a_loss_that_names_it(self):
        with pytest.raises(LostOffsets, match="models was deleted and recreated since offset 30"):
            start(Found(30, OTHER_MODELS, 0, 50))

    @pytest.mark.parametrize(("policy", "begins"), [("earliest", 30), ("latest", 50)])
    def test_nothing_is_answered_twice_after_the_loss_of_a_changelog(self, policy, begins):
        begun = start(Found(30, OTHER_MODELS, 0, 50), 12, None, policy)
        assert begun.positions == {PLACE: begins}
        assert begun.restated == [PLACE]

    @pytest.mark.parametrize(
        "note", [Note("-", ("-", "-")), Note(OURS.topic, ()), Note(OURS.topic, OURS.changelogs)]
    )
    def test_what_is_not_known_is_no_loss(self, note):
        assert start(Found(30, note, 0, 50)).positions == {PLACE: 30}


class TestRestated:
    def test_is_what_another_hand_committed(self):
        assert start(Found(30, None, 0, 50)).restated == [PLACE]

    def test_is_not_what_is_committed_as_it_is_to_be_or_not_at_all(self):
        assert start(Found(30, OURS, 0, 50)).restated == []
        assert start(Found(NONE, None, 0, 50)).restated == []

    def test_is_where_an_operator_had_it_go_on(self):
        begun = start(Found(NONE, None, 0, 50), 29, None, "earliest")
        assert begun.positions == {PLACE: 30}
        assert begun.restated == [PLACE]


class TestUnsure:
    @pytest.mark.parametrize(
        ("found", "unsure"),
        [
            (Found(30, None, 0, 50), True),
            (Found(NONE, None, 0, 50), True),
            (Found(50, None, 0, 50), False),
            (Found(NONE, None, 50, 50), False),
            (Found(30, OURS, 0, 50), False),
        ],
    )
    def test_are_unread_records_behind_an_offset_without_our_note(self, found, unsure):
        assert found.unsure is unsure


OFFSET = st.integers(0, 30)


@given(
    committed=st.just(NONE) | OFFSET,
    first=OFFSET,
    length=OFFSET,
    newest=st.none() | OFFSET,
    answered=st.none() | OFFSET,
)
def test_what_is_read_without_loss_neither_skips_nor_repeats_a_record(
    committed, first, length, newest, answered
):
    last = first + length
    if told(committed, first, last, newest, answered) is None:
        begins = committed if committed >= 0 else first
        assert first <= begins <= last
        assert newest is None or begins > newest
        assert answered is None or begins > answered


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
