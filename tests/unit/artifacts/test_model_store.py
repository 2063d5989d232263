"""The model store: artefacts on disk, the hottest models in memory within a byte budget."""

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import structlog

from models.artifacts import Model
from models.errors import ArtifactError
from processor.artifacts.directory import Directory
from processor.artifacts.model_store import ModelStore
from schemas import ModelRecord
from tests.unit.builders import Scorer, announced, normal, stream

LOG = structlog.get_logger()


@pytest.fixture(scope="module")
def trained() -> list[tuple[ModelRecord, object]]:
    """Announcements and artefacts of three profiles."""
    scorer = Scorer()
    step = scorer.step([r for i in range(3) for r in stream(normal(5), key=f"p{i}", first=5 * i)])
    return list(zip(announced(step), step.artifacts, strict=True))


@pytest.fixture
def store(tmp_path, trained) -> ModelStore:
    """A store whose directory holds the three artefacts."""
    made = ModelStore(Directory(tmp_path), 2**30)
    assert made.write_all([artifact for _, artifact in trained], LOG) == frozenset()
    return made


def test_opens_what_was_announced(store, trained):
    opened = store.open([record for record, _ in trained])
    assert {record.sha256 for record, _ in trained} == set(opened)
    assert all(isinstance(model, Model) for model in opened.values())
    assert store.nbytes == sum(model.nbytes for model in opened.values())


def test_a_model_once_opened_stays_in_memory(store, trained, tmp_path):
    record = trained[0][0]
    first = store.open([record])[record.sha256]
    (tmp_path / record.artifact).unlink()
    assert store.open([record, record]) == {record.sha256: first}


def test_a_model_that_was_replaced_leaves_memory_and_can_be_opened_again(store, trained):
    record = trained[0][0]
    first = store.open([record])[record.sha256]

    store.replaced(record.sha256)
    store.replaced("unknown")

    assert store.nbytes == 0
    assert store.open([record])[record.sha256] is not first


def test_a_missing_artefact_is_an_error_and_not_an_exception(store, trained, tmp_path):
    record, other = trained[0][0], trained[1][0]
    (tmp_path / record.artifact).unlink()
    opened = store.open([record, other])
    assert isinstance(opened[record.sha256], ArtifactError)
    assert isinstance(opened[other.sha256], Model)


def test_an_altered_artefact_is_never_unpickled(store, trained, tmp_path):
    record = trained[0][0]
    file = tmp_path / record.artifact
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    error = store.open([record])[record.sha256]
    assert isinstance(error, ArtifactError)
    assert "not opened" in str(error)


class MakesDirectory:
    """Makes a directory as it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._path),)


def test_code_in_an_announced_artefact_is_not_run(store, trained, tmp_path):
    payload = pickle.dumps({"format": 2, "detector": MakesDirectory(tmp_path / "made")})
    digest = hashlib.sha256(payload).hexdigest()
    folder = trained[0][0].artifact.rpartition("/")[0]
    announcement = {"artifact": f"{folder}/1-{digest[:16]}.joblib", "sha256": digest}
    record = trained[0][0].model_copy(update=announcement)
    (tmp_path / record.artifact).write_bytes(payload)

    error = store.open([record])[digest]

    assert isinstance(error, ArtifactError)
    assert "name 'mkdir'" in str(error)
    assert "not opened" in str(error)
    assert not (tmp_path / "made").exists()


def test_an_artefact_outside_the_directory_is_never_opened(store, trained):
    record = trained[0][0].model_copy(update={"artifact": "../../etc/passwd"})
    assert "outside" in str(store.open([record])[record.sha256])


def test_the_coldest_models_leave_when_the_budget_is_spent(tmp_path, trained):
    records = [record for record, _ in trained]
    size = ModelStore(Directory(tmp_path), 1)
    size.write_all([artifact for _, artifact in trained], LOG)
    size.open(records[:1])
    store = ModelStore(Directory(tmp_path), 2 * size.nbytes)
    store.open(records[:2])
    store.open(records[:1])
    store.open(records[2:])
    for record in records:
        (tmp_path / record.artifact).unlink()
    held = [isinstance(store.open([record])[record.sha256], Model) for record in records]
    assert held == [True, False, True]
    assert store.nbytes <= 2 * size.nbytes


def test_a_model_larger_than_the_budget_is_opened_all_the_same(tmp_path, trained):
    store = ModelStore(Directory(tmp_path), 1)
    store.write_all([artifact for _, artifact in trained], LOG)
    opened = store.open([record for record, _ in trained])
    assert all(isinstance(model, Model) for model in opened.values())


def test_what_cannot_be_written_is_said_by_profile(tmp_path, trained):
    blocked = tmp_path / "file"
    blocked.write_text("no directory")
    failed = ModelStore(Directory(blocked), 1).write_all([trained[0][1]], LOG)
    assert failed == {(0, "features", "p0")}


@pytest.mark.usefixtures("store")
def test_writing_leaves_nothing_but_the_artefact(trained, tmp_path):
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert found == {record.artifact for record, _ in trained}


class TestErasing:
    def folder(self, record: ModelRecord) -> str:
        return record.artifact.rpartition("/")[0]

    def test_deletes_a_profiles_artefacts_and_no_others(self, store, trained, tmp_path):
        store.storage.erase(self.folder(trained[0][0]), ())
        left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.joblib")}
        assert left == {record.artifact for record, _ in trained[1:]}
        assert not Path(tmp_path, self.folder(trained[0][0])).exists()

    def test_leaves_what_the_same_step_has_written(self, store, trained, tmp_path):
        record = trained[0][0]
        old = tmp_path / self.folder(record) / "0-0000000000000000.joblib"
        old.write_text("an older version")
        store.storage.erase(self.folder(record), {record.artifact})
        assert not old.exists()
        assert (tmp_path / record.artifact).exists()

    def test_of_a_profile_without_artefacts_is_nothing(self, store):
        store.storage.erase("features/nobody-0000000000000000", ())


def test_an_artefact_that_cannot_be_written_is_logged_without_the_profiles_id(trained, tmp_path):
    made = ModelStore(Directory(tmp_path / "file"), 2**30)
    (tmp_path / "file").write_text("in the way")
    (key, artifact), *_ = [pair for _, pair in trained]

    with structlog.testing.capture_logs() as told:
        failed = made.write_all([(key, artifact)], LOG)

    (line,) = told
    assert failed == {key}
    assert (line["event"], line["kind"], line["partition"]) == ("artifact_not_written", *key[1::-1])
    assert line["sha256"] == artifact.sha256[:16]
    assert f"/{key[2]}-" in artifact.path
    assert f"/{key[2]}-" not in str(line)
