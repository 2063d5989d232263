"""The recordings: which there are, how each is judged, and what others have published."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from models.evaluation.datasets import drowsiness, keystrokes, mouse, sensors, series
from models.evaluation.datasets.tasks import Series, Task


@dataclass(frozen=True)
class Recording:
    """One recording with one protocol.

    Attributes:
        name: as in the table.
        load: data directory → its profiles, lazily; raises RecordingError when it is not there.
        measure: how quality is measured: ``EER``, ``AP``, ``NAB`` or ``UCR``.
        protocol: what is learnt and what is judged, one line.
        published: the best figure known to us and why it compares or not; empty for none.
    """

    name: str
    load: Callable[[Path], Iterator[Task] | Iterator[Series]]
    measure: str
    protocol: str
    published: str = ""


RECORDINGS: Final[dict[str, Recording]] = {
    recording.name: recording
    for recording in (
        Recording(
            "cmu_200",
            partial(keystrokes.cmu, learned=200),
            "EER",
            "26 typists, 200 repetitions learnt, impostors: five rows of each other typist",
            "not comparable (26 of its 51 typists): scaled Manhattan 0.096",
        ),
        Recording(
            "cmu_50",
            partial(keystrokes.cmu, learned=50),
            "EER",
            "the same, 50 repetitions learnt",
        ),
        Recording(
            "balabit",
            mouse.balabit,
            "EER",
            "5 users, windows of 300 mouse events, mean over a session",
            "not comparable (5 of 10 users; two-class): AUC 0.92",
        ),
        Recording(
            "aalto",
            keystrokes.aalto,
            "EER",
            "249 typists, 20 windows of 25 keystrokes learnt",
        ),
        Recording(
            "actions_chaoshen",
            partial(mouse.actions, name="chaoshen"),
            "EER",
            "14 users, single mouse actions, mean over 10",
        ),
        Recording(
            "actions_dfl",
            partial(mouse.actions, name="dfl"),
            "EER",
            "11 users, single mouse actions, mean over 10",
        ),
        Recording(
            "actions_balabit",
            partial(mouse.actions, name="balabit"),
            "EER",
            "5 users, single mouse actions, mean over 10",
        ),
        Recording(
            "ear",
            drowsiness.ear,
            "EER",
            "20 drivers, windows of 15 frames, alert against drowsy",
        ),
        Recording(
            "blinks",
            drowsiness.blinks,
            "EER",
            "participants with 30 alert blinks or more, windows of 10 blinks, alert against drowsy",
        ),
        Recording(
            "skab",
            sensors.skab,
            "EER",
            "17 pump experiments, 400 rows learnt, row by row",
            "not comparable (18 of 34 experiments, F1): T-squared 0.66, isolation forest 0.29",
        ),
        Recording(
            "nab",
            series.nab,
            "NAB",
            "24 real series, standard profile, 15 % (at most 750 rows) learnt, then anew every 500 "
            "rows from the latest 2,000",
            "not comparable (24 of its 47 real series): HTM 70, windowed Gaussian 40, random 11",
        ),
        Recording(
            "ucr",
            series.ucr,
            "UCR",
            "33 series, right when the most abnormal point is within 100 of the labelled run",
        ),
        Recording(
            "nasa",
            series.nasa,
            "AP",
            "41 channels, telemetry value only, average precision over the test points",
        ),
    )
}

# Recordings whose three sets count as one in the mean over recordings.
TOGETHER: Final = ("actions_chaoshen", "actions_dfl", "actions_balabit")
