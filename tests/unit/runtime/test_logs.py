"""Log lines: one line each, nothing that a terminal obeys, no profile in an artefact's path."""

import io
import json
from collections.abc import Iterator

import pytest
import structlog

from processor.runtime import logs
from tests.unit.operations.hostile import EVERY, LONE, MARKUP, raw

PATH = "features/alice-3f6ab194bcdc9d22/2-c84234636d4fa47f.joblib"


def logged(log_format: str, **values: object) -> str:
    stream = io.StringIO()
    logs.configure(log_format, "info", stream)
    logs.logger("scorer").info("happened", **values)
    return stream.getvalue()


def without_colours(text: str) -> str:
    """structlog's own escapes are those of a terminal."""
    for code in ("0", "1", "2", "31", "32", "33", "34", "35", "36"):
        text = text.replace(f"\x1b[{code}m", "")
    return text


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("log_format", ["console", "json"])
class TestBothFormats:
    def test_escape_whatever_a_text_holds(self, log_format):
        line = without_colours(
            logged(log_format, reason=EVERY + MARKUP, ids=[EVERY], lone=LONE, key=repr(EVERY))
        )

        assert raw(line) == []
        assert line.count("\n") == 1
        assert "[red]name[/red]" in line

    def test_leave_the_id_out_of_a_path(self, log_format):
        line = logged(log_format, error=f"{PATH}: No space left on device")

        assert "alice" not in line
        assert "3f6ab194bcdc9d22/2-c84234636d4fa47f.joblib: No space left" in line

    def test_cut_what_is_too_long(self, log_format):
        assert len(logged(log_format, reason="x" * 100_000)) < logs.LONGEST_TEXT + 300

    def test_keep_the_lines_of_a_traceback(self, log_format):
        stream = io.StringIO()
        logs.configure(log_format, "info", stream)
        try:
            raise ValueError(EVERY)
        except ValueError:
            logs.logger("scorer").exception("crashed")

        line = without_colours(stream.getvalue())
        text = json.loads(line)["exception"] if log_format == "json" else line

        assert raw(line) == []
        assert "Traceback (most recent call last):\n" in text
        assert "\\u202e" in text


def test_json_decodes_to_the_text_with_its_escapes():
    line = json.loads(logged("json", reason="Größe \x1b[2J\u202e", count=3))

    assert (line["reason"], line["count"]) == ("Größe \\x1b[2J\\u202e", 3)
