"""Tools that need no model start without the libraries that only models need.

Each tool runs in a process of its own on the embedded broker. Only the imported modules are
compared: what a tool does is tested elsewhere, and how it ends on that broker does not matter here.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from typer.main import get_group

from processor.cli.main import app
from processor.kafka.mock_broker import EmbeddedBroker
from processor.topics import Topics

HEAVY = ("joblib", "numba", "scipy", "sklearn")
RUN = f"""
import sys
from processor.cli.entry import main
try:
    main()
finally:
    print("imported:", [name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
LIGHT = (
    ("--help",),
    ("schema",),
    ("score", "--show-settings"),
    ("topics", "create"),
    ("topics", "check"),
    ("produce", "-", "--kind", "features"),
    ("simulate", "--records", "1", "--profiles", "1"),
    ("tail", "--count", "1", "--from-beginning"),
    ("profile", "forget", "p", "--timeout", "0"),
    ("profile", "train", "p", "--timeout", "0"),
    ("profile", "retrain", "p", "--timeout", "0"),
    ("profile", "adopt", "p", "--timeout", "0"),
    ("profile", "hold", "p", "--until", "1h", "--timeout", "0"),
    ("profile", "rollback", "p", "--timeout", "0"),
    ("profile", "suppress", "p", "--until", "1h", "--timeout", "0"),
    ("profile", "resume", "p", "--timeout", "0"),
    ("ingest", "presets"),
    ("dead-letter", "list"),
    ("dead-letter", "replay", "--dry-run"),
    ("dead-letter", "skip", "telemetry.features", "0", "0"),
)
NEED_A_MODEL = {
    ("score",),
    ("retrain",),
    ("run",),
    ("console",),
    ("lab",),
    ("govern",),
    ("demo",),
    ("backtest",),
    ("evaluate",),
    ("ingest", "run"),
    ("ingest", "check"),
    ("profile", "show"),
    ("profile", "accept"),
}


@pytest.fixture(scope="module")
def bootstrap() -> Iterator[str]:
    with EmbeddedBroker() as broker:
        broker.create(Topics("").configs())
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        producer.produce("anomalies", b"{}", b"p")
        assert producer.flush(10.0) == 0
        yield broker.bootstrap


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_it_imports_no_heavy_library(arguments: tuple[str, ...], bootstrap: str, tmp_path: Path):
    ended = subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join(sys.path), "TELLTALE_BOOTSTRAP_SERVERS": bootstrap},
        input="",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ended.returncode != 2, ended.stderr
    assert "imported: []" in ended.stderr.splitlines(), ended.stderr


def test_every_command_is_here_or_needs_a_model():
    commands = {
        (name, *sub)
        for name, command in get_group(app).commands.items()
        for sub in (
            [(each,) for each in command.commands] if hasattr(command, "commands") else [()]
        )
    }
    tested = {arguments[: len(name)] for arguments in LIGHT for name in commands}

    assert (
        commands - tested - {name for name in commands if name[:1] in NEED_A_MODEL} <= NEED_A_MODEL
    )
