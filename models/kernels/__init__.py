"""Compiled kernels, all of numba that there is, behind functions that take arrays.

| module | what it does |
|---|---|
| ``block``, ``block_format``, ``layout`` | a fitted detector as one array of 8-byte words |
| ``score``, ``forest``, ``neighbors`` | scores and explains rows of many blocks in one call |
| ``nearest`` | distances to the kept samples, sixteen at a time |
| ``fit`` | training: scales, trees, scores of samples by all others |
| ``calibration`` | scores to p-values and thresholds, and drift of many profiles |
| ``memory``, ``simd`` | addresses, and vectors of sixteen numbers |
| ``forecast`` | points of a metric, one after another, with their state |
| ``text`` | JSON read and written in columns, strings found by their hash |

Memory: an array that is passed to a kernel is counted with an atomic addition, so what runs once a
row takes addresses (``memory.address``) and its caller keeps the arrays alive. No kernel frees
anything, raises, or takes Python's lock.

numba keeps compiled kernels on disk and notices a change of a kernel's own file only. So the
directory is named by a digest of all sources here: whoever changes one compiles them all anew.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
PREFIX = "kernels-"


def cache_directory() -> Path:
    """Where kernels compiled from these very sources are kept.

    Below ``NUMBA_CACHE_DIR``, or beside the modules if that is not set.
    """
    digest = hashlib.sha256()
    for source in sorted(HERE.rglob("*.py")):
        digest.update(source.relative_to(HERE).as_posix().encode() + b"\0")
        digest.update(source.read_bytes())
    root = Path(os.environ.get("NUMBA_CACHE_DIR") or HERE / "__pycache__")
    # A process that was started by one of ours finds that one's directory in its environment.
    root = root.parent if root.name.startswith(PREFIX) else root
    return root / f"{PREFIX}{digest.hexdigest()[:16]}"


def _use_cache() -> None:
    directory = str(cache_directory())
    os.environ["NUMBA_CACHE_DIR"] = directory
    if "numba" in sys.modules:
        sys.modules["numba"].config.CACHE_DIR = directory


_use_cache()
