"""Memory by its address: arrays, and numbers aligned or not, for kernels of every file."""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic


def _pointer(context: Any, builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, context.get_value_type(kind).as_pointer())


@intrinsic
def _as_pointer(typing, address):
    """An address, as an integer, as what ``carray`` takes."""
    del typing

    def generate(context, builder, signature, arguments):
        del signature
        return _pointer(context, builder, arguments[0], types.uint8)

    return types.voidptr(address), generate


@njit(nogil=True, cache=True)
def at_address(address, size):
    """The words of an array elsewhere in this process; whoever calls keeps it alive."""
    return carray(_as_pointer(address), (size,), np.uint64)


# Arrays made of an address belong to nobody: giving them away is free, see ``address``.


@njit(nogil=True, cache=True, inline="always")
def table_at(address, rows, columns):
    """So many rows of float64 elsewhere in this process; whoever calls keeps them alive."""
    return carray(_as_pointer(address), (rows, columns), np.float64)


@njit(nogil=True, cache=True, inline="always")
def doubles_at(address, size):
    """The same of float64 in one row."""
    return carray(_as_pointer(address), (size,), np.float64)


@njit(nogil=True, cache=True, inline="always")
def singles_at(address, size):
    """The same of float32."""
    return carray(_as_pointer(address), (size,), np.float32)


@njit(nogil=True, cache=True, inline="always")
def integers_at(address, size):
    """The same of int64."""
    return carray(_as_pointer(address), (size,), np.int64)


@njit(nogil=True, cache=True, inline="always")
def words16_at(address, size):
    """The same of uint16."""
    return carray(_as_pointer(address), (size,), np.uint16)


@njit(nogil=True, cache=True, inline="always")
def words32_at(address, size):
    """The same of uint32."""
    return carray(_as_pointer(address), (size,), np.uint32)


@njit(nogil=True, cache=True, inline="always")
def address(array):
    """Where an array begins. Signed: an unsigned number and a signed one are added as floats.

    Inner loops of kernels take addresses instead of arrays: passing an array costs an atomic
    reference count, which may take longer than the work. The array must be used, or held by the
    caller, as long as its address is: numba releases it at its last use.
    """
    return np.int64(array.ctypes.data)


def loads(kind: Any) -> Any:
    """What gives the value of a kind at an address, aligned or not."""

    @intrinsic
    def load(typing, address):
        del typing

        def generate(context, builder, signature, arguments):
            del signature
            found = builder.load(_pointer(context, builder, arguments[0], kind))
            found.align = 1
            return found

        return kind(address), generate

    return load


load_byte, load_half, load_word = map(loads, (types.uint8, types.uint32, types.uint64))
load_integer, load_single, load_double = map(loads, (types.int64, types.float32, types.float64))


@intrinsic
def load_binary16(typing, address):
    """The number whose form in half precision (IEEE 754's binary16) stands at an address."""
    del typing

    def generate(context, builder, signature, arguments):
        del signature
        found = builder.load(_pointer(context, builder, arguments[0], types.uint16))
        found.align = 1
        return builder.fpext(builder.bitcast(found, ir.HalfType()), ir.FloatType())

    return types.float32(address), generate


@intrinsic
def store_binary16(typing, address, value):
    """Have the nearest number of half precision to a float32 stand at an address."""
    del typing

    def generate(context, builder, signature, arguments):
        del signature
        half = builder.fptrunc(arguments[1], ir.HalfType())
        place = _pointer(context, builder, arguments[0], types.uint16)
        stored = builder.store(builder.bitcast(half, ir.IntType(16)), place)
        stored.align = 1
        return context.get_dummy_value()

    return types.void(address, value), generate


@intrinsic
def store(typing, address, value):
    """Have a value of any kind stand at an address, aligned or not."""
    del typing

    def generate(context, builder, signature, arguments):
        place = _pointer(context, builder, arguments[0], signature.args[1])
        stored = builder.store(arguments[1], place)
        stored.align = 1
        return context.get_dummy_value()

    return types.void(address, value), generate


@intrinsic
def as_double(typing, bits):
    """The double of which these are the bits."""
    del typing

    def generate(context, builder, signature, arguments):
        del context, signature
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(bits), generate


@intrinsic
def prefetch(typing, address):
    """Have the line of memory at an address on its way to the caches; nothing is read."""
    del typing

    def generate(context, builder, signature, arguments):
        del signature
        pointer = _pointer(context, builder, arguments[0], types.uint8)
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
        call = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
        # To be read, to be kept, data.
        builder.call(call, [pointer, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(address), generate


@intrinsic
def trailing_zeros(typing, value):
    """Zeros behind the last 1 of 64 bits; 64 where there is none."""
    del typing

    def generate(context, builder, signature, arguments):
        del context, signature
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(value), generate


SLACK = 8
"""Bytes behind the end of every array that ``copy`` may read, and write."""


@njit(nogil=True, cache=True, inline="always")
def copy(source, target, size):
    """Copy bytes, eight at a time: up to seven more than asked for."""
    for at in range(0, size, 8):
        store(target + at, load_word(source + at))
