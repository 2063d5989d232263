"""The worker's decisions that need no broker."""

from hypothesis import given
from hypothesis import strategies as st

from processor.stream.health import without_assignment_since


def test_a_role_that_the_group_leaves_outside_counts_from_when_it_fell_out() -> None:
    assert without_assignment_since(5.0, 65.1, held=False, answers=True) == 5.0


def test_a_place_even_one_without_partitions_starts_the_count_anew() -> None:
    assert without_assignment_since(5.0, 65.1, held=True, answers=True) == 65.1


def test_the_time_that_the_broker_is_away_does_not_count() -> None:
    assert without_assignment_since(5.0, 65.1, held=False, answers=False) == 65.1


@given(st.lists(st.tuples(st.floats(0, 30), st.booleans(), st.booleans()), max_size=20))
def test_the_time_outside_is_that_since_the_last_place_or_the_last_silence(
    looks: list[tuple[float, bool, bool]],
) -> None:
    now = since = expected = 0.0
    for passed, held, answers in looks:
        now += passed
        since = without_assignment_since(since, now, held=held, answers=answers)
        if held or not answers:
            expected = now
    assert since == expected
