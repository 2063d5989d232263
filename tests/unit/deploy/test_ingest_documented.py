"""docs/ingest.md and README: every file of sources in them is valid, and maps what they say."""

import re
import textwrap
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from processor.cli.ingest import app
from processor.ingest.presets import names
from processor.ingest.sources import load_sources
from processor.settings import Settings

ROOT = Path(__file__).parents[3]
DATA = ROOT / "tests/data/ingest"
TEXT = (ROOT / "docs/ingest.md").read_text()
_HEAD = r"(?:#.*?\n)?(?:schema_registry:[^\n]*\n)?"
FILES = [
    text
    for page in (TEXT, (ROOT / "README.md").read_text())
    for text in re.findall(rf"```yaml\n({_HEAD}sources:\n.*?)```", page, re.DOTALL)
]
EXAMPLES = re.findall(
    r"```yaml\n(sources:\n.*?)```\s+```console\n.*?--file (\S+)\n(.*?)```", TEXT, re.DOTALL
)


@pytest.mark.parametrize("text", FILES)
def test_every_file_of_sources_is_valid(tmp_path: Path, text: str):
    path = tmp_path / "sources.yaml"
    path.write_text(text)

    assert load_sources(path, Settings(_env_file=None)).sources


def test_every_preset_has_its_worked_example():
    shown = {each["preset"] for text, _, _ in EXAMPLES for each in yaml.safe_load(text)["sources"]}

    assert shown == set(names())


@pytest.mark.parametrize(("text", "sample", "told"), EXAMPLES, ids=[e[1] for e in EXAMPLES])
def test_check_says_what_the_page_says(tmp_path: Path, text: str, sample: str, told: str):
    path = tmp_path / "sources.yaml"
    path.write_text(text)

    done = CliRunner().invoke(app, ["check", str(path), "--file", str(DATA / sample)])

    assert done.exit_code == 0, done.output
    shown = [line for line in told.splitlines() if line.strip() != "…"]
    assert len(shown) >= 3
    for line in shown:
        parts = [re.escape(part) for part in line.strip().split("…")]
        assert re.search(".*".join(parts), done.output), line


def test_indented_examples_complete_the_one_before():
    extra = re.findall(r"```yaml\n( {2,}.*?)```", TEXT, re.DOTALL)

    assert extra
    for text in extra:
        assert yaml.safe_load(textwrap.dedent(text))
