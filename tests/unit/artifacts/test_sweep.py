"""Orphans are swept: old artefacts of a profile that its announcements do not name."""

import os
from collections.abc import Collection
from pathlib import Path

from models.naming import profile_directory
from processor.artifacts.directory import Directory
from processor.artifacts.orphans import DAY_MS, EVERY_MS, OrphanCollector
from processor.records import ProfileKey
from processor.state.profiles import ActiveProfile, LearningProfile, State
from processor.state.ring import Ring
from schemas import HistoryEntry, ModelRecord

NOW = 1_795_255_202_316
KEY = (3, "features", "machine-7")
FOLDER = profile_directory("features", "machine-7", 3)


def artefact(root: Path, name: str, age_ms: int) -> str:
    """A file of the profile, written so long ago; its path in the store."""
    file = root / FOLDER / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x")
    seconds = (NOW - age_ms) / 1000
    os.utime(file, (seconds, seconds))
    return f"{FOLDER}/{name}"


def announced(artifact: str, *earlier: str) -> ActiveProfile:
    digest = "0" * 64
    history = [
        HistoryEntry(version=1, artifact=path, sha256=digest, decision_offset=0.0, trained_at=0)
        for path in earlier
    ]
    return ActiveProfile(
        ModelRecord(
            profile_id="machine-7",
            kind="features",
            generation=0,
            version=2,
            detector="blend",
            artifact=artifact,
            sha256=digest,
            features=["x"],
            trained_on=5,
            learned=5,
            alert_budget=0.01,
            trigger="samples",
            trained_at=0,
            history=history,
        )
    )


def collect(sweep: OrphanCollector, state: State, now: int) -> None:
    """One look at the profiles of a scorer, as its role has it done."""

    def announced_of(key: ProfileKey) -> set[str] | None:
        profile = state.profiles.get(key)
        if not isinstance(profile, ActiveProfile):
            return None if profile is None else set()
        return {profile.record.artifact, *(old.artifact for old in profile.record.history)}

    sweep.collect_some(state.profiles, announced_of, now)


def left(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*.joblib")}


def test_only_old_artefacts_that_nothing_announces_are_swept(tmp_path: Path) -> None:
    current = artefact(tmp_path, "1-current.joblib", 9 * DAY_MS)
    earlier = artefact(tmp_path, "1-earlier.joblib", 9 * DAY_MS)
    young = artefact(tmp_path, "1-candidate.joblib", DAY_MS - 1000)
    artefact(tmp_path, "1-orphan.joblib", DAY_MS + 1000)
    state = State()
    state.apply({KEY: announced(current, earlier)}, {})

    collect(OrphanCollector(Directory(tmp_path)), state, NOW)

    assert left(tmp_path) == {current, earlier, young}


def test_the_orphan_of_a_profile_that_still_learns_is_swept(tmp_path: Path) -> None:
    artefact(tmp_path, "1-orphan.joblib", 2 * DAY_MS)
    state = State()
    state.apply({KEY: LearningProfile(Ring(1, ("x",)))}, {})

    collect(OrphanCollector(Directory(tmp_path)), state, NOW)

    assert left(tmp_path) == set()


def test_profiles_of_other_processes_are_not_looked_at(tmp_path: Path) -> None:
    orphan = artefact(tmp_path, "1-orphan.joblib", 2 * DAY_MS)

    collect(OrphanCollector(Directory(tmp_path)), State(), NOW)

    assert left(tmp_path) == {orphan}


def test_a_profile_is_swept_once_an_hour(tmp_path: Path) -> None:
    state = State()
    state.apply({KEY: LearningProfile(Ring(1, ("x",)))}, {})
    sweep = OrphanCollector(Directory(tmp_path))
    collect(sweep, state, NOW)
    orphan = artefact(tmp_path, "1-orphan.joblib", 2 * DAY_MS)

    collect(sweep, state, NOW + EVERY_MS - 1)
    soon = left(tmp_path)
    collect(sweep, state, NOW + EVERY_MS)

    assert soon == {orphan}
    assert left(tmp_path) == set()


def test_a_store_that_does_not_answer_is_asked_again_in_an_hour(tmp_path: Path) -> None:
    state = State()
    state.apply({(3, "features", f"p{n}"): LearningProfile(Ring(1, ("x",))) for n in range(5)}, {})
    away = Away(tmp_path)
    sweep = OrphanCollector(away)

    for later in (0, 1, EVERY_MS - 1):
        collect(sweep, state, NOW + later)
    soon = away.asked
    collect(sweep, state, NOW + EVERY_MS)

    assert (soon, away.asked) == (1, 2)


class Away(Directory):
    """A store that is out of reach."""

    asked = 0

    def erase(self, directory: str, kept: Collection[str], *, before: int | None = None) -> bool:
        self.asked += 1
        return not (directory and before) or bool(kept)
