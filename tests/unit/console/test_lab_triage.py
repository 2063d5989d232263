"""Triage: a model that says which alerts are worth a person's time."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from console.auth.permissions import ANYONE
from console.jobs.context import Context, Stopped
from console.jobs.queue import Owner
from console.lab.registry.storing import register
from console.lab.triage import job
from console.lab.triage.examples import Examples, labelled
from console.lab.triage.features import ALGORITHMS, FEATURES
from console.lab.triage.figures import auc, found_first, interval
from console.lab.triage.pipeline import TooFew, split, trained
from console.lab.triage.training import Epoch
from console.settings import ConsoleSettings
from console.store.database import Database
from processor.settings import Settings
from tests.unit.console.records import anomaly, label, model
from tests.unit.console.test_console_api import client_of, fill, made

KAFKA = Settings(_env_file=None)


def examples(rows: int = 1200, profiles: int = 24, seed: int = 0) -> Examples:
    """Alerts of which those with a small p-value are mostly true."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, len(FEATURES)))
    y = (x[:, 0] + 0.5 * rng.normal(size=rows) > 0).astype(np.int64)
    profile = rng.integers(profiles, size=rows)
    names = [("features", 0, f"p{number}") for number in range(profiles)]
    return Examples(x, y, np.arange(rows), profile, np.ones(rows), names)


def context_of(database: Database, directory: Path, config: dict[str, Any]) -> Context:
    frames: list[dict[str, Any]] = []

    def send(figures: Any, more: Any, _progress: Any) -> None:
        frames.append(figures | more)

    settings = ConsoleSettings(_env_file=None, data_dir=str(directory))
    made = Context("job-1", 1, config, Owner("ada"), settings, KAFKA, database, database, send)
    made.kept["frames"] = frames
    return made


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_tells_its_epochs_and_finds_what_there_is(algorithm: Any):
    told: list[Epoch] = []

    fitted, figures = trained(
        examples(), algorithm, epochs=6, batch_size=64, seed=0, tell=told.append
    )

    assert [each.number for each in told] == [1, 2, 3, 4, 5, 6]
    assert all(np.isfinite([each.loss, each.val_loss]).all() for each in told)
    assert figures["scores"]["accuracy"] > 0.75
    low, high = figures["roc_curve"]["auc_interval"]
    assert 0.7 < low < figures["roc_curve"]["auc"] < high <= 1.0
    best = np.argmax(figures["feature_importance"]["scores"])
    assert figures["feature_importance"]["features"][best] == FEATURES[0]
    assert hasattr(fitted, "predict_proba")


def test_no_profile_and_no_time_is_on_both_sides_of_the_split():
    found = examples()

    chosen = split(found, seed=3)

    parts = [set(found.profile[rows].tolist()) for rows in vars(chosen).values()]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    learnt = np.concatenate([chosen.training, chosen.validation])
    assert found.at[learnt].max() < found.at[chosen.test].min()


def test_too_few_labels_are_said_with_how_many_and_what_to_do():
    with pytest.raises(TooFew, match=r"expected at least 10 .* got \d+: label more, or train on"):
        split(examples(rows=30), seed=0)


def test_the_area_is_scikit_learns_with_ties_and_weights():
    rng = np.random.default_rng(1)
    y, score = rng.integers(2, size=500), rng.integers(10, size=500) / 10
    weight = rng.uniform(1, 5, size=500)

    assert auc(y, score, weight) == pytest.approx(roc_auc_score(y, score, sample_weight=weight))


def test_an_interval_draws_profiles_and_never_records():
    # Each profile is all right or all wrong: drawing records would make the interval far narrower.
    right = np.repeat([0.0, 1.0] * 10, 50)
    profile = np.repeat(np.arange(20), 50)

    low, high = interval(lambda rows: right[rows].mean(), profile, 0) or (0.0, 0.0)

    assert high - low > 0.3


def test_the_first_alerts_are_counted_at_the_same_number_looked_at():
    y = np.array([1, 0, 0, 1])

    (told,) = found_first(y, np.array([4.0, 1, 2, 3]), np.array([1.0, 4, 3, 2]), (0.5,))

    assert (told["looked_at"], told["true_by_triage"], told["true_by_p_value"]) == (2, 2, 0)
    assert told["true_by_chance"] == 1.0


def test_a_job_registers_its_model_and_the_console_ranks_alerts_by_it(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(job, "examples_of", lambda *_: examples())
    context = context_of(database, tmp_path, {"algorithm": "random_forest", "epochs": 2})

    result = job.run(context)

    console = made(database, data_dir=str(tmp_path))
    fill(console, model(0, "ada"), anomaly(1, "ada"))
    client = client_of(console)
    (alert,) = client.get("/api/v1/verdicts").json()["items"]
    listed = client.get("/api/v1/models?family=triage").json()["items"]
    assert 0.0 <= alert["triage_probability"] <= 1.0
    assert "triage_probability" not in client.get(f"/api/v1/verdicts/{alert['verdict_id']}").json()
    assert [(each["id"], each["stage"]) for each in listed] == [(result["model_id"], "in_use")]
    assert client.delete(f"/api/v1/models/{result['model_id']}").status_code == 409
    patched = client.patch(f"/api/v1/models/{result['model_id']}", json={"stage": "archived"})
    assert patched.json()["stage"] == "archived"
    (plain,) = client.get("/api/v1/verdicts").json()["items"]
    assert "triage_probability" not in plain
    assert len(context.kept["frames"]) == 2


def test_a_job_begun_again_registers_the_same_model(sqlite: Database, tmp_path: Path):
    context = context_of(sqlite, tmp_path, {})
    wanted: dict[str, Any] = {
        "name": "n",
        "family": "triage",
        "kind": None,
        "algorithm": "mlp",
        "features": [],
        "figures": {},
        "profiles": [],
    }

    ids = {register(context, {"a": 1}, **wanted) for _ in range(2)}

    assert len(ids) == 1


def test_a_job_that_is_told_to_stop_stops_between_epochs(sqlite: Database, tmp_path: Path):
    context = context_of(sqlite, tmp_path, {})
    context.stop.set()

    with pytest.raises(Stopped):
        context.report(epoch=1, epochs=2)


def test_labels_of_the_store_are_joined_with_their_verdicts(database: Database):
    console = made(database)
    fill(console, model(0, "ada"), *(anomaly(n, "ada") for n in range(1, 5)))
    said = ("anomaly", "normal", "unsure")
    fill(
        console,
        *(label(n, f"telemetry.features-0-{n + 1}", word, "ada") for n, word in enumerate(said)),
    )

    found = labelled(database, ANYONE, None)

    assert found.y.tolist() == [1, 0]
    assert found.profiles == [("features", 0, "ada")]
    assert found.x.shape == (2, len(FEATURES))


def test_the_table_of_simulated_alerts_is_printed_without_a_broker(tmp_path: Path):
    program = "from processor.cli.entry import main; main()"

    told = subprocess.run(
        [sys.executable, "-c", program, "lab", "triage", "--simulate"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert told.returncode == 0, told.stderr
    for algorithm in ALGORITHMS:
        (line,) = re.findall(rf"^{algorithm} +(0\.\d+) .* to ", told.stdout, flags=re.MULTILINE)
        assert float(line) > 0.6
    assert "by p-value" in told.stdout
