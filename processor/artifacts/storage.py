"""Where artefacts lie: a directory, or a URL that fsspec opens with a cache by digest beside it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from processor.artifacts.directory import Directory
from processor.artifacts.remote import Remote
from processor.settings import Settings, SettingsError

EXTRAS = {"s3": "s3", "s3a": "s3"}
"""URL schemes whose driver an extra of the package brings."""


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


@contextmanager
def uncached(settings: Settings) -> Iterator[Storage]:
    """The same for as long as the block lasts; no artefact stays in a cache of this machine.

    Forgetting would not find it there.

    Raises:
        SettingsError: as ``storage`` has it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        yield storage(settings.model_copy(update={"model_cache": scratch}))
