"""Warm-up: every kernel compiled, or loaded from numba's cache on disk, before the first record."""

from __future__ import annotations

import numpy as np

import models
from models import drift
from models._memory import SLACK
from models.drift import Drifts
from models.drifting import follow_all
from models.features.layout import Layouts
from models.texts import stacked
from processor.batch import Batch
from processor.finder import Finder
from processor.normals import composed, filling, skeleton_of
from processor.records import Incoming

NAMES = ("0",)
RECORD = b'{"values":[1]}'


def warm_up() -> None:
    """Call every kernel once, those of training and scoring and those of a batch's texts."""
    models.warm_up()
    layouts = Layouts()
    layouts.learn([(RECORD, b"p", NAMES)])
    layouts.read([layouts.range(NAMES)], [1], [1], [b"p"], [RECORD], len(RECORD))
    one = np.ones(1, dtype=np.int64)
    drifts = Drifts(*(np.array([float(number)]) for number in drift.NONE))
    follow_all(drifts, one, np.full(1, drift.MEAN), one, np.zeros(1), np.zeros(1))
    finder, record = Finder(), Incoming("", 0, 0, b"p", None, (), 0)
    finder.enter(0, (record.topic, record.partition, record.key))
    finder.find(Batch.of([record]))
    finder.leave(0, (record.topic, record.partition, record.key))
    list(composed(skeleton_of(b"\0A"), stacked([filling([b"1"])], SLACK)))
