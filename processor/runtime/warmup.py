"""Warm-up: every kernel compiled, or loaded from numba's cache on disk, before the first record."""

from __future__ import annotations

import numpy as np

import models
from models.calibration import drift
from models.calibration.drift import Drifts
from models.calibration.drift_batch import follow_all
from models.detectors.forecast.batch import MetricPoints, followed_by, judge_in_order
from models.detectors.forecast.detector import Forecast
from models.features.template_reader import TemplateReader
from models.kernels.memory import SLACK
from models.kernels.text.byte_strings import stack
from processor.columnar.json_columns import encode_texts
from processor.columnar.json_template import parse_template, render
from processor.columnar.profile_index import ProfileIndex
from processor.record_batch import RecordBatch
from processor.records import ConsumerRecord

NAMES = ("0",)
RECORD = b'{"values":[1]}'


def warm_up() -> None:
    """Call every kernel once, those of training and scoring and those of a batch's texts."""
    models.warm_up()
    wave = np.sin(np.arange(40.0))
    metric = MetricPoints(Forecast().fit(wave[:, np.newaxis]), None, None, wave)
    followed_by(metric, judge_in_order([metric])[1], 1)
    layouts = TemplateReader()
    layouts.learn([(RECORD, b"p", NAMES)])
    layouts.read([layouts.range(NAMES)], [1], [1], [b"p"], [RECORD], len(RECORD))
    one = np.ones(1, dtype=np.int64)
    drifts = Drifts(*(np.array([float(number)]) for number in drift.NONE))
    follow_all(drifts, one, np.full(1, drift.NULL_MEAN), one, np.zeros(1), np.zeros(1))
    finder, record = ProfileIndex(), ConsumerRecord("", 0, 0, b"p", None, (), 0)
    finder.enter(0, (record.topic, record.partition, record.key))
    finder.find(RecordBatch.of([record]))
    finder.leave(0, (record.topic, record.partition, record.key))
    list(render(parse_template(b"\0A"), stack([encode_texts([b"1"])], SLACK)))
