"""Records as other systems write them: keys that are objects, times in other units."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.base import SECONDS, unit_fault
from tests.unit.builders import NOW, Scorer, normal, of, reasons, record, stream, verdicts

CONNECT = b'{"schema":{"type":"string","optional":false},"payload":"p"}'


def details(outputs: Any, topic: str = "dead-letter") -> list[str]:
    return [dict(out.headers or ())["telltale.detail"].decode() for out in of(outputs, topic)]


@pytest.mark.parametrize(
    ("key", "hint"), [(CONNECT, "StringConverter"), (b'{"id": "p"}', "the id alone"), (b"{}", "id")]
)
def test_a_key_that_is_a_json_object_is_a_dead_letter_with_a_hint(key, hint):
    scorer = Scorer()

    written = scorer.feed(stream(normal(8), key=key))

    assert reasons(written) == ["invalid_key"] * 8
    assert hint in details(written)[0]
    assert len(scorer.state.profiles) == 0


@pytest.mark.parametrize("key", [b"{p", b"{p}", b"[1]", b"1", b'"p"', b"a{}"])
def test_other_keys_in_braces_are_ids(key):
    written = Scorer().feed(stream(normal(3), key=key))

    assert [said.status for said in verdicts(written)] == ["learning"] * 3


@pytest.mark.parametrize(
    ("factor", "unit"), [(1e-3, "seconds"), (1e3, "microseconds"), (1e6, "nanoseconds")]
)
@pytest.mark.parametrize("active", [False, True])
def test_a_time_in_another_unit_is_a_dead_letter_that_names_the_unit(factor, unit, active):
    scorer = Scorer()
    values = normal(20)
    if active:
        scorer.feed(stream([value | {"observed_at": NOW} for value in values]))

    wrong = [value | {"observed_at": int(NOW * factor)} for value in values]
    written = scorer.feed(stream(wrong, first=20))

    assert reasons(written) == ["invalid_record"] * 20
    assert all(unit in said and "observed_at" in said for said in details(written))
    assert not verdicts(written)


def test_a_window_in_seconds_is_a_dead_letter_too():
    window = {
        "startTimestamp": 0,
        "endTimestamp": 1000,
        "windowSize": {"width": 10, "height": 10},
        "observed_at": NOW // 1000,
    }

    written = Scorer().feed([record(window, kind="behavior")])

    assert reasons(written) == ["invalid_record"]
    assert "seconds" in details(written)[0]


@pytest.mark.parametrize("time", [0, 1, SECONDS[0] - 1, SECONDS[1] + 1, NOW, 86_400_000])
def test_other_times_are_taken_as_milliseconds(time):
    assert unit_fault(time) is None

    written = Scorer().feed([record({"values": {"a": 1.0}, "observed_at": time})])

    assert [said.observed_at for said in verdicts(written)] == [time]
