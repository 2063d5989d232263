"""A bucket as model directory: an S3-compatible server over HTTP, both roles as processes."""

import hashlib
import json
import pickle
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
import joblib
import pytest

from models.errors import ArtifactUnavailable
from models.naming import profile_directory
from processor.artifacts.orphans import DAY_MS, OrphanCollector
from processor.artifacts.owner import OWNER_FILE, decode_owner
from processor.artifacts.storage import storage
from processor.settings import Settings
from tests.broker.harness import PATIENCE, Telltale, by_profile
from tests.broker.test_pipeline import vectors
from tests.kafka.broker import free_ports

HOST = "127.0.0.1"
URL = "s3://telltale/models/here"
FEW = {"TELLTALE_COLD_START_SAMPLES": "30", "TELLTALE_RETRAIN_SAMPLES": "20"}
NAME = re.compile(r"features/p\d-[0-9a-f]{16}/\d+-([0-9a-f]{16})\.joblib")


class Bucket:
    """The bucket as its server holds it."""

    def __init__(self, server: subprocess.Popen[bytes]) -> None:
        self.server = server
        self._files = fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True)
        self._files.mkdir("telltale")

    def objects(self) -> dict[str, bytes]:
        """Content of every artefact, by its name below the model directory."""
        root = URL.removeprefix("s3://") + "/"
        found = {}
        for path in filter(lambda path: path.endswith(".joblib"), self._files.find(root)):
            # A candidate that was refused may be deleted meanwhile.
            with suppress(FileNotFoundError):
                found[path.removeprefix(root)] = self._files.cat_file(path)
        return found

    def owner(self) -> bytes:
        """What the owner file holds."""
        content: bytes = self._files.cat_file(f"{URL}/{OWNER_FILE}")
        return content

    def put(self, name: str, content: bytes) -> None:
        self._files.pipe_file(f"{URL}/{name}", content)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A server with an empty bucket; the environment leads every S3 client to it."""
    (port,) = free_ports(1)
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{HOST}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    server = subprocess.Popen(
        [str(Path(sys.executable).with_name("moto_server")), "-H", HOST, "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # A driver is kept for the next who names the same URL, with the address of its server.
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    try:
        await_port(port, server)
        yield Bucket(server)
    finally:
        server.kill()
        server.wait()


def await_port(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert server.poll() is None, f"moto_server ended with {server.returncode}"
        with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
    raise AssertionError("moto_server does not answer")


@pytest.fixture
def remote(environment: dict[str, str], bucket: Bucket, tmp_path: Path) -> Iterator[Telltale]:
    """An application whose model directory is the bucket; each start names a cache of its own."""
    assert bucket.server.poll() is None
    logs = tmp_path / "logs"
    logs.mkdir()
    application = Telltale(environment | {"TELLTALE_MODEL_DIR": URL} | FEW, logs)
    yield application
    application.close()


def score(remote: Telltale, cache: Path) -> subprocess.Popen[bytes]:
    return remote.start("score", "--slot", "0", TELLTALE_MODEL_CACHE=str(cache))


def ready(remote: Telltale) -> tuple[int, str]:
    """Status and reason that the process started last gives at ``/health/ready``."""
    ports = [line["port"] for line in remote.log_lines() if line["event"] == "listening"]
    try:
        with urllib.request.urlopen(f"http://{HOST}:{ports[-1]}/health/ready", timeout=60) as found:
            return found.status, json.load(found)["roles"]["scorer"]
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)["roles"]["scorer"]


class Bomb:
    """Leaves a file behind wherever it is unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self._file,)


def test_artefacts_land_in_the_bucket_and_an_empty_cache_is_filled_from_it(
    remote: Telltale, bucket: Bucket, tmp_path: Path
) -> None:
    records, _ = vectors(profiles=2, count=90, seed=1)
    remote.create_topics()
    remote.produce("telemetry.features", records[:140])
    scorer = score(remote, tmp_path / "first")
    remote.start("retrain", "--slot", "0", TELLTALE_MODEL_CACHE=str(tmp_path / "retrainer"))
    remote.wait_for(140)
    remote.wait_until(
        lambda: {m["version"] for m in remote.values("models")} >= {1, 2}, "version 2"
    )
    assert remote.stop(scorer) == 0

    score(remote, tmp_path / "empty")
    remote.produce("telemetry.features", records[140:])
    verdicts = by_profile(remote.wait_for(len(records)))

    owner = decode_owner(bucket.owner())
    assert f"{owner.application}." == owner.topic_prefix
    assert None not in (owner.cluster_id, owner.models_topic_id)
    objects = bucket.objects()
    for name, content in objects.items():
        named = NAME.fullmatch(name)
        assert named is not None, name
        assert hashlib.sha256(content).hexdigest().startswith(named[1])
    announced = remote.values("models")
    assert {m["artifact"] for m in announced} <= objects.keys()
    for model in announced:
        assert hashlib.sha256(objects[model["artifact"]]).hexdigest() == model["sha256"]
    copies = list((tmp_path / "empty").iterdir())
    assert copies
    for copy in copies:
        assert copy.name == f"{hashlib.sha256(copy.read_bytes()).hexdigest()}.joblib"
    for mine in verdicts.values():
        assert [v["samples_seen"] for v in mine] == [*range(1, 31), *[30] * 60]
        assert {v["status"] for v in mine[30:]} == {"scored"}
    assert not [e for e in remote.values("lifecycle") if e["event"] == "model_lost"]


def test_what_was_corrupted_is_never_unpickled_in_the_bucket_or_in_the_cache(
    remote: Telltale, bucket: Bucket, tmp_path: Path
) -> None:
    records, _ = vectors(profiles=3, count=45, seed=2)
    cache, exploded = tmp_path / "cache", tmp_path / "exploded"
    bomb = pickle.dumps(Bomb(exploded))
    remote.create_topics()
    remote.produce("telemetry.features", records[:105])
    scorer = score(remote, cache)
    remote.wait_for(105)
    assert remote.stop(scorer) == 0
    models = {m["profile_id"]: m for m in remote.values("models")}
    bucket.put(models["p0"]["artifact"], bomb)
    (cache / f"{models['p0']['sha256']}.joblib").unlink()
    (cache / f"{models['p1']['sha256']}.joblib").write_bytes(bomb)

    score(remote, cache)
    remote.produce("telemetry.features", records[105:])
    verdicts = by_profile(remote.wait_for(len(records)))

    assert not exploded.exists()
    lost = [e for e in remote.values("lifecycle") if e["event"] == "model_lost"]
    assert [event["profile_id"] for event in lost] == ["p0"]
    assert "not opened" in lost[0]["detail"]
    assert [(v["status"], v["samples_seen"]) for v in verdicts["p0"][35:]] == [
        ("learning", n) for n in range(1, 11)
    ]
    for profile in ("p1", "p2"):
        assert [v["status"] for v in verdicts[profile]] == ["learning"] * 30 + ["scored"] * 15
    healed = (cache / f"{models['p1']['sha256']}.joblib").read_bytes()
    assert hashlib.sha256(healed).hexdigest() == models["p1"]["sha256"]
    (tmp_path / "bomb").write_bytes(bomb)
    joblib.load(tmp_path / "bomb")
    assert exploded.exists(), "the bomb would have gone off"


def test_forgetting_a_profile_deletes_its_artefacts_in_the_bucket_and_in_the_cache(
    remote: Telltale, bucket: Bucket, tmp_path: Path
) -> None:
    records, _ = vectors(profiles=2, count=40, seed=3)
    remote.create_topics()
    remote.produce("telemetry.features", records)
    score(remote, tmp_path / "cache")
    remote.start("retrain", "--slot", "0", TELLTALE_MODEL_CACHE=str(tmp_path / "retrainer"))
    remote.wait_for(len(records))
    models = {m["profile_id"]: m for m in remote.values("models")}

    done = remote.run("profile", "forget", "p0")

    assert done.returncode == 0, done.stderr
    assert set(bucket.objects()) == {models["p1"]["artifact"]}
    copies = [copy.name for copy in (tmp_path / "cache").iterdir()]
    assert copies == [f"{models['p1']['sha256']}.joblib"]


def test_a_server_that_hangs_is_waited_for_and_nothing_is_lost(
    remote: Telltale, bucket: Bucket, tmp_path: Path
) -> None:
    records, _ = vectors(profiles=3, count=50, seed=4)
    remote.create_topics()
    remote.produce("telemetry.features", records[:120])
    scorer = score(remote, tmp_path / "first")
    remote.wait_for(120)
    assert remote.stop(scorer) == 0

    bucket.server.send_signal(signal.SIGSTOP)
    try:
        scorer = score(remote, tmp_path / "empty")
        remote.produce("telemetry.features", records[120:])
        remote.wait_until(
            lambda: any(
                "model directory" in line.get("reason", "")
                for line in remote.log_lines()
                if line["event"] == "waiting"
            ),
            "the scorer says what it waits for",
        )
        status, reason = ready(remote)
        meanwhile = len(remote.read("anomalies"))
    finally:
        bucket.server.send_signal(signal.SIGCONT)
    verdicts = by_profile(remote.wait_for(len(records)))

    assert (status, meanwhile) == (503, 120)
    assert "the model directory does not answer" in reason
    assert len(remote.read("anomalies")) == len(records)
    for mine in verdicts.values():
        assert [v["samples_seen"] for v in mine] == [*range(1, 31), *[30] * 20]
        assert {v["status"] for v in mine[30:]} == {"scored"}
    assert not [e for e in remote.values("lifecycle") if e["event"] == "model_lost"]
    remote.wait_until(lambda: ready(remote)[0] == 200, "ready again")
    assert remote.stop(scorer) == 0


def test_orphans_are_swept_from_the_bucket_and_what_is_young_or_of_others_stays(
    bucket: Bucket, tmp_path: Path
) -> None:
    store = storage(Settings(_env_file=None, model_dir=URL, model_cache=str(tmp_path)))
    mine, others = (profile_directory("features", name, 0) for name in ("p0", "p1"))
    learning = [(0, "features", "p0")]
    bucket.put(f"{mine}/1-{'0' * 16}.joblib", b"old")
    bucket.put(f"{others}/1-{'1' * 16}.joblib", b"another process's")
    now = time.time_ns() // 1_000_000

    OrphanCollector(store).collect_some(learning, lambda _: set(), now + DAY_MS - 60_000)
    young = set(bucket.objects())
    # Written by another process after the store has listed the folder.
    bucket.put(f"{mine}/1-{'2' * 16}.joblib", b"old as well")
    OrphanCollector(store).collect_some(learning, lambda _: set(), now + DAY_MS + 60_000)

    assert len(young) == 2
    assert set(bucket.objects()) == {f"{others}/1-{'1' * 16}.joblib"}


def test_a_bucket_without_its_driver_stops_the_start_and_says_what_to_install(
    telltale: Telltale, tmp_path: Path
) -> None:
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / "s3fs.py").write_text("raise ImportError('no module named s3fs')\n")

    stopped = telltale.run("score", TELLTALE_MODEL_DIR=URL, PYTHONPATH=str(absent))

    assert stopped.returncode == 1
    assert "TELLTALE_MODEL_DIR" in stopped.stderr
    assert "pip install 'telltale[s3]'" in stopped.stderr


def test_all_who_start_at_once_on_an_empty_bucket_share_one_secret(
    bucket: Bucket, tmp_path: Path
) -> None:
    assert bucket.objects() == {}
    settings = Settings(_env_file=None, model_dir=URL, model_cache=str(tmp_path))

    def waited_for(_: int) -> bytes:
        """As a role does that gets no answer in time."""
        store, deadline = storage(settings), time.monotonic() + 60
        while True:
            try:
                return store.shared_secret()
            except ArtifactUnavailable:
                assert time.monotonic() < deadline

    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(waited_for, range(4)))

    assert [len(secret) for secret in found] == [32]
    assert waited_for(0) in found
