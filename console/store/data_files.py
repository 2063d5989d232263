"""Files of the points that series were fitted on, in ``TELLTALE_DATA_DIR``."""

from __future__ import annotations

from typing import Any

import fsspec
from sqlalchemy import Connection, select, update

from console.store import tables as t
from models.naming import profile_directory


class DataFiles:
    """Writes and deletes them; any thread may use it.

    Args:
        location: a path, or a URL that fsspec opens; shared by all replicas.
    """

    def __init__(self, location: str) -> None:
        self.location = location

    def write(self, profile: tuple[str, int, str], name: str, value: bytes) -> str:
        """Write a file of a profile; its path below the location.

        Args:
            profile: kind, partition and id.

        Raises:
            OSError: it cannot be written.
        """
        kind, partition, profile_id = profile
        path = f"{profile_directory(kind, profile_id, partition)}/{name}.json"
        files, root = self._opened()
        files.makedirs(f"{root}/{path}".rpartition("/")[0], exist_ok=True)
        files.pipe_file(f"{root}/{path}", value)
        return path

    def delete(self, path: str) -> None:
        """Delete a file, if it is there.

        Raises:
            OSError: it cannot be deleted.
        """
        files, root = self._opened()
        whole = f"{root}/{path}"
        if files.exists(whole):
            files.rm_file(whole)

    def _opened(self) -> tuple[Any, str]:
        files, root = fsspec.core.url_to_fs(self.location)
        return files, str(root).rstrip("/")


def note_path(
    connection: Connection, profile: tuple[str, int, str], generation: int, version: int, path: str
) -> bool:
    """Note the file of a version; False if the version is not in the store yet."""
    held = t.model_versions
    done = connection.execute(
        update(held)
        .where(
            held.c.kind == profile[0],
            held.c.partition == profile[1],
            held.c.profile_id == profile[2],
            held.c.generation == generation,
            held.c.version == version,
        )
        .values(data_path=path)
    )
    return done.rowcount == 1


def paths_of(connection: Connection, condition: Any) -> list[str]:
    """The files of the versions that a condition chooses."""
    held = t.model_versions.c.data_path
    found = connection.execute(select(held).where(condition, held.is_not(None)))
    return [str(path) for path in found.scalars()]
