"""The demo as a newcomer types it: nothing but Python, exit code 0, verdicts against the truth."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.broker.harness import PATIENCE


def test_the_demo_answers_every_record_and_ends_with_a_summary(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("telltale")), "demo", "--seconds", "12"]

    # A setting of the environment for another broker must not lead it astray.
    done = subprocess.run(
        command,
        env=os.environ | {"TELLTALE_TOPIC_PREFIX": "x.", "TELLTALE_COLD_START_SAMPLES": "900"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.search(r"records in \d+ s, a verdict for each; 24 profiles learnt", done.stdout)
    rows = re.findall(r"^ (\w+) +(\d+) of (\d+) +\d+ of \d+", done.stdout, re.MULTILINE)
    assert [row[0] for row in rows] == ["behavior", "series", "drowsiness", "features"]
    assert sum(int(row[1]) for row in rows) >= 0.9 * sum(int(row[2]) for row in rows) > 10
    assert "Next:" in done.stdout
    assert list(tmp_path.iterdir()) == []
