"""Files of data sets and models, in ``TELLTALE_DATA_DIR``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, BinaryIO

import fsspec

CHUNK = 1 << 20


@dataclass(frozen=True)
class Written:
    """A file that was written."""

    path: str
    bytes: int
    sha256: str


class Blobs:
    """Writes, opens and deletes them; any thread may use it.

    Args:
        location: a path, or a URL that fsspec opens; shared by all replicas and workers.
    """

    def __init__(self, location: str) -> None:
        self._location = location

    def write(self, path: str, source: BinaryIO) -> Written:
        """Copy a stream to a path below the location, a chunk at a time.

        Raises:
            OSError: it cannot be written.
        """
        files, whole = self._place(path)
        files.makedirs(whole.rpartition("/")[0], exist_ok=True)
        digest, size = hashlib.sha256(), 0
        with files.open(whole, "wb") as target:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                target.write(chunk)
        return Written(path, size, digest.hexdigest())

    def open(self, path: str) -> Any:
        """A file to read from, which is to be closed.

        Raises:
            OSError: it cannot be read; FileNotFoundError if it is not there.
        """
        files, whole = self._place(path)
        return files.open(whole, "rb")

    def delete(self, path: str) -> None:
        """Delete a file, if it is there.

        Raises:
            OSError: it cannot be deleted.
        """
        files, whole = self._place(path)
        if files.exists(whole):
            files.rm_file(whole)

    def _place(self, path: str) -> tuple[Any, str]:
        files, root = fsspec.core.url_to_fs(self._location)
        return files, f"{str(root).rstrip('/')}/{path}"
