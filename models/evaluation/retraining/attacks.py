"""Attackers who teach a profile's model: people of the password recording against one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.detectors.base import Detector, Floats
from models.evaluation.retraining.simulate import Lay, plain
from models.learning.retraining import p_values_of

LEARNT = 200
STEPS = 21
"""Mixtures of victim and attacker that an attacker who knows the model tries a record."""

MARGIN = 1.2
"""How far above the budget such an attacker stays, as a factor of the p-value."""

BURST = 20


@dataclass(frozen=True)
class Attack:
    """One way of teaching.

    Attributes:
        name: as in the table.
        what: one line.
        lay: victim's later records, attacker's records, budget → the records.
        begins: position of the attacker's first record.
        shared: learning samples that are the attacker's already.
        stride: every so many-th pair of victim and attacker is followed.
    """

    name: str
    what: str
    lay: Callable[[Floats, Floats, float], Lay]
    begins: int = 0
    shared: int = 0
    stride: int = 25


def types_on(genuine: Floats, attacker: Floats, budget: float) -> Lay:
    """The attacker's own records, in the order of time."""
    del genuine, budget
    return plain(attacker)


def takes_over(genuine: Floats, attacker: Floats, budget: float) -> Lay:
    """The victim's own, then the attacker's."""
    del budget
    return plain(np.concatenate([genuine, attacker]))


def drifts(genuine: Floats, attacker: Floats, budget: float) -> Lay:
    """The victim's own, moved step by step by the whole difference between the two."""
    del budget
    share = np.linspace(0.0, 1.0, attacker.shape[0])[:, None]
    move = np.nanmedian(attacker, axis=0) - np.nanmedian(genuine, axis=0)
    return plain(_repeated(genuine, attacker.shape[0]) + share * move)


def drifts_unseen(genuine: Floats, attacker: Floats, budget: float) -> Lay:
    """The same, each record only as far as the model of the moment lets it pass."""
    limit = np.linspace(0.0, 1.0, attacker.shape[0])
    return _under_threshold(genuine, attacker, budget, limit)


def bursts(genuine: Floats, attacker: Floats, budget: float) -> Lay:
    """Twenty as near to the attacker as pass, twenty of the victim's own, and so on."""
    count = attacker.shape[0]
    attacks = np.arange(count) // BURST % 2 == 0
    return _under_threshold(genuine, attacker, budget, np.where(attacks, 1.0, 0.0))


def _under_threshold(genuine: Floats, attacker: Floats, budget: float, limit: Floats) -> Lay:
    own = _repeated(genuine, attacker.shape[0])
    mixtures = np.linspace(0.0, 1.0, STEPS)

    def lay(detector: Detector, at: int) -> Floats:
        towards = attacker[at:] - own[at:]
        tried = own[at:] + mixtures[:, None, None] * towards
        p_values = p_values_of(detector, tried.reshape(-1, own.shape[1])).reshape(STEPS, -1)
        allowed = (p_values >= MARGIN * budget) & (mixtures[:, None] <= limit[at:])
        furthest = np.where(allowed, mixtures[:, None], 0.0).max(axis=0)
        return np.asarray(own[at:] + furthest[:, None] * towards)

    return lay


def _repeated(rows: Floats, count: int) -> Floats:
    return np.asarray(rows[np.arange(count) % rows.shape[0]])


ATTACKS: Final = (
    Attack("types on", "an impostor from day one: its own records from the first on", types_on),
    Attack(
        "takes over",
        "an impostor after 200 genuine records",
        takes_over,
        begins=LEARNT,
    ),
    Attack(
        "was there",
        "an impostor who already typed 20 of the 200 learning samples",
        types_on,
        shared=20,
    ),
    Attack("drifts", "the victim's records, moved evenly towards the impostor", drifts),
    Attack(
        "drifts unseen",
        "the same by one who knows the model and stays above its threshold",
        drifts_unseen,
    ),
    Attack(
        "bursts",
        "20 records just above the threshold, 20 genuine, and so on, by one who knows the model",
        bursts,
    ),
)
