"""The note that is committed with offsets is read as it was written, and nothing else is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.kafka import topic_identity
from processor.kafka.topic_identity import UNKNOWN, Described, Note, anew

IDS = st.text("abcXYZ0189+/", min_size=1, max_size=22) | st.just(UNKNOWN)


@given(
    st.builds(Note, IDS, st.lists(IDS, max_size=4).map(tuple), st.none() | st.integers(0, 9**18))
)
def test_a_note_is_read_as_it_was_written(note):
    assert topic_identity.read_note(str(note)) == note


@given(st.none() | st.text() | st.text().map(lambda rest: f"telltale:1:{rest}"))
def test_whatever_another_hand_committed_is_read_without_an_error(metadata):
    found = topic_identity.read_note(metadata)
    assert found is None or str(found).startswith("telltale:1:")


def test_a_note_names_the_topic_and_the_changelogs_in_their_order():
    topics = {"in": Described("a", 4), "models": Described("b", 4)}
    assert str(topic_identity.note("in", ("models", "pool"), topics)) == "telltale:1:a:b,-:"


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [("a", "a", False), ("a", "b", True), (UNKNOWN, "b", False), ("a", UNKNOWN, False)],
)
def test_a_topic_is_another_one_only_if_both_ids_are_known(before, now, expected):
    assert anew(before, now) is expected
