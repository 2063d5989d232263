"""What came off a topic is shown, not executed: the escapes, and every view of a command."""

import io
import json
from time import monotonic

import orjson
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from processor.backtest import view as backtest_view
from processor.backtest.comparison import ComparisonPlan
from processor.backtest.replay import Summary
from processor.backtest.report import Report
from processor.cli import dead_letter as dead_letter_commands
from processor.cli import main
from processor.cli import profile as profile_commands
from processor.dead_letter import letter
from processor.demo.scoreboard import Board
from processor.demo.view import View
from processor.operations import profile_view, tail
from processor.operations.dead_letter_list import by_reason
from processor.operations.profile_command import Request
from processor.operations.profile_state import ProfileStatus
from processor.operations.profile_versions import Version
from processor.records import ConsumerRecord
from processor.settings import Settings
from processor.state.profiles import Suppression
from processor.text.escaping import dumped, json_line, named, printable, shortened
from processor.topics import Topics
from schemas import LifecycleEvent, ModelRecord
from tests.unit.operations.hostile import EVERY, LONE, MARKUP, TEXTS, raw

BAD = f"{EVERY}{MARKUP}"
WORST = f"{BAD}{LONE}"
TOPICS = Topics()


class TestPrintable:
    @pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
    def test_what_a_terminal_would_obey_becomes_an_escape(self, text):
        shown = printable(f"a{text}b")

        assert raw(shown) == []
        assert "\n" not in shown
        assert shown.startswith("a\\")

    def test_escapes_are_those_of_python(self):
        assert printable("\x1b\x7f\x85\u202e\ud800\U000e0041") == (
            r"\x1b\x7f\x85\u202e\ud800\U000e0041"
        )

    @pytest.mark.parametrize("text", ["", "plain", "Größe 測定 😀 é\u00a0x", "back\\slash", MARKUP])
    def test_everything_else_stays_as_it_is(self, text):
        assert printable(text) == text

    @given(st.text(st.characters(codec=None, categories=None)))
    def test_no_text_keeps_such_a_character(self, text):
        assert raw(printable(text).replace("\n", "\x00")) == []


class TestJson:
    @given(st.dictionaries(st.text(), st.text() | st.integers(0, 9) | st.lists(st.text())))
    def test_holds_no_such_character_and_decodes_to_the_same(self, value):
        for written in (dumped(value), dumped(value, indent=True), json_line(orjson.dumps(value))):
            assert raw(written.decode()) == []
            assert json.loads(written) == orjson.loads(written) == value

    def test_a_line_stays_a_line_whatever_spaces_its_producer_put_between_tokens(self):
        line = json_line(b'{"a":\r\n\t[1.50,\n"\\n"]}')

        assert line == b'{"a":   [1.50, "\\n"]}'
        assert json_line('{"\u202e": "\u00e9\x7f"}'.encode()) == (
            '{"\\u202e": "\u00e9\\u007f"}'.encode()
        )


class TestNamed:
    def test_a_path_of_an_artefact_keeps_kind_and_digest_and_loses_the_id(self):
        path = "features/alice%40example%2Ecom-3f6ab194bcdc9d22/2-c84234636d4fa47f.joblib"

        shown = named(f"[Errno 28] No space left on device: '/var/models/{path}'")

        assert "alice" not in shown
        assert "/var/models/features/…-3f6ab194bcdc9d22/2-c84234636d4fa47f.joblib" in shown

    def test_a_long_text_is_cut(self):
        assert shortened("x" * 300) == "x" * 300
        assert shortened("x" * 301) == "x" * 299 + "…"
        assert len(named("x" * 5000)) == 300


def verdict(text: str, **more: object) -> dict[str, object]:
    return {
        "verdict_id": text,
        "kind": text,
        "profile_id": text,
        "status": "scored",
        "anomaly": True,
        "severity": text,
        "score": 0.5,
        "suppressed": False,
        "scored_at": 1_700_000_000_000,
        "reasons": [{"feature": text, "value": 1.0, "typical": [0.0, 0.5], "contribution": 1.0}],
        **more,
    }


def printed(*parts: object) -> str:
    """What a console without colours writes."""
    file = io.StringIO()
    console = Console(file=file, width=2000, highlight=False, soft_wrap=True)
    for part in parts:
        console.print(part)
    return file.getvalue()


def assert_shown(output: str) -> None:
    """The hostile text is there in escapes, its markup as it is, and nothing raw."""
    assert raw(output) == []
    assert "\\x1b[2J" in output
    assert "\\u202e" in output
    assert MARKUP in output


class TestViews:
    def test_tail(self):
        assert_shown(printed(tail.line(verdict(WORST))))

    @pytest.mark.parametrize(
        "value", [None, b"", b"7", b"\xff\x1b[2J", orjson.dumps({"\u202e": "\x1b[2J"})]
    )
    def test_tail_of_what_is_no_verdict(self, value):
        record = ConsumerRecord("anomalies", 1, 23, None, value, (), 0)

        assert printed(tail.line_of(record)).startswith("anomalies [1] offset 23: not a verdict")
        assert raw(printed(tail.line_of(record))) == []

    @given(
        st.dictionaries(
            st.sampled_from(sorted(verdict(""))),
            st.none()
            | st.booleans()
            | st.integers(-(2**63), 2**64 - 1)
            | st.floats()
            | st.text()
            | st.just([{}])
            | st.just([{"feature": "\x1b", "value": "\x1b", "typical": ["\x1b", "\x1b"]}]),
        )
    )
    def test_tail_of_a_verdict_with_any_wrong_fields(self, wrong):
        record = ConsumerRecord("anomalies", 1, 2, b"k", orjson.dumps(verdict("x") | wrong), (), 0)

        assert raw(printed(tail.line_of(record))) == []

    def test_tail_as_json(self):
        record = ConsumerRecord("anomalies", 0, 0, None, json.dumps(verdict(BAD)).encode(), (), 0)
        unescaped = record._replace(value=orjson.dumps(verdict(BAD)))

        for line in map(tail.json_of, (record, unescaped)):
            assert line is not None
            assert b"\n" not in line
            assert raw(line.decode()) == []
            assert json.loads(line) == verdict(BAD)

    def test_profile_show(self):
        model = ModelRecord.model_construct(
            profile_id=WORST, kind=WORST, version=3, generation=1, detector=WORST, artifact=WORST,
            sha256=WORST, features=[WORST], learned=180, alert_budget=0.01, decision_offset=None,
            trigger=WORST, trained_at=0,
        )  # fmt: skip
        standing = ProfileStatus(
            0, WORST, WORST, 1, model, 1, 2, Suppression(2**50, WORST), (verdict(WORST),)
        )
        made = {
            "policy": WORST, "seed": WORST, "samples": WORST, "base_version": WORST,
            "parameters": {WORST: WORST}, "detector": WORST, "versions": {WORST: WORST},
        }  # fmt: skip
        version = Version(
            3, 2**60, WORST, WORST, None, WORST, 1, made, {WORST: WORST}, {WORST: WORST}, WORST
        )

        shown = printed(profile_view.view(standing, [version], 5))

        assert_shown(shown)

    def test_dead_letter_list(self):
        headers = (
            ("telltale.reason", BAD.encode()),
            ("telltale.detail", BAD.encode()),
            ("telltale.topic", BAD.encode()),
        )
        record = ConsumerRecord("dead-letter", 0, 0, BAD.encode(), b"", headers, 0)
        groups = by_reason([(letter(record), True)])

        shown = printed(
            dead_letter_commands.table_of(groups),
            *(dead_letter_commands.newest_of(name, group) for name, group in groups.items()),
        )

        assert_shown(shown)
        assert raw(dumped({name: group.plain() for name, group in groups.items()}).decode()) == []

    def test_backtest(self, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "2000")
        summary = Summary()
        summary.profiles[WORST].update(anomaly=1)
        summary.dead_letters[WORST] += 1
        report = Report()
        report.results["changed", WORST] += 1
        report.dead_letters[WORST] += 1
        report.profiles["features", WORST].update({"newly flagged": 1})

        backtest_view.show_summary(summary)
        backtest_view.show_report(report, "telemetry.features", ComparisonPlan())

        assert_shown(capsys.readouterr().out)

    def test_demo(self):
        board = Board(alert_budget=0.01)
        event = {"event": WORST, "kind": WORST, "profile_id": WORST, "detail": WORST, "at": 0}
        board._event(event)
        board._verdict(verdict(WORST))
        board.began = monotonic() - 1
        file = io.StringIO()
        view = View(Console(file=file, width=2000), plain=True)

        with view.watching(board, 1.0):
            view.waiting(WORST)
            view.refresh()

        assert_shown(file.getvalue())
        assert_shown(printed(view.draw()))

    def test_receipts(self, capsys, monkeypatch):
        receipt = LifecycleEvent.model_construct(
            event="command_rejected", profile_id=WORST, kind=WORST, detail=WORST, role="scorer"
        )
        monkeypatch.setattr(profile_commands, "send_and_await", lambda *_: [receipt])

        with pytest.raises(typer.Exit):
            profile_commands.ask(Settings.model_construct(), Request("resume", "p"), 1.0)

        assert_shown(capsys.readouterr().err)

    def test_errors_that_quote_a_record_are_one_line(self, capsys):
        with pytest.raises(SystemExit) as ended:
            main._fail(WORST)

        said = capsys.readouterr().err
        assert ended.value.code == 1
        assert said.count("\n") == 1
        assert_shown(said)
