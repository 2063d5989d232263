"""Times as operators write them."""

import pytest
import typer

from processor.cli.parameters import moment_of, time_of

NOW = 1_700_000_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1700000000123", 1_700_000_000_123),
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14T23:13:20+01:00", NOW),
        ("90s", NOW + 90_000),
        ("30m", NOW + 1_800_000),
        ("1d12h", NOW + 36 * 3_600_000),
        ("1.5h", NOW + 5_400_000),
    ],
)
def test_epoch_milliseconds_rfc_3339_and_durations_are_understood(text, expected):
    assert time_of(text, NOW, ahead=True) == expected


def test_a_duration_counts_back_where_the_past_is_meant():
    assert time_of("2h", NOW, ahead=False) == NOW - 7_200_000


@pytest.mark.parametrize("text", ["", "tomorrow", "2023-11-14", "2023-11-14T22:13:20", "5", "2y"])
def test_anything_else_is_wrong_usage_and_says_what_was_expected(text):
    with pytest.raises(typer.BadParameter, match=r"RFC 3339 with zone, or a duration"):
        moment_of(text, "--until", NOW, ahead=True)
