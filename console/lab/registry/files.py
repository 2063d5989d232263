"""Files of models: skops alone, and in it types of scikit-learn, numpy and scipy alone."""

from __future__ import annotations

import io
import zipfile
from importlib import import_module
from typing import Any, BinaryIO, Final

import skops.io

from console.problems import Problem

TRUSTED: Final = ("sklearn", "numpy", "scipy")
FORBIDDEN: Final = frozenset(("__main__", "tests", "testing", "_testing", "f2py", "distutils"))
"""Parts of these libraries that are no models, and that run code when they are imported."""

UNPACKED: Final = 20
PICKLED: Final = (".pkl", ".pickle", ".joblib", ".pth", ".pt", ".sav", ".h5")


def check_format(name: str, head: bytes, file: BinaryIO, most: int) -> None:
    """Raise unless a file is one of skops.

    Args:
        head: its first bytes.
        most: bytes that it may be packed; it may be so many times more unpacked.

    Raises:
        Problem: 415 with the reason, 413.
    """
    reason = (
        "opening a pickle runs whatever code is in it, so pickle, joblib and pth files are not "
        "taken: write the model with skops.io.dump"
    )
    if name.lower().endswith(PICKLED) or head[:1] == b"\x80":
        raise Problem(415, "unsupported_media_type", f"file: expected skops; {reason}")
    if not zipfile.is_zipfile(file):
        raise Problem(415, "unsupported_media_type", f"file: expected skops, a zip; {reason}")
    file.seek(0)
    with zipfile.ZipFile(file) as packed:
        names = packed.namelist()
        size = sum(item.file_size for item in packed.infolist())
    if "schema.json" not in names or any(each.endswith(".pkl") for each in names):
        raise Problem(415, "unsupported_media_type", f"file: expected skops; {reason}")
    if size > UNPACKED * most:
        raise Problem(413, "too_large", f"file: expected at most {UNPACKED * most} bytes unpacked")
    file.seek(0)


def opened(data: bytes) -> Any:
    """The model in a file, if all its types are trusted.

    Raises:
        Problem: 422, names the types that are not; or the file is broken.
    """
    try:
        unknown = skops.io.get_untrusted_types(data=data)
        wrong = [name for name in unknown if not is_trusted(name)]
        if wrong:
            told = ", ".join(sorted(wrong)[:5])
            raise Problem(
                422,
                "untrusted_type",
                f"file: expected types of scikit-learn, numpy and scipy alone, got {told}",
            )
        return skops.io.load(io.BytesIO(data), trusted=unknown)
    except Problem:
        raise
    except Exception as error:
        # What skops raises of a broken file is anything; nothing of it was run.
        told = f"{type(error).__name__}: {str(error)[:200]}"
        raise Problem(422, "invalid_model", f"file: skops cannot open it: {told}") from None


def is_trusted(name: str) -> bool:
    """Whether a type may be opened: a class of these libraries, no function.

    >>> is_trusted("sklearn.tree._tree.Tree"), is_trusted("numpy.load"), is_trusted("os.system")
    (True, False, False)
    """
    parts = name.split(".")
    if parts[0] not in TRUSTED or FORBIDDEN & set(parts) or not all(map(str.isidentifier, parts)):
        return False
    try:
        found = getattr(import_module(".".join(parts[:-1])), parts[-1], None)
    except ImportError:
        return False
    return isinstance(found, type)


def packed(model: Any) -> bytes:
    """A model as a file of skops."""
    data: bytes = skops.io.dumps(model)
    return data
