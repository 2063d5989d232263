"""What learning on does, as Markdown tables and as plain JSON values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from models.evaluation.retraining.attacks import ATTACKS
from models.evaluation.retraining.results import Retrained, RetrainingRow
from models.evaluation.retraining.run import EVERY, JUDGED, LEARNINGS, LEAST_EVERY

MOST_WORSE = 0.003
LEAST_BETTER = 0.1
MOST_TAUGHT = 0.05
OFF_BUDGET = 0.25
BROKEN = 2.0
"""Where version 1 alone gives more times the budget, the recording does not go on as it began."""


def retraining_to_json(results: Retrained) -> dict[str, Any]:
    """All figures as plain values."""
    return asdict(results)


def retraining_to_markdown(results: Retrained) -> str:
    """The tables of ``docs/learning.md``."""
    budgets = list(dict.fromkeys(row.budget for row in results.rows))
    parts = [
        "# What learning on does",
        f"Written by `telltale evaluate retraining`; detector `{results.detector}`, seed "
        f"{results.seed}. A profile learns its first samples, then its later genuine records come "
        f"in the order of time; a candidate is trained after every {EVERY} accepted ones (after a "
        f"fifth of them, but no fewer than {LEAST_EVERY}, where a recording has fewer than "
        f"{5 * EVERY}), by the policy `grow`. *off* is never retrained; *all* learns whatever was "
        "accepted, without a gate. Error rates are equal error rates over the whole run, each "
        "record by the p-value of its time, means over profiles. False alarms are the genuine "
        "records below the threshold of their time, with a 95 % interval from profile to profile; "
        "missed are the abnormal ones above the last version's. In percent but for error rates.",
    ]
    for budget in budgets:
        rows = [row for row in results.rows if row.budget == budget]
        parts += [f"## At a budget of {budget:.0%}", _recordings(rows)]
    if results.attacked:
        parts += ["## Attackers", _legend(), _attacks(results)]
    parts += ["## What must hold", _verdicts(results)]
    if results.skipped:
        parts.append("\n".join(f"* left out: {name}: {why}" for name, why in results.skipped))
    return "\n\n".join(parts) + "\n"


def _recordings(rows: Sequence[RetrainingRow]) -> str:
    lines = [
        "| recording | learning | EER | genuine records | false alarms | missed "
        "| candidates, refused | admitted | profiles flagged as drifting |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{row.recording}` | {row.learning} | {row.error_rate:.4f} | {row.records} | "
        f"{_share([row])} | {100 * row.missed:.1f} | {row.tried}, {row.refused} | "
        f"{100 * row.admitted:.0f} | {100 * row.drifting:.0f} |"
        for row in rows
    ]
    return "\n".join(lines)


def pooled(rows: Sequence[RetrainingRow]) -> tuple[float, float]:
    """Share of false alarms of several recordings and half of its 95 % interval.

    Records of one profile depend on one another, so the interval is from profile to profile.
    """
    records = max(sum(row.records for row in rows), 1)
    share = sum(row.alarms for row in rows) / records
    return share, 1.96 * math.hypot(*(row.spread for row in rows)) / records


def _share(rows: Sequence[RetrainingRow]) -> str:
    share, half = pooled(rows)
    return f"{100 * share:.2f} ± {100 * half:.2f}"


def _legend() -> str:
    ways = "\n".join(f"* *{attack.name}*: {attack.what}." for attack in ATTACKS)
    return (
        "Typists of the password recording against one another, 400 records of each attacker; the "
        "stand-in impostors are of neither. Shares accepted in percent, means over pairs: of the "
        f"attacker's first and last {JUDGED} records, each by the model of its time; *beyond*: the "
        "rise from first to last beyond the rise without retraining, and what 5 % of the pairs "
        "exceed; of all the attacker's own records by version 1 and by the last version.\n\n" + ways
    )


def _attacks(results: Retrained) -> str:
    lines = [
        "| attack | budget | pairs | learning | first | last | beyond | worst 5 % | own, version 1 "
        "| own, last version | candidates, refused | flagged as drifting |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.attack} | {one.budget:.0%} | {one.pairs} | {one.learning} | "
        + " | ".join(
            f"{100 * value:.1f}"
            for value in (
                one.first,
                one.last,
                one.beyond,
                one.beyond_worst,
                one.before,
                one.after,
            )
        )
        + f" | {one.tried}, {one.refused} | {100 * one.drifting:.0f} |"
        for one in results.attacked
    ]
    return "\n".join(lines)


def _verdicts(results: Retrained) -> str:
    lines = ["| what | measured | |", "|---|---|---|"]
    off, full = LEARNINGS[0].name, LEARNINGS[-1].name
    found = {(row.recording, row.budget, row.learning): row for row in results.rows}
    for budget in dict.fromkeys(row.budget for row in results.rows):
        names = [
            row.recording for row in results.rows if (row.budget, row.learning) == (budget, off)
        ]
        worse = {
            name: found[name, budget, full].error_rate - found[name, budget, off].error_rate
            for name in names
        }
        most = max(worse, key=lambda name: worse[name])
        lines.append(
            f"| EER with gate at most {MOST_WORSE} above that without retraining, {budget:.0%} | "
            f"{worse[most]:+.4f} (`{most}`) | {_said(worse[most] <= MOST_WORSE)} |"
        )
        if "cmu_200" in names:
            before, after = found["cmu_200", budget, off], found["cmu_200", budget, full]
            better = (before.error_rate - after.error_rate) / max(before.error_rate, 1e-9)
            lines.append(
                f"| EER on `cmu_200` at least {LEAST_BETTER:.0%} lower, {budget:.0%} | "
                f"{better:.1%} | {_said(better >= LEAST_BETTER)} |"
            )
        full_rows = [found[name, budget, full] for name in names]
        steady = [
            found[name, budget, full]
            for name in names
            if pooled([found[name, budget, off]])[0] <= BROKEN * budget
        ]
        for what, judged in (
            ("all recordings together", full_rows),
            (f"those with at most {BROKEN:.0f} × the budget without retraining", steady),
            *((f"`{row.recording}`", [row]) for row in full_rows),
        ):
            if judged:
                near = abs(pooled(judged)[0] / budget - 1.0) <= OFF_BUDGET
                count = sum(row.records for row in judged)
                lines.append(
                    f"| false alarms within {OFF_BUDGET:.0%} of {budget:.0%}: {what} | "
                    f"{_share(judged)} % of {count} | {_said(near)} |"
                )
    lines += [
        f"| *{one.attack}* gains at most {100 * MOST_TAUGHT:.0f} points, {one.budget:.0%} | "
        f"{100 * one.beyond:+.1f} | {_said(one.beyond <= MOST_TAUGHT)} |"
        for one in results.attacked
        if one.learning == full
    ]
    return "\n".join(lines)


def _said(holds: bool) -> str:
    return "holds" if holds else "**does not hold**"
