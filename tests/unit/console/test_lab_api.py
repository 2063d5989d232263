"""Jobs, data sets, models, charts and rooms over HTTP, without a broker; both stores."""

import gzip
import io
import json
import pickle
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet
import pytest
import skops.io
from sklearn.ensemble import IsolationForest
from sqlalchemy import select
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from console.auth import users
from console.jobs import queue
from console.jobs.queue import End, Owner
from console.jobs.results import Results
from console.live.state import hash_key
from console.store import tables as t
from console.store.database import Database
from console.store.erasure import erase
from tests.unit.console.records import NOON, anomaly, label, model
from tests.unit.console.test_console_api import (
    PASSWORD,
    bearer,
    client_of,
    fill,
    made,
    signed_in,
)

LATER = 4_000_000_000_000
TABLE = b"profile_id,cpu,memory,label\n" + b"".join(
    b"web-%d,%d.5,%s,%s\n"
    % (n % 3, n, b"" if n % 4 == 0 else b"%d" % n, b"bad" if n % 5 == 0 else b"good")
    for n in range(100)
)


def upload(client: Any, content: bytes, filename: str = "t.csv", **texts: Any) -> Any:
    headers = texts.pop("headers", {})
    path = texts.pop("path", "/api/v1/datasets")
    return client.post(path, files={"file": (filename, content)}, data=texts, headers=headers)


@pytest.fixture
def client(database: Database, tmp_path: Path) -> Any:
    directories = {"data_dir": f"{tmp_path}/data", "results_dir": f"{tmp_path}/results"}
    return client_of(made(database, max_upload_bytes=300_000, **directories))


def fitted() -> IsolationForest:
    return IsolationForest(n_estimators=5, random_state=0).fit([[n % 7, n % 3] for n in range(60)])


def test_a_job_is_asked_for_looked_at_and_cancelled_by_the_paths_of_the_documents(client: Any):
    begun = client.post("/api/train/start", json={"type": "triage", "simulate": True, "epochs": 5})
    job_id = begun.json()["session_id"]
    status = client.get(f"/api/train/status/{job_id}").json()
    early = client.get(f"/api/train/results/{job_id}")
    stopped = client.post(f"/api/train/stop/{job_id}")
    results = client.get(f"/api/v1/jobs/{job_id}/results").json()

    assert (begun.status_code, begun.json()["state"]) == (202, "queued")
    assert (status["state"], status["config"]["epochs"], status["progress"]) == ("queued", 5, 0.0)
    assert (early.status_code, early.json()["type"]) == (409, "/problems/not_ended")
    assert (stopped.status_code, stopped.json()["state"]) == (202, "cancelled")
    assert (results["state"], results["training_history"]["epochs"]) == ("cancelled", [])
    assert [job["id"] for job in client.get("/api/v1/jobs?state=cancelled").json()["items"]] == [
        job_id
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"type": "nothing"}, "type"),
        ({"type": "send", "dataset_id": "x", "kind": "features"}, "type"),
        ({"type": "triage", "algorithm": "magic"}, "algorithm"),
        ({"type": "triage", "epochs": 0}, "epochs"),
        ({"type": "triage", "unknown": 1}, "unknown"),
    ],
)
def test_a_job_that_is_described_wrongly_is_refused(client: Any, body: dict[str, Any], field: str):
    told = client.post("/api/v1/jobs", json=body)

    assert told.status_code == 422
    assert field in told.json()["detail"]


def test_all_frames_come_to_a_client_that_opens_the_stream_late(database: Database):
    console = made(database)
    job_id = queue.submit(database, "triage", {}, Owner("local"))
    queue.take(database, "w")
    for epoch in (1, 2):
        queue.report(database, job_id, "w", {"epoch": epoch, "loss": 1 / epoch}, {"epochs": 2}, 0.5)
    queue.finish(database, job_id, "w", End("succeeded"))

    with client_of(console).websocket_connect(f"/ws/training/{job_id}", ["telltale"]) as socket:
        frames = [socket.receive_json() for _ in range(3)]

    six = {"epoch", "loss", "accuracy", "val_loss", "val_accuracy", "timestamp"}
    assert all(six <= frame.keys() and frame["job_id"] == job_id for frame in frames)
    assert [frame["state"] for frame in frames] == ["running", "running", "succeeded"]
    assert [frame["epoch"] for frame in frames] == [1, 2, 2]
    assert frames[0]["accuracy"] is None


def test_results_are_at_the_top_level_and_charts_take_the_jobs_id(
    database: Database, tmp_path: Path
):
    console = made(database, results_dir=str(tmp_path))
    job_id = queue.submit(database, "triage", {}, Owner("local"))
    queue.take(database, "w")
    queue.report(database, job_id, "w", {"epoch": 1, "loss": 0.7, "val_loss": 0.8}, {}, None)
    roc = {"fpr": [0.0, 1.0], "tpr": [0.0, 1.0], "thresholds": [None, 0.5], "auc": 0.5}
    result = {"confusion_matrix": [[50, 2], [3, 45]], "roc_curve": roc, "scores": {"recall": 0.9}}
    path = Results(str(tmp_path)).write(job_id, 1, result)
    queue.finish(database, job_id, "w", End("succeeded", None, path))
    client = client_of(console)

    told = client.get(f"/api/v1/jobs/{job_id}/results").json()
    metrics = client.get(f"/api/viz/metrics/{job_id}").json()
    confusion = client.get(f"/api/viz/confusion/{job_id}").json()

    assert (told["state"], told["confusion_matrix"]) == ("succeeded", [[50, 2], [3, 45]])
    history = metrics["training_history"]
    assert (history["epochs"], history["train_loss"], history["val_loss"]) == ([1], [0.7], [0.8])
    assert metrics["roc_curve"] == client.get(f"/api/viz/roc/{job_id}").json() == roc
    assert (confusion["n"], confusion["order"]["rows"][0]) == (100, "true normal")


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet", "jsonl", "jsonl.gz"])
def test_a_table_is_uploaded_previewed_and_deleted_in_each_format(client: Any, form: str):
    rows = [
        {"profile_id": f"web-{n % 3}", "cpu": n + 0.5, "memory": None if n % 4 == 0 else n}
        | {"label": "bad" if n % 5 == 0 else "good"}
        for n in range(100)
    ]
    if form.startswith("csv"):
        content = TABLE
    elif form == "parquet":
        sink = io.BytesIO()
        pyarrow.parquet.write_table(pa.Table.from_pylist(rows), sink)
        content = sink.getvalue()
    else:
        content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    if form.endswith(".gz"):
        content = gzip.compress(content)

    told = upload(client, content, f"t.{form}", target="label", kind="features")
    preview = client.get(f"/api/data/preview/{told.json()['id']}").json()

    assert told.status_code == 201, told.text
    assert (preview["rows"], preview["format"]) == (100, form)
    columns = {each["name"]: each for each in preview["columns"]}
    assert (columns["cpu"]["type"], columns["cpu"]["min"], columns["cpu"]["max"]) == (
        "number",
        0.5,
        99.5,
    )
    assert (columns["memory"]["type"], columns["memory"]["missing_share"]) == ("integer", 0.25)
    assert preview["label_balance"] == {"good": 80, "bad": 20}
    assert preview["preview"][1] == rows[1]
    assert preview["profile_column"] == "profile_id"
    gone = f"/api/v1/datasets/{preview['id']}"
    assert client.delete(gone).status_code == 200
    assert client.get(gone).status_code == 404


def test_a_column_whose_later_values_are_no_numbers_is_text(client: Any):
    table = b"a,b\n" + b"1,2\n" * 1000 + b"x,3\n"

    told = upload(client, table).json()

    assert [(each["name"], each["type"]) for each in told["columns"]] == [
        ("a", "text"),
        ("b", "integer"),
    ]
    assert told["rows"] == 1001


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("t.exe", b"MZ", 422),
        ("t.csv", b"", 422),
        ("t.csv", b"a,a\n1,2\n", 422),
        ("t.csv", b"a,b\n1\n", 422),
        ("t.jsonl", b"[1]\n", 422),
        ("t.jsonl", b"{\n", 422),
        ("t.parquet", b"PAR1 but not really", 422),
        ("t.csv", b"a\n" + b"1\n" * 160_000, 413),
        ("t.csv", b"a\n" + b"1\n" * 300_000, 413),
        ("t.jsonl.gz", gzip.compress(b'{"a": "' + b"x" * 7_000_000 + b'"}\n'), 422),
    ],
)
def test_a_file_that_is_no_table_or_too_large_is_refused(
    client: Any, name: str, content: bytes, status: int
):
    told = upload(client, content, name)

    assert told.status_code == status, told.text
    assert told.json()["detail"]
    assert client.get("/api/v1/datasets").json()["items"] == []


def test_a_data_set_whose_time_is_over_is_deleted(database: Database, tmp_path: Path):
    from console.lab.blobs import Blobs
    from console.lab.data.expiry import expire

    client = client_of(made(database, data_dir=str(tmp_path)))
    kept = upload(client, TABLE).json()["id"]
    upload(client, TABLE, expires_days="0.5")

    assert expire(database, Blobs(str(tmp_path)), queue.now_ms()) == 0
    assert expire(database, Blobs(str(tmp_path)), queue.now_ms() + 86_400_000) == 1
    assert [each["id"] for each in client.get("/api/v1/datasets").json()["items"]] == [kept]
    assert [path.name for path in (tmp_path / "datasets").iterdir()] == [kept]


def test_a_skops_model_is_taken_listed_drawn_and_deleted(client: Any):
    told = upload(
        client, skops.io.dumps(fitted()), "m.skops", path="/api/models/upload", name="mine"
    )
    model_id = told.json()["id"]
    listed = client.get("/api/v1/models?family=imported").json()["items"]
    graph = client.get(f"/api/viz/graph/{model_id}").json()

    assert told.status_code == 201, told.text
    assert (told.json()["algorithm"], told.json()["features"]) == ("IsolationForest", ["x0", "x1"])
    assert [each["id"] for each in listed] == [model_id]
    assert {"id", "label", "type", "color"} == graph["nodes"][0].keys()
    assert {"from", "to", "weight"} == graph["edges"][0].keys()
    assert client.delete(f"/api/models/{model_id}").status_code == 200
    assert client.get(f"/api/v1/models/{model_id}").status_code == 404


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("this must not run",))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.pkl", pickle.dumps(Evil())),
        ("m.skops", pickle.dumps(Evil())),
        ("m.joblib", b"anything"),
        ("m.pth", b"PK\x03\x04"),
        ("m.skops", b"no zip"),
    ],
)
def test_a_pickle_is_refused_with_the_reason_and_never_opened(
    client: Any, name: str, content: bytes, capsys: pytest.CaptureFixture[str]
):
    told = upload(client, content, name, path="/api/v1/models")

    assert told.status_code == 415
    assert "pickle" in told.json()["detail"]
    assert "this must not run" not in capsys.readouterr().out


def test_a_model_of_untrusted_types_is_refused_and_they_are_named(client: Any):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    content = skops.io.dumps(make_pipeline(FunctionTransformer(gzip.compress), fitted()))

    told = upload(client, content, "m.skops", path="/api/v1/models")

    assert told.status_code == 422
    assert "gzip.compress" in told.json()["detail"]


def test_what_is_in_force_is_not_deleted(database: Database):
    console = made(database)
    fill(console, model(0, "ada"))
    client = client_of(console)

    assert client.delete("/api/v1/models/features:ada").status_code == 409
    assert client.delete("/api/v1/models/features:nobody").status_code == 404


def test_the_figures_of_a_detector_come_from_the_labels_of_its_verdicts(database: Database):
    console = made(database)
    fill(console, model(0, "ada"), *(anomaly(n, "ada") for n in range(4)))
    said = ["anomaly", "anomaly", "normal", "unsure"]
    fill(console, *(label(n, f"telemetry.features-0-{n}", s, "ada") for n, s in enumerate(said)))
    client = client_of(console)

    told = client.get("/api/viz/confusion/features:ada").json()
    graph = client.get("/api/viz/graph/features:ada").json()

    assert told["confusion_matrix"] == [[0, 1], [0, 2]]
    assert client.get("/api/viz/metrics/fleet:features").json()["scores"]["precision"] == 2 / 3
    assert {node["type"] for node in graph["nodes"]} >= {"feature", "threshold", "verdict"}


def test_people_talk_in_the_room_of_a_profile_and_hear_one_another_live(database: Database):
    console = made(database)
    fill(console, model(0, "ada"), anomaly(1, "ada"))
    client = client_of(console)
    path = "/api/v1/rooms/features:ada/messages"

    first = client.post(path, json={"text": "<b>since Monday</b>"})
    with client.websocket_connect("/ws/chat/features:ada", ["telltale"]) as socket:
        before = socket.receive_json()
        socket.send_json({"text": "seen"})
        heard = socket.receive_json()

    assert first.status_code == 201
    assert [before["text"], heard["text"]] == ["<b>since Monday</b>", "seen"]
    items = client.get(path).json()["items"]
    assert [each["text"] for each in items] == ["<b>since Monday</b>", "seen"]
    assert client.get("/api/v1/rooms/telemetry.features-0-1/messages").json() == {"items": []}
    assert client.get("/api/v1/rooms/features:nobody/messages").status_code == 404


def test_a_room_has_the_name_of_any_profile(database: Database):
    console = made(database)
    name = "a/b?c&d#" + "x" * 248
    fill(console, model(0, name))
    client = client_of(console)
    room = quote(f"features:{name}", safe="")

    said = client.post(f"/api/v1/rooms/{room}/messages", json={"text": "seen"})
    with client.websocket_connect(f"/ws/chat/{room}", ["telltale"]) as socket:
        heard = socket.receive_json()

    assert said.status_code == 201
    assert heard == said.json()


def test_nothing_is_said_of_a_profile_that_was_forgotten_meanwhile(database: Database):
    console = made(database)
    fill(console, model(0, "ada"))
    client = client_of(console)
    path = "/api/v1/rooms/features:ada/messages"
    client.post(path, json={"text": "first"})
    key = hash_key(database)

    with client.websocket_connect("/ws/chat/features:ada", ["telltale"]) as socket:
        assert socket.receive_json()["text"] == "first"
        with database.write() as connection:
            erase(database, connection, key, ("features", 0, "ada"), LATER)
        socket.send_json({"text": "late"})
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()

    assert closed.value.code == 1008
    with database.read() as connection:
        assert connection.execute(select(t.messages.c.text)).all() == []


def test_nothing_of_the_lab_is_another_organisations(sqlite: Database, tmp_path: Path):
    with signed_in(sqlite, "admin", data_dir=str(tmp_path)) as (console, client, admin):
        tokens = {}
        for name in ("mill", "dam"):
            body = {"name": name, "profile_prefix": f"{name}-"}
            of = client.post("/api/v1/organizations", json=body, headers=admin).json()["id"]
            users.add(sqlite, users.NewUser(f"eve@{name}.org", PASSWORD, "operator", of))
            tokens[name] = bearer(client, f"eve@{name}.org")
        fill(console, model(0, "mill-1"))
        mill, dam = tokens["mill"], tokens["dam"]
        job = client.post("/api/v1/jobs", json={"type": "triage"}, headers=mill).json()["id"]
        data = upload(client, TABLE, headers=mill).json()["id"]
        dumped = skops.io.dumps(fitted())
        kept = upload(client, dumped, "m.skops", path="/api/v1/models", headers=mill).json()["id"]
        client.post("/api/v1/rooms/features:mill-1/messages", json={"text": "x"}, headers=mill)
        own = [
            ("get", f"/api/v1/jobs/{job}"),
            ("get", f"/api/v1/datasets/{data}"),
            ("get", f"/api/v1/datasets/{data}/preview"),
            ("get", f"/api/v1/models/{kept}"),
            ("get", f"/api/v1/charts/graph/{kept}"),
            ("get", "/api/v1/rooms/features:mill-1/messages"),
            ("get", f"/api/v1/rooms/{job}/messages"),
            ("post", f"/api/v1/jobs/{job}/cancel"),
            ("delete", f"/api/v1/datasets/{data}"),
            ("delete", f"/api/v1/models/{kept}"),
        ]
        others = [client.request(method, path, headers=dam).status_code for method, path in own]
        lists = [
            client.get(path, headers=dam).json()["items"]
            for path in ("/api/v1/jobs", "/api/v1/datasets", "/api/v1/models?family=imported")
        ]
        bearer_of_dam = dam["Authorization"].replace("Bearer ", "bearer.")
        with (
            pytest.raises(WebSocketDenialResponse) as denied,
            client.websocket_connect(f"/ws/training/{job}", ["telltale", bearer_of_dam]),
        ):
            pass
        mine = [client.request(method, path, headers=mill).status_code for method, path in own]

    assert others == [404] * len(own)
    assert lists == [[], [], []]
    assert denied.value.status_code == 404
    assert all(status < 300 for status in mine), mine
    assert NOON
