"""`.env.example` and the compose file know the settings that the program knows, and no others."""

import re
from pathlib import Path

import pytest
import yaml

from console.settings import ConsoleSettings
from processor.settings import PREFIX, Settings

ROOT = Path(__file__).parents[3]
SETTINGS = (Settings, ConsoleSettings)
VARIABLES = {PREFIX + name.upper() for of in SETTINGS for name in of.model_fields}


def example() -> dict[str, str]:
    text = (ROOT / ".env.example").read_text()
    return dict(re.findall(rf"^#?({PREFIX}\w+)=(.*)$", text, flags=re.MULTILINE))


def test_the_example_names_every_setting_and_nothing_else():
    assert set(example()) == VARIABLES


def test_the_example_shows_the_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    shown = tmp_path / "shown.env"
    shown.write_text("".join(f"{name}={value}\n" for name, value in example().items()))

    for of in SETTINGS:
        assert of(_env_file=shown) == of(_env_file=None)


def test_the_example_changes_nothing_before_it_is_edited():
    lines = (ROOT / ".env.example").read_text().splitlines()

    assert [line for line in lines if line and not line.startswith("#")] == []


def test_the_compose_file_sets_only_what_the_program_reads():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    used = {name for service in services.values() for name in service.get("environment", {})}

    assert {name for name in used if name.startswith(PREFIX)} - VARIABLES == set()


def test_the_image_sets_only_what_the_program_reads():
    used = set(re.findall(rf"{PREFIX}\w+", (ROOT / "Dockerfile").read_text()))

    assert used
    assert used - VARIABLES == set()
