"""Heavy libraries are loaded where they are used, so that the commands start soon."""

import subprocess
import sys

import pytest

HEAVY = ("mlflow", "plotly", "pyarrow", "skops", "sklearn", "pandas")


@pytest.mark.parametrize(
    "module", ["processor.cli.main", "console.cli", "console.app", "console.jobs.worker"]
)
def test_a_module_that_every_start_loads_loads_no_heavy_library(module: str):
    program = f"import sys, {module}; print(*(m for m in {HEAVY} if m in sys.modules))"

    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert told.stdout.strip() == ""
