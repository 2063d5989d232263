"""Where artefacts lie: a directory, or a URL that fsspec opens with a cache by digest beside it."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from models import artifacts
from models.artifacts import Artifact, ArtifactError, ArtifactUnavailable, Model
from processor import proof
from processor.settings import Settings, SettingsError

ANSWER_SECONDS = 5.0
EXTRAS = {"s3": "s3", "s3a": "s3"}
"""URL schemes whose driver an extra of the package brings."""

T = TypeVar("T")


class Directory:
    """Artefacts below a directory of this machine."""

    writers = 8
    """Each waits for the disk most of its time."""

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


class Remote:
    """Artefacts below a URL; what was read once is kept in ``cache`` under its digest.

    An object store shows an object whole or not at all, so a write needs no temporary name.
    """

    writers = 1
    """No second call is made while one may still be under way."""

    def __init__(
        self, filesystem: Any, root: str, cache: Path, masked: Callable[[str], str] = str
    ) -> None:
        self._filesystem = filesystem
        self._masked = masked
        self._root = root.rstrip("/")
        self._cache = cache
        self._pending: SimpleQueue[Any] | None = None

    def read(self, path: str, sha256: str) -> Model:
        """Open an artefact after checking its digest, from the cache where it is there.

        Raises:
            ArtifactError: missing, outside the store, altered, or of another format.
            ArtifactUnavailable: the store does not answer, or its bucket is not there.
        """
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise ArtifactError(f"{path!r} lies outside the model directory")
        cached = self._cache / f"{sha256}.joblib"
        with suppress(OSError, ArtifactError):
            return artifacts.unpack(cached.read_bytes(), sha256)
        try:
            payload: bytes = self._answer(lambda: self._fetch(path))
        except FileNotFoundError as error:
            raise ArtifactError(f"{path}: not in the store") from error
        except Exception as error:
            # What else a store raises is its driver's own; none of it may stop a scorer.
            raise ArtifactUnavailable(f"{path}: {self._said(error)}") from error
        model = artifacts.unpack(payload, sha256)
        self._remember(cached, payload)
        return model

    def write(self, artifact: Artifact) -> None:
        """Write an artefact.

        Raises:
            OSError: the store refused it or did not answer.
        """
        target = f"{self._root}/{artifact.path}"
        try:
            self._answer(lambda: self._filesystem.pipe_file(target, artifact.payload))
        except Exception as error:
            raise OSError(f"{self._said(error)}") from error
        self._remember(self._cache / f"{artifact.sha256}.joblib", artifact.payload)

    def erase(self, directory: str, kept: Collection[str], *, before: int | None = None) -> bool:
        """Delete a profile's artefacts but those of ``kept``; see ``Directory.erase``."""
        folder = f"{self._root}/{directory}"
        try:
            for file in self._answer(partial(self._listed, folder)):
                name = PurePosixPath(file).name
                if f"{directory}/{name}" in kept:
                    continue
                if before is None or self._answer(partial(self._written, file)) < before:
                    self._answer(partial(self._filesystem.rm_file, file))
                    self._forget(name)
        except FileNotFoundError:
            return True
        except Exception:
            return False
        return True

    def delete(self, directory: str, chosen: Callable[[str], bool]) -> list[str]:
        """Delete chosen artefacts of a profile and their copies; see ``Directory.delete``."""
        folder = f"{self._root}/{directory}"
        deleted: list[str] = []
        try:
            for file in self._answer(partial(self._listed, folder)):
                name = PurePosixPath(file).name
                if chosen(name):
                    self._answer(partial(self._filesystem.rm_file, file))
                    self._forget(name)
                    deleted.append(name)
        except FileNotFoundError:
            return deleted
        except Exception as error:
            raise ArtifactUnavailable(f"{directory}: {self._said(error)}") from error
        return sorted(deleted)

    def shared_secret(self) -> bytes:
        """What only the roles know, see ``proof.of_filesystem``."""
        try:
            return self._answer(partial(proof.of_filesystem, self._filesystem, self._root))
        except ArtifactUnavailable:
            raise
        except Exception as error:
            raise ArtifactUnavailable(f"{proof.NAME}: {self._said(error)}") from error

    def _said(self, error: Exception) -> str:
        """What a driver says, without the credentials of the URL."""
        return self._masked(f"{type(error).__name__}: {error}")

    def _fetch(self, path: str) -> bytes:
        try:
            payload: bytes = self._filesystem.cat_file(f"{self._root}/{path}")
        except FileNotFoundError:
            # Without its bucket a store holds nothing: that is no news of this artefact.
            bucket = self._root.strip("/").partition("/")[0]
            if not self._filesystem.exists(bucket):
                raise ConnectionError(f"{bucket!r} is not there") from None
            raise
        return payload

    def _listed(self, folder: str) -> list[str]:
        """Objects of a folder as they are now: another process may have written some."""
        self._filesystem.invalidate_cache(folder)
        found: list[str] = self._filesystem.ls(folder, detail=False)
        return found

    def _written(self, file: str) -> float:
        """When an object was written, epoch milliseconds."""
        return float(self._filesystem.modified(file).timestamp()) * 1000

    def _answer(self, call: Callable[[], T]) -> T:
        """What a call to the store gives, or TimeoutError.

        Drivers repeat for minutes what a store that hangs does not answer; a role has to say
        before that why it waits. A call left alone ends by itself; no second one begins meanwhile.
        """
        if self._pending is not None:
            try:
                self._pending.get(timeout=ANSWER_SECONDS)
            except Empty:
                raise TimeoutError("an earlier call has not come back") from None
            self._pending = None
        outcome: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

        def run() -> None:
            try:
                outcome.put((call(), None))
            except BaseException as error:
                outcome.put((None, error))

        Thread(target=run, daemon=True).start()
        try:
            value, error = outcome.get(timeout=ANSWER_SECONDS)
        except Empty:
            self._pending = outcome
            raise TimeoutError(f"no answer in {ANSWER_SECONDS:.0f} s") from None
        if error is not None:
            raise error
        return cast(T, value)

    def _forget(self, name: str) -> None:
        """Remove the local copy of an artefact of this name."""
        digest = PurePosixPath(name).stem.rpartition("-")[2]
        if re.fullmatch(r"[0-9a-f]{16}", digest):
            with suppress(OSError):
                for copy in self._cache.glob(f"{digest}*.joblib"):
                    copy.unlink(missing_ok=True)

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
    shown = settings.masked(location)
    if "://" not in location:
        return Directory(Path(location))
    try:
        filesystem, root = fsspec.core.url_to_fs(location)
    except ImportError as error:
        protocol = location.partition("://")[0]
        extra = EXTRAS.get(protocol)
        remedy = f"pip install 'telltale[{extra}]'" if extra else f"install it: {error}"
        raise SettingsError(
            f"TELLTALE_MODEL_DIR: {shown!r} needs a driver that is not installed; {remedy}"
        ) from None
    except Exception as error:
        # Some drivers log in at once, and what they raise is their own.
        raise SettingsError(
            f"TELLTALE_MODEL_DIR: expected a path or a URL that fsspec opens, got {shown!r}: "
            f"{settings.masked(str(error))}"
        ) from None
    if isinstance(filesystem, LocalFileSystem):
        return Directory(Path(root))
    return Remote(filesystem, root, Path(settings.model_cache), settings.masked)
