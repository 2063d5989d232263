"""Unpickling of artefacts: only the names that artefacts hold are looked up, all else is refused.

A pickle may name any function of any module and have it called. It may also set the state of what
it was given: attributes of a class, or the flags of a dtype, by which bytes become addresses of
objects. So each name stands in a table here, numpy's functions are replaced by closed ones for
arrays of numbers, and each class of the table has a ``__setstate__``: called on the class itself,
it fails instead of setting the class's attributes.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
from joblib.numpy_pickle import NumpyArrayWrapper, NumpyUnpickler
from numpy.typing import NDArray

from models.detectors import CLASSES as DETECTOR_CLASSES
from models.detectors import SEQUENTIAL
from models.naming import shown

Name = tuple[str, str]
"""Module and name of a class or function, as a pickle holds them."""

CLASSES: Mapping[Name, str] = {
    ("models.blend", "Blend"): "models.detectors.blend",
    ("models.calibration", "Calibration"): "models.calibration.conformal",
    ("models.calibration", "StudentCalibration"): "models.calibration.conformal",
    ("models.deviation", "Deviation"): "models.detectors.deviation",
    ("models.forest", "Forest"): "models.detectors.forest",
    ("models.forest", "IsolationForest"): "models.detectors.isolation_forest",
    ("models.gaussian", "Gaussian"): "models.detectors.gaussian",
    ("models.neighbors", "Neighbors"): "models.detectors.neighbors",
}
"""Classes of this package in artefacts by the name that artefacts give them, and the module that
defines each today. The name never changes (``naming.pickled_as``)."""

OF_TABLE: frozenset[Name] = frozenset(
    name
    for name in (*DETECTOR_CLASSES.values(), *SEQUENTIAL.values())
    if name[0] not in CLASSES.values()
)
"""Detectors that were added since, which artefacts name by where they are."""

NUMBERS = frozenset(("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"))
"""Codes of the dtypes that artefacts may hold."""

_JOBLIB = b"joblib.numpy_pickle"

_NOT_OF_THE_BYTES = (MemoryError, OSError, ImportError)
"""Errors that say nothing of an artefact: memory is short, or this installation is broken."""


class NumberType:
    """A dtype of numbers: stands for ``numpy.dtype``, which a pickle can make one of objects."""

    __slots__ = ("dtype",)

    def __init__(self, code: str, align: bool = False, copy: bool = True) -> None:
        del align, copy
        if code not in NUMBERS:
            raise pickle.UnpicklingError(
                f"dtype {shown(str(code))}: expected one of {sorted(NUMBERS)}"
            )
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take over the byte order; numbers have none of the rest, fields and flags among it."""
        order = state[1]
        if order not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError(f"byte order {shown(str(order))}: expected one of < > = |")
        self.dtype = self.dtype.newbyteorder(order)


class Sealed:
    """A function that a pickle can call, and whose attributes it cannot set."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        """What the function gives."""
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        """Refuse: the function is shared by all artefacts."""
        raise pickle.UnpicklingError("a function has no state")


def _dtype(numbers: NumberType) -> np.dtype[Any]:
    # Whatever else has an attribute ``dtype`` could give one of objects.
    if type(numbers) is not NumberType:
        raise pickle.UnpicklingError(f"an array of {type(numbers).__name__}: expected numbers")
    return numbers.dtype


def _array(
    buffer: Any, numbers: NumberType, shape: Any, order: Any, axes: Any = None
) -> NDArray[Any]:
    """An array of its bytes, as numpy's ``_frombuffer``; ``axes`` belong to the order K."""
    array = np.frombuffer(buffer, _dtype(numbers))
    if order == "K" and axes is not None:
        return array.reshape(shape).transpose(axes)
    return array.reshape(shape, order=order)


def _scalar(numbers: NumberType, raw: bytes) -> np.generic:
    """A number of its bytes, as numpy's ``scalar``."""
    number: np.generic = np.frombuffer(raw, _dtype(numbers), 1)[0]
    return number


def _named_only(*arguments: Any) -> None:
    """Stand for ``numpy.ndarray``, which format 1 names and never calls."""
    del arguments
    raise pickle.UnpicklingError("numpy.ndarray is not to be called")


class StoredArray(NumpyArrayWrapper):  # type: ignore[misc]
    """An array as joblib stores it: its form, pickled, with the bytes behind it.

    joblib's own has arrays of objects unpickled, by joblib 1.5 without any restriction.
    """

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Take over shape, dtype and order, and nothing else: a state can shadow methods."""
        alignment = state.get("numpy_array_alignment_bytes")
        super().__init__(
            np.ndarray,
            tuple(map(int, state["shape"])),
            "F" if state["order"] == "F" else "C",
            _dtype(state["dtype"]),
            numpy_array_alignment_bytes=None if alignment is None else int(alignment),
        )


_ARRAY, _SCALAR = Sealed(_array), Sealed(_scalar)
STANDING_IN: Mapping[Name, Any] = {
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): StoredArray,
    ("numpy", "dtype"): NumberType,
    ("numpy", "ndarray"): Sealed(_named_only),
    # The modules of numpy 1 and of numpy 2.
    ("numpy.core.multiarray", "scalar"): _SCALAR,
    ("numpy._core.multiarray", "scalar"): _SCALAR,
    ("numpy.core.numeric", "_frombuffer"): _ARRAY,
    ("numpy._core.numeric", "_frombuffer"): _ARRAY,
}
"""Names of libraries in artefacts, and what stands for each."""


@lru_cache(maxsize=256)
def found(module: str, name: str) -> Any:
    """What an artefact means by a name; a refused one is never imported.

    Raises:
        pickle.UnpicklingError: no artefact holds that name.
    """
    if (module, name) in STANDING_IN:
        return STANDING_IN[module, name]
    defined = CLASSES.get((module, name))
    if defined is None and (module, name) in OF_TABLE:
        defined = module
    if defined is None:
        # A name with dots would be looked up attribute by attribute: it is in no table.
        raise pickle.UnpicklingError(
            f"module {shown(module)}, name {shown(name)}: in no artefact of Telltale"
        )
    return getattr(import_module(defined), name)


class _Unpickler(pickle.Unpickler):
    find_class = staticmethod(found)


class _JoblibUnpickler(NumpyUnpickler):  # type: ignore[misc]
    find_class = staticmethod(found)


def unpickle(payload: bytes) -> Any:
    """The content of an artefact of any format.

    Raises:
        pickle.UnpicklingError: a name is refused, or the bytes are broken.
        MemoryError: there is too little for the arrays.
    """
    file = io.BytesIO(payload)
    try:
        # Plain pickles open ten times as fast; those of earlier versions hold joblib's own arrays.
        if _JOBLIB in payload:
            return _JoblibUnpickler("", file, ensure_native_byte_order=True).load()
        return _Unpickler(file).load()
    except (pickle.UnpicklingError, *_NOT_OF_THE_BYTES):
        raise
    except Exception as error:
        # Broken bytes raise anything, and joblib's unpickler in Python more than the one in C.
        raise pickle.UnpicklingError(f"{type(error).__name__}: {error}") from error
