"""The model store in a directory of a local or shared file system."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

from models import artifacts
from models.artifacts import NAME_ERRORS, Artifact, Model
from models.errors import ArtifactUnavailable
from models.naming import shown
from processor.artifacts import proof
from processor.artifacts.owner import OWNER_FILE

LOOK_SECONDS = 5.0
"""A look for missing artefacts ends after so long; what it has not come to, it does not tell."""


class Directory:
    """Artefacts below a directory of this machine."""

    writers = 8
    """Each waits for the disk most of its time."""

    most_looked_for: int | None = None
    """All that is announced: 100,000 files take less than a second."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def location(self) -> str:
        """Where the store is, for messages: an absolute path."""
        return str(self._root.absolute())

    def owner(self) -> bytes | None:
        """What the owner file holds; None if there is none.

        Raises:
            ArtifactUnavailable: the disk does not answer as it should.
        """
        try:
            return (self._root / OWNER_FILE).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ArtifactUnavailable(f"{OWNER_FILE}: {error.strerror or error}") from error

    def claim(self, content: bytes, *, anew: bool = False) -> None:
        """Write the owner file, whole, unless there is one; ``anew``, also in its place.

        Raises:
            ArtifactUnavailable: it cannot be written now.
        """
        target = self._root / OWNER_FILE
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=self._root, suffix=".tmp")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                if anew:
                    os.replace(temporary, target)
                else:
                    _publish(Path(temporary), target)
            finally:
                Path(temporary).unlink(missing_ok=True)
        except OSError as error:
            raise ArtifactUnavailable(f"{OWNER_FILE}: {error.strerror or error}") from error

    def missing(self, paths: Sequence[str]) -> tuple[int, int]:
        """How many of some artefacts are not there, and how many were looked for.

        Raises:
            ArtifactUnavailable: the disk does not answer as it should.
        """
        root, until = os.fspath(self._root), monotonic() + LOOK_SECONDS
        missing = looked = 0
        for path in paths:
            try:
                os.stat(f"{root}/{path}")
            except (FileNotFoundError, NotADirectoryError, ValueError):
                missing += 1
            except OSError as error:
                if error.errno not in NAME_ERRORS:
                    why = f"{shown(path)}: {error.strerror or error}"
                    raise ArtifactUnavailable(why) from error
                missing += 1
            looked += 1
            if monotonic() > until:
                break
        return missing, looked

    def read(self, path: str, sha256: str) -> Model:
        """Open an artefact after checking its digest.

        Raises:
            ArtifactError: missing, outside the directory, altered, or of another format.
            ArtifactUnavailable: the disk does not answer as it should.
        """
        return artifacts.read_artifact(self._root, path, sha256)

    def write(self, artifact: Artifact) -> None:
        """Write an artefact under its final name.

        Raises:
            OSError: the disk is full or not writable.
        """
        artifacts.write_artifact(self._root, artifact)

    def erase(self, directory: str, kept: Collection[str], *, before: int | None = None) -> bool:
        """Delete a profile's artefacts but those of ``kept``, and their directory if none is.

        Args:
            before: only what was written before this time, epoch milliseconds.

        Returns:
            Whether all was deleted that had to be.
        """
        folder = self._root / directory
        try:
            for file in list(folder.iterdir()):
                old = before is None or file.stat().st_mtime * 1000 < before
                if old and f"{directory}/{file.name}" not in kept:
                    file.unlink(missing_ok=True)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        with suppress(OSError):
            folder.rmdir()
        return True

    def delete(self, directory: str, chosen: Callable[[str], bool]) -> list[str]:
        """Delete the artefacts of a profile whose names are chosen; the names of what was there.

        Raises:
            ArtifactUnavailable: not all of them could be deleted now.
        """
        folder = self._root / directory
        try:
            deleted = sorted(file.name for file in folder.iterdir() if chosen(file.name))
            for name in deleted:
                (folder / name).unlink(missing_ok=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise ArtifactUnavailable(f"{directory}: {error.strerror or error}") from error
        with suppress(OSError):
            folder.rmdir()
        return deleted

    def shared_secret(self) -> bytes:
        """What only the roles know, see ``proof.of_directory``."""
        return proof.of_directory(self._root)


def _publish(temporary: Path, target: Path) -> None:
    """Give a file that is written its name, unless another has it."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        return
    except OSError:
        # A file system without hard links: whoever reads it meanwhile may see it empty.
        with suppress(FileExistsError), target.open("xb") as file:
            file.write(temporary.read_bytes())
            file.flush()
            os.fsync(file.fileno())
