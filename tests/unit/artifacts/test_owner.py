"""The model store has one owner, and holds what that one has announced; else nothing starts."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from models.artifacts import Artifact
from models.errors import ArtifactUnavailable
from models.naming import artifact_path
from processor.artifacts import owner
from processor.artifacts.directory import Directory
from processor.artifacts.model_store import ModelStore, lack
from processor.artifacts.owner import Owner, UnfitStore
from schemas import ModelRecord
from tests.unit.builders import Scorer

LOG = structlog.get_logger()
OURS = Owner("app", "prod.", "cluster", "topic")


def stores(root: Path, owner: Owner = OURS) -> ModelStore:
    """The store of a process that starts."""
    made = ModelStore(Directory(root), 2**30)
    made.admit(owner)
    return made


def announced(
    root: Path, count: int, *, lost: int = 0, trained_at: int = 1000
) -> list[ModelRecord]:
    """So many announcements, the artefacts of the first few of them missing."""
    one = Scorer().taught()
    found = []
    for number in range(count):
        path = artifact_path("features", f"p{number}", 0, 0, "0" * 64)
        changed = {"profile_id": f"p{number}", "artifact": path, "trained_at": trained_at}
        found.append(one.model_copy(update=changed))
        if number >= lost:
            Directory(root).write(Artifact(path, "0" * 64, b"x"))
    return found


class TestWhoOwnsAStore:
    @pytest.mark.parametrize(
        "other",
        [
            Owner("other", "prod.", "cluster", "topic"),
            Owner("app", "staging.", "cluster", "topic"),
            Owner("app", "prod.", "another", "topic"),
            Owner("app", "prod.", "cluster", "made anew"),
        ],
    )
    def test_another_installation_is_refused_and_both_are_named(
        self, tmp_path: Path, other: Owner
    ) -> None:
        stores(tmp_path).check([], "stop", LOG)

        with pytest.raises(UnfitStore) as caught:
            ModelStore(Directory(tmp_path), 1).admit(other)

        said = str(caught.value)
        assert all(part in said for part in (str(OURS), str(other), str(tmp_path)))
        assert "TELLTALE_MODEL_DIR" in said
        assert "remove owner.json" in said

    @pytest.mark.parametrize("known", [Owner("app", "prod."), Owner("app", "prod.", "cluster")])
    def test_what_one_of_both_does_not_know_is_not_compared(
        self, tmp_path: Path, known: Owner
    ) -> None:
        stores(tmp_path, known).check([], "stop", LOG)

        assert stores(tmp_path).admit(OURS) == str(tmp_path)

    def test_whoever_comes_second_in_a_race_for_a_new_store_is_refused(
        self, tmp_path: Path
    ) -> None:
        first, second = stores(tmp_path), stores(tmp_path, Owner("app", "staging."))
        first.check([], "stop", LOG)

        with pytest.raises(UnfitStore, match="belongs to another installation"):
            second.check([], "stop", LOG)

    def test_looking_at_a_store_leaves_nothing_behind(self, tmp_path: Path) -> None:
        stores(tmp_path / "models")

        assert not (tmp_path / "models").exists()

    @pytest.mark.parametrize(
        "content", ["{", "[]", "{}", '{"application": "a", "topic_prefix": 1}']
    )
    def test_a_damaged_owner_file_is_named_with_its_remedy(
        self, tmp_path: Path, content: str
    ) -> None:
        (tmp_path / "owner.json").write_text(content)

        with pytest.raises(UnfitStore, match=r"owner\.json .* is damaged: .* remove the file"):
            stores(tmp_path)

    def test_an_owner_file_that_is_being_written_is_waited_for(self, tmp_path: Path) -> None:
        (tmp_path / "owner.json").touch()

        with pytest.raises(ArtifactUnavailable, match="empty"):
            stores(tmp_path)

    def test_fields_of_a_later_release_are_ignored(self) -> None:
        content = owner.encode_owner(OURS).replace(
            b'"format": 1', b'"format": 1, "region": {"x": []}'
        )

        assert owner.decode_owner(content) == OURS


@pytest.mark.parametrize("missing", range(6))
@pytest.mark.parametrize("looked", range(6))
@pytest.mark.parametrize("owned", [True, False])
def test_most_of_several_are_a_lost_store_and_all_of_one_that_nobody_owns(
    missing: int, looked: int, owned: bool
) -> None:
    most = missing >= 3 and missing > looked / 2
    unknown = not owned and 0 < missing == looked

    assert (lack(missing, looked, "/models", owned=owned) is not None) == (most or unknown)


class TestAStoreThatLacksWhatIsAnnounced:
    def test_stops_the_start_again_and_again_and_gets_no_owner_file(self, tmp_path: Path) -> None:
        gone = announced(tmp_path / "home", 20)
        for _ in range(2):
            with pytest.raises(UnfitStore) as caught:
                stores(tmp_path / "elsewhere").check(gone, "stop", LOG)

            said = str(caught.value)
            assert f"{tmp_path / 'elsewhere'} lacks 20 of the 20 announced models" in said
            assert all(part in said for part in ("--model-dir", "TELLTALE_MODEL_DIR"))
            assert "TELLTALE_LOST_MODELS=relearn" in said
        assert not (tmp_path / "elsewhere").exists()
        stores(tmp_path / "home").check(gone, "stop", LOG)

    def test_names_an_absolute_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)

        assert stores(Path("var/models")).storage.location == str(tmp_path / "var/models")

    def test_stops_also_the_owner_once_most_are_gone(self, tmp_path: Path) -> None:
        stores(tmp_path).check([], "stop", LOG)

        with pytest.raises(UnfitStore, match="lacks 3 of the 5"):
            stores(tmp_path).check(announced(tmp_path, 5, lost=3), "stop", LOG)

    def test_single_losses_go_on(self, tmp_path: Path) -> None:
        stores(tmp_path).check([], "stop", LOG)

        stores(tmp_path).check(announced(tmp_path, 5, lost=2), "stop", LOG)

    def test_one_of_before_there_were_owner_files_is_claimed(self, tmp_path: Path) -> None:
        stores(tmp_path).check(announced(tmp_path, 5, lost=2), "stop", LOG)

        assert owner.decode_owner((tmp_path / "owner.json").read_bytes()) == OURS

    def test_is_left_as_it_is_by_a_role_that_is_told_of_no_owner(self, tmp_path: Path) -> None:
        ModelStore(Directory(tmp_path), 1).check([], "stop", LOG)

        assert list(tmp_path.iterdir()) == []

    def test_is_accepted_once_for_all_and_what_is_trained_then_counts_again(
        self, tmp_path: Path
    ) -> None:
        gone = announced(tmp_path, 4, lost=4)
        with capture_logs() as told:
            stores(tmp_path).check(gone, "relearn", structlog.get_logger())

        stores(tmp_path).check(gone, "stop", LOG)
        after = owner.decode_owner((tmp_path / "owner.json").read_bytes()).lost_until
        anew = announced(tmp_path, 3, lost=3, trained_at=after)
        with pytest.raises(UnfitStore, match="lacks 3 of the 3"):
            stores(tmp_path).check([*gone, *anew], "stop", LOG)

        assert [line["event"] for line in told] == ["lost_models", "model_directory_claimed"]

    def test_does_not_stop_a_retrainer_whose_profiles_learn_anew(self, tmp_path: Path) -> None:
        gone = announced(tmp_path, 4, lost=4)
        with pytest.raises(UnfitStore):
            stores(tmp_path).check(gone, "stop", LOG, owned_is_fit=True)
        stores(tmp_path).check([], "stop", LOG)

        stores(tmp_path).check(gone, "stop", LOG, owned_is_fit=True)

    def test_of_a_remote_store_a_sample_is_looked_for(self, tmp_path: Path) -> None:
        store = stores(tmp_path)
        store.storage.most_looked_for = 50

        with pytest.raises(UnfitStore, match="lacks 50 of the 50"):
            store.check(announced(tmp_path / "home", 60), "stop", LOG)


class Away(Directory):
    """A directory that may be out of reach."""

    away = True

    def owner(self) -> bytes | None:
        if self.away:
            raise ArtifactUnavailable("no answer")
        return super().owner()


def test_a_store_that_is_away_is_waited_for_at_the_start_and_not_at_a_later_rebalance(
    tmp_path: Path,
) -> None:
    storage = Away(tmp_path)
    store = ModelStore(storage, 1)
    with pytest.raises(ArtifactUnavailable):
        store.admit(OURS)
    storage.away = False
    store.admit(OURS)
    shutil.rmtree(tmp_path)
    storage.away = True
    with pytest.raises(ArtifactUnavailable):
        store.check([], "stop", LOG)
    storage.away = False
    store.check([], "stop", LOG)
    storage.away = True

    with capture_logs() as told:
        store.check([], "stop", structlog.get_logger())

    said: list[Any] = [line["event"] for line in told]
    assert said == ["model_directory_unchecked"]
