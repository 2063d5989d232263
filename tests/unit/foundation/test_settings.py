"""Settings: where they come from, and what a wrong one says."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.features import KINDS
from processor.kafka import config as kafka
from processor.settings import PREFIX, Settings, SettingsError, load
from processor.stream.polling import POLL_SECONDS


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No ``.env`` but the one that a test writes."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestDefaults:
    def test_are_those_of_the_contract(self):
        settings = load()
        assert settings.bootstrap_servers == "localhost:9092"
        assert settings.kafka_config is None
        assert settings.topic_prefix == ""
        assert (settings.partitions, settings.replication) == (8, 1)
        assert settings.application == "telltale"
        assert settings.slot is None
        assert settings.model_dir == "./var/models"
        assert settings.cold_start_samples == 200
        assert settings.min_training_data_points == 3
        assert settings.alert_budget == 0.01
        assert settings.detector is None
        assert (settings.retrain_samples, settings.retrain_days) == (500, 7)
        assert settings.max_record_bytes == 1_000_000
        assert (settings.max_features, settings.max_samples) == (1000, 10_000)
        assert settings.model_memory == 2**30
        assert (settings.http_host, settings.http_port) == ("127.0.0.1", None)
        assert settings.log_format is None
        assert (settings.session_timeout_ms, settings.transaction_timeout_ms) == (6000, 10_000)
        assert settings.max_poll_interval_ms == 60_000
        assert settings.lost_offsets == "stop"

    def test_every_setting_says_what_it_is(self):
        assert all(field.description for field in Settings.model_fields.values())

    @pytest.mark.parametrize("kind", KINDS)
    def test_cold_start_and_detector_can_be_set_for_each_kind(self, kind, monkeypatch):
        monkeypatch.setenv(f"TELLTALE_COLD_START_SAMPLES__{kind.upper()}", "17")
        monkeypatch.setenv(f"TELLTALE_DETECTOR__{kind.upper()}", "forest")
        monkeypatch.setenv("TELLTALE_DETECTOR", "neighbors")
        settings = load()
        for other in KINDS:
            own = other == kind
            assert settings.cold_start(other) == (17 if own else 200)
            assert settings.detector_for(other, "blend") == ("forest" if own else "neighbors")

    def test_without_a_setting_a_kinds_own_detector_is_taken(self):
        assert load().detector_for("series", "gaussian") == "gaussian"


class TestSources:
    def test_flags_go_before_the_environment_and_that_before_the_file(
        self, empty_directory, monkeypatch
    ):
        file = "TELLTALE_PARTITIONS=3\nTELLTALE_REPLICATION=3\nTELLTALE_SLOT=3\n"
        (empty_directory / ".env").write_text(file)
        monkeypatch.setenv("TELLTALE_REPLICATION", "2")
        monkeypatch.setenv("TELLTALE_SLOT", "2")
        settings = load(slot="1", replication=None)
        assert (settings.partitions, settings.replication, settings.slot) == (3, 2, "1")

    def test_an_empty_variable_is_none_at_all(self, monkeypatch):
        monkeypatch.setenv("TELLTALE_SLOT", "")
        assert load().slot is None

    def test_what_is_not_ours_is_ignored(self, empty_directory, monkeypatch):
        (empty_directory / ".env").write_text("POSTGRES_PASSWORD=x\nTELLTALE_PARTITIONS=3\n")
        monkeypatch.setenv("PARTITIONS", "9")
        assert load().partitions == 3

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("1000000", 10**6),
            ("512MiB", 512 * 2**20),
            ("1GiB", 2**30),
            ("2 gib", 2**31),
            ("64KiB", 2**16),
            ("5MB", 5 * 10**6),
            ("7b", 7),
        ],
    )
    def test_sizes_have_units(self, monkeypatch, text, expected):
        monkeypatch.setenv("TELLTALE_MODEL_MEMORY", text)
        assert load().model_memory == expected


WRONG = [
    ("PARTITIONS", "0", "greater than or equal to 1"),
    ("PARTITIONS", "many", "a valid integer"),
    ("REPLICATION", "-1", "greater than or equal to 1"),
    ("TOPIC_PREFIX", "a b", "letters, digits"),
    ("APPLICATION", "tell tale", "letters, digits"),
    ("SLOT", "a/b", "letters, digits"),
    ("COLD_START_SAMPLES", "x", "a valid integer"),
    ("COLD_START_SAMPLES__SERIES", "1.5", "a valid integer"),
    ("MIN_TRAINING_DATA_POINTS", "2", "greater than or equal to 3"),
    ("ALERT_BUDGET", "0", "greater than 0"),
    ("ALERT_BUDGET", "0.5", "less than 0.5"),
    ("ALERT_BUDGET", "nan", "less than 0.5"),
    ("DETECTOR", "oracle", "'blend', 'forest', 'gaussian', 'deviation', 'neighbors' or 'forecast'"),
    ("DETECTOR__BEHAVIOR", "oracle", "'blend'"),
    ("RETRAIN_SAMPLES", "0", "greater than or equal to 1"),
    ("RETRAIN_DAYS", "0", "greater than 0"),
    ("RETRAIN_DAYS", "nan", "a finite number"),
    ("MAX_RECORD_BYTES", "5 parsecs", "a number of bytes, as 1GiB"),
    ("MODEL_MEMORY", "-1", "greater than 0"),
    ("MAX_FEATURES", "0", "greater than or equal to 1"),
    ("MAX_SAMPLES", "1e9", "a valid integer"),
    ("LOST_OFFSETS", "ignore", "'stop', 'earliest' or 'latest'"),
    ("HTTP_PORT", "65536", "less than or equal to 65535"),
    ("LOG_FORMAT", "xml", "'console' or 'json'"),
]


class TestAWrongValue:
    @pytest.mark.parametrize(("name", "value", "expected"), WRONG)
    def test_names_the_variable_the_value_and_what_was_expected(
        self, monkeypatch, name, value, expected
    ):
        monkeypatch.setenv(PREFIX + name, value)
        with pytest.raises(SettingsError) as caught:
            load()
        sentence = str(caught.value)
        assert sentence.startswith(f"{PREFIX}{name}: expected ")
        assert expected in sentence
        assert repr(value) in sentence
        assert "\n" not in sentence

    def test_in_the_file_is_told_as_well(self, empty_directory):
        (empty_directory / ".env").write_text("TELLTALE_PARTITIONS=none\n")
        with pytest.raises(SettingsError, match=r"TELLTALE_PARTITIONS: expected .*'none'"):
            load()

    def test_given_as_a_flag_is_told_as_well(self):
        with pytest.raises(SettingsError, match=r"TELLTALE_PARTITIONS: expected .*'none'"):
            load(partitions="none")

    def test_of_several_all_are_told(self, monkeypatch):
        monkeypatch.setenv("TELLTALE_PARTITIONS", "none")
        monkeypatch.setenv("TELLTALE_ALERT_BUDGET", "7")
        with pytest.raises(SettingsError) as caught:
            load()
        assert "TELLTALE_PARTITIONS" in str(caught.value)
        assert "TELLTALE_ALERT_BUDGET" in str(caught.value)

    @pytest.mark.parametrize(
        "name", ["COLD_START_SAMPLES", *(f"COLD_START_SAMPLES__{kind.upper()}" for kind in KINDS)]
    )
    def test_a_cold_start_below_what_training_needs_stops_the_start(self, monkeypatch, name):
        monkeypatch.setenv("TELLTALE_MIN_TRAINING_DATA_POINTS", "10")
        monkeypatch.setenv(PREFIX + name, "9")
        with pytest.raises(SettingsError) as caught:
            load()
        expected = "expected at least TELLTALE_MIN_TRAINING_DATA_POINTS (10), got 9"
        assert str(caught.value) == f"{PREFIX}{name}: {expected}"

    @pytest.mark.parametrize(
        ("name", "value"),
        [("TRANSACTION_TIMEOUT_MS", "20000"), ("SESSION_TIMEOUT_MS", "30000")],
    )
    def test_times_that_contradict_one_another_stop_the_start(self, monkeypatch, name, value):
        monkeypatch.setenv("TELLTALE_MAX_POLL_INTERVAL_MS", "15000")
        monkeypatch.setenv(PREFIX + name, value)
        with pytest.raises(SettingsError, match=f"{PREFIX}{name}: expected .* got {value}"):
            load()


@given(st.text() | st.from_regex(r"\s*[0-9]{1,30}\s*[kKmMgG]?i?[bB]?\s*", fullmatch=True))
def test_any_text_is_a_size_or_an_error_of_settings(text):
    found = size_or_error(text)
    assert found > 0 if isinstance(found, int) else found.startswith("TELLTALE_MODEL_MEMORY: ")


def size_or_error(text: str) -> int | str:
    try:
        return load(model_memory=text).model_memory
    except SettingsError as error:
        return str(error)


class TestTheClientProperties:
    def written(self, directory: Path, text: str) -> Settings:
        path = directory / "client.properties"
        path.write_text(text)
        return load(kafka_config=str(path))

    def test_are_passed_on_as_they_are(self, empty_directory):
        text = "# TLS\n! and more\n\nsecurity.protocol=SASL_SSL\n sasl.password = a=b \n"
        config = kafka.base(self.written(empty_directory, text))
        assert config["security.protocol"] == "SASL_SSL"
        assert config["sasl.password"] == "a=b"

    @pytest.mark.parametrize(
        "key", ["group.id", "transactional.id", "enable.auto.commit", "isolation.level"]
    )
    def test_that_set_what_is_ours_stop_the_start(self, empty_directory, key):
        settings = self.written(empty_directory, f"{key}=x\n")
        with pytest.raises(SettingsError, match=f"TELLTALE_KAFKA_CONFIG: .* sets {key}"):
            kafka.base(settings)

    def test_that_are_malformed_are_told_by_line_without_what_it_says(self, empty_directory):
        settings = self.written(empty_directory, "a=b\nhunter2\n")
        with pytest.raises(SettingsError, match="line 2") as caught:
            kafka.base(settings)
        assert "hunter2" not in str(caught.value)

    def test_that_are_not_there_stop_the_start(self):
        with pytest.raises(SettingsError, match="TELLTALE_KAFKA_CONFIG: expected a readable file"):
            kafka.base(load(kafka_config="nowhere.properties"))


class TestKafkaClients:
    """What KAFKA.md has each client told."""

    def test_the_group_consumer_commits_nothing_by_itself(self):
        config = kafka.group_consumer(load(), "telltale-scorer")
        assert config["group.id"] == "telltale-scorer"
        assert config["enable.auto.commit"] is False
        assert config["isolation.level"] == "read_committed"
        assert config["partition.assignment.strategy"] == "range"
        assert config["fetch.queue.backoff.ms"] == 20
        assert config["session.timeout.ms"] == 6000
        assert config["heartbeat.interval.ms"] == 2000
        assert config["queued.max.messages.kbytes"] > 0
        assert "group.instance.id" not in config

    def test_the_group_consumer_is_answered_for_records_worth_it_but_within_a_turn(self):
        config = kafka.group_consumer(load(), "telltale-scorer")
        assert config["fetch.min.bytes"] > 1
        assert config["fetch.wait.max.ms"] / 1000 <= POLL_SECONDS

    def test_a_reader_reads_committed_records_to_their_end(self):
        config = kafka.reader_config(load())
        assert config["isolation.level"] == "read_committed"
        assert config["enable.partition.eof"] is True
        assert config["enable.auto.commit"] is False

    def test_the_producer_is_transactional_and_takes_large_records(self):
        config = kafka.transactional_producer(load(), "telltale-scorer-0")
        assert config["transactional.id"] == "telltale-scorer-0"
        assert config["transaction.timeout.ms"] == 10_000
        assert config["retry.backoff.ms"] == 2
        assert config["message.max.bytes"] == 9 * 2**20

    def test_tools_place_keys_as_javas_clients_do(self):
        assert kafka.plain_producer(load())["partitioner"] == "murmur2_random"
