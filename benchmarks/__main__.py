"""Runs every benchmark in turn, and writes the page of results: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from time import monotonic

from benchmarks import page, report
from benchmarks.bed import ROOT


def main(arguments: Sequence[str] | None = None) -> int:
    """Run each as a process of its own; the number of those that failed."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short look; the page stays")
    options = parser.parse_args(arguments)
    report.RESULTS.mkdir(parents=True, exist_ok=True)
    # What another run has left does not belong on the page of this one.
    for name in page.TITLES:
        (report.RESULTS / f"{name}.json").unlink(missing_ok=True)
    failed = 0
    for name in page.TITLES:
        print(f"\n## {name}\n", flush=True)
        began = monotonic()
        command = [sys.executable, "-m", f"benchmarks.{name}", *own(name, quick=options.quick)]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        failed += code != 0
        print(f"\n{name}: exit code {code} after {monotonic() - began:.0f} s", flush=True)
    if not options.quick:
        page.write(page.read())
        print(f"\nwritten: {page.PAGE.relative_to(ROOT)}")
    return failed


def own(name: str, *, quick: bool) -> list[str]:
    """The options of a benchmark."""
    if name != page.MODELS:
        return ["--quick"] if quick else []
    short = ["--repetitions", "3", "--forests", "20"] if quick else []
    return ["--json", str(report.RESULTS / f"{name}.json"), *short]


if __name__ == "__main__":
    sys.exit(main())
