"""``telltale lab triage``: all algorithms on the same alerts, as a table."""

from __future__ import annotations

from typing import Any

from console.lab.triage.examples import Examples
from console.lab.triage.features import ALGORITHMS
from console.lab.triage.pipeline import trained

EPOCHS = 10


def compared(examples: Examples, seed: int) -> list[dict[str, Any]]:
    """Figures of each algorithm on alerts that it has not seen.

    Raises:
        TooFew: there are not enough labels.
    """
    found = []
    for algorithm in ALGORITHMS:
        _, figures = trained(
            examples,
            algorithm,
            epochs=EPOCHS,
            batch_size=64,
            seed=seed,
            tell=lambda _: None,
        )
        found.append(figures)
    return found


def lines(figures: list[dict[str, Any]]) -> list[str]:
    """The table as text."""
    alerts = figures[0]["alerts"]
    told = [
        f"alerts: {alerts['all']}, {alerts['confirmed']} of them true; "
        f"learnt from {alerts['training']}, tested on {alerts['test']} later ones "
        "of other profiles",
        "",
        f"{'algorithm':<20} {'accuracy':>8} {'precision':>9} {'recall':>7} {'F1':>6} "
        f"{'AUC':>6}  95 % by profiles",
    ]
    for each in figures:
        scores, roc = each["scores"], each["roc_curve"]
        bounds = roc["auc_interval"]
        told.append(
            f"{each['algorithm']:<20} {_n(scores['accuracy']):>8} {_n(scores['precision']):>9} "
            f"{_n(scores['recall']):>7} {_n(scores['f1_score']):>6} {_n(roc['auc']):>6}  "
            + ("-" if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}")
        )
    told += ["", "true alerts among the first ones looked at:"]
    told.append(
        f"{'algorithm':<20}"
        + "".join(f"{'first ' + str(at['looked_at']):>12}" for at in figures[0]["found_first"])
    )
    for each in figures:
        told.append(
            f"{each['algorithm']:<20}"
            + "".join(f"{at['true_by_triage']:>12}" for at in each["found_first"])
        )
    for name, field, form in (
        ("by p-value", "true_by_p_value", "{}"),
        ("in any order", "true_by_chance", "{:.1f}"),
    ):
        told.append(
            f"{name:<20}"
            + "".join(f"{form.format(at[field]):>12}" for at in figures[0]["found_first"])
        )
    return told


def _n(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
