"""Artefacts: a trained model as one joblib file that is checked before it is unpickled."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.batch_scoring import CompiledModel, row_detector
from models.detectors.base import Detector
from models.detectors.forecast.detector import Forecast
from models.errors import ArtifactError, ArtifactUnavailable
from models.naming import artifact_path, digest_of, shown
from models.unpickling import unpickle

PROTOCOL = 5
FORMAT = 2
RELATIVE_FORMAT = 3
"""With a centre and a scale of the samples, written only where single precision needs them."""
READ = (1, FORMAT, RELATIVE_FORMAT)
"""Formats that are read: of 1, a detector's neighbours are renewed as it is unpickled."""

PRIVATE = 0o700
"""Mode of the directories of artefacts, which hold training samples of people."""

LONGEST_PATH = 1024
"""Bytes: what object stores take as a name, and far more than any name that is given here."""

NAME_ERRORS = frozenset((errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EILSEQ))
"""Errors of a file system that lie in the name asked for: no waiting mends them."""

GATE = "gate"
"""Where an artefact's provenance keeps what the gate measured on the candidate."""


@dataclass(frozen=True)
class Model:
    """A fitted detector with all that must travel with it.

    Attributes:
        detector: the fitted, calibrated estimator; a ``Forecast`` judges points in their order.
        features: names of the columns, in order.
        samples: the training samples, less their centre and in scales, float32, shape (n, d).
        provenance: seed, parameters, library versions, counts: plain JSON values.
        centre, scale: of the samples, float64, shape (d,) each; None: 0 and 1.
        times: float64, shape (n,), of the samples, if each has one.
    """

    detector: Detector | Forecast
    features: tuple[str, ...]
    samples: NDArray[np.float32]
    provenance: Mapping[str, Any]
    centre: NDArray[np.float64] | None = None
    scale: NDArray[np.float64] | None = None

    def learnt(self) -> NDArray[np.float64]:
        """The training samples as they were learnt, shape (n, d)."""
        samples = self.samples.astype(np.float64)
        if self.centre is not None and self.scale is not None:
            samples = samples * self.scale + self.centre
        return samples

    times: NDArray[np.float64] | None = None

    @property
    def row_detector(self) -> Detector:
        """The detector, if it judges rows one by one.

        Raises:
            TypeError: it judges points in their order.
        """
        return row_detector(self.detector)

    @cached_property
    def bench(self) -> CompiledModel:
        """The detector as a batch is judged by it."""
        return CompiledModel(self.detector)

    @property
    def in_columns(self) -> bool:
        """Whether records are judged in columns: not by a ``Forecast`` of an earlier Telltale."""
        timed = self.times is not None and hasattr(self.detector, "reference_")
        return timed or not isinstance(self.detector, Forecast)

    @property
    def nbytes(self) -> int:
        """Bytes that the model takes in memory."""
        times = 0 if self.times is None else int(self.times.nbytes)
        return self.detector.nbytes + int(self.samples.nbytes) + times


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
    content: dict[str, Any] = {
        "format": FORMAT,
        "detector": model.detector,
        "features": list(model.features),
        "samples": np.ascontiguousarray(model.samples, dtype=np.float32),
        "provenance": dict(model.provenance),
    }
    if model.centre is not None:
        content |= {"format": RELATIVE_FORMAT, "centre": model.centre, "scale": model.scale}
    if model.times is not None:
        content["times"] = np.ascontiguousarray(model.times, dtype=np.float64)
    payload = pickle.dumps(content, protocol=PROTOCOL)
    digest = hashlib.sha256(payload).hexdigest()
    path = artifact_path(kind, profile_id, partition, generation, digest)
    return Artifact(path, digest, payload)


def make_private(directory: Path) -> None:
    """Have a directory and those above it; what is made is its owner's alone, whatever the umask.

    One that is there stays as it is: a volume's root may be root's, with a group that may write.

    Raises:
        OSError: it cannot be made, or is no directory.
    """
    try:
        directory.mkdir(mode=PRIVATE)
    except FileNotFoundError:
        make_private(directory.parent)
        # Another process may have made it meanwhile.
        directory.mkdir(mode=PRIVATE, exist_ok=True)
    except FileExistsError:
        if not directory.is_dir():
            raise


def check_name(path: str, sha256: str | None = None) -> None:
    """See that a path can be asked of any store, and may hold what the digest says.

    Raises:
        ArtifactError: it leaves the store, no store takes it, or it names another digest.
    """
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        raise ArtifactError(f"{shown(path)} lies outside the model directory")
    if not path.isprintable() or not 0 < len(path.encode(errors="replace")) <= LONGEST_PATH:
        raise ArtifactError(f"{shown(path)} is no artefact's name")
    if sha256 is not None and digest_of(parts.name) != sha256[:16]:
        raise ArtifactError(f"{shown(path)} is not of digest {sha256[:16]}…: not opened")


def write_artifact(directory: Path, artifact: Artifact) -> None:
    """Write an artefact under its final name: temporary file, fsync, rename.

    File and directories are readable for their owner alone.

    Raises:
        OSError: the disk is full or not writable; nothing remains under the final name.
    """
    target = directory / artifact.path
    if target.exists():
        return
    make_private(target.parent)
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
        ArtifactError: the digest differs (nothing was unpickled), a name in the pickle is refused
            (it was not imported), or the content is not ours.
    """
    digest = hashlib.sha256(payload).hexdigest()
    if len(sha256) < 16 or not digest.startswith(sha256.lower()):
        raise ArtifactError(f"digest is {digest[:16]}…, expected {sha256[:16]}…: not opened")
    try:
        content = unpickle(payload)
    except pickle.UnpicklingError as error:
        raise ArtifactError(f"{error}: not opened") from error
    if not isinstance(content, dict) or content.get("format") not in READ:
        raise ArtifactError(f"not an artefact of format {' or '.join(map(str, READ))}")
    if isinstance(content["detector"], Forecast) and not hasattr(content["detector"], "block_"):
        raise ArtifactError("its detector is not fitted")
    return Model(
        content["detector"],
        tuple(content["features"]),
        content["samples"],
        content["provenance"],
        content.get("centre"),
        content.get("scale"),
        content.get("times"),
    )


def read_artifact(directory: Path, path: str, sha256: str) -> Model:
    """Open the artefact ``path`` below ``directory`` after checking its digest.

    Raises:
        ArtifactError: missing, outside the directory, altered, or of another format.
        ArtifactUnavailable: the disk does not answer as it should.
    """
    check_name(path, sha256)
    try:
        root = directory.resolve()
    except (OSError, RuntimeError) as error:
        raise ArtifactUnavailable(f"{directory}: {error}") from error
    try:
        target = (root / path).resolve()
        if not target.is_relative_to(root):
            raise ArtifactError(f"{shown(path)} lies outside the model directory")
        payload = target.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise ArtifactError(f"{path}: {error.strerror}") from error
    except OSError as error:
        why = f"{path}: {error.strerror or error}"
        if error.errno in NAME_ERRORS:
            raise ArtifactError(why) from error
        raise ArtifactUnavailable(why) from error
    except (ValueError, RuntimeError) as error:
        # A name with NUL in it, and up to Python 3.12 a symbolic link to itself.
        raise ArtifactError(f"{path}: {error}") from error
    return unpack(payload, sha256)


def load_detector(path: str | os.PathLike[str], sha256: str | None = None) -> Detector | Forecast:
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
