"""The model store in an object store, with local copies of what was read."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, TypeVar, cast

from models import artifacts
from models.artifacts import NAME_ERRORS, Artifact, Model
from models.errors import ArtifactError, ArtifactUnavailable
from models.naming import shown
from processor.artifacts import proof
from processor.artifacts.directory import LOOK_SECONDS
from processor.artifacts.owner import OWNER_FILE

ANSWER_SECONDS = 5.0


T = TypeVar("T")


class Remote:
    """Artefacts below a URL; what was read once is kept in ``cache`` under its digest.

    An object store shows an object whole or not at all, so a write needs no temporary name.
    """

    writers = 1
    """No second call is made while one may still be under way."""

    most_looked_for: int | None = 50
    """A sample of what is announced: each takes a request."""

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
        artifacts.check_name(path, sha256)
        cached = self._cache / f"{sha256}.joblib"
        with suppress(OSError, ArtifactError):
            return artifacts.unpack(cached.read_bytes(), sha256)
        try:
            payload: bytes = self._answer(lambda: self._fetch(path))
        except FileNotFoundError as error:
            raise ArtifactError(f"{path}: not in the store") from error
        except Exception as error:
            if isinstance(error, OSError) and error.errno in NAME_ERRORS:
                raise ArtifactError(f"{path}: {self._said(error)}") from error
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

    @property
    def location(self) -> str:
        """Where the store is, for messages: a URL without credentials."""
        return self._masked(self._filesystem.unstrip_protocol(self._root))

    def owner(self) -> bytes | None:
        """What the owner file holds; see ``Directory.owner``."""
        try:
            return self._answer(lambda: self._fetch(OWNER_FILE))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise ArtifactUnavailable(f"{OWNER_FILE}: {self._said(error)}") from error

    def claim(self, content: bytes, *, anew: bool = False) -> None:
        """Write the owner file unless there is one; see ``Directory.claim``.

        A store that cannot write only what is new may have the file written twice: whoever claims
        it reads it afterwards.
        """
        target = f"{self._root}/{OWNER_FILE}"
        if not anew:
            with suppress(Exception):
                self._answer(lambda: self._filesystem.pipe_file(target, content, mode="create"))
            # Not written: it is there, or the store cannot write only what is new.
            if self.owner() is not None:
                return
        try:
            self._answer(lambda: self._filesystem.pipe_file(target, content))
        except Exception as error:
            raise ArtifactUnavailable(f"{OWNER_FILE}: {self._said(error)}") from error

    def missing(self, paths: Sequence[str]) -> tuple[int, int]:
        """How many artefacts are not there, of how many; see ``Directory.missing``."""
        until = monotonic() + LOOK_SECONDS
        missing = looked = 0
        for path in paths:
            try:
                artifacts.check_name(path)
                self._answer(partial(self._found, path))
            except (FileNotFoundError, ArtifactError):
                missing += 1
            except Exception as error:
                why = f"{shown(path)}: {self._said(error)}"
                raise ArtifactUnavailable(why) from error
            looked += 1
            if monotonic() > until:
                break
        return missing, looked

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
            self._expect_bucket()
            raise
        return payload

    def _found(self, path: str) -> None:
        """Raise FileNotFoundError if an artefact is not there; no answer is kept from before."""
        target = f"{self._root}/{path}"
        self._filesystem.invalidate_cache(target.rpartition("/")[0])
        try:
            self._filesystem.info(target)
        except FileNotFoundError:
            self._expect_bucket()
            raise

    def _expect_bucket(self) -> None:
        """Without its bucket a store holds nothing: that is no news of an artefact."""
        bucket = self._root.strip("/").partition("/")[0]
        if not self._filesystem.exists(bucket):
            raise ConnectionError(f"{bucket!r} is not there")

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
            artifacts.make_private(self._cache)
            descriptor, temporary = tempfile.mkstemp(dir=self._cache)
            with os.fdopen(descriptor, "wb") as file:
                file.write(payload)
            os.replace(temporary, cached)
