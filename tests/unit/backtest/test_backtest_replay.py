"""Replay: the same telemetry, models and settings give the same verdicts; else it says why."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from processor.backtest.comparison import Comparison, ComparisonPlan
from processor.backtest.history import VerdictHistory, Versions
from processor.backtest.replay import Replay, Summary, backtest
from processor.backtest.report import ReplayOutcome, Report
from processor.backtest.retraining import Retraining
from processor.cli.backtest import topic_of
from processor.dead_letter import letter
from processor.records import ConsumerRecord, DeadLetter, ProducerRecord
from tests.unit.builders import (
    GROSS,
    NOW,
    TOPICS,
    Scorer,
    announced,
    command,
    consumed,
    context,
    normal,
    of,
    parsed,
    proposed,
    record,
    settings,
    stream,
    vector,
)

LATER = NOW + 1_000_000
AS_IT_WAS = ComparisonPlan()
FEW = examples(max_examples=20)
"""Each example is a whole stream, with trainings in it."""


def said_by(outputs: Sequence[ProducerRecord], partition: int = 0) -> VerdictHistory:
    """What outputs say of the telemetry of a partition of ``features``."""
    said = VerdictHistory()
    for out in of(outputs, TOPICS.anomalies):
        (verdict,) = parsed([out])
        if verdict["verdict_id"].startswith(f"{TOPICS.telemetry('features')}-{partition}-"):
            said.add(int(verdict["verdict_id"].rpartition("-")[2]), out.value or b"")
    for dead in consumed(outputs, TOPICS.dead_letter):
        told = letter(dead)
        said.letters[told.offset] = DeadLetter(told.reason, told.detail)
    return said


def versions_of(outputs: Sequence[ProducerRecord]) -> Versions:
    versions = Versions()
    for told in announced(outputs):
        versions.add(told.partition or 0, told)
    return versions


def compared(
    scorer: Scorer,
    telemetry: Iterable[ConsumerRecord],
    *,
    plan: ComparisonPlan = AS_IT_WAS,
    said: VerdictHistory | None = None,
    versions: Versions | None = None,
    skip: int = 0,
    **wanted: Any,
) -> tuple[list[ReplayOutcome], Report]:
    """The outcomes of a replay with other settings of what a scorer has said."""
    chosen = scorer.context.settings.model_copy(update=wanted)
    replay = Replay(chosen, TOPICS, LATER, scorer.memory.open)
    report = Report()
    comparison = Comparison(
        replay,
        versions or versions_of(scorer.outputs),
        said or said_by(scorer.outputs),
        plan,
        report,
    )
    return list(comparison.run((r, r.offset >= skip) for r in telemetry)), report


def whys(outcomes: Iterable[ReplayOutcome]) -> set[tuple[str, str]]:
    return {(outcome.result, outcome.why) for outcome in outcomes}


def grown(**wanted: Any) -> tuple[Scorer, list[ConsumerRecord]]:
    """A scorer that has taught a profile 5 samples and judged 60 more, and the telemetry."""
    scorer = Scorer(**wanted)
    telemetry = stream([*normal(64), GROSS])
    for start in range(0, 65, 7):
        scorer.feed(telemetry[start : start + 7])
    return scorer, telemetry


def with_two_versions() -> tuple[Scorer, list[ConsumerRecord]]:
    """A scorer that adopted a second version in the middle of a stream."""
    scorer = Scorer()
    telemetry = stream(normal(40))
    scorer.feed(telemetry[:20])
    scorer.feed([proposed(scorer, around=11.0)])
    scorer.feed(telemetry[20:])
    return scorer, telemetry


VALUES = st.sampled_from(
    [*normal(6, seed=3), GROSS, vector(10.0, None, 9.0), vector(None, None), b"poison", vector(1.0)]
)


@FEW
@given(
    values=st.lists(st.tuples(VALUES, st.sampled_from("pq")), max_size=40),
    cut=st.integers(1, 9),
    again=st.integers(1, 9),
    detector=st.sampled_from(["blend", "forest", "gaussian", "deviation", "neighbors"]),
)
def test_whatever_the_batches_a_replay_repeats_every_verdict_bit_for_bit(
    values: list[tuple[Any, str]], cut: int, again: int, detector: str
) -> None:
    scorer = Scorer(detector=detector)
    telemetry = [record(v, key=key, offset=i) for i, (v, key) in enumerate(values)]
    for start in range(0, len(telemetry), cut):
        scorer.feed(telemetry[start : start + cut])

    outcomes, report = compared(scorer, telemetry, batch_records=again)

    assert len(outcomes) == len(telemetry)
    assert whys(outcomes) <= {("same", "")}
    assert report.trained["other"] == 0


@FEW
@given(
    values=st.lists(st.tuples(VALUES, st.sampled_from("pq"), st.integers(0, 9)), max_size=40),
    again=st.integers(1, 9),
)
def test_commands_in_between_change_nothing_of_it(
    values: list[tuple[Any, str, int]], again: int
) -> None:
    scorer, telemetry = Scorer(), []
    names = ["forget", "suppress", "resume", "rollback"]
    for offset, (value, key, what) in enumerate(values):
        telemetry.append(record(value, key=key, offset=offset))
        scorer.feed(telemetry[-1:])
        if what < len(names):
            scorer.feed([command(names[what], profile=key, offset=offset)])

    outcomes, _ = compared(scorer, telemetry, batch_records=again)

    assert whys(outcomes) <= {("same", "")}


def test_records_are_judged_by_the_version_that_judged_them_then() -> None:
    scorer, telemetry = with_two_versions()

    outcomes, report = compared(scorer, telemetry)

    assert {o.now["model_version"] for o in outcomes if isinstance(o.now, dict)} == {None, 1, 2}
    assert report.results == {("same", ""): 40}
    assert report.trained == {"same": 1}


def test_a_version_that_only_a_history_names_is_used_and_one_that_none_names_is_gone() -> None:
    scorer, telemetry = with_two_versions()
    newest = Versions()
    newest.add(0, announced(scorer.outputs)[-1])
    forgetful = Versions()
    forgetful.add(0, announced(scorer.outputs)[-1].model_copy(update={"history": []}))

    _, by_history = compared(scorer, telemetry, versions=newest)
    _, gone = compared(scorer, telemetry[5:], versions=forgetful)

    assert by_history.results == {("same", ""): 40}
    assert gone.results == {
        ("same", ""): 20,
        ("not compared", "model version 1 is gone: no announcement of it is left"): 15,
    }


def test_a_lost_artefact_of_version_1_is_trained_again_where_the_telemetry_is_there() -> None:
    scorer, telemetry = with_two_versions()
    scorer.memory.lose(announced(scorer.outputs)[0].sha256)

    _, whole = compared(scorer, telemetry)
    _, part = compared(scorer, telemetry[5:])

    assert whole.results == {("same", ""): 40}
    assert part.results == {
        ("same", ""): 20,
        ("not compared", "model version 1 is gone: its artefact is missing or altered"): 15,
    }


def test_another_budget_changes_decisions_and_is_named_with_the_one_of_then() -> None:
    scorer, telemetry = grown()

    outcomes, report = compared(scorer, telemetry, alert_budget=0.2)

    assert report.results == {
        ("same", ""): 5,
        ("changed", "alert budget is 0.2 now, 0.01 then"): 60,
    }
    changed = [o for o in outcomes if o.result == "changed"]
    assert all(o.now["score"] == o.then["score"] for o in changed)
    counts = report.kinds["features"]
    assert counts["newly flagged"] == counts["anomalies now"] - counts["anomalies then"] > 0


def test_a_budget_that_was_not_the_one_at_training_is_called_another() -> None:
    scorer, _ = grown()
    trained_at = scorer.context
    scorer.context = context(scorer.memory, alert_budget=0.3)
    more = stream(normal(3, seed=8), first=65)
    scorer.feed(more)
    scorer.context = trained_at

    _, report = compared(scorer, more)

    assert report.results == {("changed", "alert budget is 0.01 now, another then"): 3}


def test_a_version_asked_for_judges_all_that_was_scored() -> None:
    scorer, telemetry = with_two_versions()

    outcomes, report = compared(scorer, telemetry, plan=ComparisonPlan(version=2))

    judged = [o.now for o in outcomes if isinstance(o.now, dict) and o.now["status"] == "scored"]
    assert {verdict["model_version"] for verdict in judged} == {2}
    assert report.results == {
        ("same", ""): 25,
        ("changed", "judged by version 2 now, by 1 then"): 15,
    }


@pytest.mark.parametrize(
    ("changed", "why", "same"),
    [
        ({"detector": "forest"}, "detector is forest now, gaussian then", 5),
        ({"cold_start_samples": 3}, "learning takes 3 samples now, 5 then", 0),
    ],
)
def test_profiles_that_learn_anew_differ_for_what_they_learn_by(
    changed: dict[str, Any], why: str, same: int
) -> None:
    scorer, telemetry = grown()

    _, report = compared(scorer, telemetry, plan=ComparisonPlan(fresh=True), **changed)

    assert report.count("same") == same
    assert report.count("changed") == 65 - same
    assert all(told.endswith(why) for result, told in report.results if result == "changed")
    assert report.kinds["features"]["scored then"] == 60


def test_learning_anew_with_the_settings_of_then_is_the_same() -> None:
    scorer, telemetry = grown()

    _, report = compared(scorer, telemetry, plan=ComparisonPlan(fresh=True))

    assert report.results == {("same", ""): 65}


def test_telemetry_without_the_beginning_of_a_learning_says_so() -> None:
    scorer = Scorer()
    telemetry = stream(normal(10))
    scorer.feed(telemetry)

    _, report = compared(scorer, telemetry[2:])

    gone = "the telemetry that its learning began with is gone"
    assert report.results == {("not compared", gone): 3, ("same", ""): 5}


def test_records_before_the_range_are_learnt_from_but_have_no_outcome() -> None:
    scorer = Scorer()
    telemetry = stream(normal(10))
    scorer.feed(telemetry)

    outcomes, report = compared(scorer, telemetry, skip=3)

    assert [o.verdict_id for o in outcomes] == [f"telemetry.features-0-{i}" for i in range(3, 10)]
    assert report.results == {("same", ""): 7}


def test_dead_letters_are_reported_and_compared_as_such() -> None:
    scorer, telemetry = grown()
    poison = record(b"poison", offset=65)
    long = record(vector(*[1.0] * 26), key="q", offset=66)
    scorer.feed([poison, long])

    _, report = compared(scorer, [*telemetry, poison, long], max_features=20)

    assert report.results == {
        ("same", ""): 66,
        ("changed", "learning then, a dead letter now: too_large"): 1,
    }
    assert report.dead_letters == {"invalid_json": 1, "too_large": 1}


def test_what_has_no_verdict_is_told_by_where_it_lies() -> None:
    scorer, telemetry = grown()
    said = said_by(scorer.outputs)
    kept = VerdictHistory()
    for offset in (*range(20, 40), *range(41, 60)):
        kept.add(offset, said.verdicts[offset])

    _, report = compared(scorer, telemetry, said=kept)

    assert report.results == {
        ("same", ""): 39,
        ("not compared", "no verdict found: it may have aged out"): 20,
        ("not compared", "no verdict found"): 1,
        ("not compared", "no verdict yet"): 5,
    }


def test_a_field_that_was_not_said_then_counts_for_nothing_and_another_value_is_named() -> None:
    scorer, telemetry = grown()
    said = VerdictHistory()
    for offset, raw in said_by(scorer.outputs).verdicts.items():
        said.add(
            offset,
            raw.replace(b'"rule_severity":null,', b"").replace(b'"p_value":0.', b'"p_value":0.1'),
        )

    outcomes, report = compared(scorer, telemetry, said=said)

    assert ("changed", "same model, but p_value differ") in report.results
    assert set(report.fields) == {"p_value"}
    told = next(o for o in outcomes if o.result == "changed").plain()
    assert told["fields"] == ["p_value"]
    assert told["then"]["p_value"] != told["now"]["p_value"]


def test_a_file_gets_the_verdicts_of_a_scorer_that_starts_empty() -> None:
    scorer, telemetry = grown()
    lines = [b'{"key":"p","value":%b}' % (r.value or b"") for r in telemetry]
    summary = Summary()

    found = list(
        backtest([*lines, b"nope", b'{"key":"p","value":{}}'], "features", settings(), NOW, summary)
    )

    assert found == parsed(of(scorer.outputs, TOPICS.anomalies))
    assert summary.total() == {"learning": 5, "normal": summary.total()["normal"], "anomaly": 1}
    assert summary.skipped == [66]
    assert summary.dead_letters == {"invalid_record": 1}


def test_retrained_on_the_way_the_verdicts_do_not_depend_on_the_batches(tmp_path: Path) -> None:
    wanted = settings(cold_start_samples=40, retrain_samples=60)
    away = [vector(*(v + 9 for v in value["values"].values())) for value in normal(150, seed=2)]
    lines = [
        orjson.dumps({"key": key, "value": value})
        for pair in zip(normal(150), away, strict=True)
        for key, value in zip("pq", pair, strict=True)
    ]
    found = []
    for records in (1, 7, 500):
        chosen, summary = wanted.model_copy(update={"batch_records": records}), Summary()
        retraining = Retraining(chosen, tmp_path / str(records), summary.retrained)
        verdicts = list(backtest(lines, "features", chosen, NOW, summary, retraining))
        found.append((verdicts, summary.retrained))

    assert found[0] == found[1] == found[2]
    verdicts, events = found[0]
    versions = [v["model_version"] for v in verdicts if v["profile_id"] == "p"]
    assert versions[:40] == [None] * 40
    assert set(versions[40:100]) == {1}
    assert versions[-1] == 2
    assert events["adopted"] == 2


def test_learning_anew_with_the_retrainer_is_compared_like_any_other(tmp_path: Path) -> None:
    scorer, telemetry = grown()
    wanted = scorer.context.settings.model_copy(update={"retrain_samples": 20})
    report = Report()
    replay = Replay(
        wanted, TOPICS, LATER, retraining=Retraining(wanted, tmp_path, report.retrained)
    )
    plan = ComparisonPlan(fresh=True, retrain=True)
    versions, said = versions_of(scorer.outputs), said_by(scorer.outputs)

    outcomes = list(
        Comparison(replay, versions, said, plan, report).run((r, True) for r in telemetry)
    )

    assert report.count("same") >= 5 + 20
    newer = {why for result, why in report.results if result == "changed"}
    assert newer <= {f"judged by version {v} now, by 1 then" for v in (2, 3, 4)}
    assert max(o.now["model_version"] or 0 for o in outcomes if isinstance(o.now, dict)) > 1


@pytest.mark.parametrize(
    ("source", "option", "topic"),
    [
        ("features", None, "a.telemetry.features"),
        ("telemetry.features", None, "a.telemetry.features"),
        ("a.telemetry.series", None, "a.telemetry.series"),
        (None, "series", "a.telemetry.series"),
        ("behavior", None, None),
        ("-", None, None),
        ("telemetry.jsonl", None, None),
    ],
)
def test_a_name_is_a_topic_where_no_file_has_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str | None,
    option: str | None,
    topic: str | None,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "behavior").touch()

    assert topic_of(source, option, settings(topic_prefix="a.")) == topic
