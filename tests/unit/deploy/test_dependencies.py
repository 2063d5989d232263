"""What pyproject.toml lets in: bounds that the lock keeps to, none below a known vulnerability."""

import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DECLARED = [
    Requirement(text)
    for text in chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
]
PINS = re.compile(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)", re.MULTILINE)
FIRST_SAFE = {
    "confluent-kafka": "2.16.0",  # OpenSSL and libcurl of its wheels: CVE-2026-75803 and others
    "cryptography": "46.0.5",  # CVE-2024-12797, CVE-2026-26007
    "jinja2": "3.1.6",  # CVE-2025-27516
    "joblib": "1.5.0",  # CVE-2024-34997, disputed; 1.4.2 is the last that it names
    "orjson": "3.11.6",  # CVE-2025-67221
    "pydantic": "2.4.0",  # CVE-2024-3772
    "pydantic-settings": "2.14.2",  # GHSA-4xgf-cpjx-pc3j
    "pyjwt": "2.12.0",  # CVE-2024-53861, CVE-2026-32597
    "pyarrow": "14.0.1",  # CVE-2023-47248
    "python-multipart": "0.0.22",  # CVE-2024-53981, CVE-2026-24486
    "scikit-learn": "1.5.0",  # CVE-2024-5206
    "scipy": "1.10.0",  # CVE-2023-25399
    "skops": "0.13.0",  # CVE-2025-54412, CVE-2025-54886
}
"""The first version that no published advisory names, of those that have had any."""


def lowest(requirement: Requirement) -> Version:
    (bound,) = [one.version for one in requirement.specifier if one.operator == ">="]
    return Version(bound)


def pinned(lock: str) -> dict[str, list[Version]]:
    found: dict[str, list[Version]] = {}
    for name, version in PINS.findall((ROOT / lock).read_text()):
        found.setdefault(name, []).append(Version(version))
    return found


@pytest.mark.parametrize("requirement", DECLARED, ids=lambda found: found.name)
def test_what_is_locked_is_within_the_bounds(requirement: Requirement):
    # Extras are in the lock of development: the image has them only where they are asked for.
    versions = (pinned("requirements.lock") | pinned("requirements-dev.lock"))[requirement.name]

    assert all(requirement.specifier.contains(version) for version in versions)
    assert all(lowest(requirement) <= version for version in versions)


@pytest.mark.parametrize("requirement", DECLARED, ids=lambda found: found.name)
def test_the_lowest_version_is_a_release_without_a_known_vulnerability(requirement: Requirement):
    bound = lowest(requirement)

    assert bound >= Version(FIRST_SAFE.get(requirement.name, "0"))
    # All three numbers, as releases are named: an audit asks about this very version.
    assert len(bound.release) == 3


def test_the_audit_is_asked_about_the_lowest_version_of_each():
    done = subprocess.run(
        [sys.executable, ROOT / "deploy/lowest.py"], capture_output=True, text=True, check=True
    )

    # An extra may ask for more of a dependency that there is without it.
    wanted = dict.fromkeys(f"{found.name}=={lowest(found)}" for found in DECLARED)
    assert done.stdout.split() == list(wanted)


def test_every_name_of_the_table_is_a_dependency():
    assert FIRST_SAFE.keys() <= {requirement.name for requirement in DECLARED}
