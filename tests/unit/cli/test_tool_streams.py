"""Exit codes of the command in processes of its own, if nobody reads what it says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = str(Path(sys.executable).with_name("telltale"))
NOWHERE = {"TELLTALE_BOOTSTRAP_SERVERS": "127.0.0.1:1"}


def unread(*arguments: str, taken: int = 0, errors_too: bool = False) -> tuple[int, bytes, bytes]:
    """Exit code, what was read of standard output, and standard error.

    Args:
        taken: bytes that are read before the reader goes.
        errors_too: whether standard error goes the same way.
    """
    reading, writing = os.pipe()
    if not taken:
        os.close(reading)
    process = subprocess.Popen(
        [COMMAND, *arguments],
        env=os.environ | NOWHERE,
        stdout=writing,
        stderr=writing if errors_too else subprocess.PIPE,
    )
    os.close(writing)
    head = b""
    if taken:
        while len(head) < taken and (more := os.read(reading, taken - len(head))):
            head += more
        os.close(reading)
    try:
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, head, errors or b""


def test_a_reader_who_has_enough_is_no_error():
    assert unread("schema", taken=1) == (0, b"{", b"")


@pytest.mark.parametrize("arguments", [("schema",), ("--help",), ("score", "--show-settings")])
def test_a_reader_who_has_gone_before_the_first_byte_is_no_error(arguments):
    # Little text is first written when the interpreter ends.
    assert unread(*arguments) == (0, b"", b"")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("topics", "create", "--partitions", "none"), 2),
        (("profile", "show", "a\x1b[2J"), 2),
        (("profile", "suppress", "p", "--reason", b"\xff"), 2),
        (("backtest", "/nonexistent", "--kind", "features"), 1),
    ],
)
def test_exit_codes_stay_what_they_are_with_and_without_readers(arguments, code):
    def run() -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [COMMAND, *arguments],
            env=os.environ | NOWHERE,
            capture_output=True,
            timeout=60,
            check=False,
        )

    heard = run()

    assert heard.returncode == code
    assert heard.stderr
    assert b"Traceback" not in heard.stderr
    assert unread(*arguments, errors_too=True)[0] == code


def test_a_wrong_variable_is_a_failure_and_a_wrong_flag_is_wrong_usage():
    wrong = NOWHERE | {"TELLTALE_PARTITIONS": "none"}

    done = subprocess.run(
        [COMMAND, "topics", "create"],
        env=os.environ | wrong,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.startswith("telltale: TELLTALE_PARTITIONS: expected")


def test_standard_output_that_is_closed_is_no_error():
    done = subprocess.run(
        ["sh", "-c", '"$0" schema >&-', COMMAND],
        env=os.environ | NOWHERE,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"")
