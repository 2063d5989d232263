"""Artefacts of every version are opened, and no name is imported that they do not hold."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import hashlib
import io
import json
import pickle
import pickletools
import shlex
import sys
import uuid
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib.numpy_pickle import NumpyUnpickler

from models import DETECTORS, IsolationForest, artifacts, load_detector, unpickling
from models.artifacts import Model
from models.calibration.conformal import Calibration
from models.errors import ArtifactError
from models.learning.training import train
from models.unpickling import CLASSES, STANDING_IN, Name

STORED = Path(__file__).parents[2] / "data" / "artifacts"
"""Of format 2 by the version before this module, of format 1 by two that are older.

Scores are those of the version before this module.
"""

EXPECTED = json.loads((STORED / "expected.json").read_text())
FILES = sorted(STORED.glob("*.joblib"))
TABLE = CLASSES.keys() | STANDING_IN.keys()
JOBLIB = b"joblib.numpy_pickle"
"""A payload with these bytes in it is opened as one of joblib's, also if they come at its end."""


def numbers(values: list[Any]) -> np.ndarray:
    """From JSON, null for NaN."""
    return np.array(values, dtype=np.float64)


def opened(payload: bytes) -> Model:
    """As an artefact whose announcement has the right digest."""
    return artifacts.unpack(payload, hashlib.sha256(payload).hexdigest())


def text(value: str) -> bytes:
    encoded = value.encode("utf-8", "surrogatepass")
    return b"X" + len(encoded).to_bytes(4, "little") + encoded


def named(module: str, name: str) -> bytes:
    """A pickle's opcodes that look a name up."""
    return text(module) + text(name) + b"\x93"


def called(module: str, name: str, *arguments: str) -> bytes:
    """A pickle that has what it names called."""
    return b"\x80\x04" + named(module, name) + b"(" + b"".join(map(text, arguments)) + b"tR."


def names_in(payload: bytes) -> set[Name]:
    """Every name in a pickle, by an unpickler that refuses none."""
    seen: set[Name] = set()

    class Plain(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            seen.add((module, name))
            return super().find_class(module, name)

    class Joblib(NumpyUnpickler):
        def find_class(self, module: str, name: str) -> Any:
            seen.add((module, name))
            return super().find_class(module, name)

    file = io.BytesIO(payload)
    (Joblib("", file, True) if JOBLIB in payload else Plain(file)).load()
    return seen


@pytest.fixture(scope="module")
def blend() -> Model:
    samples = np.random.default_rng(0).normal(size=(30, 2))
    return train("blend", samples, ("a", "b"), alert_budget=0.01, seed=0, provenance={})


def packed(model: Model) -> bytes:
    return artifacts.pack(model, kind="features", profile_id="p", partition=0, generation=1).payload


# --- Artefacts that are opened ---------------------------------------------------------------


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_artefact_of_an_earlier_version_scores_as_it_did(file: Path) -> None:
    expected = EXPECTED["artifacts"][file.name]

    detector = load_detector(file, expected["sha256"])

    scores = detector.score_samples(numbers(EXPECTED["rows"]))
    np.testing.assert_allclose(scores, numbers(expected["scores"]), rtol=0, atol=1e-9)
    assert detector.offset_ == pytest.approx(expected["offset"], abs=1e-9)
    if "p_values" in expected:
        p_values = detector.calibration_.p_values(scores)
        np.testing.assert_allclose(p_values, numbers(expected["p_values"]), rtol=0, atol=1e-9)


def test_every_detector_and_every_form_has_an_artefact_of_an_earlier_version() -> None:
    forms = {file.stem.rpartition("-")[0] for file in FILES}

    assert {f"format2-{name}" for name in DETECTORS} <= forms
    assert {"format1-joblib-blend", "format1-pickle-blend", "format2-isolation-forest"} <= forms
    assert {file.name for file in FILES} == EXPECTED["artifacts"].keys()


def test_every_name_in_the_tables_is_one_of_an_artefact() -> None:
    stored = set().union(*(names_in(file.read_bytes()) for file in FILES))

    # numpy 1 has the same functions in modules of another name.
    of_numpy_1 = {
        (module.replace("numpy._core", "numpy.core"), name)
        for module, name in stored
        if module.startswith("numpy._core")
    }
    assert stored | of_numpy_1 == TABLE


KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "varied": lambda X: X,
    "constant": np.ones_like,
    "absent here and there": lambda X: np.where(X > 1.0, np.nan, X),
    "a feature never seen": lambda X: np.where(np.arange(X.shape[1]) == 0, np.nan, X),
    "columns one after another": np.asfortranarray,
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize("rows", [1, 3, 50, 300])
@pytest.mark.parametrize("detector", DETECTORS)
def test_an_artefact_written_now_holds_no_name_that_is_refused(
    detector: str, rows: int, kind: Callable[[np.ndarray], np.ndarray]
) -> None:
    samples = kind(np.random.default_rng(rows).normal(size=(rows, 3)))
    gate = {"passed": True, "share": 0.5, "nothing": None, "counts": [1, 2]}
    model = train(
        detector, samples, ("a", "b", "c"), alert_budget=0.01, seed=0, provenance={"gate": gate}
    )
    payload = packed(model)

    names = names_in(payload)
    again = opened(payload)

    assert names <= TABLE
    assert len(names) == 4
    assert type(again.detector) is type(model.detector)
    assert np.array_equal(again.detector.block_, model.detector.block_)
    assert np.array_equal(again.samples, model.samples, equal_nan=True)
    assert (again.features, again.provenance) == (model.features, model.provenance)


def test_arrays_are_those_that_unrestricted_unpickling_gives(blend: Model) -> None:
    arrays = [
        np.arange(24, dtype=code).reshape(2, 3, 4)
        for code in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", ">f4", ">u8")
    ]
    arrays += [arrays[0].astype(bool), np.empty((0, 3)), np.asfortranarray(arrays[3]), arrays[3][0]]
    read_only = np.arange(3.0)
    read_only.flags.writeable = False
    arrays += [read_only, np.arange(6.0).reshape(2, 3).T]
    scalars = [np.float64(0.5), np.int32(7), np.bool_(True)]
    payload = packed(replace(blend, provenance={"arrays": arrays, "scalars": scalars}))
    plain = pickle.loads(payload)["provenance"]  # noqa: S301

    found = opened(payload).provenance

    for array, same in zip(plain["arrays"], found["arrays"], strict=True):
        assert (same.dtype, same.shape, same.strides) == (array.dtype, array.shape, array.strides)
        assert same.flags.writeable == array.flags.writeable
        assert np.array_equal(same, array)
    assert [(type(n), n) for n in found["scalars"]] == [(type(n), n) for n in plain["scalars"]]


def test_a_class_is_found_where_it_is_defined_now_by_the_name_that_artefacts_give_it() -> None:
    for (module, name), defined in CLASSES.items():
        found = unpickling.found(module, name)
        assert found is getattr(import_module(defined), name)
        assert (found.__module__, found.__qualname__) == (module, name)


def test_processes_of_earlier_versions_can_open_what_is_written_today(blend: Model) -> None:
    """They look classes up by the names of the modules that they have."""
    written = {
        argument
        for _, argument, _ in pickletools.genops(packed(blend))
        if isinstance(argument, str)
    }

    assert "models.blend" in written
    assert not {name for name in written if str(name).startswith("models.detectors")}


def test_the_module_that_defines_a_class_is_no_name_of_it() -> None:
    with pytest.raises(
        ArtifactError, match=r"'models\.detectors\.blend', name 'Blend'.*not opened"
    ):
        opened(b"\x80\x04" + named("models.detectors.blend", "Blend") + b")\x81.")


# --- Names that are refused ------------------------------------------------------------------


def bombs(file: Path) -> dict[str, bytes]:
    """Pickles that make a file if what they name is called."""
    touch, opening = f"touch {shlex.quote(str(file))}", f"open({str(file)!r}, 'w').close()"
    return {
        "os.system": called("os", "system", touch),
        "posix.system": called("posix", "system", touch),
        "subprocess.getoutput": called("subprocess", "getoutput", touch),
        "builtins.eval": called("builtins", "eval", opening),
        "builtins.exec": called("builtins", "exec", opening),
        "__builtin__.eval": b"c__builtin__\neval\n(" + text(opening) + b"tR.",
        "a dotted name": called("models.artifacts", "os.system", touch),
        "a dotted name of an allowed module": called("models.calibration", "np.os.system", touch),
        "an instance": b"(i" + b"os\nsystem\n.",
        "pathlib.Path.touch": b"\x80\x04"
        + named("pathlib", "Path.touch")
        + named("pathlib", "Path")
        + text(str(file))
        + b"\x85R\x85R.",
    }


EXPLODES = sorted(bombs(Path("x")).keys() - {"an instance", "a dotted name of an allowed module"})


@pytest.mark.parametrize("form", [b"", JOBLIB], ids=["pickle", "joblib"])
@pytest.mark.parametrize("bomb", bombs(Path("x")))
def test_what_a_pickle_has_called_is_refused_before_it_is(
    bomb: str, form: bytes, tmp_path: Path
) -> None:
    payload = bombs(tmp_path / "exploded")[bomb] + form

    with pytest.raises(ArtifactError, match="not opened"):
        opened(payload)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bomb", EXPLODES)
def test_unrestricted_unpickling_would_have_called_it(bomb: str, tmp_path: Path) -> None:
    pickle.loads(bombs(tmp_path / "exploded")[bomb])  # noqa: S301

    assert (tmp_path / "exploded").exists()


@pytest.mark.parametrize("form", [b"", JOBLIB], ids=["pickle", "joblib"])
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("functools", "partial"),
        ("operator", "attrgetter"),
        ("builtins", "getattr"),
        ("builtins", "object"),
        ("numpy", "load"),
        ("numpy", "ndarray.tofile"),
        ("numpy", "dtype.type"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy.random._pickle", "__randomstate_ctor"),
        ("joblib", "load"),
        ("joblib.numpy_pickle_compat", "NDArrayWrapper"),
        ("collections", "OrderedDict"),
        ("copyreg", "_reconstructor"),
        ("_codecs", "encode"),
        ("models.artifacts", "load_detector"),
        ("models.artifacts", "Model"),
        ("models.blend", "Blend.fit"),
        ("models.blend", "Detector"),
        ("models.blend", "_pack"),
        ("models.Blend", ""),
        ("models", "Blend"),
        ("models.blend.Blend", "fit"),
        ("models.unpickling", "found"),
        ("", ""),
    ],
)
def test_a_name_that_is_in_no_artefact_is_refused_and_said(
    module: str, name: str, form: bytes
) -> None:
    with pytest.raises(ArtifactError) as refused:
        opened(b"\x80\x04" + named(module, name) + b"." + form)

    assert f"module {module!r}, name {name!r}" in str(refused.value)
    assert "not opened" in str(refused.value)


def test_a_refused_artefact_is_refused_on_every_way_to_open_one(tmp_path: Path) -> None:
    exploded = tmp_path / "exploded"
    payload = bombs(exploded)["builtins.exec"]
    digest = hashlib.sha256(payload).hexdigest()
    name = f"0-{digest[:16]}.joblib"
    (tmp_path / name).write_bytes(payload)

    with pytest.raises(ArtifactError, match=r"'builtins', name 'exec'.*not opened"):
        load_detector(tmp_path / name)
    with pytest.raises(ArtifactError, match=r"'builtins', name 'exec'.*not opened"):
        artifacts.read_artifact(tmp_path, name, digest)
    assert not exploded.exists()


NEVER_IMPORTED = (
    "antigravity",
    "this",
    "idlelib.idle",
    "turtledemo.clock",
    "wave",
    "xmlrpc.server",
    "__phello__",
    "models.nothing",
    "tests.nothing",
)
MODULES = st.sampled_from(NEVER_IMPORTED) | st.sampled_from(sorted(sys.modules)) | st.text()
NAMES = st.text() | st.sampled_from(["system", "os.system", "__init__", "__class__", "Blend"])


@settings(max_examples=300, deadline=None)
@given(module=MODULES, name=NAMES, form=st.sampled_from([b"", JOBLIB]))
def test_no_module_is_imported_for_a_name_in_no_table(module: str, name: str, form: bytes) -> None:
    if (module, name) in TABLE:
        return
    before = set(sys.modules)

    with pytest.raises(ArtifactError, match="not opened"):
        opened(b"\x80\x04" + named(module, name) + b"." + form)

    assert set(sys.modules) == before
    assert not set(NEVER_IMPORTED) & set(sys.modules)


VALUES = st.one_of(
    st.fractions(),
    st.decimals(),
    st.datetimes(),
    st.dates(),
    st.timedeltas(),
    st.uuids(),
    st.complex_numbers(),
    st.builds(Path, st.sampled_from(["a", "b/c"])),
    st.builds(range, st.integers(0, 9)),
    st.builds(collections.OrderedDict),
    st.builds(collections.Counter, st.text()),
    st.builds(np.random.RandomState, st.integers(0, 9)),
    st.builds(np.array, st.lists(st.text(min_size=1), min_size=1)),
    st.sampled_from([len, print, np.load, np.float64, datetime.UTC, decimal.Decimal, ValueError]),
    st.sampled_from([fractions.Fraction(1, 2), uuid.UUID(int=1), slice(1), Model, Calibration.fit]),
)


@settings(max_examples=200, deadline=None)
@given(value=VALUES, protocol=st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_an_object_of_any_other_class_is_refused(value: Any, protocol: int) -> None:
    payload = pickle.dumps({"format": 2, "detector": value}, protocol=protocol)
    before = set(sys.modules)

    with pytest.raises(ArtifactError, match="not opened"):
        opened(payload)

    assert set(sys.modules) == before


# --- States that are refused -----------------------------------------------------------------


def state_of_class(module: str, name: str, attribute: str) -> bytes:
    """A pickle that sets an attribute of the class or function that it names."""
    return b"\x80\x04" + named(module, name) + b"(N}" + text(attribute) + b"I1\nstb."


@pytest.mark.parametrize("form", [b"", JOBLIB], ids=["pickle", "joblib"])
@pytest.mark.parametrize(("module", "name"), sorted(TABLE))
def test_a_pickle_sets_no_attribute_of_what_all_artefacts_share(
    module: str, name: str, form: bytes
) -> None:
    shared = unpickling.found(module, name)

    with pytest.raises(ArtifactError, match="not opened"):
        opened(state_of_class(module, name, "offset") + form)

    assert not hasattr(shared, "offset") or callable(shared.offset)


def test_unrestricted_unpickling_would_have_set_it() -> None:
    def shared() -> None: ...

    class Plain(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            del module, name
            return shared

    Plain(io.BytesIO(state_of_class("any", "name", "offset"))).load()

    assert shared.offset == 1


def array_of(dtype: bytes) -> bytes:
    """A pickle of eight bytes as one number of a dtype."""
    buffer = b"B\x08\x00\x00\x00ABCDEFGH"
    array = named("numpy._core.numeric", "_frombuffer")
    return b"\x80\x04" + array + b"(" + buffer + dtype + b"K\x01\x85" + text("C") + b"tR."


def dtype_of(code: str) -> bytes:
    return named("numpy", "dtype") + b"(" + text(code) + b"\x89\x88tR"


@pytest.mark.parametrize("code", ["O", "O8", "V8", "i8,O", "U2", "S8", "M8[s]", "c8", "f16", ""])
def test_an_array_of_anything_but_numbers_is_refused(code: str) -> None:
    with pytest.raises(ArtifactError, match=r"dtype .*not opened"):
        opened(array_of(dtype_of(code)))


def test_bytes_are_never_taken_for_addresses_of_objects() -> None:
    state = pickle.dumps(
        (3, "|", None, ("a",), {"a": ("O", 0)}, 8, 1, 63), protocol=pickle.HIGHEST_PROTOCOL
    )
    # Its frame's header and its end left out.
    payload = array_of(dtype_of("f8") + state[11:-1] + b"b")

    array = unpickling.unpickle(payload)

    assert (array.dtype, array.dtype.hasobject) == (np.dtype("f8"), False)
    assert array.tobytes() == b"ABCDEFGH"


def test_a_dtype_that_numpy_shares_keeps_its_byte_order() -> None:
    state = pickle.dumps((3, ">", None, None, None, -1, -1, 0), protocol=pickle.HIGHEST_PROTOCOL)

    array = unpickling.unpickle(array_of(dtype_of("f8") + state[11:-1] + b"b"))

    assert array.dtype == np.dtype(">f8")
    assert np.dtype("f8").isnative


def test_what_only_looks_like_a_dtype_is_refused() -> None:
    disguised = named("models.forest", "IsolationForest") + b")R}" + text("dtype")
    disguised += text("i8,O") + b"sb"

    with pytest.raises(ArtifactError, match=r"IsolationForest: expected numbers.*not opened"):
        opened(array_of(disguised))


class Bomb:
    """Makes a file as it is unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self._file,)


def test_joblibs_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    # joblib has their objects unpickled by an unpickler of its own.
    dumped = io.BytesIO()
    joblib.dump({"samples": np.array([Bomb(tmp_path / "exploded")])}, dumped)

    with pytest.raises(ArtifactError, match="not opened"):
        opened(dumped.getvalue())

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("attribute", ["read", "read_array", "read_mmap"])
def test_the_state_of_joblibs_array_replaces_none_of_its_methods(attribute: str) -> None:
    state = {"shape": (), "order": "C", "dtype": unpickling.NumberType("f8"), attribute: 1}
    stored = unpickling.StoredArray.__new__(unpickling.StoredArray)

    stored.__setstate__(state)

    assert callable(getattr(stored, attribute))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_artefact_cut_short_anywhere_is_not_opened(file: Path) -> None:
    payload = file.read_bytes()

    for length in range(0, len(payload), 17):
        with pytest.raises(ArtifactError, match="not opened"):
            opened(payload[:length])


def test_a_forest_of_scikit_learn_is_opened(blend: Model) -> None:
    from sklearn.ensemble import IsolationForest as Original

    X = np.random.default_rng(0).normal(size=(40, 2))
    original = Original(n_estimators=5, contamination=0.1, random_state=0).fit(X)
    model = replace(blend, detector=IsolationForest.from_sklearn(original))

    again = opened(packed(model)).detector

    np.testing.assert_allclose(again.score_samples(X), original.score_samples(X), atol=1e-9)
    assert again.offset_ == original.offset_
