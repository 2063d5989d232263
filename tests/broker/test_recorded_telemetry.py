"""Real recordings as a user sends them: `telltale produce` a file, one verdict for each record."""

import gzip
import os
from pathlib import Path

import pytest

from schemas import Verdict
from tests.broker.harness import Telltale

DATA = Path(os.environ.get("TELLTALE_DATA", Path(__file__).parents[2] / "../shared/data"))
FILES = {
    "behavior_aalto": "behavior",
    "behavior_balabit": "behavior",
    "drowsiness_ear": "drowsiness",
    "features_cmu": "features",
    "series_nab": "series",
}


@pytest.mark.recordings
@pytest.mark.parametrize("name", FILES)
def test_each_record_of_a_recording_gets_one_verdict(telltale: Telltale, name: str) -> None:
    file = DATA / "telemetry" / f"{name}.jsonl.gz"
    if not file.exists():
        pytest.skip(f"no recordings: {file} (set TELLTALE_DATA)")
    with gzip.open(file) as lines:
        count = sum(1 for _ in lines)
    telltale.create_topics(4)
    telltale.start("run", TELLTALE_COLD_START_SAMPLES__BEHAVIOR="20")

    sent = telltale.run("produce", str(file), "--kind", FILES[name])
    telltale.wait_for(count)

    assert sent.returncode == 0, sent.stderr
    verdicts = [Verdict.model_validate(value) for value in telltale.values("anomalies")]
    assert len({verdict.verdict_id for verdict in verdicts}) == len(verdicts) == count
    assert telltale.read("dead-letter") == []
    assert {verdict.status for verdict in verdicts} >= {"learning", "scored"}
