"""Where artefacts lie: a directory and a URL behave alike, and nothing is opened unchecked."""

import hashlib
import io
import os
import stat
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from uuid import uuid4

import fsspec
import joblib
import numpy as np
import pytest
from fsspec.spec import AbstractFileSystem

from models import artifacts
from models.artifacts import Artifact
from models.errors import ArtifactError, ArtifactUnavailable
from models.learning.training import train
from processor.artifacts.directory import Directory
from processor.artifacts.remote import Remote
from processor.artifacts.storage import Storage, storage
from processor.settings import Settings, SettingsError


def at(location: str, cache: Path) -> Storage:
    return storage(Settings(_env_file=None, model_dir=location, model_cache=str(cache)))


@pytest.fixture(params=["path", "file://", "memory://"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A directory by its path, the same as a URL, and a store that is no directory."""
    location = {
        "path": str(tmp_path / "models"),
        "file://": f"file://{tmp_path}/models",
        "memory://": f"memory://{uuid4().hex}/models",
    }[request.param]
    return at(location, tmp_path / "cache")


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    samples = np.random.default_rng(0).normal(size=(20, 2))
    model = train("gaussian", samples, ("a", "b"), alert_budget=0.01, seed=0, provenance={})
    return artifacts.pack(model, kind="features", profile_id="p", partition=0, generation=7)


def test_what_was_written_can_be_opened(store: Storage, artifact: Artifact) -> None:
    store.write(artifact)

    assert store.read(artifact.path, artifact.sha256).features == ("a", "b")


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Nothing is taken from the modes that a process asks for."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("no_umask")
def test_what_is_written_is_its_owners_alone(tmp_path: Path, artifact: Artifact) -> None:
    root = tmp_path / "var" / "models"
    at(str(root), tmp_path / "cache").write(artifact)
    at(f"memory://{uuid4().hex}/models", tmp_path / "copies" / "cache").write(artifact)

    made = [*(tmp_path / "var").rglob("*"), *(tmp_path / "copies").rglob("*")]
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in made}
    assert {modes[path] for path in made if path.is_dir()} == {0o700}
    assert {modes[path] for path in made if path.is_file()} == {0o600}
    assert root / artifact.path in made


def test_a_directory_that_is_there_keeps_its_mode(tmp_path: Path, artifact: Artifact) -> None:
    root = tmp_path / "volume"
    root.mkdir()
    # As Kubernetes has the root of a volume with fsGroup.
    root.chmod(0o2770)

    at(str(root), tmp_path / "cache").write(artifact)

    assert stat.S_IMODE(root.stat().st_mode) == 0o2770
    assert stat.S_IMODE((root / artifact.path).parent.stat().st_mode) & 0o777 == 0o700


def test_a_file_in_place_of_a_directory_is_an_error(tmp_path: Path, artifact: Artifact) -> None:
    (tmp_path / "models").write_text("no directory")

    with pytest.raises(OSError, match="models"):
        at(str(tmp_path / "models"), tmp_path / "cache").write(artifact)


def test_joblib_opens_an_artefact_and_joblib_s_own_form_is_opened(artifact: Artifact) -> None:
    content = joblib.load(io.BytesIO(artifact.payload))
    dumped = io.BytesIO()
    joblib.dump(content, dumped)
    earlier = dumped.getvalue()

    opened = artifacts.unpack(earlier, hashlib.sha256(earlier).hexdigest())

    block = artifacts.unpack(artifact.payload, artifact.sha256).detector.block_
    assert np.array_equal(opened.detector.block_, block)
    assert np.array_equal(content["detector"].block_, block)


def test_what_was_never_written_is_an_error(store: Storage, artifact: Artifact) -> None:
    with pytest.raises(ArtifactError, match="joblib"):
        store.read(artifact.path, artifact.sha256)


@pytest.mark.parametrize("path", ["../x.joblib", "features/../../x.joblib", "/x.joblib"])
def test_nothing_outside_the_store_is_opened(store: Storage, artifact: Artifact, path: str) -> None:
    with pytest.raises(ArtifactError, match="outside"):
        store.read(path, artifact.sha256)


def test_another_digest_than_announced_is_not_opened(store: Storage, artifact: Artifact) -> None:
    store.write(artifact)

    with pytest.raises(ArtifactError, match="not opened"):
        store.read(artifact.path, "0" * 64)


def test_erasing_a_profile_leaves_what_is_to_be_kept(store: Storage, artifact: Artifact) -> None:
    directory = artifact.path.rpartition("/")[0]
    other = Artifact(f"{directory}/8-other.joblib", artifact.sha256, artifact.payload)
    store.write(artifact)
    store.write(other)

    store.erase(directory, {artifact.path})

    assert left(store) == [artifact.path]


def left(store: Storage) -> list[str]:
    """The artefacts of a store."""
    if isinstance(store, Directory):
        return [str(p.relative_to(store._root)) for p in store._root.rglob("*.joblib")]
    found = store._filesystem.find(store._root)
    return [path.removeprefix(store._root).lstrip("/") for path in found]


def test_a_remote_artefact_is_read_from_the_cache_once_it_is_there(
    tmp_path: Path, artifact: Artifact
) -> None:
    location = f"memory://{uuid4().hex}"
    writer = at(location, tmp_path / "writer")
    reader = at(location, tmp_path / "reader")
    writer.write(artifact)
    reader.read(artifact.path, artifact.sha256)

    fsspec.filesystem("memory").rm(location.removeprefix("memory:/"), recursive=True)

    assert isinstance(reader, Remote)
    assert reader.read(artifact.path, artifact.sha256).features == ("a", "b")


def test_a_damaged_cache_is_passed_over(tmp_path: Path, artifact: Artifact) -> None:
    store = at(f"memory://{uuid4().hex}", tmp_path)
    store.write(artifact)
    (tmp_path / f"{artifact.sha256}.joblib").write_bytes(b"damaged")

    assert store.read(artifact.path, artifact.sha256).features == ("a", "b")


def test_a_store_that_does_not_answer_is_no_loss(store: Storage, artifact: Artifact) -> None:
    store.write(artifact)
    path = artifact.path
    if isinstance(store, Remote):
        store = Remote(Away(), "models", store._cache / "empty")
    else:
        # What Linux answers with EIO to whoever reads it from its beginning.
        file = store._root / path
        file.unlink()
        file.symlink_to("/proc/self/mem")
        store, path = Directory(Path("/")), str(file).lstrip("/")

    with pytest.raises(ArtifactUnavailable):
        store.read(path, artifact.sha256)


class Away(AbstractFileSystem):
    """A store that is out of reach."""

    def cat_file(self, path: str, **_: object) -> bytes:
        raise TimeoutError(path)

    def info(self, path: str, **_: object) -> dict[str, object]:
        raise TimeoutError(path)


WRONG_NAMES = ["", "features/a\0b", "x" * 5000, f"{'y' * 300}/x.joblib", "features/a\nb"]


@pytest.mark.parametrize("path", WRONG_NAMES)
def test_a_name_that_no_store_takes_is_a_loss_and_not_waited_for(
    store: Storage, artifact: Artifact, path: str
) -> None:
    store.write(artifact)

    with pytest.raises(ArtifactError) as caught:
        store.read(path, artifact.sha256)

    assert not isinstance(caught.value, ArtifactUnavailable)


def test_a_symbolic_link_to_itself_is_a_loss_and_not_waited_for(
    tmp_path: Path, artifact: Artifact
) -> None:
    file = tmp_path / artifact.path
    file.parent.mkdir(parents=True)
    file.symlink_to(file.name)

    with pytest.raises(ArtifactError) as caught:
        Directory(tmp_path).read(artifact.path, artifact.sha256)

    assert not isinstance(caught.value, ArtifactUnavailable)


def test_a_known_digest_under_the_name_of_another_is_not_taken_from_the_cache(
    store: Storage, artifact: Artifact
) -> None:
    store.write(artifact)
    other = artifact.path.replace(artifact.sha256[:16], "0" * 16)

    with pytest.raises(ArtifactError, match="not opened"):
        store.read(other, artifact.sha256)


class TestTheOwnerFile:
    def test_is_written_once_and_found_again(self, store: Storage, artifact: Artifact) -> None:
        store.write(artifact)
        before = store.owner()

        store.claim(b"first")
        store.claim(b"second")

        assert (before, store.owner()) == (None, b"first")

    def test_is_written_in_place_of_another_if_that_is_wanted(
        self, store: Storage, artifact: Artifact
    ) -> None:
        store.write(artifact)
        store.claim(b"first")

        store.claim(b"second", anew=True)

        assert store.owner() == b"second"

    def test_of_many_who_claim_at_once_one_stands_and_none_fails(self, tmp_path: Path) -> None:
        directories = [Directory(tmp_path / "new") for _ in range(16)]
        with ThreadPoolExecutor(16) as threads:
            list(
                threads.map(lambda n: directories[n].claim(b"%02d" * 500 % ((n,) * 500)), range(16))
            )

        content = directories[0].owner()

        assert content in [b"%02d" % n * 500 for n in range(16)]
        assert [file.name for file in (tmp_path / "new").iterdir()] == ["owner.json"]

    def test_is_written_on_a_file_system_without_hard_links(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def link(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr("os.link", link)

        Directory(tmp_path).claim(b"first")
        Directory(tmp_path).claim(b"second")

        assert Directory(tmp_path).owner() == b"first"

    def test_is_no_artefact(self, store: Storage, artifact: Artifact) -> None:
        store.write(artifact)
        store.claim(b"first")

        store.erase(artifact.path.rpartition("/")[0], ())
        store.delete("features", lambda _: True)

        assert store.owner() == b"first"


class TestTheLookForMissingArtefacts:
    def test_counts_what_is_not_there(self, store: Storage, artifact: Artifact) -> None:
        store.write(artifact)
        gone = artifacts.artifact_path("features", "q", 0, 1, "0" * 64)

        assert store.missing([artifact.path, gone, *WRONG_NAMES[1:]]) == (5, 6)

    def test_asks_no_answer_of_before(self, tmp_path: Path, artifact: Artifact) -> None:
        location = f"memory://{uuid4().hex}"
        reader = at(location, tmp_path / "reader")
        at(location, tmp_path).write(Artifact("features/x", "0" * 64, b""))
        before = reader.missing([artifact.path])

        at(location, tmp_path).write(artifact)

        assert (before, reader.missing([artifact.path])) == ((1, 1), (0, 1))

    def test_takes_no_silence_for_a_loss(self, tmp_path: Path, artifact: Artifact) -> None:
        with pytest.raises(ArtifactUnavailable):
            Remote(Away(), "models", tmp_path).missing([artifact.path])
        with pytest.raises(ArtifactUnavailable, match="is not there"):
            Remote(NoBucket(), "bucket/models", tmp_path).missing([artifact.path])


def test_a_url_that_nothing_opens_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"TELLTALE_MODEL_DIR.*nosuch://x"):
        at("nosuch://x", tmp_path)


def test_a_url_whose_driver_is_not_installed_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)

    with pytest.raises(SettingsError, match=r"TELLTALE_MODEL_DIR.*pip install 'telltale\[s3\]'"):
        at("s3://bucket/prefix", tmp_path)


def test_a_bucket_that_is_not_there_is_no_news_of_its_artefacts(
    tmp_path: Path, artifact: Artifact
) -> None:
    with pytest.raises(ArtifactUnavailable, match="is not there"):
        Remote(NoBucket(), "bucket/models", tmp_path).read(artifact.path, artifact.sha256)


class NoBucket(AbstractFileSystem):
    """A store without the bucket: nothing is in it."""

    def cat_file(self, path: str, **_: object) -> bytes:
        raise FileNotFoundError(path)

    def exists(self, path: str, **_: object) -> bool:
        return path != "bucket"

    def info(self, path: str, **_: object) -> dict[str, object]:
        raise FileNotFoundError(path)


def test_a_store_that_hangs_is_not_waited_for_longer_than_a_while(
    tmp_path: Path, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processor.artifacts.remote.ANSWER_SECONDS", 0.01)
    hanging = Hanging()
    store = Remote(hanging, "bucket", tmp_path)

    with pytest.raises(OSError, match="no answer"):
        store.write(artifact)
    with pytest.raises(ArtifactUnavailable, match="has not come back"):
        store.read(artifact.path, artifact.sha256)
    assert not store.erase("features/p", ())
    hanging.released.set()
    hanging.over.wait()
    monkeypatch.setattr("processor.artifacts.remote.ANSWER_SECONDS", 60.0)

    assert store.read(artifact.path, artifact.sha256).features == ("a", "b")


class Hanging(AbstractFileSystem):
    """A store whose first write does not come back until it is let go; it keeps one object."""

    def __init__(self) -> None:
        super().__init__()
        self.released, self.over = Event(), Event()
        self.kept = b""

    def pipe_file(self, path: str, value: bytes, **_: object) -> None:
        assert path
        self.released.wait()
        self.kept = value
        self.over.set()

    def cat_file(self, path: str, **_: object) -> bytes:
        assert path
        return self.kept


def test_erasing_what_was_never_there_is_done(store: Storage) -> None:
    assert store.erase("features/nobody", ())


def test_erasing_a_remote_artefact_removes_its_local_copy(
    tmp_path: Path, artifact: Artifact
) -> None:
    store = at(f"memory://{uuid4().hex}", tmp_path)
    store.write(artifact)
    before = {file.name for file in tmp_path.iterdir()}

    store.erase(artifact.path.rpartition("/")[0], ())

    assert before == {f"{artifact.sha256}.joblib"}
    assert not list(tmp_path.iterdir())
