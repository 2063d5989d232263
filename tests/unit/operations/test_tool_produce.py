"""A line of `produce` becomes a key and the value's own bytes, or is told by its number."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.kafka.reading import ToolError
from processor.operations.produce import NotTelemetry, lines_of, parse_line

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(key=TEXT, value=st.dictionaries(TEXT, JSON, max_size=4), spaced=st.booleans())
def test_the_value_of_a_pair_is_sent_byte_by_byte_as_it_stands_in_the_line(key, value, spaced):
    separators = (" , ", " : ") if spaced else (",", ":")
    inside = json.dumps(value, ensure_ascii=False, separators=separators)
    line = f'{{"key": {json.dumps(key)}, "value": {inside} }}'

    assert parse_line(line.encode()) == (key.encode(), inside.encode())


def test_the_members_of_a_pair_may_come_in_any_order_beside_others():
    line = b'{"value":{"values":[1, 2.50]},"note":[{"key":"x"}],"key":"a"}'

    assert parse_line(line) == (b"a", b'{"values":[1, 2.50]}')


@pytest.mark.parametrize(
    "value",
    ['{"values":[NaN]}', '{"values":[' + "9" * 5000 + "]}", '{"a":1,"a":2}', '{"values":"no"}'],
)
def test_telemetry_that_is_wrong_is_sent_all_the_same(value):
    assert parse_line(f'{{"key":"a","value":{value}}}'.encode()) == (b"a", value.encode())


def test_a_bare_telemetry_object_is_its_own_value_under_its_profile_id():
    line = b'{"profile_id": "a", "values": [1]}'

    assert parse_line(line) == (b"a", line)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"nope", "not a JSON object"),
        (b"[1]", "not a JSON object"),
        (b'{"values":[1]}', "profile_id"),
        (b'{"key":1,"value":{}}', "key: expected a string"),
        (b'{"key":"a","value":[1]}', "value: expected an object"),
        (b'{"profile_id":7}', "profile_id: expected a string"),
        (b'{"key":"a","value":{}} {}', "text after"),
        (b'{"key":"a","value":{}', "expected '}'"),
        (b'{"key":"\xff","value":{}}', "not UTF-8 at byte 8"),
        (b'{"key":"\\ud800","value":{}}', "surrogate"),
        (b'{"key":"a","value":{"a":' + b"[" * 100_000 + b"}}", "nested too deep"),
    ],
)
def test_a_line_of_neither_form_says_what_is_wrong(line, why):
    with pytest.raises(NotTelemetry, match=why):
        parse_line(line)


@given(st.binary(max_size=60))
def test_no_line_whatever_raises_anything_else(line):
    try:
        key, value = parse_line(line)
    except NotTelemetry:
        return
    assert isinstance(key, bytes)
    assert value in line


def test_a_gzip_file_is_read_through_whatever_its_name(tmp_path):
    packed, plain = tmp_path / "packed.jsonl", tmp_path / "plain.gz"
    packed.write_bytes(gzip.compress(b"a\nb\n"))
    plain.write_bytes(b"a\nb\n")

    for file in (packed, plain):
        with lines_of(str(file)) as lines:
            assert list(lines) == [b"a\n", b"b\n"]


def test_a_gzip_file_that_is_cut_is_a_readable_error(tmp_path):
    file = tmp_path / "cut.gz"
    file.write_bytes(gzip.compress(b"a\nb\n" * 1000)[:-20])

    with pytest.raises(ToolError, match=r"cut\.gz"), lines_of(str(file)) as lines:
        list(lines)
