"""What a role is allowed is what it uses."""

import pytest

from processor.kafka.acls import permissions
from processor.retrainer.role import RetrainerRole
from processor.scorer.role import ScorerRole
from processor.topics import Topics


@pytest.mark.parametrize("role", [ScorerRole, RetrainerRole])
def test_a_role_may_read_its_inputs_and_changelogs_and_nothing_else(make_role, role):
    made = make_role(role)
    needed = permissions(Topics(), "telltale")[role.name]

    readable = {p.name for p in needed if (p.operation, p.resource) == ("Read", "Topic")}

    assert readable == {*made.inputs, *made.changelogs}


@pytest.mark.parametrize("role", [ScorerRole, RetrainerRole])
def test_a_role_may_join_its_own_group_and_write_under_its_own_transactional_ids(role):
    needed = permissions(Topics(), "app")[role.name]

    others = {str(p) for p in needed if p.resource != "Topic"}

    assert others == {
        f"Read on group app-{role.name}",
        f"Write on transactional id app-{role.name}-*",
    }
