"""The figures that must hold on the CMU keystrokes, single passwords of 26 typists."""

import pytest

from models.evaluation import run
from models.evaluation.results import PEER

pytestmark = pytest.mark.recordings


@pytest.fixture(scope="module")
def rows(data):
    results = run(data, detectors=["blend"], recordings=["cmu_200", "cmu_50"], seed=1)
    return {(row.recording, row.detector): row for row in results.rows}


def test_two_hundred_samples_tell_typists_apart(rows):
    assert rows["cmu_200", "blend"].quality <= 0.075
    assert rows["cmu_200", "blend"].quality < rows["cmu_200", PEER].quality


def test_fifty_samples_tell_typists_apart(rows):
    assert rows["cmu_50", "blend"].quality <= 0.135
    assert rows["cmu_50", "blend"].quality < rows["cmu_50", PEER].quality


def test_one_percent_false_alarms_means_one_percent(rows):
    at_1, _, at_5 = rows["cmu_200", "blend"].false_alarms

    assert 0.003 <= at_1 <= 0.02
    assert 0.025 <= at_5 <= 0.075


def test_few_impostors_are_missed_at_five_percent(rows):
    assert rows["cmu_200", "blend"].missed <= 0.16
