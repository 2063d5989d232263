"""Dead letters are read back, filtered, and put together again as they were."""

from hypothesis import given
from hypothesis import strategies as st

from processor.dead_letters import Wanted, by_reason, letter, original
from processor.decode import dead_letter
from processor.names import DEAD_LETTER_LIMIT, Topics
from processor.records import DeadLetter, Incoming, Outgoing

TOPICS = Topics("p.")
FEATURES = TOPICS.telemetry("features")
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(("trace", "telltale.reason", "telltale.offset")),
        st.none() | st.binary(max_size=5),
    ),
    max_size=4,
).map(tuple)


def dead(record: Incoming, reason: str = "invalid_json", timestamp: int = 1000) -> Incoming:
    """A record as it lies in the dead-letter topic."""
    out = dead_letter(record, DeadLetter(reason, "value: not JSON"), TOPICS.dead_letter)
    return Incoming(
        out.topic, out.partition, 40, out.key, out.value, tuple(out.headers or ()), timestamp
    )


def telemetry(value: bytes | None = b"x", headers=()) -> Incoming:
    return Incoming(FEATURES, 3, 17, b"key", value, headers, 5)


@given(headers=HEADERS, value=st.none() | st.binary(max_size=20))
def test_what_goes_back_is_the_record_as_it_was_and_how_often_it_was_sent_back(headers, value):
    record = telemetry(value, headers)

    back = original(letter(dead(record)), TOPICS)

    assert back == Outgoing(
        FEATURES, value, b"key", 3, headers=[*headers, ("telltale.replayed", b"1")]
    )


def test_a_second_failure_is_told_apart_and_counted():
    once = original(letter(dead(telemetry())), TOPICS)
    assert isinstance(once, Outgoing)
    again = letter(dead(telemetry(headers=tuple(once.headers or ()))))

    twice = original(again, TOPICS)

    assert again.replayed == 1
    assert isinstance(twice, Outgoing)
    assert twice.headers == [("telltale.replayed", b"2")]


def test_a_letter_says_why_and_where_it_came_from():
    found = letter(dead(telemetry(), "too_large"))

    assert (found.reason, found.detail, found.came_from) == (
        "too_large",
        "value: not JSON",
        "p.telemetry.features-3-17",
    )


def test_what_was_cut_or_came_from_elsewhere_stays():
    cut = letter(dead(telemetry(b"x" * DEAD_LETTER_LIMIT)))
    elsewhere = letter(dead(Incoming("other", 0, 0, b"k", b"v", (), 0)))
    bare = letter(Incoming(TOPICS.dead_letter, 0, 0, None, None, (), 0))

    assert cut.truncated
    for found in (cut, elsewhere, bare):
        assert isinstance(original(found, TOPICS), str)


def test_a_filter_takes_reason_topic_and_time():
    found = letter(dead(telemetry(), timestamp=1000))

    assert Wanted()(found)
    assert Wanted("invalid_json", FEATURES, since=1000, until=1001)(found)
    assert not Wanted(reason="too_large")(found)
    assert not Wanted(topic=TOPICS.telemetry("series"))(found)
    assert not Wanted(since=1001)(found)
    assert not Wanted(until=1000)(found)


def test_the_list_counts_by_reason_and_shows_the_newest():
    older = letter(dead(telemetry(), timestamp=1000))
    newer = letter(dead(telemetry(headers=(("telltale.replayed", b"1"),)), timestamp=2000))
    other = letter(dead(telemetry(), "too_large"))

    groups = by_reason([(older, False), (other, True), (newer, True)])

    assert list(groups) == ["invalid_json", "too_large"]
    assert groups["invalid_json"].plain() == {
        "count": 2,
        "waiting": 1,
        "again": 1,
        "newest": 2000,
        "topics": [FEATURES],
        "sample": {
            "from": "p.telemetry.features-3-17",
            "key": "key",
            "detail": "value: not JSON",
        },
    }
