"""A CSV of 100 MB uploaded to the console and previewed: seconds, and memory at most.

    python benchmarks/lab_preview.py [--megabytes 100]

The console's own application takes the upload over HTTP in a process of its own, whose largest
resident memory is that of the whole run; the file comes from another process. The bounds of the
lab: a preview within 5 s, 300 MB of memory.
"""

from __future__ import annotations

import argparse
import multiprocessing
import socket
import tempfile
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic

import httpx
import numpy as np

BLOCK = 10_000
COLUMNS = 10
SECONDS = 5.0
MEGABYTES = 300.0


def write_table(path: Path, size: int) -> int:
    """A CSV of about so many bytes: an id, a time, ten numbers, a label; how many rows."""
    rng = np.random.default_rng(0)
    rows = 0
    with path.open("w") as file:
        file.write("profile_id,observed_at," + ",".join(f"f{n}" for n in range(COLUMNS)))
        file.write(",label\n")
        values = rng.normal(size=(BLOCK, COLUMNS))
        text = [",".join(f"{value:.6f}" for value in row) for row in values]
        while file.tell() < size - 200 * BLOCK or rows == 0:
            for number, line in enumerate(text):
                row = rows + number
                label = "bad" if row % 97 == 0 else "good"
                file.write(f"web-{row % 50},{1_800_000_000_000 + row},{line},{label}\n")
            rows += BLOCK
    return rows


def peak_megabytes() -> float:
    """The largest resident memory of this process so far.

    Not ``ru_maxrss``, which counts the process that started this one as well.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    (told,) = [line for line in lines if line.startswith("VmHWM:")]
    return int(told.split()[1]) / 1024


def serve(directory: str, talk: Connection) -> None:
    """The console's application on a port of its own, until it is told to end."""
    import uvicorn
    from prometheus_client import CollectorRegistry

    from console.app import make_app, make_services
    from console.serve import open_store, tune_process
    from console.settings import ConsoleSettings
    from processor.settings import Settings

    tune_process()
    settings = ConsoleSettings(
        _env_file=None,
        database_url=f"sqlite:///{directory}/console.db",
        data_dir=f"{directory}/data",
        results_dir=f"{directory}/results",
        # Without the parts that follow Kafka: no broker is needed.
        console_parts="jobs",
        job_workers=0,
    )
    services = make_services(settings, Settings(_env_file=None), open_store(settings))
    app = make_app(services, CollectorRegistry())
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    options = uvicorn.Config(app, log_level="warning", lifespan="off")
    server = uvicorn.Server(options)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    talk.send((listening.getsockname()[1], peak_megabytes()))
    talk.recv()
    talk.send(peak_megabytes())
    server.should_exit = True
    thread.join(10)


def main() -> int:
    """Print seconds and memory; 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, default=99.0)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "table.csv"
        rows = write_table(path, round(wanted.megabytes * 1e6))
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(directory, there))
        process.start()
        port, before = here.recv()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300) as client:
            began = monotonic()
            with path.open("rb") as file:
                told = client.post("/api/v1/datasets", files={"file": ("table.csv", file)})
            uploaded = monotonic() - began
            assert told.status_code == 201, told.text
            preview = client.get(f"/api/v1/datasets/{told.json()['id']}/preview")
            seconds = monotonic() - began
        assert preview.json()["rows"] == rows, preview.text
        here.send(None)
        peak = here.recv()
        process.join()
        size = path.stat().st_size / 1e6
    print(f"{size:.1f} MB, {rows} rows, {2 + COLUMNS + 1} columns")
    print(
        f"upload and check {uploaded:.2f} s, with preview {seconds:.2f} s (bound {SECONDS:.0f} s)"
    )
    print(f"memory {before:.0f} MB at the start, {peak:.0f} MB at most (bound {MEGABYTES:.0f} MB)")
    return int(seconds > SECONDS or peak > MEGABYTES)


if __name__ == "__main__":
    raise SystemExit(main())
