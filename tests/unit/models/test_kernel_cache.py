"""Where compiled kernels are kept: one directory for each state of their sources."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import models
from models.kernels import cache_directory


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the kernels' sources, which the cache directory is named after."""
    copy = tmp_path / "kernels"
    shutil.copytree(Path(models.kernels.__file__).parent, copy, ignore=lambda *_: {"__pycache__"})
    monkeypatch.setattr(models.kernels, "HERE", copy)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    return copy


def test_a_change_of_any_source_names_another_directory(sources: Path, tmp_path: Path) -> None:
    before = cache_directory()
    with (sources / "text" / "numbers.py").open("a") as file:
        file.write("\n# changed\n")

    assert before.parent == cache_directory().parent == tmp_path / "cache"
    assert cache_directory() != before


def test_a_child_process_with_other_sources_does_not_take_over_its_parents(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(cache_directory()))
    before = cache_directory()
    (sources / "more.py").write_text("")

    assert cache_directory().parent == before.parent
    assert cache_directory() != before


def test_numba_uses_it_whether_it_was_imported_before_or_not() -> None:
    code = "import numba.core.config as c; from models.kernels import cache_directory as d"
    for imports in ("import models.kernels; ", "import numba; import models.kernels; "):
        told = subprocess.run(
            [sys.executable, "-c", f"{imports}{code}; print(c.CACHE_DIR == str(d()))"],
            check=True,
            capture_output=True,
            text=True,
        )
        assert told.stdout.strip() == "True"
