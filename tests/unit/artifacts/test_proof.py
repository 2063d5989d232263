"""Marks are proven with a secret of the model store that all who start at once agree on."""

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest

from models.errors import ArtifactUnavailable
from processor.artifacts import proof
from processor.artifacts.directory import Directory
from processor.artifacts.remote import Remote
from tests.unit.builders import record

SECRET = b"k" * proof.BYTES


def proven(secret: bytes, **changed: Any) -> bool:
    """Whether a record is taken that has the proof of ``SECRET`` before it is changed."""
    made = record({"mark": "retrain"}, key="p", partition=3)
    told = proof.prove(SECRET, 3, made.key or b"", made.value or b"")
    return proof.proven(secret, made._replace(**{"headers": ((proof.HEADER, told),)} | changed))


def test_a_record_is_proven_by_who_has_the_secret():
    assert proven(SECRET)
    assert not proven(b"x" * proof.BYTES)
    assert not proven(b"")


@pytest.mark.parametrize(
    "changed",
    [
        {"partition": 4},
        {"key": b"q"},
        {"key": None},
        {"value": b"{}"},
        {"value": None},
        {"headers": ()},
        {"headers": ((proof.HEADER, None),)},
        {"headers": ((proof.HEADER, b"0" * 64),)},
        {"headers": ((proof.HEADER, "ü".encode()),)},
    ],
)
def test_a_proof_is_of_the_whole_record(changed):
    assert not proven(SECRET, **changed)


def test_what_moves_between_key_and_value_is_not_proven():
    told = proof.prove(SECRET, 0, b"ab", b"c")
    moved = record(b"bc", key=b"a", headers=((proof.HEADER, told),))
    assert not proof.proven(SECRET, moved)


@pytest.fixture
def stores(tmp_path: Path) -> dict[str, Any]:
    files = fsspec.filesystem("memory")
    files.store.clear()
    return {
        "directory": lambda: Directory(tmp_path / "models"),
        "url": lambda: Remote(files, "/bucket/models", tmp_path / "cache"),
    }


@pytest.mark.parametrize("name", ["directory", "url"])
def test_all_who_start_at_once_have_the_same_secret(stores, name):
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(lambda _: stores[name]().shared_secret(), range(8)))
    (secret,) = found
    assert len(secret) == proof.BYTES
    assert stores[name]().shared_secret() == secret


def test_two_installations_have_two_secrets(tmp_path: Path):
    assert proof.of_directory(tmp_path / "a") != proof.of_directory(tmp_path / "b")


def test_the_file_is_for_its_owner_alone_and_nothing_else_is_left(tmp_path: Path):
    proof.of_directory(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [proof.NAME]
    assert stat.S_IMODE((tmp_path / proof.NAME).stat().st_mode) == 0o600


def test_a_file_system_without_hard_links_does_as_well(tmp_path: Path, monkeypatch):
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    first = proof.of_directory(tmp_path)
    assert proof.of_directory(tmp_path) == first
    assert [file.name for file in tmp_path.iterdir()] == [proof.NAME]
    assert stat.S_IMODE((tmp_path / proof.NAME).stat().st_mode) == 0o600


class Blind:
    """A driver that does not see, at its first look, what another one has just written."""

    def __init__(self, files: Any) -> None:
        self.files, self.looks = files, 0

    def cat_file(self, path: str) -> bytes:
        self.looks += 1
        if self.looks == 1:
            raise FileNotFoundError(path)
        return bytes(self.files.cat_file(path))

    def pipe_file(self, path: str, value: bytes, mode: str) -> None:
        self.files.pipe_file(path, value, mode=mode)


def test_whoever_comes_second_takes_what_the_first_one_wrote():
    files = fsspec.filesystem("memory")
    files.store.clear()
    first = proof.of_filesystem(files, "/bucket")
    assert proof.of_filesystem(Blind(files), "/bucket") == first


@pytest.mark.parametrize("name", ["directory", "url"])
def test_a_damaged_secret_says_what_to_do(stores, name, tmp_path: Path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / proof.NAME).write_bytes(b"")
    fsspec.filesystem("memory").pipe_file(f"/bucket/models/{proof.NAME}", b"")
    with pytest.raises(ArtifactUnavailable, match="holds 0 bytes, expected 32: stop both roles"):
        stores[name]().shared_secret()


def test_a_store_that_does_not_answer_is_waited_for(tmp_path: Path):
    (tmp_path / "models").write_text("no directory")
    with pytest.raises(ArtifactUnavailable, match=proof.NAME):
        Directory(tmp_path / "models").shared_secret()
