"""What a comparison of verdicts came to: outcomes, why they differ, and the tables of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, Literal

from processor.records import DeadLetter
from schemas import ModelRecord

Verdict = dict[str, Any]
Result = Literal["same", "changed", "not compared"]

ASIDE = frozenset(("scored_at", "suppressed"))
"""Fields that no replay can repeat: the clock, and maintenance windows, which are taken as said."""

SCORES = ("score", "p_value")


@dataclass(frozen=True, slots=True)
class ReplayOutcome:
    """One telemetry record: what was said of it, what is said now, and how the two compare.

    Attributes:
        then: the verdict as it stands in Kafka, or why it became a dead letter; None: neither.
        now: the same of the replay; None if the record was not judged.
        why: the cause of a difference, the same words for the same cause.
    """

    verdict_id: str
    profile_id: str
    kind: str
    result: Result
    then: Verdict | DeadLetter | None = None
    now: Verdict | DeadLetter | None = None
    why: str = ""

    def plain(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "verdict_id": self.verdict_id,
            "profile_id": self.profile_id,
            "kind": self.kind,
            "result": self.result,
            "why": self.why,
            "fields": fields_changed(self.then, self.now),
            "then": _plain(self.then),
            "now": _plain(self.now),
        }


@dataclass
class Report:
    """Outcomes, counted.

    Attributes:
        results: records by result and why.
        kinds: ``records`` judged both times, ``scored then``, ``scored now``,
            ``anomalies then``, ``anomalies now``, ``newly flagged``, ``no longer flagged``.
        profiles: the same by kind and profile_id.
        fields: fields that changed.
        dead_letters: records that the replay would send to the dead letters, by reason.
        trained: models that the replay trained again as version 1, with the budget and on as many
            samples as then: ``same`` bytes or ``other``.
        retrained: what became of retrainings in the replay, by lifecycle event.
    """

    results: Counter[tuple[Result, str]] = field(default_factory=Counter)
    kinds: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    profiles: dict[tuple[str, str], Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    fields: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    trained: Counter[str] = field(default_factory=Counter)
    retrained: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: ReplayOutcome) -> None:
        """Count an outcome."""
        self.results[outcome.result, outcome.why] += 1
        if isinstance(outcome.now, DeadLetter):
            self.dead_letters[outcome.now.reason] += 1
        if outcome.result == "changed":
            self.fields.update(fields_changed(outcome.then, outcome.now))
        if isinstance(outcome.then, dict) and isinstance(outcome.now, dict):
            counts = flags(outcome.then, outcome.now)
            self.kinds[outcome.kind] += counts
            self.profiles[outcome.kind, outcome.profile_id] += counts

    def count(self, result: Result) -> int:
        """Records with this result."""
        return sum(count for (found, _), count in self.results.items() if found == result)

    def most_different(self) -> list[tuple[tuple[str, str], Counter[str]]]:
        """Profiles with anomalies in one of the two only, those with the most first."""
        differing = [
            (profile, counts) for profile, counts in self.profiles.items() if _flips(counts)
        ]
        return sorted(differing, key=lambda item: (-_flips(item[1]), item[0]))

    def plain(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "same": self.count("same"),
            "changed": self.count("changed"),
            "not_compared": self.count("not compared"),
            "why": [
                {"result": result, "why": why, "records": count}
                for (result, why), count in self.results.most_common()
                if why
            ],
            "fields": dict(self.fields.most_common()),
            "kinds": {kind: _named(counts) for kind, counts in self.kinds.items()},
            "profiles": [
                {"kind": kind, "profile_id": profile_id} | _named(counts)
                for (kind, profile_id), counts in self.most_different()
            ],
            "dead_letters": dict(self.dead_letters),
            "trained_again": {"same": self.trained["same"], "other": self.trained["other"]},
            "retrained": dict(self.retrained),
        }


COLUMNS = (
    "records",
    "scored then",
    "scored now",
    "anomalies then",
    "anomalies now",
    "newly flagged",
    "no longer flagged",
)


def flags(then: Verdict, now: Verdict) -> Counter[str]:
    """What one pair of verdicts adds to the table of differences."""
    found = {
        "records": 1,
        "scored then": then["status"] == "scored",
        "scored now": now["status"] == "scored",
        "anomalies then": then["anomaly"],
        "anomalies now": now["anomaly"],
        "newly flagged": now["anomaly"] and not then["anomaly"],
        "no longer flagged": then["anomaly"] and not now["anomaly"],
    }
    return Counter({name: int(value) for name, value in found.items()})


def fields_changed(then: object, now: object, aside: frozenset[str] = ASIDE) -> list[str]:
    """Fields of two verdicts that are not equal to the last bit; none if one is no verdict.

    A field that the earlier verdict does not have was not said then, and counts for nothing.
    """
    if not isinstance(then, dict) or not isinstance(now, dict):
        return []
    return [name for name in then if name not in aside and then[name] != now.get(name)]


def only_budget(then: object, now: object) -> bool:
    """Whether two verdicts have the same scores and another threshold."""
    changed = fields_changed(then, now)
    return (
        isinstance(then, dict)
        and isinstance(now, dict)
        and then["status"] == now["status"] == "scored"
        and "decision" in changed
        and not any(name in changed for name in (*SCORES, "model_version", "generation"))
    )


def cause(
    then: Verdict,
    now: Verdict | DeadLetter,
    versions: tuple[ModelRecord | None, ModelRecord | None] = (None, None),
) -> str:
    """Why two verdicts on a record differ, where it is not the alert budget.

    Args:
        versions: what judged then and what judges now, where known.
    """
    if isinstance(now, DeadLetter):
        return f"{then['status']} then, a dead letter now: {now.reason}"
    needs = f"learning takes {now['samples_needed']} samples now, {then['samples_needed']} then"
    if then["status"] != now["status"]:
        told = f"{then['status']} then, {now['status']} now"
        return f"{told}: {needs}" if then["samples_needed"] != now["samples_needed"] else told
    if then["generation"] != now["generation"]:
        return "other generation: the replay began to learn at another record"
    before, after = versions
    if before and after and before.detector != after.detector:
        return f"detector is {after.detector} now, {before.detector} then"
    if then["samples_needed"] != now["samples_needed"]:
        return needs
    if then["model_version"] != now["model_version"]:
        return f"judged by version {now['model_version']} now, by {then['model_version']} then"
    if before and after and before.sha256 != after.sha256:
        return "learnt from other samples, or with another seed"
    return f"same model, but {', '.join(fields_changed(then, now))} differ"


def _flips(counts: Counter[str]) -> int:
    return counts["newly flagged"] + counts["no longer flagged"]


def _named(counts: Counter[str]) -> dict[str, int]:
    return {name.replace(" ", "_"): counts[name] for name in COLUMNS}


def _plain(said: Verdict | DeadLetter | None) -> dict[str, Any] | None:
    if isinstance(said, DeadLetter):
        return {"dead_letter": said.reason, "detail": said.detail}
    return said
