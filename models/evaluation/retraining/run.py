"""What learning on does to error rates and false alarms, and how far attackers can teach it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, product
from pathlib import Path
from typing import Final

import numpy as np

from models.detectors.base import Floats
from models.evaluation.datasets.keystrokes import cmu_typists
from models.evaluation.datasets.recordings import RECORDINGS
from models.evaluation.datasets.tasks import RecordingError, Task
from models.evaluation.metrics import equal_error_rate, group_means
from models.evaluation.retraining.attacks import ATTACKS, LEARNT, Attack
from models.evaluation.retraining.results import Attacked, Retrained, RetrainingRow
from models.evaluation.retraining.simulate import (
    Followed,
    Learning,
    first_model,
    plain,
    simulate,
    standing,
)
from models.learning.retraining import p_values_of

EVERY = 20
"""Accepted records between two candidates; fewer where a recording has fewer than 100."""

LEAST_EVERY = 10

STRANGERS = 100
JUDGED = 50
"""An attacker's first and last records are so many."""

BUDGETS: Final = (0.01, 0.05)
QUICK_PROFILES = 4
QUICK_STRIDE = 20

LEARNINGS: Final = (
    Learning("off", retrained=False),
    Learning("all", selected=False, gated=False),
    Learning("admission", gated=False),
    Learning("admission, gate"),
)
ATTACKED: Final = (LEARNINGS[0], LEARNINGS[1], LEARNINGS[3])

Progress = Callable[[str, int, int], None]


def evaluate_retraining(
    data: Path,
    *,
    detector: str = "blend",
    recordings: Sequence[str] | None = None,
    attacks: Sequence[str] | None = None,
    budgets: Sequence[float] = BUDGETS,
    stride: int = 1,
    seed: int = 0,
    quick: bool = False,
    progress: Progress | None = None,
) -> Retrained:
    """Follow every recording that is judged by its error rate; deterministic for a seed.

    Args:
        data: directory with the recordings.
        detector: name in ``models.DETECTORS``.
        recordings: names in ``RECORDINGS`` that are judged by their error rate; all by default.
        attacks: names in ``ATTACKS``; all by default.
        budgets: alert budgets, 0–1.
        stride: every so many-th pair of an attack is followed.
        seed: of everything random.
        quick: only the first profiles of each recording, and at most every ``QUICK_STRIDE``-th
            pair of an attack.
        progress: told what is followed, how much of it is done, and of how much.

    Raises:
        ValueError: an unknown recording or attack.
        RecordingError: none of the recordings can be read.
    """
    tell = progress or _silent
    judged = {name: one for name, one in RECORDINGS.items() if one.measure == "EER"}
    waged = {attack.name: attack for attack in ATTACKS}
    names = known("recording", recordings, judged)
    fought = [waged[name] for name in known("attack", attacks, waged)]
    rows: list[RetrainingRow] = []
    skipped: list[tuple[str, str]] = []
    for name in names:
        try:
            loaded = islice(judged[name].load(data), QUICK_PROFILES if quick else None)
            tasks = [task for task in loaded if isinstance(task, Task)]
        except RecordingError as error:
            skipped.append((name, str(error)))
            continue
        cases = list(product(budgets, LEARNINGS))
        for done, (budget, learning) in enumerate(cases):
            tell(name, done, len(cases))
            rows.append(_recording(tasks, budget, learning, detector, seed))
        tell(name, len(cases), len(cases))
    if not rows:
        raise RecordingError("; ".join(reason for _, reason in skipped))
    attacked: list[Attacked] = []
    try:
        typists = cmu_typists(data)
    except RecordingError as error:
        skipped.append(("attacks", str(error)))
        fought, typists = [], {}
    stride = max(stride, QUICK_STRIDE if quick else 1)
    for done, (attack, budget) in enumerate(product(fought, budgets)):
        tell("attacks", done, len(fought) * len(budgets))
        attacked.extend(_attack(typists, attack, stride, budget, detector, seed))
    tell("attacks", len(fought) * len(budgets), len(fought) * len(budgets))
    return Retrained(tuple(rows), tuple(attacked), tuple(skipped), detector, seed)


def _recording(
    tasks: Sequence[Task], budget: float, learning: Learning, detector: str, seed: int
) -> RetrainingRow:
    rates, alarms, missed, admitted, drifted, tried, refused = [], [], [], [], [], 0, 0
    records = []
    for task in tasks:
        others = [other.train for other in tasks if other.profile != task.profile]
        count = task.genuine.shape[0]
        found = simulate(
            first_model(detector, task.train, budget, seed),
            plain(task.genuine),
            count,
            strangers(others, seed, task.train.shape[1]),
            learning,
            budget=budget,
            every=max(LEAST_EVERY, min(EVERY, count // 5)),
            seed=seed,
        )
        rates.append(error_rate(task, found))
        records.append(int((~np.isnan(found.p_values)).sum()))
        alarms.append(int((found.p_values < budget).sum()))
        missed.append(_mean(p_values_of(found.models[-1].detector, task.abnormal) >= budget))
        admitted.append(found.admitted / count)
        drifted.append(found.drifted)
        tried, refused = tried + found.tried, refused + found.refused
    share = sum(alarms) / max(sum(records), 1)
    return RetrainingRow(
        tasks[0].recording,
        budget,
        learning.name,
        len(tasks),
        float(np.nanmean(rates)),
        sum(records),
        sum(alarms),
        float(np.linalg.norm(np.array(alarms) - share * np.array(records))),
        _mean(missed),
        tried,
        refused,
        _mean(admitted),
        _mean(drifted),
    )


def error_rate(task: Task, found: Followed) -> float:
    """Equal error rate over the run: abnormal rows are judged by each version, for its time.

    A version that judged twice as many genuine rows counts twice with its abnormal ones.
    """
    count = task.genuine.shape[0]
    genuine = group_means(found.standing, task.genuine_groups)
    abnormal = []
    for model, first, end in zip(found.models, found.since, [*found.since[1:], count], strict=True):
        judged = group_means(standing(model.row_detector, task.abnormal), task.abnormal_groups)
        abnormal.append(np.repeat(judged, max(1, round(20 * (end - first) / count))))
    return equal_error_rate(genuine, np.concatenate(abnormal))


def strangers(others: Sequence[Floats], seed: int, width: int) -> Floats:
    """Samples of other profiles, from the later half of what each learnt, shape (m, d)."""
    if not others:
        return np.empty((0, width))
    rows = np.concatenate([rows[rows.shape[0] // 2 :] for rows in others])
    generator = np.random.default_rng(seed)
    picked = generator.choice(rows.shape[0], min(STRANGERS, rows.shape[0]), replace=False)
    return np.asarray(rows[np.sort(picked)])


def _attack(
    typists: dict[str, Floats],
    attack: Attack,
    stride: int,
    budget: float,
    detector: str,
    seed: int,
) -> Iterator[Attacked]:
    pairs = list(_pairs(list(typists), attack.stride))[::stride]
    figures: dict[str, list[tuple[float, ...]]] = {one.name: [] for one in ATTACKED}
    for victim, attacker in pairs:
        own, other = typists[victim], typists[attacker]
        learnt = own[:LEARNT].copy()
        if attack.shared:
            learnt[:: LEARNT // attack.shared] = other[-attack.shared :]
        first = first_model(detector, learnt, budget, seed)
        known = [rows[:LEARNT] for name, rows in typists.items() if name not in (victim, attacker)]
        for learning in ATTACKED:
            found = simulate(
                first,
                attack.lay(own[LEARNT:], other, budget),
                attack.begins + other.shape[0],
                strangers(known, seed, own.shape[1]),
                learning,
                budget=budget,
                every=EVERY,
                seed=seed,
            )
            accepted = found.p_values[attack.begins :] >= budget
            figures[learning.name].append(
                (
                    _mean(accepted[:JUDGED]),
                    _mean(accepted[-JUDGED:]),
                    _mean(p_values_of(first.row_detector, other) >= budget),
                    _mean(p_values_of(found.models[-1].detector, other) >= budget),
                    found.tried,
                    found.refused,
                    float(found.drifted),
                )
            )
    rise = {name: np.array(found)[:, 1] - np.array(found)[:, 0] for name, found in figures.items()}
    for name, listed in figures.items():
        found_ = np.array(listed)
        beyond = rise[name] - rise[ATTACKED[0].name]
        means = found_.mean(axis=0)
        yield Attacked(
            attack.name,
            budget,
            name,
            len(pairs),
            float(means[0]),
            float(means[1]),
            float(beyond.mean()),
            float(np.quantile(beyond, 0.95)),
            float(means[2]),
            float(means[3]),
            int(found_[:, 4].sum()),
            int(found_[:, 5].sum()),
            float(means[6]),
        )


def known(what: str, asked: Sequence[str] | None, names: Iterable[str]) -> list[str]:
    """The names that were asked for, all by default; raises ValueError for an unknown one."""
    there = list(names)
    for name in asked or ():
        if name not in there:
            raise ValueError(f"{what} {name!r} is unknown: {', '.join(there)}")
    return there if asked is None else list(asked)


def _silent(what: str, done: int, total: int) -> None:
    """Progress that nobody asked for."""


def _pairs(names: Sequence[str], stride: int) -> Iterator[tuple[str, str]]:
    """Each victim with every ``stride``-th of the others, another first one for each."""
    for at, victim in enumerate(names):
        for step in range(1 + at % min(stride, len(names) - 1), len(names), stride):
            yield victim, names[(at + step) % len(names)]


def _mean(values: Sequence[float] | Floats | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
