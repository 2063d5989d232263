"""Partitions that stand still at an offset that the client cannot read."""

import pytest
import structlog
from structlog.testing import capture_logs

from processor.offsets.unreadable import NOT_READY_SECONDS, Unreadable

PLACE = ("telemetry.features", 3)
ERROR = "Decompression failed"


@pytest.fixture
def unreadable() -> Unreadable:
    return Unreadable(structlog.get_logger())


def test_is_no_matter_until_it_lasts(unreadable):
    unreadable.note(PLACE, 17, ERROR, now=100.0)
    unreadable.note(PLACE, 17, ERROR, now=101.0)
    assert unreadable.reason(100.0 + NOT_READY_SECONDS - 0.1) is None
    assert unreadable.lasting(101.0) == {}


def test_then_says_where_why_and_how_to_go_on(unreadable):
    unreadable.note(PLACE, 17, ERROR, now=100.0)
    reason = unreadable.reason(100.0 + NOT_READY_SECONDS)
    assert reason is not None
    assert "telemetry.features [3] cannot be read at offset 17: Decompression failed" in reason
    assert "telltale dead-letter skip telemetry.features 3 17" in reason


def test_is_logged_once_when_it_comes_a_second_time(unreadable):
    with capture_logs() as lines:
        for second in range(5):
            unreadable.note(PLACE, 17, ERROR, now=float(second))
    (line,) = lines
    assert (line["event"], line["topic"], line["partition"], line["offset"]) == (
        "unreadable",
        *PLACE,
        17,
    )


@pytest.mark.parametrize("end", ["passed", "left", "moved"])
def test_ends_with_a_record_with_the_assignment_or_with_another_offset(unreadable, end):
    unreadable.note(PLACE, 17, ERROR, now=0.0)
    match end:
        case "passed":
            unreadable.passed([PLACE])
        case "left":
            unreadable.keep([("telemetry.features", 0)])
        case "moved":
            unreadable.note(PLACE, 18, ERROR, now=NOT_READY_SECONDS)
    assert unreadable.reason(NOT_READY_SECONDS) is None
