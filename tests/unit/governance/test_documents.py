"""Documents of evidence: what they must hold, and what they say; one row a case."""

from collections import Counter
from typing import Any

import pytest
from confluent_kafka.admin import AclBinding, AclPermissionType

from console.governance.evidence.commands import document_of
from console.governance.reading.principals import judged_principals, marks_of
from models.governance.documents import DOCUMENTS, BadDocument, facts_of, judged
from processor.backtest.report import ReplayOutcome, Report
from processor.kafka.acls import permissions
from processor.kafka.reading import ToolError
from processor.topics import Topics
from tests.chaos import report as chaos
from tests.kafka.security import binding

VERSION = chaos.Report(0).plain()["version"]
CARD = {
    "kind": "features",
    "intended_use": "alarms",
    "training_data": "own records",
    "limitations": "one profile",
    "metrics": {"alert_rate": 0.01},
}


def backtest(**results: int) -> dict[str, Any]:
    """What `telltale backtest --check --json` prints."""
    report = Report()
    then = {"status": "scored", "anomaly": False, "score": 1.0}
    for result, count in results.items():
        for number in range(count):
            report.add(
                ReplayOutcome(f"v{number}", "secret", "features", result, then, then)  # type: ignore[arg-type]
            )
    return report.plain()


def chaos_of(**found: int) -> dict[str, Any]:
    """What `make chaos JSON=FILE` writes."""
    return chaos.Report(1, rounds=10, records=5000, findings=Counter(found)).plain()


@pytest.mark.parametrize(
    ("control", "document", "age", "status"),
    [
        ("T3", backtest(same=5), 3, "pass"),
        ("T3", backtest(same=5), 31, "unknown"),
        ("T3", backtest(same=5, changed=1), 3, "fail"),
        ("T3", backtest(same=5) | {"same": 0}, 3, "fail"),
        ("T3", backtest(same=5) | {"not_compared": 2}, 3, "partial"),
        ("T5", CARD, 90, "pass"),
        ("T5", CARD, 91, "unknown"),
        ("R4", {"committed": 1000, "aborted": 9}, 1, "pass"),
        ("R4", {"committed": 990, "aborted": 10}, 1, "fail"),
        ("R4", {"committed": 985, "aborted": 4, "lost": 6}, 1, "fail"),
        ("R4", {"committed": 0, "aborted": 0}, 1, "unknown"),
        ("R7", chaos_of(), 10, "pass"),
        ("R7", chaos_of(), 91, "unknown"),
        ("R7", chaos_of(lost=1), 10, "fail"),
        ("R7", chaos_of(doubled=1), 10, "fail"),
        ("R7", chaos_of(state=1), 10, "partial"),
        ("R7", chaos_of() | {"version": "0.0.1"}, 10, "unknown"),
        ("R7", chaos.Report(1).plain(), 10, "unknown"),
    ],
)
def test_a_document_says_pass_fail_or_nothing(
    control: str, document: dict[str, Any], age: float, status: str
):
    facts = facts_of(control, "features", document)

    told, sentence = judged(control, facts, age, VERSION)

    assert told == status, sentence
    assert f"{age} days ago" in sentence


@pytest.mark.parametrize(
    ("control", "document", "field"),
    [
        ("T3", {}, "kinds"),
        ("T3", backtest(same=1) | {"kinds": {"series": {}}}, "kinds"),
        ("T3", backtest(same=1) | {"changed": "0"}, "changed"),
        ("T5", CARD | {"kind": "series"}, "kind"),
        ("T5", CARD | {"limitations": " "}, "limitations"),
        ("T5", CARD | {"metrics": {}}, "metrics"),
        ("R4", {"committed": 1}, "aborted"),
        ("R4", {"committed": True, "aborted": 0}, "committed"),
        ("R7", {"rounds": 1, "records": 1, "lost": 0, "doubled": 0, "wrong": 0}, "version"),
        ("R7", chaos_of() | {"lost": -1}, "lost"),
    ],
)
def test_a_document_that_lacks_what_its_control_needs_is_refused_by_the_field(
    control: str, document: dict[str, Any], field: str
):
    with pytest.raises(BadDocument, match=rf"^{field}: expected .*; attach "):
        facts_of(control, "features", document)


def test_no_id_of_a_profile_is_kept_of_a_backtest():
    report = Report()
    then = {"status": "scored", "anomaly": True, "score": 1.0}
    report.add(ReplayOutcome("v", "secret", "features", "changed", then, then | {"anomaly": False}))

    assert "secret" in str(report.plain())
    assert "secret" not in str(facts_of("T3", "features", report.plain()))


def test_transactions_are_summed_over_the_texts_of_the_roles_metrics():
    def text(committed: int, aborted: int) -> bytes:
        return (
            "# HELP telltale_transactions_total Transactions by outcome.\n"
            "# TYPE telltale_transactions_total counter\n"
            f'telltale_transactions_total{{outcome="committed"}} {committed}.0\n'
            f'telltale_transactions_total{{outcome="aborted"}} {aborted}.0\n'
        ).encode()

    assert document_of("R4", [text(10, 1), text(20, 2)]) == {
        "committed": 30,
        "aborted": 3,
        "lost": 0,
    }
    for wrong in (b"# TYPE other counter\nother 1\n", b"\x00\xff"):
        with pytest.raises(ToolError, match="expected the text of a role's /metrics"):
            document_of("R4", [wrong])
    with pytest.raises(ToolError, match="expected one for T3, got 2"):
        document_of("T3", [b"{}", b"{}"])


TOPICS, APPLICATION = Topics("t."), "telltale"
TABLE = permissions(TOPICS, APPLICATION)


def lists(**users: str) -> list[AclBinding]:
    """The documented lists of users, each with a role or some, with commas."""
    return [
        binding(user, each.operation, each.resource, each.name)
        for user, roles in users.items()
        for role in roles.split(",")
        for each in TABLE[role]
    ]


APART = {"a": "scorer", "b": "retrainer", "c": "console"}


@pytest.mark.parametrize(
    ("bindings", "status", "said"),
    [
        (lists(**APART), "pass", "scorer 1, retrainer 1, console 1"),
        (lists(**APART, d="ingest", e="scorer"), "pass", "scorer 2"),
        (lists(**APART, d="scorer,retrainer"), "fail", "User:d may act as retrainer, scorer"),
        (lists(a="scorer", b="retrainer"), "partial", "console"),
        ([], "fail", "no access control list"),
    ],
)
def test_each_role_has_a_principal_of_its_own_by_the_lists(
    bindings: list[AclBinding], status: str, said: str
):
    told, sentence = judged_principals(bindings, TOPICS, APPLICATION)

    assert (told, said in sentence) == (status, True), sentence


def test_who_may_do_everything_may_act_as_two_roles():
    everything = [
        AclBinding(
            each.restype,
            "*",
            each.resource_pattern_type.LITERAL,
            "User:*",
            "*",
            each.operation.ALL,
            AclPermissionType.ALLOW,
        )
        for each in lists(a="scorer")
    ]

    told, sentence = judged_principals(lists(**APART) + everything, TOPICS, APPLICATION)

    assert told == "fail", sentence


def test_what_is_denied_does_not_count():
    denied = [
        AclBinding(
            each.restype,
            each.name,
            each.resource_pattern_type,
            "User:c",
            "*",
            each.operation,
            AclPermissionType.DENY,
        )
        for each in lists(c="retrainer")
    ]
    mixed = lists(**APART) + lists(c="retrainer")

    assert judged_principals(mixed, TOPICS, APPLICATION)[0] == "fail"
    assert judged_principals(mixed + denied, TOPICS, APPLICATION)[0] == "pass"


def test_the_marks_of_a_role_are_no_other_roles():
    marks = marks_of(TOPICS, APPLICATION)

    assert set(DOCUMENTS) == {"T3", "T5", "R4", "R7"}
    assert all(marks.values())
    names = [each for needed in marks.values() for each in needed]
    assert len(names) == len(set(names))
