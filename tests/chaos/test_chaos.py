"""A few rounds of the fault harness with a fixed seed; `make chaos` plays as many as wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.run import RATE, run

ROUNDS = 2
SEED = 23  # its rounds kill processes and the broker, end one, and fence a twin


@pytest.mark.broker
def test_nothing_is_lost_and_nothing_doubled_whatever_dies(tmp_path: Path) -> None:
    assert run(ROUNDS, SEED, brokers=1, rate=RATE, directory=tmp_path / "chaos") == 0
