"""Results of jobs, as JSON files in ``TELLTALE_RESULTS_DIR``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fsspec
import orjson


class Results:
    """Writes and reads them.

    Args:
        location: a path, or a URL that fsspec opens; shared by all replicas and workers.
    """

    def __init__(self, location: str) -> None:
        self._location = location

    def write(self, job_id: str, attempt: int, result: Mapping[str, Any]) -> str:
        """Write the results of a job; their path below the location.

        Raises:
            OSError: they cannot be written.
            TypeError: JSON does not take them.
        """
        value = orjson.dumps(result, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
        # One that has lost its lease does not write over the results of the one that has it.
        path = f"jobs/{job_id}/{attempt}.json"
        files, root = fsspec.core.url_to_fs(self._location)
        whole = f"{str(root).rstrip('/')}/{path}"
        files.makedirs(whole.rpartition("/")[0], exist_ok=True)
        files.pipe_file(whole, value)
        return path

    def read(self, path: str) -> dict[str, Any]:
        """The results of a job.

        Raises:
            OSError: they cannot be read.
        """
        files, root = fsspec.core.url_to_fs(self._location)
        found: dict[str, Any] = orjson.loads(files.cat_file(f"{str(root).rstrip('/')}/{path}"))
        return found
