"""Proof that a mark is the scorer's: a keyed digest with a secret that only the two roles share.

A client that may write accepted samples could write a mark as well. The secret is in the model
store, which only the roles read and write.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import struct
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from secrets import token_bytes
from typing import Any

from models.errors import ArtifactUnavailable
from processor.records import ConsumerRecord

HEADER = "telltale.proof"
NAME = "marks.key"
"""The file at the root of the model store that holds the secret."""

BYTES = 32

NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What file systems without hard links answer."""

Secret = Callable[[], bytes]
"""Gives the secret; raises ArtifactUnavailable while the store does not answer."""


def no_secret() -> bytes:
    """No secret, for a Step whose marks are not read: nothing is proven."""
    return b""


def prove(secret: bytes, partition: int, key: bytes, value: bytes) -> bytes:
    """HMAC-SHA256 over a record's partition, key and value, in hex."""
    told = struct.pack(">qq", partition, len(key)) + key + value
    return hmac.new(secret, told, hashlib.sha256).hexdigest().encode()


def proven(secret: bytes, record: ConsumerRecord) -> bool:
    """Whether a record carries a proof made with the secret."""
    given = next((value for name, value in reversed(record.headers) if name == HEADER), None)
    if not secret or given is None:
        return False
    wanted = prove(secret, record.partition, record.key or b"", record.value or b"")
    return hmac.compare_digest(wanted, given)


def of_directory(root: Path) -> bytes:
    """The secret that a directory holds; the first process makes it, all others read it.

    Raises:
        ArtifactUnavailable: it can be neither read nor made now, or is damaged.
    """
    # Here, not above: whoever makes no secret need not wait until scikit-learn is imported.
    from models.artifacts import make_private

    path = root / NAME
    try:
        if not path.exists():
            make_private(root)
            _create(path)
        return _checked(path.read_bytes())
    except OSError as error:
        raise ArtifactUnavailable(f"{NAME}: {error.strerror or error}") from error


def of_filesystem(filesystem: Any, root: str) -> bytes:
    """The same below a URL that fsspec opened.

    Stores that know no exclusive creation keep the last of two that are written at once.

    Raises:
        ArtifactUnavailable: it is damaged.
        Exception: whatever the driver raises.
    """
    path = f"{root}/{NAME}"
    try:
        return _checked(filesystem.cat_file(path))
    except FileNotFoundError:
        pass
    fresh, refused = token_bytes(BYTES), None
    try:
        filesystem.pipe_file(path, fresh, mode="create")
    except TypeError:
        # A driver from before there was a mode.
        filesystem.pipe_file(path, fresh)
    except Exception as error:
        # Each store has an error of its own for what is there already: the next look tells.
        refused = error
    try:
        return _checked(filesystem.cat_file(path))
    except FileNotFoundError:
        raise refused or FileNotFoundError(path) from None


def _create(path: Path) -> None:
    """Write a fresh secret unless there is one by now: whole or not at all."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(token_bytes(BYTES))
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, leaves alone what is there.
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        # Not whole at once: whoever reads it half written waits and reads it again.
        with suppress(FileExistsError), open(path, "xb", opener=_private) as file:
            file.write(token_bytes(BYTES))
    finally:
        Path(temporary).unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _checked(found: bytes) -> bytes:
    if len(found) != BYTES:
        raise ArtifactUnavailable(
            f"{NAME} holds {len(found)} bytes, expected {BYTES}: stop both roles, delete it, and "
            "start them: they make it anew"
        )
    return found
