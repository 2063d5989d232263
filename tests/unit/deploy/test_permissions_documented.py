"""The table of ACLs in docs/security.md is the one that the program goes by."""

import re
from pathlib import Path

from processor.kafka.acls import permissions
from processor.topics import Topics

ROOT = Path(__file__).parents[3]
ROW = re.compile(r"^\| ([^|]+) \| (\w+) \| (Topic|Group|TransactionalId) \| ([^|]+) \|$", re.M)

Row = tuple[str, str, str, str]


def documented() -> list[Row]:
    """Who, operation, resource and name of each row, a name a row."""
    found: list[Row] = []
    for who, operation, resource, names in ROW.findall((ROOT / "docs/security.md").read_text()):
        listed = [*Topics().configs()] if names == "every topic" else re.findall("`([^`]+)`", names)
        found += [(who, operation, resource, name) for name in listed]
    return found


def test_the_table_is_the_data_of_the_program_without_a_line_twice():
    declared = [
        (who, permission.operation, permission.resource, permission.name)
        for who, needed in permissions(Topics(), "telltale").items()
        for permission in needed
    ]

    assert sorted(documented()) == sorted(declared)
    assert len(set(declared)) == len(declared)


def test_every_name_follows_the_prefix_and_the_application():
    found = permissions(Topics("x."), "app")

    for needed in found.values():
        for permission in needed:
            own = "x." if permission.resource == "Topic" else "app-"
            assert permission.name.startswith(own)
