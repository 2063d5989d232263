"""What cannot be proposed to a profile, over HTTP without a broker; both stores."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest

from console.auth import users
from console.store.database import Database
from tests.unit.console.records import model, verdict
from tests.unit.console.test_console_api import PASSWORD, bearer, client_of, fill, made, signed_in
from tests.unit.console.test_lab_api import upload

ROWS = [[n % 7, n % 3] for n in range(60)]
ADA = {"kind": "features", "profile_id": "ada"}


@pytest.fixture
def client(database: Database, tmp_path: Path) -> Any:
    console = made(database, data_dir=f"{tmp_path}/data")
    learning = verdict(1, "bob", status="learning", generation=None, model_version=None)
    fill(console, model(0, "ada", features=["cpu", "memory"]), learning)
    return client_of(console)


def stored(client: Any, estimator: Any, **headers: Any) -> str:
    told = upload(client, skops.io.dumps(estimator), "m.skops", path="/api/v1/models", **headers)
    assert told.status_code == 201, told.text
    return str(told.json()["id"])


def named(*names: str) -> IsolationForest:
    forest = IsolationForest(n_estimators=5, random_state=0).fit(ROWS)
    forest.feature_names_in_ = np.array(names, dtype=object)
    return forest


def propose(client: Any, model_id: str, body: Any, **options: Any) -> Any:
    return client.post(f"/api/v1/models/{model_id}/propose", json=body, **options)


def test_another_estimator_is_refused_with_its_type_and_what_was_expected(client: Any):
    told = propose(client, stored(client, KMeans(2, n_init=1).fit(ROWS)), ADA)

    assert (told.status_code, told.json()["type"]) == (422, "/problems/not_a_detector")
    assert "KMeans" in told.json()["detail"]
    assert "expected a sklearn.ensemble.IsolationForest" in told.json()["detail"]


@pytest.mark.parametrize(
    ("names", "missing", "unknown", "word"),
    [
        (("cpu", "disk"), ["memory"], ["disk"], "lacks 'memory' and it has besides 'disk'"),
        (("memory", "cpu"), [], [], "another order"),
    ],
)
def test_features_that_are_not_the_profiles_are_named(
    client: Any, names: tuple[str, str], missing: list[str], unknown: list[str], word: str
):
    told = propose(client, stored(client, named(*names)), ADA)

    assert (told.status_code, told.json()["type"]) == (422, "/problems/feature_mismatch")
    assert (told.json()["missing"], told.json()["unknown"]) == (missing, unknown)
    assert word in told.json()["detail"]


def test_an_upload_without_names_must_be_as_wide_as_the_profile(client: Any):
    narrow = IsolationForest(n_estimators=2).fit([[n] for n in range(20)])

    told = propose(client, stored(client, narrow), ADA)

    assert told.status_code == 422
    assert "expected the profile's 2, got 1" in told.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status", "name"),
    [
        ({"kind": "features", "profile_id": "nobody"}, 404, "not_found"),
        ({"kind": "features", "profile_id": "bob"}, 409, "learning"),
        ({"kind": "weather", "profile_id": "ada"}, 422, "invalid_request"),
    ],
)
def test_a_profile_without_a_model_in_force_is_not_proposed_to(
    client: Any, body: dict[str, str], status: int, name: str
):
    told = propose(client, stored(client, named("cpu", "memory")), body)

    assert (told.status_code, told.json()["type"]) == (status, f"/problems/{name}")


def test_an_artefact_that_is_gone_and_a_model_that_there_is_not_are_told(client: Any):
    gone = propose(client, stored(client, named("cpu", "memory")), ADA)
    none = propose(client, "nothing", ADA)
    detector = propose(client, "features:ada", ADA)

    assert (gone.status_code, gone.json()["type"]) == (410, "/problems/gone")
    assert (none.status_code, detector.status_code) == (404, 409)


def test_only_who_may_write_models_proposes_and_to_its_own_profiles(
    sqlite: Database, tmp_path: Path
):
    with signed_in(sqlite, "admin", data_dir=str(tmp_path)) as (console, client, admin):
        fill(console, model(0, "ada", features=["cpu", "memory"]), model(1, "mill-1"))
        body = {"name": "mill", "profile_prefix": "mill-"}
        of = client.post("/api/v1/organizations", json=body, headers=admin).json()["id"]
        users.add(sqlite, users.NewUser("eve@mill.org", PASSWORD, "operator", of))
        users.add(sqlite, users.NewUser("ana@mill.org", PASSWORD, "analyst", of))
        eve, ana = bearer(client, "eve@mill.org"), bearer(client, "ana@mill.org")
        own = stored(client, named("cpu", "memory"), headers=eve)
        admins = stored(client, named("cpu", "memory"), headers=admin)

        analyst = propose(client, own, ADA, headers=ana)
        foreign_profile = propose(client, own, ADA, headers=eve)
        foreign_model = propose(client, admins, ADA | {"profile_id": "mill-1"}, headers=eve)

    assert (analyst.status_code, "model:write" in analyst.json()["detail"]) == (403, True)
    assert (foreign_profile.status_code, foreign_model.status_code) == (404, 404)
