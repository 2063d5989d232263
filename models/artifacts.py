"""Artefacts: a trained model as one joblib file that is checked before it is unpickled."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import joblib
import numpy as np
from numpy.typing import NDArray

from models.detector import Detector
from models.judging import Bench

PROTOCOL = 5
_JOBLIB = b"joblib.numpy_pickle"
FORMAT = 2
READ = (1, FORMAT)
"""Formats that are read: of 1, a detector's neighbours are renewed as it is unpickled."""

GATE = "gate"
"""Where an artefact's provenance keeps what the gate measured on the candidate."""


class ArtifactError(Exception):
    """An artefact that is missing, altered, or of a format that this version cannot read."""


class Unavailable(Exception):
    """What a Step needs cannot be had now: nothing may be concluded from that, but to wait."""


class ArtifactUnavailable(ArtifactError, Unavailable):
    """An artefact that may well be there, but cannot be had now: to be tried again."""


@dataclass(frozen=True)
class Model:
    """A fitted detector with all that must travel with it.

    Attributes:
        detector: the fitted, calibrated estimator.
        features: names of the columns, in order.
        samples: the training samples, float32, shape (n, d).
        provenance: seed, parameters, library versions, counts: plain JSON values.
    """

    detector: Detector
    features: tuple[str, ...]
    samples: NDArray[np.float32]
    provenance: Mapping[str, Any]

    @cached_property
    def bench(self) -> Bench:
        """The detector as a batch is judged by it."""
        return Bench(self.detector)

    @property
    def nbytes(self) -> int:
        """Bytes that the model takes in memory."""
        return self.detector.nbytes + int(self.samples.nbytes)


class Stored(Protocol):
    """Whatever names an artefact, such as an announcement."""

    @property
    def artifact(self) -> str:
        """Path below the model directory."""

    @property
    def sha256(self) -> str:
        """Digest of its bytes, in hex."""


@dataclass(frozen=True)
class Artifact:
    """The bytes of a model and the name under which they are stored."""

    path: str
    sha256: str
    payload: bytes


def pack(model: Model, *, kind: str, profile_id: str, partition: int, generation: int) -> Artifact:
    """Serialise a model and name it; nothing is written yet.

    What ``joblib.dump`` would write without compression is a pickle too, which takes 15 times as
    long to make; ``joblib.load`` opens both.
    """
    content = {
        "format": FORMAT,
        "detector": model.detector,
        "features": list(model.features),
        "samples": np.ascontiguousarray(model.samples, dtype=np.float32),
        "provenance": dict(model.provenance),
    }
    payload = pickle.dumps(content, protocol=PROTOCOL)
    digest = hashlib.sha256(payload).hexdigest()
    directory = profile_directory(kind, profile_id, partition)
    return Artifact(f"{directory}/{generation}-{digest[:16]}.joblib", digest, payload)


def profile_directory(kind: str, profile_id: str, partition: int) -> str:
    """Directory of a profile's artefacts: readable, unique, and safe whatever the id holds."""
    escaped = quote(profile_id, safe="").replace(".", "%2E")[:100]
    unique = hashlib.sha256(f"{partition}:{kind}:{profile_id}".encode()).hexdigest()[:16]
    return f"{kind}/{escaped}-{unique}"


def generation_of(name: str) -> int:
    """Generation of an artefact by its file's name; of a file that is none, before all others."""
    generation = name.partition("-")[0]
    return int(generation) if generation.isdecimal() and len(generation) < 20 else -1


def digest_of(name: str) -> str:
    """The first 16 hex digits of an artefact's SHA-256 by its file's name; empty for another."""
    match = re.fullmatch(r"\d+-([0-9a-f]{16})\.joblib", name)
    return match[1] if match else ""


def write(directory: Path, artifact: Artifact) -> None:
    """Write an artefact under its final name: temporary file, fsync, rename.

    Raises:
        OSError: the disk is full or not writable; nothing remains under the final name.
    """
    target = directory / artifact.path
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(artifact.payload)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def unpack(payload: bytes, sha256: str) -> Model:
    """Check the digest of an artefact's bytes, then unpickle them.

    Args:
        payload: the file's bytes.
        sha256: hex digest as announced, or a prefix of at least 16 digits of it.

    Raises:
        ArtifactError: the digest differs (nothing was unpickled), or the content is not ours.
    """
    digest = hashlib.sha256(payload).hexdigest()
    if len(sha256) < 16 or not digest.startswith(sha256.lower()):
        raise ArtifactError(f"digest is {digest[:16]}…, expected {sha256[:16]}…: not opened")
    # Plain pickles open ten times as fast; those of earlier versions hold joblib's own arrays.
    old = _JOBLIB in payload
    content = joblib.load(io.BytesIO(payload)) if old else pickle.loads(payload)  # noqa: S301
    if not isinstance(content, dict) or content.get("format") not in READ:
        raise ArtifactError(f"not an artefact of format {' or '.join(map(str, READ))}")
    return Model(
        content["detector"], tuple(content["features"]), content["samples"], content["provenance"]
    )


def read(directory: Path, path: str, sha256: str) -> Model:
    """Open the artefact ``path`` below ``directory`` after checking its digest.

    Raises:
        ArtifactError: missing, outside the directory, altered, or of another format.
        ArtifactUnavailable: the disk does not answer as it should.
    """
    try:
        target = (directory / path).resolve()
    except (OSError, RuntimeError) as error:
        raise ArtifactUnavailable(f"{path}: {error}") from error
    if not target.is_relative_to(directory.resolve()):
        raise ArtifactError(f"{path!r} lies outside the model directory")
    try:
        payload = target.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise ArtifactError(f"{path}: {error.strerror}") from error
    except OSError as error:
        raise ArtifactUnavailable(f"{path}: {error.strerror or error}") from error
    return unpack(payload, sha256)


def load_detector(path: str | os.PathLike[str], sha256: str | None = None) -> Detector:
    """Open a ``.joblib`` artefact as a fitted detector, after checking its digest.

    Args:
        path: the artefact.
        sha256: its digest as the ModelRecord says; without it, the 16 digits in the file's name.

    Raises:
        ArtifactError: missing, altered, or of another format; nothing was unpickled then.
    """
    file = Path(path)
    expected = sha256 or file.stem.rpartition("-")[2]
    try:
        return unpack(file.read_bytes(), expected).detector
    except OSError as error:
        raise ArtifactError(f"{file}: {error.strerror or error}") from error
