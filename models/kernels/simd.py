"""Sixteen numbers side by side, float32 or float64, as one value in kernels of every file.

LLVM makes of it what the processor has: of float32 one register of AVX-512, two of AVX2, four of
SSE. So what is held in registers does not depend on what its optimiser makes of a loop.
"""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import PrimitiveModel
from numba.extending import intrinsic, register_model

from models.kernels.memory import loads

LANES: Final = 16
_INDEX: Final = ir.IntType(32)


class Lanes(types.Type):  # type: ignore[misc]
    """The type of sixteen float32 or float64."""

    def __init__(self, number: Any) -> None:
        self.number = number
        super().__init__(name=f"{number}x{LANES}")


@register_model(Lanes)
class _LanesModel(PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Lanes) -> None:
        number = manager.lookup(kind.number).get_value_type()
        super().__init__(manager, kind, ir.VectorType(number, LANES))


_SINGLE, _DOUBLE = Lanes(types.float32), Lanes(types.float64)

load = loads(_SINGLE)
"""The float32 that stand one after another at an address."""

load_doubles = loads(_DOUBLE)
"""The float64 that do."""


_HALVES: Final = ir.VectorType(ir.HalfType(), LANES)


@intrinsic
def load_binary16s(typing, address):
    """As float32, the numbers in half precision that stand one after another at an address."""
    del typing

    def generate(context, builder, signature, arguments):
        found = builder.load(builder.inttoptr(arguments[0], _HALVES.as_pointer()))
        found.align = 1
        return builder.fpext(found, context.get_value_type(signature.return_type))

    return _SINGLE(address), generate


def strided_binary16s(count: int) -> Any:
    """What loads ``count`` numbers in half precision, so many bytes apart; 0 in other lanes."""

    @intrinsic
    def load_strided(typing, address, stride):
        del typing

        def generate(context, builder, signature, arguments):
            place, step = arguments
            word = ir.IntType(16)
            found = ir.Constant(ir.VectorType(word, LANES), [0] * LANES)
            for lane in range(count):
                number = builder.load(builder.inttoptr(place, word.as_pointer()))
                number.align = 1
                found = builder.insert_element(found, number, _INDEX(lane))
                place = builder.add(place, step)
            halves = builder.bitcast(found, _HALVES)
            return builder.fpext(halves, context.get_value_type(signature.return_type))

        return _SINGLE(address, stride), generate

    return load_strided


@intrinsic
def store_binary16s(typing, address, value):
    """Have the nearest numbers of half precision stand one after another at an address."""
    del typing

    def generate(context, builder, signature, arguments):
        del signature
        halves = builder.fptrunc(arguments[1], _HALVES)
        stored = builder.store(halves, builder.inttoptr(arguments[0], _HALVES.as_pointer()))
        stored.align = 1
        return context.get_dummy_value()

    return types.void(address, value), generate


@intrinsic
def as_binary16s(typing, value):
    """Of float32, the nearest numbers of half precision, as float32."""
    del typing

    def generate(context, builder, signature, arguments):
        kind = context.get_value_type(signature.return_type)
        return builder.fpext(builder.fptrunc(arguments[0], _HALVES), kind)

    return value(value), generate


@intrinsic
def splat(typing, value):
    """One number in all lanes."""
    del typing

    def generate(context, builder, signature, arguments):
        empty = ir.Constant(context.get_value_type(signature.return_type), ir.Undefined)
        alone = builder.insert_element(empty, arguments[0], _INDEX(0))
        return builder.shuffle_vector(alone, alone, _places([0] * LANES))

    return Lanes(value)(value), generate


def _cast(instruction: str, target: Lanes) -> Any:
    @intrinsic
    def cast(typing, value):
        del typing

        def generate(context, builder, signature, arguments):
            kind = context.get_value_type(signature.return_type)
            return getattr(builder, instruction)(arguments[0], kind)

        return target(value), generate

    return cast


to_float64, narrowed = _cast("fpext", _DOUBLE), _cast("fptrunc", _SINGLE)
"""The same as float64, and the nearest float32 of float64."""


@intrinsic
def first(typing, value):
    """The number in the first lane."""
    del typing

    def generate(context, builder, signature, arguments):
        del context, signature
        return builder.extract_element(arguments[0], _INDEX(0))

    return value.number(value), generate


def _places(lanes: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(_INDEX, LANES), lanes)


def _of_two(make: Callable[[Any, Any, Any], Any]) -> Any:
    @intrinsic
    def both(typing, a, b):
        del typing

        def generate(context, builder, signature, arguments):
            del context, signature
            return make(builder, *arguments)

        return a(a, b), generate

    return both


def _gap(builder: Any, a: Any, b: Any) -> Any:
    kind = ir.FunctionType(a.type, [a.type])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fabs.v{LANES}f32")
    return builder.call(function, [builder.fsub(a, b)])


add = _of_two(lambda builder, a, b: builder.fadd(a, b))
times = _of_two(lambda builder, a, b: builder.fmul(a, b))
abs_diff = _of_two(_gap)
"""|a − b|, of float32."""

minimum = _of_two(lambda builder, a, b: builder.select(builder.fcmp_ordered("<", a, b), a, b))
maximum = _of_two(lambda builder, a, b: builder.select(builder.fcmp_ordered("<", a, b), b, a))
"""Maximum of each pair of numbers; b if either is NaN."""

mask_nan = _of_two(
    lambda builder, a, b: builder.select(
        builder.fcmp_ordered("ord", a, a), b, ir.Constant(b.type, [0.0] * LANES)
    )
)
"""b where a is a number, elsewhere 0."""


def _turned(by: int) -> Any:
    @intrinsic
    def turned(typing, value):
        del typing

        def generate(context, builder, signature, arguments):
            del context, signature
            places = _places([(lane + by) % LANES for lane in range(LANES)])
            return builder.shuffle_vector(arguments[0], arguments[0], places)

        return value(value), generate

    return turned


rotate_8, turn_4, turn_2, turn_1 = map(_turned, (8, 4, 2, 1))
"""Rotate left by so many lanes."""
