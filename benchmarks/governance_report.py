"""A bias report over 10,000 profiles and 30 days: python -m benchmarks.governance_report.

Prints the seconds and the memory that the report takes; promised are 30 s and 500 MB.
"""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import orjson
from sqlalchemy import insert

from console.governance.access import ModelRef
from console.governance.cli import Held
from console.governance.making.bias import make_bias
from console.governance.requests import BiasAnalysisRequest
from console.settings import ConsoleSettings
from console.store import tables as t
from console.store.database import Database
from processor.settings import load

PROFILES, DAYS, DAY_MS = 10_000, 30, 86_400_000
TODAY = 1_800_000_000_000 // DAY_MS * DAY_MS


def fill(database: Database) -> None:
    """Profiles with two attributes, and their days."""
    rng = np.random.default_rng(0)
    names = [{"kind": "features", "profile_id": f"p{number}"} for number in range(PROFILES)]
    given = [
        each
        | {"name": name, "value": orjson.dumps(str(rng.choice(values))).decode()}
        | {"source": "u", "updated_at": TODAY, "record_offset": 0}
        for each in names
        for name, values in (("site", ["Graz", "Wien", "Linz"]), ("age", ["18+", "40+", "60+"]))
    ]
    none = {"learning": 0, "abstained": 0, "suppressed": 0, "medium": 0, "high": 0, "critical": 0}
    with database.write() as connection:
        connection.execute(insert(t.profile_attributes), given)
        for ago in range(DAYS):
            alarms = rng.binomial(1000, 0.01, PROFILES)
            bins = rng.multinomial(1000, np.full(20, 0.05), PROFILES)
            rows = [
                each
                | none
                | {"day": TODAY - ago * DAY_MS, "partition": 0, "scored": 1000, "rule_alarms": 0}
                | {"low": int(alarms[at]), "p_values": bins[at].tolist()}
                for at, each in enumerate(names)
            ]
            connection.execute(insert(t.profile_days), rows)


def waited() -> float:
    """Seconds in which this thread was ready and had no processor; not a number but on Linux."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return float("nan")


def main() -> int:
    """Print the figures; 1 if a promise is not kept."""
    with tempfile.TemporaryDirectory() as place:
        url = f"sqlite:///{Path(place)}/report.db"
        settings = ConsoleSettings(_env_file=None, database_url=url)  # type: ignore[call-arg]
        database = Database(settings.database)
        database.upgrade()
        fill(database)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        request = BiasAnalysisRequest(  # type: ignore[call-arg]
            model_id="fleet:features",
            dataset_id="verdicts:30d",
            protected_attributes=["site", "age"],
        )
        began, used, stood = perf_counter(), process_time(), waited()
        held = Held(settings, load(), database)
        result = make_bias(held, ModelRef("features"), request, "", TODAY)
        seconds, cpu = perf_counter() - began, process_time() - used
        queued = waited() - stood
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        database.close()
    units = result["analysis_metadata"]["units"]
    print(
        f"{units} profiles, {DAYS} days: {seconds:.1f} s ({cpu:.1f} s of processor time; "
        f"{queued:.1f} s ready to run while others had the processors)"
    )
    print(f"memory at most {most:.0f} MB ({before:.0f} MB before)")
    return 0 if seconds <= 30 and most <= 500 else 1


if __name__ == "__main__":
    raise SystemExit(main())
