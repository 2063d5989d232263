"""`make sbom` needs no network and names every distribution that the lock file pins."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).parents[3]
LOCK = ROOT / "requirements.lock"
# Whoever asks for anything outside meets a proxy that nobody serves.
NOWHERE = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")


def recipe(target: str) -> str:
    """The commands of a target of the Makefile, as `make` would run them."""
    done = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "--assume-old=.venv/.installed", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.replace("\\\n", " ")


def test_the_bill_of_materials_is_valid_and_names_every_pinned_distribution(tmp_path: Path):
    line = next(line for line in recipe("sbom").splitlines() if "cyclonedx-py" in line)
    command = [str(Path(sys.executable).with_name("cyclonedx-py")), *shlex.split(line)[1:]]
    file = tmp_path / "sbom.json"
    command[command.index("build/sbom.json")] = str(file)

    subprocess.run(command, cwd=ROOT, env=NOWHERE, capture_output=True, check=True)

    bill = json.loads(file.read_text())
    pinned = set(re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)", LOCK.read_text(), re.MULTILINE))
    assert {(part["name"], part["version"]) for part in bill["components"]} == pinned
    assert all(part["externalReferences"][0]["hashes"] for part in bill["components"])
    assert bill["metadata"]["component"]["name"] == "telltale"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(file.read_text()) is None


def test_the_audit_does_not_pass_what_it_could_not_ask_about():
    audits = [line for line in recipe("audit").splitlines() if "pip-audit" in line]

    assert all("--strict" in line for line in audits)
    assert [line.rpartition("-r ")[2].strip() for line in audits] == [
        "requirements.lock",
        "build/lowest.txt",
    ]
