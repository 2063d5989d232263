"""A record that the client cannot read ends a command after a while, and only such a one."""

import pytest

from processor.kafka.reading import STUCK_SECONDS, Patience, ToolError

PLACE = ("anomalies", 3)


def test_an_error_that_stays_at_one_offset_is_told_with_its_place():
    patience = Patience()
    patience.note(PLACE, 7, "too large", 100.0)
    patience.note(PLACE, 7, "too large", 100.0 + STUCK_SECONDS - 0.1)

    with pytest.raises(ToolError, match=r"anomalies \[3\] offset 7: cannot be read .* too large"):
        patience.note(PLACE, 7, "too large", 100.0 + STUCK_SECONDS)


def test_errors_that_move_on_or_are_elsewhere_are_no_end():
    patience = Patience()

    for second in range(100):
        patience.note(PLACE, second, "too large", float(second))
        patience.note(("anomalies", second), 7, "too large", float(second))

    patience.note(PLACE, 100, "too large", 100.0)


def test_a_record_of_the_partition_begins_the_wait_anew():
    patience = Patience()
    patience.note(PLACE, 7, "too large", 0.0)
    patience.passed([PLACE])

    patience.note(PLACE, 7, "too large", STUCK_SECONDS + 1)
    with pytest.raises(ToolError):
        patience.note(PLACE, 7, "too large", 2 * STUCK_SECONDS + 1)
