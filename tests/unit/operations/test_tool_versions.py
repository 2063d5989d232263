"""What each version of a profile is made of, from artefacts whose digest is checked first."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from models import artifacts
from processor.operations import profile_view
from processor.operations.profile_state import ProfileStatus
from processor.operations.profile_versions import Version, versions
from processor.settings import Settings
from schemas import ModelRecord
from tests.unit.builders import TOPICS, Retrainer, Scorer, command, consumed, normal, stream

KEY = (0, "features", "p")


@pytest.fixture(scope="module")
def retrained() -> tuple[ModelRecord, dict[str, bytes]]:
    """A profile at version 2, which the gate let pass, and its artefacts by path."""
    scorer = Scorer(cold_start_samples=60, retrain_samples=100)
    retrainer = Retrainer(scorer.memory, cold_start_samples=60, retrain_samples=100)
    retrainer.know(scorer.taught())
    accepted = scorer.feed(stream(normal(140, seed=4), first=60))
    proposals = retrainer.feed(consumed(accepted, TOPICS.accepted))
    scorer.feed(consumed(proposals, TOPICS.candidates))
    files = {path: scorer.memory.payloads[digest] for digest, path in scorer.memory.paths.items()}
    return scorer.current(KEY), files


@pytest.fixture
def directory(retrained: tuple[ModelRecord, dict[str, bytes]], tmp_path: Path) -> Path:
    for path, payload in retrained[1].items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(payload)
    return tmp_path


def found(record: ModelRecord, directory: Path | str) -> list[Version]:
    return versions(Settings(_env_file=None, model_dir=str(directory)), record)


def shown(record: ModelRecord, known: list[Version]) -> str:
    standing = ProfileStatus(0, "features", "p", record.generation, record, 60, 60, None)
    console = Console(width=200, file=io.StringIO())
    console.print(profile_view.view(standing, known, 0))
    return console.file.getvalue()


def test_each_version_says_where_it_came_from_and_what_the_gate_measured(retrained, directory):
    record, _ = retrained

    second, first = found(record, directory)

    assert (second.version, second.trigger, first.version, first.trigger) == (
        2,
        "samples",
        1,
        "cold-start",
    )
    assert second.trained_on == second.provenance["cold_start"] + second.provenance["pool"]
    assert first.trained_on == first.provenance["samples"] == 60
    for version in (second, first):
        assert version.provenance["seed"] >= 0
        assert version.provenance["parameters"]["alert_budget"] == "0.01"
        assert {"telltale", "python", "numpy", "scikit-learn"} <= set(
            version.provenance["versions"]
        )
        assert version.calibration["offset"] == version.decision_offset
        assert version.calibration["scores"] >= 60
        assert version.unopened is None
    assert second.provenance["policy"] == "grow"
    assert (second.gate, first.gate) == (record.figures, None)


def test_all_of_it_is_shown(retrained, directory):
    record, _ = retrained

    text = shown(record, found(record, directory))

    for word in ("samples", "cold-start", "policy grow", "seed ", "scikit-learn ", "alert_budget="):
        assert word in text
    assert "held_back_alarms=" in text
    assert "none: not a candidate" in text
    assert "not opened" not in text
    assert record.sha256[:16] in text


def test_without_the_model_directory_one_line_says_so_and_the_announcement_stands(
    retrained, tmp_path
):
    record, _ = retrained

    known = found(record, tmp_path / "elsewhere")
    text = shown(record, known)

    assert all("No such file" in version.unopened for version in known)
    assert (known[0].provenance, known[0].gate) == (record.provenance, record.figures)
    assert known[1].provenance is None
    assert text.count("artefacts not opened") == 1


def test_an_altered_artefact_is_named_and_never_unpickled(retrained, directory, monkeypatch):
    record, _ = retrained
    (directory / record.artifact).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    opened: list[bytes] = []
    monkeypatch.setattr(artifacts, "unpickle", opened.append)
    record = record.model_copy(update={"history": []})

    (version,) = found(record, directory)

    assert opened == []
    assert "digest is" in version.unopened
    assert version.provenance == record.provenance


def test_a_directory_that_no_driver_opens_is_said_and_not_raised(retrained):
    record, _ = retrained

    known = found(record, "nosuch://bucket/prefix")

    assert {"TELLTALE_MODEL_DIR" in version.unopened for version in known} == {True}


def test_a_version_rolled_back_to_says_so_and_keeps_what_its_artefact_says():
    scorer = Scorer(cold_start_samples=60, retrain_samples=100)
    retrainer = Retrainer(scorer.memory, cold_start_samples=60, retrain_samples=100)
    retrainer.know(scorer.taught())
    accepted = scorer.feed(stream(normal(140, seed=4), first=60))
    scorer.feed(consumed(retrainer.feed(consumed(accepted, TOPICS.accepted)), TOPICS.candidates))
    judged = scorer.current(KEY)

    scorer.feed([command("rollback", offset=0)])
    scorer.feed([command("rollback", offset=1)])
    again = scorer.current(KEY)

    assert (again.version, again.trigger, again.sha256) == (4, "rollback", judged.sha256)
    assert again.figures == judged.figures
    assert "gate" not in again.provenance
