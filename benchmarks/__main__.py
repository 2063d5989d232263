"""Runs every benchmark in turn: ``python -m benchmarks``."""

import sys
from importlib import import_module
from pathlib import Path


def main() -> int:
    """Run ``main`` of each ``bench_*`` module; the number of those that failed."""
    failed = 0
    for module in sorted(Path(__file__).parent.glob("bench_*.py")):
        print(f"\n## {module.stem}\n", flush=True)
        failed += import_module(f"benchmarks.{module.stem}").main([]) != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
