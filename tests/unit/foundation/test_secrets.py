"""Secrets are in no output: the client.properties' values, and the credentials of a URL."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from models.artifacts import Artifact
from models.errors import ArtifactUnavailable
from processor.artifacts.remote import Remote
from processor.artifacts.storage import storage
from processor.cli import show_settings
from processor.cli.main import app, main
from processor.kafka import config as kafka
from processor.settings import PREFIX, Settings, SettingsError, load

PLANTED = "pl4nted/se+cret"
USER = "AKIAPLANTED"
URL = f"s3://{USER}:{PLANTED}@bucket/prefix"


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def free_of_secrets(text: str) -> bool:
    return not any(secret in text for secret in (PLANTED, USER))


class TestTheUrlOfTheModelDirectory:
    def test_is_told_without_its_credentials(self):
        settings = load(model_dir=URL)

        assert "s3://***@bucket/prefix" in repr(settings)
        assert free_of_secrets(repr(settings) + str(settings))
        assert settings.model_dir == URL

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("./var/models", "./var/models"),
            ("s3://bucket/a@b", "s3://bucket/a@b"),
            ("sftp://host/a:b@c", "sftp://host/a:b@c"),
            ("sftp://user@host/x", "sftp://***@host/x"),
            ("sftp://user:p%40ss@host/x@y", "sftp://***@y"),
            ("s3://key:a/b/c@bucket", "s3://***@bucket"),
        ],
    )
    def test_keeps_what_is_none(self, url, shown):
        assert load(model_dir=url).masked(url) == shown

    def test_is_masked_decoded_and_in_pieces_too(self):
        settings = load(model_dir="sftp://user:p%40ss%21word@host/x")

        told = settings.masked("login of user:p@ss!word failed: p%40ss%21word, p@ss!word")

        assert told == "login of *** failed: ***, ***"

    def test_is_told_masked_when_no_driver_opens_it(self):
        for scheme in ("nosuch", "gs"):
            with pytest.raises(SettingsError, match=f"{scheme}://") as caught:
                storage(load(model_dir=URL.replace("s3", scheme)))
            assert free_of_secrets(str(caught.value))

    def test_is_told_masked_when_its_driver_logs_in_at_once_and_fails(self):
        with pytest.raises(SettingsError, match=r"ftp://\*\*\*@127") as caught:
            storage(load(model_dir=f"ftp://{USER}:onlyletters@127.0.0.1:1/x"))

        assert free_of_secrets(str(caught.value))
        assert "onlyletters" not in str(caught.value)

    def test_is_told_masked_when_its_store_fails(self, tmp_path):
        settings = load(model_dir=URL)
        remote = Remote(Failing(), f"{USER}:{PLANTED}@bucket/prefix", tmp_path, settings.masked)

        with pytest.raises(ArtifactUnavailable) as unread:
            remote.read("features/p/1-0000000000000000.joblib", "0" * 64)
        with pytest.raises(OSError, match="bucket") as unwritten:
            remote.write(Artifact("features/p/1-0.joblib", "0" * 64, b""))
        with pytest.raises(ArtifactUnavailable) as undeleted:
            remote.delete("features/p", lambda _: True)

        for caught in (unread, unwritten, undeleted):
            assert "***@bucket" in str(caught.value)
            assert free_of_secrets(str(caught.value))

    @given(
        st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="/@:"), min_size=4)
    )
    def test_no_password_is_seen_whatever_it_is(self, password):
        settings = Settings(_env_file=None, model_dir=f"sftp://user:x{password}@host/dir")

        assert f"x{password}" not in repr(settings).replace("sftp://***@host/dir", "")


class Failing:
    """A store whose errors name what it was asked for, as S3's driver does."""

    def __getattr__(self, name: str) -> Any:
        def call(path: str, *_: Any, **__: Any) -> Any:
            raise ValueError(f"Invalid bucket name {path!r}")

        return call


class TestShowSettings:
    @pytest.fixture
    def properties(self, empty_directory: Path) -> Path:
        file = empty_directory / "client.properties"
        file.write_text(f"security.protocol=SASL_SSL\nsasl.password={PLANTED}\n")
        return file

    def shown(self, *arguments: str, **environment: str) -> dict[str, str]:
        done = CliRunner().invoke(app, [*arguments, "--show-settings"], env=environment)
        assert done.exit_code == 0, done.output
        assert free_of_secrets(done.output)
        return dict(line.split("=", 1) for line in done.stdout.splitlines())

    @pytest.mark.parametrize("command", ["score", "retrain", "run"])
    def test_tells_every_setting_with_its_origin_and_no_secret(self, command, properties):
        (properties.parent / ".env").write_text("TELLTALE_REPLICATION=3\n")

        found = self.shown(
            command,
            "--slot",
            "7",
            TELLTALE_KAFKA_CONFIG=str(properties),
            TELLTALE_MODEL_DIR=URL,
        )

        assert {PREFIX + name.upper() for name in Settings.model_fields} <= found.keys()
        assert found["TELLTALE_SLOT"] == "7  # flag"
        assert found["TELLTALE_MODEL_DIR"] == "s3://***@bucket/prefix  # environment"
        assert found["TELLTALE_REPLICATION"] == "3  # .env"
        assert found["TELLTALE_PARTITIONS"] == "8  # default"
        assert found["#   security.protocol"] == found["#   sasl.password"] == "***"

    def test_can_be_read_again_as_an_env_file(self, empty_directory):
        settings = load(partitions=5, alert_budget=0.02)
        file = empty_directory / "shown.env"
        file.write_text("\n".join(show_settings.lines(settings, {})))

        assert Settings(_env_file=file) == settings

    def test_tells_of_a_file_that_cannot_be_read_and_shows_the_rest(self):
        done = CliRunner().invoke(app, ["run", "--show-settings", "--kafka-config", "nowhere"])

        assert done.exit_code == 0
        assert "#   TELLTALE_KAFKA_CONFIG: expected a readable file" in done.stdout
        assert "TELLTALE_LOG_LEVEL=info" in done.stdout


class TestTheClientProperties:
    def test_a_secret_in_the_wrong_line_is_not_told(self, empty_directory, monkeypatch, capsys):
        file = empty_directory / "client.properties"
        file.write_text(f"security.protocol={PLANTED}\n")
        monkeypatch.setattr("sys.argv", ["telltale", "tail", "--kafka-config", str(file)])

        with pytest.raises(SystemExit) as ended:
            main()

        told = capsys.readouterr().err
        assert ended.value.code == 1
        assert "security.protocol" in told
        assert free_of_secrets(told)

    @pytest.mark.parametrize("key", kafka.JAVA_ONLY_PROPERTIES)
    def test_that_only_javas_clients_know_are_told_by_name_with_what_to_set(
        self, empty_directory, key
    ):
        file = empty_directory / "client.properties"
        file.write_text(f"{key}={PLANTED}\n")

        with pytest.raises(SettingsError, match=key) as caught:
            kafka.base(load(kafka_config=str(file)))

        assert kafka.JAVA_ONLY_PROPERTIES[key] in str(caught.value)
        assert free_of_secrets(str(caught.value))
