"""The demo's board: verdicts met with the truth, and how both views show them."""

import io

import orjson
import pytest
from rich.console import Console

from processor.demo.scoreboard import Board
from processor.demo.view import View
from processor.records import ConsumerRecord
from processor.simulation.simulator import Simulated
from processor.topics import Topics

TOPICS = Topics()


def verdict(verdict_id: str, *, anomaly: bool, status: str = "scored") -> ConsumerRecord:
    value = {
        "verdict_id": verdict_id,
        "profile_id": "machine-000",
        "kind": "features",
        "status": status,
        "anomaly": anomaly,
        "severity": "high" if anomaly else "none",
        "score": 0.9,
        "samples_seen": 30,
        "samples_needed": 60,
        "reasons": [],
        "scored_at": 0,
    }
    return ConsumerRecord(TOPICS.anomalies, 0, 0, b"machine-000", orjson.dumps(value), (), 0)


def event(name: str, version: int) -> ConsumerRecord:
    value = {
        "event": name,
        "profile_id": "machine-000",
        "kind": "features",
        "version": version,
        "detail": f"version {version}, samples",
        "at": 0,
    }
    return ConsumerRecord(TOPICS.lifecycle, 0, 0, b"machine-000", orjson.dumps(value), (), 0)


def truth(what: str | None, grade: str | None) -> Simulated:
    return Simulated("features", "machine-000", 0, {}, what, grade)


@pytest.fixture
def board() -> Board:
    """Found, missed and false alarms; a learning record and one not answered yet."""
    board = Board(alert_budget=0.01)
    for verdict_id, what, grade in (
        ("learning", None, None),
        ("normal", None, None),
        ("false", None, None),
        ("found", "spike", "gross"),
        ("missed", "spike", "gross"),
        ("subtle", "strange mixture", "subtle"),
        ("silent", None, None),
    ):
        board.sent(truth(what, grade), verdict_id)
    board.take(verdict("learning", anomaly=False, status="learning"), TOPICS)
    board.take(event("trained", 1), TOPICS)
    for verdict_id, anomaly in (
        ("normal", False),
        ("false", True),
        ("found", True),
        ("missed", False),
        ("subtle", True),
    ):
        board.take(verdict(verdict_id, anomaly=anomaly), TOPICS)
    board.take(event("adopted", 2), TOPICS)
    return board


def test_the_score_counts_found_missed_and_false_alarms_of_scored_records_alone(board):
    score = board.score("features")

    assert (score.gross_found, score.gross) == (1, 2)
    assert (score.subtle_found, score.subtle) == (1, 1)
    assert (score.false_alarms, score.normal) == (1, 2)
    assert board.score("series").normal == 0


def test_it_is_complete_once_every_record_has_its_verdict(board):
    assert not board.complete

    board.take(verdict("silent", anomaly=False), TOPICS)

    assert board.complete


def test_a_verdict_given_twice_counts_once(board):
    before = board.answered

    board.take(verdict("normal", anomaly=False), TOPICS)

    assert board.answered == before


def test_a_profile_goes_from_learning_to_active_and_on_to_its_next_version(board):
    fresh = Board(alert_budget=0.01)
    fresh.take(verdict("learning", anomaly=False, status="learning"), TOPICS)

    assert fresh.profiles("features") == (1, 0.5, 0, 0)
    assert board.profiles("features") == (0, 1.0, 1, 2)


def test_plain_lines_say_how_far_it_is_and_the_summary_what_came_of_it(board):
    output = io.StringIO()
    view = View(Console(file=output, width=100), plain=True)

    with view.watching(board, 10):
        view.waiting("scorer: joining the group")
        view.refresh()
    view.summary(board)

    said = output.getvalue()
    assert "scorer: joining the group" in said
    assert "0 learning, 1 active, 1 retrained" in said
    assert "adopted: features machine-000, version 2" in said
    assert "1 of 2" in said
    assert "50.00%" in said
    assert "telltale topics create" in said


def test_the_live_view_shows_profiles_anomalies_and_retrainings(board):
    output = io.StringIO()
    console = Console(file=output, width=120, force_terminal=True)
    view = View(console, plain=False)

    with view.watching(board, 10):
        view.refresh()

    said = output.getvalue()
    for shown in ("up to version 2", "false alarm", "adopted: version 2"):
        assert shown in said
