"""The demo as a newcomer types it: nothing but Python, exit code 0, verdicts against the truth."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from tests.broker.consoles import free_port
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


def test_the_console_serves_the_demo_until_ctrl_c(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("telltale")), "demo", "--plain", "--console"]
    port = free_port()

    with subprocess.Popen(
        [*command, "--seconds", "5", "--profiles", "4"],
        env=os.environ | {"TELLTALE_CONSOLE_PORT": str(port), "TELLTALE_CONSOLE_HOST": "::1"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        lines = []
        while not lines or not lines[-1].startswith("The console goes on"):
            lines.append(demo.stdout.readline())
            assert lines[-1] or demo.poll() is None, demo.stderr and demo.stderr.read()
        url = f"http://127.0.0.1:{port}"
        told = httpx.post(
            f"{url}/api/v1/profiles/features/mine/records",
            json={"values": {"cpu": 0.31, "memory": 131.5}},
            headers={"Prefer": "wait=30"},
            timeout=PATIENCE,
        )
        counted = httpx.get(f"{url}/statistics", timeout=PATIENCE).json()
        demo.send_signal(signal.SIGINT)
        code = demo.wait(PATIENCE)

    assert any(line.startswith(f"console: {url}") for line in lines)
    assert (told.status_code, told.json()["samples_seen"]) == (200, 1)
    assert counted["total_events"] > 100
    assert code == 0
    assert list(tmp_path.iterdir()) == []
