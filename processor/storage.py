"""Where artefacts lie: a directory, or a URL that fsspec opens with a cache by digest beside it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from models import artifacts
from models.artifacts import Artifact, ArtifactError, ArtifactUnavailable, Model
from processor.settings import Settings, SettingsError


class Directory:
    """Artefacts below a directory of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str, sha256: str) -> Model:
        """Open an artefact after checking its digest.

        Raises:
            ArtifactError: missing, outside the directory, altered, or of another format.
            ArtifactUnavailable: the disk does not answer as it should.
        """
        return artifacts.read(self._root, path, sha256)

    def write(self, artifact: Artifact) -> None:
        """Write an artefact under its final name.

        Raises:
            OSError: the disk is full or not writable.
        """
        artifacts.write(self._root, artifact)

    def erase(self, directory: str, kept: Collection[str], *, before: int | None = None) -> None:
        """Delete a profile's artefacts but those of ``kept``, and their directory if none is.

        Args:
            before: only what was written before this time, epoch milliseconds.
        """
        folder = self._root / directory
        with suppress(OSError):
            for file in list(folder.iterdir()):
                old = before is None or file.stat().st_mtime * 1000 < before
                if old and f"{directory}/{file.name}" not in kept:
                    file.unlink(missing_ok=True)
            folder.rmdir()


class Remote:
    """Artefacts below a URL; what was read once is kept in ``cache`` under its digest.

    An object store shows an object whole or not at all, so a write needs no temporary name.
    """

    def __init__(self, filesystem: Any, root: str, cache: Path) -> None:
        self._filesystem = filesystem
        self._root = root.rstrip("/")
        self._cache = cache

    def read(self, path: str, sha256: str) -> Model:
        """Open an artefact after checking its digest, from the cache where it is there.

        Raises:
            ArtifactError: missing, outside the store, altered, or of another format.
            ArtifactUnavailable: the store does not answer.
        """
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise ArtifactError(f"{path!r} lies outside the model directory")
        cached = self._cache / f"{sha256}.joblib"
        with suppress(OSError, ArtifactError):
            return artifacts.unpack(cached.read_bytes(), sha256)
        try:
            payload: bytes = self._filesystem.cat_file(f"{self._root}/{path}")
        except FileNotFoundError as error:
            raise ArtifactError(f"{path}: not in the store") from error
        except Exception as error:
            # What else a store raises is its driver's own; none of it may stop a scorer.
            raise ArtifactUnavailable(f"{path}: {type(error).__name__}: {error}") from error
        model = artifacts.unpack(payload, sha256)
        self._remember(cached, payload)
        return model

    def write(self, artifact: Artifact) -> None:
        """Write an artefact.

        Raises:
            OSError: the store refused it or did not answer.
        """
        try:
            self._filesystem.pipe_file(f"{self._root}/{artifact.path}", artifact.payload)
        except Exception as error:
            raise OSError(f"{type(error).__name__}: {error}") from error
        self._remember(self._cache / f"{artifact.sha256}.joblib", artifact.payload)

    def erase(self, directory: str, kept: Collection[str], *, before: int | None = None) -> None:
        """Delete a profile's artefacts but those of ``kept``; see ``Directory.erase``."""
        folder = f"{self._root}/{directory}"
        with suppress(Exception):
            for file in self._filesystem.ls(folder, detail=False):
                old = before is None or self._written(file) < before
                if old and f"{directory}/{PurePosixPath(file).name}" not in kept:
                    self._filesystem.rm_file(file)

    def _written(self, file: str) -> float:
        """When an object was written, epoch milliseconds."""
        return float(self._filesystem.modified(file).timestamp()) * 1000

    def _remember(self, cached: Path, payload: bytes) -> None:
        with suppress(OSError):
            self._cache.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=self._cache)
            with os.fdopen(descriptor, "wb") as file:
                file.write(payload)
            os.replace(temporary, cached)


Storage = Directory | Remote


def storage(settings: Settings) -> Storage:
    """The storage that ``TELLTALE_MODEL_DIR`` names.

    Raises:
        SettingsError: a URL whose driver is not installed, or that is none.
    """
    location = settings.model_dir
    if "://" not in location:
        return Directory(Path(location))
    try:
        filesystem, root = fsspec.core.url_to_fs(location)
    except (ImportError, ValueError) as error:
        raise SettingsError(
            f"TELLTALE_MODEL_DIR: expected a path or a URL that fsspec opens, got {location!r}: "
            f"{error}"
        ) from None
    if isinstance(filesystem, LocalFileSystem):
        return Directory(Path(root))
    return Remote(filesystem, root, Path(settings.model_cache))
