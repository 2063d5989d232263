"""Memory by its address: arrays, and numbers aligned or not, for kernels of every file.

Whoever changes this has to clear numba's cache: it knows only a kernel's own file.
"""

# numba types a kernel by what it is called with.
# mypy: allow-untyped-defs

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic


def _pointer(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, ir.IntType(kind.bitwidth).as_pointer())


@intrinsic
def _as_pointer(typing, address):
    """An address, as an integer, as what ``carray`` takes."""
    del typing

    def generate(context, builder, signature, arguments):
        del context, signature
        return _pointer(builder, arguments[0], types.uint8)

    return types.voidptr(address), generate


@njit(nogil=True, cache=True)
def at_address(address, size):
    """The words of an array elsewhere in this process; whoever calls keeps it alive."""
    return carray(_as_pointer(address), (size,), np.uint64)


def _loads(kind):
    @intrinsic
    def load(typing, address):
        """The unsigned number at an address."""
        del typing

        def generate(context, builder, signature, arguments):
            del context, signature
            found = builder.load(_pointer(builder, arguments[0], kind))
            found.align = 1
            return found

        return kind(address), generate

    return load


load_byte, load_half, load_word = map(_loads, (types.uint8, types.uint32, types.uint64))


@intrinsic
def store_word(typing, address, value):
    """Have 64 bits stand at an address."""
    del typing, value

    def generate(context, builder, signature, arguments):
        del signature
        stored = builder.store(arguments[1], _pointer(builder, arguments[0], types.uint64))
        stored.align = 1
        return context.get_dummy_value()

    return types.void(address, types.uint64), generate


@intrinsic
def prefetch(typing, address):
    """Have the line of memory at an address on its way to the caches; nothing is read."""
    del typing

    def generate(context, builder, signature, arguments):
        del signature
        pointer, number = _pointer(builder, arguments[0], types.uint8), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
        call = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
        # To be read, to be kept, data.
        builder.call(call, [pointer, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(address), generate


SLACK = 8
"""Bytes behind the end of every array that ``copy`` may read, and write."""


@njit(nogil=True, cache=True, inline="always")
def copy(source, target, size):
    """Copy bytes, eight at a time: up to seven more than asked for."""
    for at in range(0, size, 8):
        store_word(target + at, load_word(source + at))
