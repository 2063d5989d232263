"""The models in memory within a byte budget, and how the others are opened."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from time import monotonic, time_ns
from typing import Any

from models.artifacts import Artifact, Model
from models.errors import ArtifactError, ArtifactUnavailable
from models.naming import Stored, digest_of, generation_of
from processor.artifacts.model_cache import ModelCache
from processor.artifacts.owner import (
    OWNER_FILE,
    Owner,
    UnfitStore,
    decode_owner,
    encode_owner,
    foreign,
)
from processor.artifacts.storage import Storage
from processor.records import ProfileKey
from processor.text.escaping import named
from schemas import ModelRecord

WRITE_SECONDS = 4.0
SEVERAL = 3
"""Artefacts: fewer that are missing are single losses, also if they are most of a few."""


class ModelStore:
    """The hottest models, opened; the rest wait on disk and are opened at their next use."""

    def __init__(self, storage: Storage, budget: int) -> None:
        self.storage = storage
        self.cache = ModelCache(budget)
        self._writers = ThreadPoolExecutor(storage.writers, "writer")
        self._owner: Owner | None = None
        self._fit = False
        self._secret: bytes | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the models in memory."""
        return self.cache.nbytes

    def admit(self, ours: Owner) -> str:
        """Note whose store this has to be, and where it is; nothing is written.

        Raises:
            UnfitStore: it is another installation's, or its owner file is damaged.
            ArtifactUnavailable: the store does not answer now.
        """
        self._owner = ours
        self._owned()
        return self.storage.location

    def check(
        self, announced: Iterable[ModelRecord], policy: str, log: Any, *, owned_is_fit: bool = False
    ) -> None:
        """See that the store holds what is announced, and make it this installation's own.

        The owner file is written after this look: a directory that a start from another place has
        just made gets none, and the next start from there meets the same.

        Args:
            announced: the announcements in force.
            policy: ``stop`` or ``relearn``, if all or most of the artefacts are missing.
            owned_is_fit: whether a store that has its owner file is not looked at.

        Raises:
            UnfitStore: they are, and the policy is ``stop``; or the store is another's.
            ArtifactUnavailable: the store does not answer, and never did so far.
        """
        try:
            self._check(announced, policy, log, owned_is_fit=owned_is_fit)
            self._fit = True
        except ArtifactUnavailable as error:
            # Once it was seen to be the right one, opened models and copies do without it.
            if not self._fit:
                raise
            log.warning("model_directory_unchecked", reason=str(error))

    def _check(
        self, announced: Iterable[ModelRecord], policy: str, log: Any, *, owned_is_fit: bool
    ) -> None:
        found = self._owned()
        why = None
        if found is None or not owned_is_fit:
            since = 0 if found is None else found.lost_until
            paths = [record.artifact for record in announced if record.trained_at >= since]
            random.shuffle(paths)
            missing, looked = self.storage.missing(paths[: self.storage.most_looked_for])
            why = lack(missing, looked, self.storage.location, owned=found is not None)
        if why is not None and policy == "stop":
            raise UnfitStore(
                f"{why}. Start with the directory that holds them (--model-dir or "
                "TELLTALE_MODEL_DIR; a relative one depends on the working directory); or, to have "
                "these profiles learn again, start once with --lost-models relearn "
                "(TELLTALE_LOST_MODELS=relearn)"
            )
        if why is not None:
            log.warning("lost_models", reason=why, policy=policy)
        if self._owner is None:
            return
        if why is not None:
            accepted = replace(self._owner, lost_until=time_ns() // 1_000_000)
            self.storage.claim(encode_owner(accepted), anew=True)
        elif found is None:
            self.storage.claim(encode_owner(self._owner))
        else:
            return
        self._owned()
        log.info("model_directory_claimed", directory=self.storage.location)

    def _owned(self) -> Owner | None:
        """What the store's owner file says, which is of this installation; None if it has none."""
        content = self.storage.owner()
        if content is None:
            return None
        where = self.storage.location
        if not content:
            # One is being written, on a file system that shows a file before it is whole.
            raise ArtifactUnavailable(f"{OWNER_FILE} in {where} is empty; remove it if it stays so")
        try:
            found = decode_owner(content)
        except ValueError as error:
            raise UnfitStore(
                f"{OWNER_FILE} in the model directory {where} is damaged: {error}; if the "
                "directory is this installation's, remove the file and start again"
            ) from None
        if self._owner is not None and not found.same(self._owner):
            raise UnfitStore(foreign(found, self._owner, where))
        return found

    def open(self, records: Iterable[Stored]) -> dict[str, Model | ArtifactError]:
        """The models of these announcements by SHA-256; an error if one is lost.

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
            self.cache.put(sha256, model)
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

    def secret(self) -> bytes:
        """What proves that a mark is the scorer's; read once.

        Raises:
            ArtifactUnavailable: the store does not answer.
        """
        if self._secret is None:
            self._secret = self.storage.shared_secret()
        return self._secret

    def replaced(self, sha256: str) -> None:
        """Evict a model that another has replaced; a rollback opens it again."""
        self.cache.evict(sha256)

    def keep(self, models: Mapping[str, Model]) -> None:
        """Keep freshly trained models in memory."""
        for sha256, model in models.items():
            self.cache.put(sha256, model)

    def _drop(self, digest: str) -> None:
        """Let go of the opened models of a digest, of which the first 16 digits are given."""
        for sha256 in self.cache.digests():
            if digest and sha256.startswith(digest):
                self.cache.evict(sha256)


def lack(missing: int, looked: int, location: str, *, owned: bool) -> str | None:
    """Why a store cannot be the one that announcements speak of, or None.

    Args:
        missing: artefacts that are not there, of ``looked`` that were looked for.
        owned: whether the store has an owner file.
    """
    most = missing >= SEVERAL and 2 * missing > looked
    unknown = not owned and missing > 0 and missing == looked
    if not (most or unknown):
        return None
    told = "" if owned else f" and has no {OWNER_FILE}"
    return (
        f"the model directory {location} lacks {missing} of the {looked} announced models that "
        f"were looked for{told}"
    )
