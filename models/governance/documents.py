"""Documents attached as evidence: what each must hold, and what it says of its control.

Of a document only counts and texts are kept, never an id of a profile: evidence outlives those who
are forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from models.governance.compliance import FAIL, PARTIAL, PASS, UNKNOWN, Status

Facts = dict[str, Any]
MOST_TEXT = 2000
CARD_TEXTS: Final = ("intended_use", "training_data", "limitations")
"""Sections of a model card (Mitchell et al., Model Cards for Model Reporting, 2019)."""


@dataclass(frozen=True)
class DocumentType:
    """What is attached for a control.

    Attributes:
        days: so long it counts; afterwards the control is unknown again.
        of_installation: whether it is about all profiles of an installation, not about some.
    """

    name: str
    days: int
    of_installation: bool = False


DOCUMENTS: Final[Mapping[str, DocumentType]] = {
    "T3": DocumentType("result of telltale backtest --check --json", 30),
    "T5": DocumentType("model card", 90),
    "R4": DocumentType("counts of transactions", 30, of_installation=True),
    "R7": DocumentType("result of make chaos", 90, of_installation=True),
}
"""Control → what may be attached for it."""


class BadDocument(ValueError):
    """A document does not hold what its control needs: field, expectation, value, remedy."""


def facts_of(control: str, kind: str, document: Mapping[str, Any]) -> Facts:
    """What counts of a document.

    Args:
        control: one of `DOCUMENTS`.
        kind: of the telemetry that the evidence is for.

    Raises:
        BadDocument: a field is missing, or is not what is expected.

    Example:
        >>> told = {"same": 9, "changed": 1, "not_compared": 0, "kinds": {"features": {}}}
        >>> facts_of("T3", "features", told)["changed"]
        1
    """
    if control == "T3":
        return _backtest(kind, document)
    if control == "T5":
        return _card(kind, document)
    if control == "R4":
        return _transactions(document)
    return _chaos(document)


def _backtest(kind: str, document: Mapping[str, Any]) -> Facts:
    remedy = "attach what telltale backtest TOPIC --check --json prints"
    kinds = document.get("kinds")
    if not isinstance(kinds, Mapping) or kind not in kinds:
        told = sorted(kinds) if isinstance(kinds, Mapping) else _shown(kinds)
        raise BadDocument(f"kinds: expected verdicts of {kind}, got {told}; {remedy}")
    names = ("same", "changed", "not_compared")
    return {name: _count(document, name, remedy) for name in names}


def _card(kind: str, document: Mapping[str, Any]) -> Facts:
    remedy = "attach what telltale govern card fleet:KIND prints"
    if document.get("kind") != kind:
        raise BadDocument(f"kind: expected {kind}, got {_shown(document.get('kind'))}; {remedy}")
    for name in CARD_TEXTS:
        value = document.get(name)
        if not isinstance(value, str) or not value.strip():
            raise BadDocument(f"{name}: expected a text, got {_shown(value)}; {remedy}")
    metrics = document.get("metrics")
    if not isinstance(metrics, Mapping) or not metrics:
        raise BadDocument(
            f"metrics: expected names with their values, got {_shown(metrics)}; {remedy}"
        )
    return {name: document[name][:MOST_TEXT] for name in CARD_TEXTS} | {
        "metrics": {
            str(name)[:200]: value
            for name, value in list(metrics.items())[:100]
            if value is None or isinstance(value, int | float)
        }
    }


def _transactions(document: Mapping[str, Any]) -> Facts:
    remedy = "attach the text of each role's /metrics by telltale govern attach MODEL R4 FILE"
    found: Facts = {name: _count(document, name, remedy) for name in ("committed", "aborted")}
    # A role that was fenced does not know what became of its last transaction.
    return found | {"lost": _count(document, "lost", remedy) if "lost" in document else 0}


def _chaos(document: Mapping[str, Any]) -> Facts:
    remedy = "attach the file of make chaos JSON=FILE"
    version = document.get("version")
    if not isinstance(version, str) or not version:
        raise BadDocument(f"version: expected a text, got {_shown(version)}; {remedy}")
    names = ("rounds", "records", "lost", "doubled", "wrong")
    return {name: _count(document, name, remedy) for name in names} | {"version": version[:100]}


def judged(control: str, facts: Facts, age: float, version: str) -> tuple[Status, str]:
    """The status of a control by the facts of a document, and a sentence.

    Args:
        age: of the document, in days.
        version: of the program that runs.
    """
    held = DOCUMENTS[control]
    old = f"attached {held.name} of {age:.0f} days ago"
    if age > held.days:
        return UNKNOWN, f"{old}: only up to {held.days} days count"
    if control == "T3":
        status: Status = PASS
        if facts["changed"] or not facts["same"]:
            status = FAIL
        elif facts["not_compared"]:
            status = PARTIAL
        return status, (
            f"{old}: {facts['same']} verdicts the same, {facts['changed']} changed, "
            f"{facts['not_compared']} not compared"
        )
    if control == "T5":
        return PASS, f"{old} with intended use, training data, limitations and metrics"
    if control == "R4":
        failed = facts["aborted"] + facts["lost"]
        whole = facts["committed"] + failed
        if not whole:
            return UNKNOWN, f"{old}: there were no transactions"
        share = failed / whole
        return (
            PASS if share < 0.01 else FAIL
        ), f"{old}: {failed} of {whole} transactions ({share:.2%}) were aborted or lost"
    if facts["version"] != version:
        return UNKNOWN, f"{old}: it tested version {facts['version']}, {version} runs"
    if not facts["rounds"] or not facts["records"]:
        return UNKNOWN, f"{old}: it had no round of faults, or no records"
    broken = facts["lost"] or facts["doubled"]
    return (FAIL if broken else PARTIAL if facts["wrong"] else PASS), (
        f"{old}: {facts['lost']} lost, {facts['doubled']} doubled, {facts['wrong']} otherwise "
        f"wrong of {facts['records']} records in {facts['rounds']} rounds"
    )


def _count(document: Mapping[str, Any], name: str, remedy: str) -> int:
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise BadDocument(f"{name}: expected a count, got {_shown(value)}; {remedy}")
    return value


def _shown(value: Any) -> str:
    """A value of a document, cut short."""
    return "nothing" if value is None else repr(value)[:60]
