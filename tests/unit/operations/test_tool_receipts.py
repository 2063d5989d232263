"""Which roles have still to confirm that a profile is forgotten."""

from processor.operations.profile_command import ROLES, unconfirmed_roles
from schemas import LifecycleEvent

ALL = (*ROLES, "console")


def forgotten(*roles: str) -> list[LifecycleEvent]:
    return [
        LifecycleEvent(event="forgotten", profile_id="p", kind="features", role=role, at=1)
        for role in roles
    ]


def test_nobody_is_awaited_before_anyone_has_confirmed():
    assert unconfirmed_roles([], ALL) == []


def test_those_who_have_not_confirmed_are_awaited():
    assert unconfirmed_roles(forgotten("scorer")) == ["retrainer"]
    assert unconfirmed_roles(forgotten("scorer", "retrainer")) == []
    assert unconfirmed_roles(forgotten("scorer", "retrainer"), ALL) == ["console"]


def test_a_console_that_says_it_twice_has_nobody_else_awaited():
    receipts = forgotten("scorer", "retrainer", "console", "console")

    assert unconfirmed_roles(receipts, ALL) == []


def test_each_kind_is_confirmed_for_itself():
    other = LifecycleEvent(event="forgotten", profile_id="p", kind="series", role="scorer", at=1)

    assert unconfirmed_roles([*forgotten("scorer", "retrainer"), other]) == ["retrainer"]
