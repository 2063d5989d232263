"""The runbook's first commands, as they stand in docs/operations.md, on a run that is under way."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.broker.harness import COMMAND, PATIENCE, Telltale, environment_of
from tests.kafka.broker import free_ports
from tests.unit.deploy.test_operations_documented import entries

COMMANDS = {
    alert: "\n".join(re.findall(r"^```sh\n(.+?)^```$", text, re.MULTILINE | re.DOTALL))
    for alert, text in entries().items()
}
FEW = {"TELLTALE_COLD_START_SAMPLES": "30", "TELLTALE_RETRAIN_SAMPLES": "20"}


@pytest.fixture(scope="module")
def environment(
    bootstrap: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The environment of both roles, which answer telemetry while the tests run, and a console."""
    here = tmp_path_factory.mktemp("runbook")
    port, metrics = free_ports(2)
    variables = environment_of(bootstrap, here) | {
        "TELLTALE_HTTP_PORT": str(port),
        "TELLTALE_CONSOLE_METRICS_PORT": str(metrics),
        "TELLTALE_PARTITIONS": "2",
    }
    telltale = Telltale(variables | FEW, here)
    telltale.create_topics()
    telltale.start("run", "--slot", "0")
    store = f"sqlite:///{here / 'console.db'}"
    telltale.start(
        "console",
        TELLTALE_DATABASE_URL=store,
        TELLTALE_CONSOLE_PARTS="live",
        TELLTALE_CONSOLE_PORT="0",
    )

    def scraped() -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=60) as answer:
                return b"telltale_console_monitor_alerts{" in answer.read()
        except OSError:
            return False

    telltale.wait_until(scraped, "the console's metrics")
    telltale.produce("telemetry.features", [("p", b"{")] * 5)
    telltale.start("simulate", "--rate", "100", "--anomaly-rate", "0.2", "--profiles", "8")
    telltale.wait_until(
        lambda: any(v["anomaly"] for v in telltale.values("anomalies")), "an anomaly"
    )
    yield variables
    telltale.close()


@pytest.mark.parametrize("alert", COMMANDS)
def test_the_first_command_of_an_alert_works_as_it_stands(
    environment: dict[str, str], alert: str, tmp_path: Path
):
    command = re.sub(
        r"localhost:946[45]", f"localhost:{environment['TELLTALE_HTTP_PORT']}", COMMANDS[alert]
    ).replace("localhost:9466", f"localhost:{environment['TELLTALE_CONSOLE_METRICS_PORT']}")
    path = f"{Path(COMMAND).parent}{os.pathsep}{os.environ['PATH']}"

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        env=os.environ | environment | {"PATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
