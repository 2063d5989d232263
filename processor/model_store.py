"""The models in memory within a byte budget, and how the others are opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

from models.artifacts import (
    Artifact,
    ArtifactError,
    ArtifactUnavailable,
    Model,
    Stored,
    digest_of,
    generation_of,
)
from processor.model_cache import ModelCache
from processor.records import ProfileKey
from processor.shown import named
from processor.step import Step
from processor.storage import Storage

P = TypeVar("P")
WRITE_SECONDS = 4.0


class ModelStore:
    """The hottest models, opened; the rest wait on disk and are opened at their next use."""

    def __init__(self, storage: Storage, budget: int) -> None:
        self.storage = storage
        self.cache = ModelCache(budget)
        self._writers = ThreadPoolExecutor(storage.writers, "writer")

    @property
    def nbytes(self) -> int:
        """Bytes of the models in memory."""
        return self.cache.nbytes

    def open(self, records: Iterable[Stored]) -> dict[str, Model | ArtifactError]:
        """The models of these announcements by SHA-256; an error where one is lost.

        Raises:
            ArtifactUnavailable: one cannot be had now; nothing may be concluded from that.
        """
        found: dict[str, Model | ArtifactError] = {}
        for record in records:
            sha256 = record.sha256
            if sha256 in found:
                continue
            held = self.cache.get(sha256)
            if held is not None:
                found[sha256] = held
                continue
            try:
                model = self.storage.read(record.artifact, sha256)
            except ArtifactUnavailable:
                raise
            except ArtifactError as error:
                found[sha256] = error
                continue
            self.cache.keep(sha256, model)
            found[sha256] = model
        return found

    def write_all(
        self, wanted: Iterable[tuple[ProfileKey, Artifact]], log: Any
    ) -> frozenset[ProfileKey]:
        """Write artefacts under their final names; the profiles whose could not be written.

        Once a store has refused some for ``WRITE_SECONDS``, the others wait for the next try.
        """
        failed: set[ProfileKey] = set()
        until = monotonic() + WRITE_SECONDS

        def write(key: ProfileKey, artifact: Artifact) -> None:
            if failed and monotonic() > until:
                failed.add(key)
                return
            try:
                self.storage.write(artifact)
            except OSError as error:
                log.error(
                    "artifact_not_written",
                    kind=key[1],
                    partition=key[0],
                    sha256=artifact.sha256[:16],
                    error=named(str(error)),
                )
                failed.add(key)

        # A list, so that what else is raised is not lost.
        list(self._writers.map(lambda pair: write(*pair), wanted))
        return frozenset(failed)

    def written(self, make: Callable[[frozenset[ProfileKey]], Step[P]], log: Any) -> Step[P]:
        """A Step with its artefacts written, made anew without the trainings that cannot be.

        Args:
            make: gives the Step, told the profiles whose artefact could not be written.
        """
        refused: frozenset[ProfileKey] = frozenset()
        while True:
            step = make(refused)
            failed = self.write_all(step.artifacts, log)
            if not failed:
                return step
            refused |= failed

    def erase(self, directory: str, generation: int) -> list[str]:
        """Delete a profile's artefacts of a generation and those before it; their names.

        Raises:
            ArtifactUnavailable: not all of them could be deleted now.
        """
        deleted = self.storage.delete(directory, lambda name: generation_of(name) <= generation)
        for name in deleted:
            self._drop(digest_of(name))
        return deleted

    def discard(self, path: str) -> None:
        """Delete an artefact that nothing announces; one that cannot be is swept later."""
        directory, _, name = path.rpartition("/")
        self._drop(digest_of(name))
        with suppress(ArtifactUnavailable):
            self.storage.delete(directory, lambda found: found == name)

    def replaced(self, sha256: str) -> None:
        """Let go of a model that another one has taken the place of; a rollback opens it again."""
        self.cache.drop(sha256)

    def keep(self, models: Mapping[str, Model]) -> None:
        """Keep freshly trained models in memory."""
        for sha256, model in models.items():
            self.cache.keep(sha256, model)

    def _drop(self, digest: str) -> None:
        """Let go of the opened models of a digest, of which the first 16 digits are given."""
        for sha256 in self.cache.digests():
            if digest and sha256.startswith(digest):
                self.cache.drop(sha256)
