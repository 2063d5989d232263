"""Dead letters are read back, filtered, and put together again as they were."""

import io
import json
from itertools import starmap

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from processor.cli import dead_letter as dead_letter_commands
from processor.dead_letter import ADDED, SOURCE_REASONS, dead_letter, letter, original
from processor.kafka.reading import ToolError
from processor.operations.dead_letter_list import DeadLetterFilter, by_reason
from processor.operations.dead_letter_skip import role_group
from processor.records import ConsumerRecord, DeadLetter, ProducerRecord
from processor.settings import Settings
from processor.text import headers
from processor.text.escaping import dumped, printable
from processor.topics import DEAD_LETTER_LIMIT, Topics
from tests.unit.operations.hostile import EVERY, raw

TOPICS = Topics("p.")
FEATURES = TOPICS.telemetry("features")
COUNTS = {FEATURES: 4}
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(("trace", "telltale.reason", "telltale.offset")),
        st.none() | st.binary(max_size=5),
    ),
    max_size=4,
).map(tuple)


def printed(*parts: object) -> str:
    """What a console without colours writes."""
    file = io.StringIO()
    console = Console(file=file, width=2000, highlight=False, soft_wrap=True)
    for part in parts:
        console.print(part)
    return file.getvalue()


def dead(
    record: ConsumerRecord, reason: str = "invalid_json", timestamp: int = 1000
) -> ConsumerRecord:
    """A record as it lies in the dead-letter topic."""
    out = dead_letter(record, DeadLetter(reason, "value: not JSON"), TOPICS.dead_letter)
    return ConsumerRecord(
        out.topic, out.partition, 40, out.key, out.value, tuple(out.headers or ()), timestamp
    )


def telemetry(value: bytes | None = b"x", headers=()) -> ConsumerRecord:
    return ConsumerRecord(FEATURES, 3, 17, b"key", value, headers, 5)


@given(headers=HEADERS, value=st.none() | st.binary(max_size=20))
def test_what_goes_back_is_the_record_as_it_was_and_how_often_it_was_sent_back(headers, value):
    record = telemetry(value, headers)

    back = original(letter(dead(record)), TOPICS, COUNTS)

    assert back == ProducerRecord(
        FEATURES, value, b"key", 3, headers=[*headers, ("telltale.replayed", b"1")]
    )


def test_a_second_failure_is_told_apart_and_counted():
    once = original(letter(dead(telemetry())), TOPICS, COUNTS)
    assert isinstance(once, ProducerRecord)
    again = letter(dead(telemetry(headers=tuple(once.headers or ()))))

    twice = original(again, TOPICS, COUNTS)

    assert again.replayed == 1
    assert isinstance(twice, ProducerRecord)
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
    elsewhere = letter(dead(ConsumerRecord("other", 0, 0, b"k", b"v", (), 0)))
    bare = letter(ConsumerRecord(TOPICS.dead_letter, 0, 0, None, None, (), 0))

    assert cut.truncated
    for found in (cut, elsewhere, bare):
        assert isinstance(original(found, TOPICS, COUNTS), str)


@pytest.mark.parametrize("partition", [b"4", b"99999", b"2147483648", b"9" * 19, b"x", b"-1", None])
def test_what_names_no_partition_of_its_topic_stays(partition):
    told = (("telltale.topic", FEATURES.encode()), ("telltale.partition", partition))

    back = original(
        letter(ConsumerRecord("dead-letter", 0, 0, b"k", b"v", told, 0)), TOPICS, COUNTS
    )

    assert back == f"not from a partition that {FEATURES} has"


@pytest.mark.parametrize(
    ("digits", "expected"),
    [
        (b"0", 0),
        (b"007", 7),
        (b"9" * 19, 10**19 - 1),
        (b"9" * 20, None),
        (b"9" * 5000, None),
        (b"", None),
        (b"-1", None),
        (b"+1", None),
        (b" 1", None),
        (b"1\n", None),
        (b"1_0", None),
        (b"1.0", None),
        ("\u0661".encode(), None),
        (b"\xff", None),
        (None, None),
    ],
)
def test_a_number_of_a_header_has_up_to_19_digits_and_nothing_else(digits, expected):
    assert headers.header_number(digits) == expected


def test_a_text_of_a_header_is_cut_and_what_is_not_utf8_is_replaced():
    assert headers.header_text(b"\xffab", 2) == "\ufffda"
    assert headers.header_text("\U0001f600".encode() * 9, 3) == "\U0001f600" * 3
    assert headers.header_text(None, 3) == ""


TOLD = (*ADDED, "telltale.replayed", "trace", "\x1b[2J", "")
HOSTILE = st.lists(
    st.tuples(
        st.sampled_from(TOLD) | st.text(max_size=5),
        st.none()
        | st.binary(max_size=20)
        | st.text(max_size=20).map(str.encode)
        | st.integers(0, 10**30).map(lambda n: str(n).encode())
        | st.sampled_from((b"9" * 5000, FEATURES.encode(), b"invalid_json", EVERY.encode())),
    ),
    max_size=9,
).map(tuple)


@given(
    st.lists(
        st.builds(
            ConsumerRecord,
            st.just("dead-letter"),
            st.integers(0, 3),
            st.integers(0, 2**63 - 1),
            st.none() | st.binary(max_size=9) | st.just(EVERY.encode()),
            st.none() | st.binary(max_size=9),
            HOSTILE,
            st.integers(-(2**63), 2**63 - 1),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_no_dead_letter_ends_the_list_or_the_replay(records):
    found = [letter(record) for record in records]
    groups = by_reason([(one, True) for one in found])
    wanted = [one for one in found if DeadLetterFilter(since=0, until=2**62)(one)]
    back = [original(one, TOPICS, COUNTS) for one in found]

    listed = printed(
        dead_letter_commands.table_of(groups),
        *starmap(dead_letter_commands.newest_of, groups.items()),
    )
    written = dumped({reason: group.plain() for reason, group in groups.items()}, indent=True)

    assert raw(listed) == raw(written.decode()) == []
    assert sum(group["count"] for group in json.loads(written).values()) == len(records)
    assert len(wanted) <= len(found)
    for one, sent in zip(found, back, strict=True):
        if isinstance(sent, ProducerRecord):
            assert 0 <= sent.partition < COUNTS[FEATURES]
            assert (sent.topic, sent.key, sent.value) == (
                FEATURES,
                one.record.key,
                one.record.value,
            )
        else:
            assert raw(printable(sent)) == []


def test_a_filter_takes_reason_topic_and_time():
    found = letter(dead(telemetry(), timestamp=1000))

    assert DeadLetterFilter()(found)
    assert DeadLetterFilter("invalid_json", FEATURES, since=1000, until=1001)(found)
    assert not DeadLetterFilter(reason="too_large")(found)
    assert not DeadLetterFilter(topic=TOPICS.telemetry("series"))(found)
    assert not DeadLetterFilter(since=1001)(found)
    assert not DeadLetterFilter(until=1000)(found)


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


@pytest.mark.parametrize("reason", SOURCE_REASONS)
def test_what_ingest_could_not_map_goes_back_to_its_source(reason):
    record = ConsumerRecord("legacy", 11, 17, None, b"{", (("own", b"x"),), 5)
    lying = dead(record, reason)._replace(partition=1)

    back = original(letter(lying), TOPICS, {"legacy": 12})
    gone = original(letter(lying), TOPICS, {"legacy": 4})

    assert isinstance(back, ProducerRecord)
    assert (back.topic, back.partition, back.key, back.value) == ("legacy", 11, None, b"{")
    assert back.headers == [("own", b"x"), ("telltale.replayed", b"1")]
    assert gone == "not from a partition that legacy has"


@pytest.mark.parametrize("topic", [TOPICS.anomalies, TOPICS.models, TOPICS.ingest_counters])
def test_no_letter_goes_to_a_topic_of_telltales_own_that_is_not_read(topic):
    record = ConsumerRecord(topic, 0, 17, b"k", b"{", (), 5)

    assert original(letter(dead(record, "unmapped")), TOPICS, {topic: 4}) == (
        f"not from a topic that is read here: {topic!r}"
    )


def test_the_group_that_stands_still_at_a_topic_is_that_of_its_role():
    settings = Settings(_env_file=None, topic_prefix="p.", application="app")

    assert role_group(settings, FEATURES) == "app-scorer"
    assert role_group(settings, TOPICS.accepted) == "app-retrainer"
    assert role_group(settings, "legacy") == "app-ingest"
    with pytest.raises(ToolError, match="or a topic that ingest reads"):
        role_group(settings, TOPICS.anomalies)
