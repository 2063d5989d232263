"""The house stays a house: rooms are small, names are one module's own, the plain way is short."""

from __future__ import annotations

import ast
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from processor.columnar.fast_path import NoFastPath
from tests.unit.builders import Scorer, normal, stream

ROOT = Path(__file__).parents[2]
PRODUCT = ("processor", "models", "schemas")

LONG = {
    # Distances of sixteen samples at a time, unrolled: one loop is written out four times.
    "models/kernels/nearest.py",
    # One hand-written parser of a window's text, whose functions all share its constants.
    "models/kernels/text/read_window.py",
    # One state machine of the group's callbacks, the restore and the positions of an assignment.
    "processor/stream/assignment.py",
}
"""Modules of more than 300 lines, and why they are."""


def sources(*packages: str) -> list[Path]:
    return [path for package in packages or PRODUCT for path in (ROOT / package).rglob("*.py")]


def test_few_files_lie_directly_in_the_package_and_few_in_a_room() -> None:
    rooms: dict[Path, int] = defaultdict(int)
    for path in sources(*PRODUCT, "console"):
        rooms[path.parent] += path.name != "__init__.py"

    assert rooms[ROOT / "processor"] <= 8
    assert max(rooms.values()) <= 12, {str(r): n for r, n in rooms.items() if n > 12}


def test_only_modules_that_say_why_are_long() -> None:
    long = {
        path.relative_to(ROOT).as_posix()
        for path in sources(*PRODUCT, "console")
        if len(path.read_text().splitlines()) > 300
    }

    assert long <= LONG


def test_a_module_of_tests_has_its_name_for_itself() -> None:
    """pytest imports tests by their file's name alone: two of one name cannot be collected."""
    named = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))

    assert [name for name, times in named.items() if times > 1] == []


def test_a_public_function_or_class_has_its_name_for_itself() -> None:
    defined: dict[str, set[Path]] = defaultdict(set)
    for path in sources():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                defined[node.name].add(path)

    several = sorted(name for name, paths in defined.items() if len(paths) > 1)
    assert len(several) <= 10, several


def test_the_plain_way_of_a_normal_record_runs_through_few_files() -> None:
    scorer = Scorer(cold_start_samples=30, detector="blend")
    scorer.context = replace(scorer.context, fast_path=NoFastPath())
    scorer.feed(stream(normal(40)))
    scorer.feed(stream(normal(1), first=50))  # opens the model
    batch, seen = stream(normal(1, seed=9), first=100), set[str]()

    def note(frame: FrameType, event: str, _: Any) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(tuple(f"{ROOT}/{each}/" for each in PRODUCT)):
            seen.add(path.removeprefix(f"{ROOT}/"))

    sys.setprofile(note)
    try:
        step = scorer.step(batch)
    finally:
        sys.setprofile(None)

    assert step.outputs
    assert len(seen) <= 16, sorted(seen)
