"""The strict JSON parser: what it takes, and that it never fails in any other way."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import InvalidJson, parse_object

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not JSON"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        ("{}".encode("utf-16"), "not JSON"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b"{} {}", "after document"),
        (b"{}\x00", "after document"),
        (b'{"a": NaN}', "not JSON"),
        (b'{"a": -Infinity}', "not JSON"),
        (b'{"a": 1e400}', "infinity"),
        (b'{"a": ' + b"9" * 400 + b"}", "infinity"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": 01}', "not JSON"),
        (b'{"a": 1,}', "not JSON"),
        (b"[]", "an array"),
        (b'"text"', "a string"),
        (b"12", "a number"),
        (b"1.5", "a number"),
        (b"true", "a boolean"),
        (b"null", "null"),
    ],
)
def test_what_is_not_one_strict_json_object_is_refused_with_a_sentence(raw: bytes, why: str):
    with pytest.raises(InvalidJson, match=why):
        parse_object(raw)


@given(JSON.map(lambda value: {"a": value}))
def test_an_object_comes_back_as_it_was_written(value):
    assert parse_object(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
def test_arbitrary_bytes_give_an_object_or_invalid_json(raw: bytes):
    parsed = None
    with suppress(InvalidJson):
        parsed = parse_object(raw)
    assert parsed is None or isinstance(parsed, dict)


@pytest.mark.parametrize("opening", ['{"a":', "["])
@pytest.mark.parametrize("text", ["", "]", "[", "}{", '\\"[', "\\\\"])
def test_nesting_counts_the_object_at_the_top_and_ends_at_64(opening: str, text: str):
    closing = "}" if opening.startswith("{") else "]"

    def nested(depth: int) -> bytes:
        inner = opening * (depth - 1) + '"x"' + closing * (depth - 1)
        return f'{{"text": "{text}", "deep": {inner}}}'.encode()

    assert parse_object(nested(64))["text"] == json.loads(f'"{text}"')
    with pytest.raises(InvalidJson, match="deeper than 64"):
        parse_object(nested(65))


@pytest.mark.parametrize("depth", [500, 5_000, 300_000])
def test_a_very_deep_document_is_refused_and_nothing_worse(depth: int):
    with pytest.raises(InvalidJson):
        parse_object(b'{"a":' * depth + b"1" + b"}" * depth)


def test_brackets_in_strings_cannot_hide_the_depth():
    deep = b'["]",' * 70 + b"1" + b', "["]' * 70
    with pytest.raises(InvalidJson, match="deeper than 64"):
        parse_object(b'{"a":' + deep + b"}")


@pytest.mark.parametrize("name", ["a", "\\u0061", '"'.join(["[", "]"]).replace('"', '\\"')])
def test_a_name_that_comes_twice_cannot_hide_the_depth_of_its_first_value(name: str):
    def twice(depth: int) -> bytes:
        return f'{{"{name}": {"[" * (depth - 1)}{"]" * (depth - 1)}, "{name}": 1}}'.encode()

    assert list(parse_object(twice(64)).values()) == [1]
    with pytest.raises(InvalidJson, match="deeper than 64"):
        parse_object(twice(65))


def test_many_brackets_side_by_side_are_not_deep():
    raw = b'{"a":[' + b",".join([b"[{}]"] * 1000) + b"]}"
    assert len(parse_object(raw)["a"]) == 1000


@given(JSON.filter(lambda value: isinstance(value, dict | list)), st.integers(50, 70))
def test_depth_is_that_of_the_deepest_value(value, wrapped: int):
    def depth(part) -> int:
        if isinstance(part, dict):
            return 1 + max(map(depth, part.values()), default=0)
        return 1 + max(map(depth, part), default=0) if isinstance(part, list) else 0

    raw = b'{"a":' + b"[" * wrapped + json.dumps(value).encode() + b"]" * wrapped + b"}"
    if 1 + wrapped + depth(value) <= 64:
        assert parse_object(raw) == json.loads(raw)
    else:
        with pytest.raises(InvalidJson):
            parse_object(raw)


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


TEXTS = st.text(st.sampled_from('[]{}"\\,:é'), max_size=6)
NESTS = st.lists(st.sampled_from("[{"), min_size=55, max_size=75)


@given(st.lists(st.tuples(TEXTS, NESTS), min_size=1, max_size=4), st.booleans())
def test_nesting_is_that_of_the_parsed_value_whatever_its_strings_hold(parts, ascii_only):
    value: dict[str, object] = {}
    for name, levels in parts:
        inner: object = name
        for level in levels:
            inner = [name, inner] if level == "[" else {name: inner}
        value[name] = inner
    raw = json.dumps(value, ensure_ascii=ascii_only).encode()

    if depth(value) <= 64:
        assert parse_object(raw) == value
    else:
        with pytest.raises(InvalidJson, match="deeper than 64"):
            parse_object(raw)
