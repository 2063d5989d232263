"""A new normal: noticed, told once, kept through a restart, adopted, held and taken back."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from processor.columnar.fast_path import NoFastPath
from processor.records import ConsumerRecord
from tests.unit.builders import (
    NOW,
    TOPICS,
    Scorer,
    announced,
    command,
    events,
    of,
    parsed,
    restarted,
    stream,
    vector,
    verdicts,
)

LEARNT, NEEDED = 200, 60
KEY = (0, "features", "p")


def around(mean: float, count: int, *, first: int, seed: int = 1) -> list[ConsumerRecord]:
    """Records whose three features lie around a mean, with a deviation of 1."""
    drawn = np.random.default_rng([seed, first]).normal(mean, 1.0, (count, 3))
    return stream((vector(*row) for row in drawn.tolist()), first=first)


def taught(**wanted) -> Scorer:
    scorer = Scorer(
        **{"cold_start_samples": LEARNT, "shift_samples": NEEDED, "detector": "blend"} | wanted
    )
    scorer.taught()
    return scorer


def shown(scorer: Scorer, records: list[ConsumerRecord], size: int = 7) -> list:
    """Commit some records in small batches; what was written."""
    written = []
    for begin in range(0, len(records), size):
        written += scorer.feed(records[begin : begin + size])
    return written


def named(written) -> list[str]:
    return [event.event for event in events(written)]


def places(scorer: Scorer) -> set[bytes | None]:
    """Keys that the changelog of samples holds behind all that was written."""
    held: dict[bytes | None, bytes | None] = {}
    for out in of(scorer.outputs, TOPICS.cold_start):
        held[out.key] = out.value
    return {key for key, value in held.items() if value is not None}


def test_a_profile_that_steps_for_good_is_told_once_and_adopted() -> None:
    scorer = taught()
    assert scorer.state.shifts == {}

    written = shown(scorer, around(18.0, 150, first=1000))

    told, adopted = events(written)
    assert (told.event, adopted.event) == ("shifted", "adopted")
    assert told.figures["since"] == "telemetry.features-0-1001"
    assert told.figures["anomalies"] >= 30
    first = told.figures["moved"][0]
    assert first["before"][1] < 12.0 < first["after"][0]
    record = announced(written)[-1]
    assert (record.version, record.trigger, record.generation) == (2, "shift", 0)
    assert [old.version for old in record.history] == [1]
    assert adopted.figures["samples"] == NEEDED
    assert adopted.figures["known"] > 0
    of_each = Counter(v.regime for v in verdicts(written))
    assert of_each["shifted"] > 20
    assert scorer.state.shifts == {}
    assert scorer.state.counts["features", "shifted"] == 0
    assert places(scorer) == set()
    later = verdicts(shown(scorer, around(18.0, 1000, first=2000)))
    assert np.mean([v.anomaly for v in later]) <= 0.03
    assert {v.regime for v in later} == {"usual"}
    # What it was before stays known, and what is far from both is found.
    assert np.mean([v.anomaly for v in verdicts(scorer.feed(around(10.0, 300, first=3000)))]) < 0.1
    assert all(v.anomaly for v in verdicts(scorer.feed(around(28.0, 20, first=4000))))


def test_every_verdict_says_its_regime() -> None:
    scorer = taught()

    while_learning = verdicts(scorer.outputs)
    usual = verdicts(scorer.feed(around(10.0, 5, first=500)))

    assert {v.regime for v in while_learning} == {None}
    assert {v.regime for v in usual} == {"usual"}


def test_a_single_anomaly_is_watched_by_nobody() -> None:
    scorer = taught()

    scorer.feed(around(10.0, 20, first=500))
    scorer.feed(around(40.0, 1, first=600))
    scorer.feed(around(10.0, 20, first=700))

    assert scorer.state.shifts == {}


def test_a_burst_that_ends_is_given_up_with_its_samples() -> None:
    scorer = taught()

    written = shown(scorer, around(18.0, 25, first=1000))
    assert places(scorer)
    written += shown(scorer, around(10.0, 12, first=2000))

    assert named(written) == []
    assert scorer.state.shifts == {}
    assert places(scorer) == set()


def test_a_shift_that_ends_is_told_and_its_samples_count_the_next_time() -> None:
    scorer = taught()

    night = shown(scorer, around(18.0, 45, first=1000))
    day = shown(scorer, around(10.0, 60, first=2000))
    again = shown(scorer, around(18.0, 60, first=3000))

    assert named(night) == ["shifted"]
    assert named(day) == ["shift_ended"]
    assert {v.regime for v in verdicts(day)[-20:]} == {"usual"}
    assert named(again)[:2] == ["shifted", "adopted"]
    # The samples of the first night were not asked for again.
    assert len([v for v in verdicts(again) if v.anomaly]) < NEEDED
    for mean in (10.0, 18.0):
        said = verdicts(shown(scorer, around(mean, 300, first=int(5000 + 1000 * mean))))
        assert np.mean([v.anomaly for v in said]) <= 0.05


def test_two_shifts_in_a_row_are_each_adopted() -> None:
    scorer = taught()

    written = shown(scorer, around(18.0, 120, first=1000))
    written += shown(scorer, around(30.0, 120, first=2000))

    assert named(written) == ["shifted", "adopted", "shifted", "adopted"]
    assert announced(written)[-1].version == 3
    for mean in (18.0, 30.0):
        said = verdicts(shown(scorer, around(mean, 300, first=int(5000 + 1000 * mean))))
        assert np.mean([v.anomaly for v in said]) <= 0.05


def test_what_holds_learns_nothing_until_it_is_adopted() -> None:
    scorer = taught(on_shift="hold")

    written = shown(scorer, around(18.0, 200, first=1000))
    assert named(written) == ["shifted"]
    assert scorer.state.counts["features", "shifted"] == 1
    assert {v.regime for v in verdicts(written)[-50:]} == {"shifted"}

    receipt = events(scorer.feed([command("adopt")]))[-1]

    assert (receipt.event, receipt.command_id, receipt.version) == ("adopted", "c-adopt", 2)
    later = verdicts(shown(scorer, around(18.0, 300, first=5000)))
    assert np.mean([v.anomaly for v in later]) <= 0.05


def test_a_hold_keeps_a_profile_from_learning_until_it_ends() -> None:
    scorer = taught()
    held = events(scorer.feed([command("hold", until=NOW + 1000, reason="a fault")]))
    assert [(e.event, e.command_id) for e in held] == [("held", "c-hold")]

    written = shown(scorer, around(18.0, 200, first=1000))
    assert named(written) == ["shifted"]

    later = scorer.feed(around(18.0, 5, first=2000), now=NOW + 2000)
    assert named(later) == ["adopted"]


def test_a_rollback_undoes_an_adoption_and_holds() -> None:
    scorer = taught()
    shown(scorer, around(18.0, 120, first=1000))

    taken_back = events(scorer.feed([command("rollback")]))[-1]
    written = shown(scorer, around(18.0, 200, first=2000))

    assert taken_back.event == "rolled_back"
    assert "held" in taken_back.detail
    assert named(written) == ["shifted"]
    assert np.mean([v.anomaly for v in verdicts(written)]) > 0.95


@pytest.mark.parametrize("name", ["adopt"])
def test_there_is_nothing_to_adopt_where_nothing_shifted(name: str) -> None:
    scorer = taught()

    said = events(scorer.feed([command(name)]))[-1]

    assert (said.event, said.detail) == ("command_rejected", "the profile is not shifted")


def test_a_profile_in_a_maintenance_window_does_not_shift() -> None:
    scorer = taught()
    scorer.feed([command("suppress")])

    written = shown(scorer, around(18.0, 200, first=1000))

    assert named(written) == []
    assert scorer.state.shifts == {}


def test_abnormal_records_that_disagree_are_no_new_normal() -> None:
    scorer = taught()
    drawn = np.random.default_rng(3)
    # Each half is somewhere else: a model of the first rejects the second.
    values = [vector(*(50.0 + 400.0 * at + drawn.normal(size=3)).tolist()) for at in range(200)]

    written = shown(scorer, stream(values, first=1000))

    assert named(written) == []


@pytest.mark.parametrize("after", [15, 45, 55])
def test_a_restart_in_the_middle_loses_nothing(after: int) -> None:
    first = taught()
    shown(first, around(18.0, after, first=1000))

    second = restarted(first)
    assert second.state.shifts.keys() == first.state.shifts.keys()
    assert second.state.shifts[KEY].ring.records == first.state.shifts[KEY].ring.records
    assert second.state.shifts[KEY].since == first.state.shifts[KEY].since
    written = shown(second, around(18.0, 80, first=2000))

    told = [*named(first.outputs), *named(written)]
    assert [name for name in told if name != "trained"] == ["shifted", "adopted"]
    assert announced(written)[-1].trained_on == 2 * NEEDED + NEEDED


def test_how_records_are_cut_into_batches_does_not_matter_before_adoption() -> None:
    records = [
        *around(18.0, 9, first=1000),
        *around(10.0, 3, first=1100),
        *around(18.0, 45, first=1200),
        *around(10.0, 40, first=1300),
    ]
    made = []
    for size in (1, 5, len(records)):
        scorer = taught(on_shift="hold")
        made.append((shown(scorer, records, size), scorer.state.shifts[KEY]))

    told = [[(e.event, e.figures["since"]) for e in events(out)] for out, _ in made]
    assert told[0] == told[1] == told[2]
    assert made[0][1].ring.records == made[1][1].ring.records == made[2][1].ring.records


@pytest.mark.parametrize("size", [1, 4, 50])
def test_the_fast_path_answers_as_the_plain_one(size: int) -> None:
    records = [
        *around(10.0, 30, first=900),
        *around(18.0, 9, first=1000),
        *around(10.0, 13, first=1100),
        *around(18.0, 80, first=1200),
        *around(10.0, 40, first=1300),
    ]
    quick, plain = taught(), taught()
    plain.context = replace(plain.context, fast_path=NoFastPath())

    for begin in range(0, len(records), size):
        part = records[begin : begin + size]
        assert quick.feed(part) == plain.feed(part)


def test_forgetting_clears_what_was_kept() -> None:
    scorer = taught(on_shift="hold")
    shown(scorer, around(18.0, 60, first=1000))
    assert places(scorer)

    scorer.feed([command("forget")])

    assert places(scorer) == set()
    assert scorer.state.shifts == {}
    assert scorer.state.counts["features", "shifted"] == 0
    assert restarted(scorer).state.shifts == {}


def test_an_adoption_whose_artefact_cannot_be_written_is_tried_again() -> None:
    scorer = taught()
    shown(scorer, around(18.0, 40, first=1000))

    refused = scorer.feed(around(18.0, 60, first=2000), refused=[KEY])
    written = scorer.feed(around(18.0, 10, first=3000))

    assert named(refused)[-1] == "training_failed"
    assert named(written) == ["adopted"]


def test_an_artefact_that_cannot_be_written_is_not_tried_with_each_record() -> None:
    scorer = taught()
    shown(scorer, around(18.0, 40, first=1000))

    written = []
    for batch in range(20):
        written += scorer.feed(around(18.0, 4, first=2000 + 10 * batch), refused=[KEY])

    assert 2 <= named(written).count("training_failed") <= 12


def test_an_adoption_empties_the_pool_of_the_version_before() -> None:
    scorer = taught()

    written = shown(scorer, around(18.0, 150, first=1000))

    marks = [said for said in parsed(of(written, TOPICS.accepted)) if "mark" in said]
    assert [(mark["mark"], mark["version"]) for mark in marks] == [("rollback", 2)]
    assert announced(written)[-1].pool_count == 0


def test_a_new_version_from_the_retrainer_ends_the_shift_by_itself() -> None:
    scorer = taught(on_shift="hold")
    shown(scorer, around(18.0, 60, first=1000))
    scorer.feed([command("adopt")])

    assert scorer.state.counts["features", "shifted"] == 0


def test_train_ends_learning_with_the_samples_that_are_there() -> None:
    scorer = Scorer(cold_start_samples=LEARNT, detector="gaussian")
    scorer.feed(around(10.0, 20, first=0))

    (said,) = events(scorer.feed([command("train")]))

    assert (said.event, said.command_id, said.version) == ("trained", "c-train", 1)
    record = announced(scorer.outputs)[-1]
    assert (record.trained_on, record.learned, record.trigger) == (20, 20, "command")
    assert record.source_offset == 19
    assert {v.status for v in verdicts(scorer.feed(around(10.0, 3, first=100)))} == {"scored"}
    assert places(scorer) == set()
    again = events(scorer.feed([command("train")]))[-1]
    assert (again.event, again.detail) == (
        "command_rejected",
        "the profile does not learn: it has a model",
    )


def test_train_needs_as_many_samples_as_nothing_is_trained_below() -> None:
    scorer = Scorer(cold_start_samples=LEARNT)
    scorer.feed(around(10.0, 2, first=0))

    said = events(scorer.feed([command("train")]))[-1]

    assert (said.event, said.detail) == ("command_rejected", "2 samples are too few, 3 are needed")


def test_the_bytes_of_kept_samples_are_known_and_let_go_of() -> None:
    scorer = taught(shift_samples=500)
    assert scorer.state.shift_bytes == 0

    shown(scorer, around(18.0, 100, first=1000))
    # Of 98 abnormal records at least, three numbers each.
    assert 98 * 24 <= scorer.state.shift_bytes <= 100 * 24

    scorer.feed([command("forget")])
    assert scorer.state.shift_bytes == 0
