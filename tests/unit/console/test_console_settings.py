"""What stops the start of a console, and what does not tell a secret while it does."""

from pathlib import Path
from typing import Any

import pytest

from console.settings import ConsoleSettings, refuse_unsafe
from processor.settings import SettingsError, load_as

SECRET = "0123456789abcdef0123456789abcdef"


def settings(**wanted: Any) -> ConsoleSettings:
    return ConsoleSettings(_env_file=None, **wanted)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("TELLTALE_CONSOLE_PORT", "70000", "less than or equal to 65535"),
        ("TELLTALE_CONSOLE_ENVIRONMENT", "test", "'development' or 'production'"),
        ("TELLTALE_RATE_LIMIT", "many", "a number and a time"),
        ("TELLTALE_JWT_HOURS", "48", "less than or equal to 24"),
        ("TELLTALE_DATABASE_MAX", "5", "at least TELLTALE_DATABASE_POOL"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable_and_what_was_expected(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
):
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError) as told:
        load_as(ConsoleSettings)

    assert str(told.value).startswith(f"{variable}: expected")
    assert expected in str(told.value)
    assert value in str(told.value)


@pytest.mark.parametrize(
    "url", ["mysql://u:hunter2@db/x", "hunter2", "sqlite://", "sqlite:///:memory:"]
)
def test_a_store_that_is_none_is_refused_without_its_password(url: str):
    with pytest.raises(SettingsError, match="TELLTALE_DATABASE_URL: expected sqlite") as told:
        _ = settings(database_url=url).database

    assert "hunter2" not in str(told.value)


def test_postgresql_is_spoken_to_by_psycopg_3_whatever_driver_its_url_names():
    for url in ("postgresql://h/d", "postgres://h/d", "postgresql+psycopg2://h/d"):
        assert settings(database_url=url).database.drivername == "postgresql+psycopg"


def test_the_variable_of_the_documents_is_read_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://h/one")
    assert settings().database_url == "postgresql://h/one"

    monkeypatch.setenv("TELLTALE_DATABASE_URL", "postgresql://h/two")
    assert settings().database_url == "postgresql://h/two"


def test_a_secret_may_be_in_a_file_and_is_long(tmp_path: Path):
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")

    assert settings(jwt_secret_file=file).secret == SECRET.encode()
    with pytest.raises(
        SettingsError, match="JWT_SECRET: expected at least 32 bytes, got 7"
    ) as told:
        _ = settings(jwt_secret="hunter2").secret
    assert "hunter2" not in str(told.value)
    with pytest.raises(SettingsError, match="JWT_SECRET_FILE: expected a readable file"):
        _ = settings(jwt_secret_file=tmp_path / "none").secret


@pytest.mark.parametrize(
    ("wanted", "users", "said"),
    [
        ({"console_environment": "production"}, 0, "a secret in production"),
        ({}, 1, "the store holds users"),
        ({"console_host": "0.0.0.0"}, 0, "a loopback address"),  # noqa: S104
        ({"console_host": "console.example"}, 0, "a loopback address"),
    ],
)
def test_a_start_that_is_not_safe_is_refused(wanted: dict[str, Any], users: int, said: str):
    with pytest.raises(SettingsError, match=said):
        refuse_unsafe(settings(**wanted), users)

    refuse_unsafe(settings(jwt_secret=SECRET, **wanted), users)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_without_a_secret_a_console_of_this_machine_alone_may_start(host: str):
    refuse_unsafe(settings(console_host=host), 0)


def test_no_secret_is_shown_by_the_settings():
    assert "hunter2" not in repr(settings(jwt_secret="hunter2" * 9))
