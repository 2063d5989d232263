"""Which of the partitions that a process was given it reads, and what it says of the others."""

from hypothesis import given
from hypothesis import strategies as st

from processor.offsets.partitions import listed, parts

EVEN = {"in.a": 4, "in.b": 4, "out": 4}


def test_topics_alike_are_read_whole():
    found = parts({"in.a": {0, 1}, "in.b": {0, 1}}, EVEN)
    assert found.places == (("in.a", 0), ("in.a", 1), ("in.b", 0), ("in.b", 1))
    assert found[:3] == ((0, 1), (), None)


def test_partitions_added_to_one_input_are_named_with_the_remedy():
    found = parts({"in.a": {*range(6)}, "in.b": {*range(4)}}, EVEN | {"in.a": 6})
    assert found.common == (0, 1, 2, 3)
    assert found.unread == (("in.a", 4), ("in.a", 5))
    assert found.why == (
        "nobody answers in.a [4, 5]: topics must have the same number of partitions, most have 4, "
        "but: in.a 6; give each topic 6: kafka-topics.sh --alter --topic NAME --partitions 6 "
        "(docs/operations.md, TelltaleInputUnread, says which profiles move)"
    )


def test_partitions_that_an_output_lacks_are_not_read():
    found = parts({"in.a": {*range(6)}, "in.b": {*range(6)}}, {"in.a": 6, "in.b": 6, "out": 4})
    assert found.common == (0, 1, 2, 3)
    assert found.unread == (("in.a", 4), ("in.a", 5), ("in.b", 4), ("in.b", 5))
    assert "most have 6, but: out 4; give each topic 6" in (found.why or "")


def test_without_one_of_its_topics_nothing_is_read():
    found = parts({"in.a": {0}, "in.b": {0}}, EVEN | {"out": 0})
    assert found.common == ()
    assert "topics missing: out;" in (found.why or "")


def test_what_the_group_did_not_give_of_every_input_is_not_read():
    found = parts({"in.a": {0, 1}, "in.b": {0}}, EVEN)
    assert found.common == (0,)
    assert "all processes of a role must read the same topics" in (found.why or "")


def test_a_spare_process_lacks_nothing():
    assert parts({"in.a": set(), "in.b": set()}, EVEN) == ((), (), None, ())


def test_a_long_list_is_cut():
    assert listed([("t", n) for n in range(12)]) == f"t [{', '.join(map(str, range(10)))}, …]"


HELD = st.sets(st.integers(0, 7))


@given(st.dictionaries(st.sampled_from("abc"), HELD, min_size=1), st.integers(0, 8), st.booleans())
def test_each_partition_is_read_or_told(given_, count, known):
    counts = {**dict.fromkeys(given_, 8), "out": count} if known else {}
    found = parts(given_, counts)
    everything = {(topic, number) for topic, held in given_.items() for number in held}
    read = {(topic, number) for topic in given_ for number in found.common}
    assert read.isdisjoint(found.unread)
    assert read | set(found.unread) == everything
    assert (found.why is None) == (not found.unread)
