"""Real recordings: every record of them is valid and becomes samples."""

import gzip
import os
from pathlib import Path

import numpy as np
import orjson
import pytest

from models.features import KINDS
from schemas import parse_object

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("TELLTALE_DATA", ROOT.parent / "shared" / "data")) / "telemetry"
RECORDINGS = {
    "behavior_aalto": "behavior",
    "behavior_balabit": "behavior",
    "drowsiness_ear": "drowsiness",
    "features_cmu": "features",
    "series_nab": "series",
}
EVERY = 20
"""One record in so many is read, and all of them with TELLTALE_ALL_RECORDS=1."""


@pytest.mark.recordings
@pytest.mark.parametrize("recording", RECORDINGS)
def test_every_record_of_a_recording_is_valid_and_holds_evidence(recording: str):
    path = DATA / f"{recording}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"no recording at {path}: set TELLTALE_DATA to the folder of recordings")
    kind = KINDS[RECORDINGS[recording]]
    step = 1 if os.environ.get("TELLTALE_ALL_RECORDS") else EVERY

    records = 0
    with gzip.open(path) as lines:
        for number, line in enumerate(lines):
            if number % step:
                continue
            value = parse_object(orjson.dumps(parse_object(line)["value"]))
            extracted = kind.extract(kind.telemetry.model_validate(value))
            assert extracted.rows.shape == (len(extracted.rows), len(extracted.names))
            assert not np.isinf(extracted.rows).any()
            assert not np.isnan(extracted.rows).all(axis=1).any()
            records += 1
    assert records > 50
