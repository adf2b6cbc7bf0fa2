"""The few machine operations that Numba has no words for: raw loads, prefetch, popcount, SIMD.

The searching kernel reads a memory-mapped file of several gigabytes through plain addresses, so
that one small table of numbers describes any number of segments and a call costs the same few
microseconds whatever it searches. Every address here points into an array that the caller keeps
alive for the length of the call.

All of it is LLVM's own portable intermediate code: on x86-64 it becomes AVX2 or AVX-512, on ARM
NEON, without a compiler on the user's machine.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

LANES = 32
"""How many 16-bit words ``within`` compares at once; arrays it reads are padded by as many."""

_I8 = ir.IntType(8)
_I16 = ir.IntType(16)
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)


def _loader(bits: int, result: Any) -> Any:
    """An intrinsic that reads an unsigned little integer of ``bits`` at any (unaligned) address."""
    kind = ir.IntType(bits)

    def load(typing: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = builder.inttoptr(args[0], kind.as_pointer())
            value = builder.load(pointer, align=1)
            return value if bits == 64 else builder.zext(value, _I64)

        return result(types.int64), generate

    return intrinsic(load)


load8: Any = _loader(8, types.uint64)
load16: Any = _loader(16, types.uint64)
load32: Any = _loader(32, types.uint64)
load64: Any = _loader(64, types.uint64)


def _prefetch(typing: Any, address: Any) -> Any:
    """Ask for the cache line at ``address`` without waiting for it."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], _I8.as_pointer())
        name = "llvm.prefetch.p0"
        kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        builder.call(function, [pointer, _I32(0), _I32(3), _I32(1)])
        return context.get_dummy_value()

    return types.void(types.int64), generate


def _bits_set(typing: Any, word: Any) -> Any:
    """How many bits of a 64-bit word are one."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), generate


def _lowest_bit(typing: Any, word: Any) -> Any:
    """The position of the lowest one in a word that is not zero."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.IntType(1)(1))

    return types.uint64(types.uint64), generate


def _within(typing: Any, address: Any, word: Any, most: Any) -> Any:
    """A mask of which of the ``LANES`` 16-bit words at ``address`` differ from ``word`` in at most
    ``most`` bits; bit 0 is the word at ``address`` itself."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(_I16, LANES)

        def splat(value: Any) -> Any:
            one = builder.insert_element(
                ir.Constant(vector, ir.Undefined), builder.trunc(value, _I16), _I32(0)
            )
            zeros = ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
            return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)

        pointer = builder.inttoptr(args[0], vector.as_pointer())
        words = builder.load(pointer, align=1)
        differing = builder.xor(words, splat(args[1]))
        name = f"llvm.ctpop.v{LANES}i16"
        kind = ir.FunctionType(vector, [vector])
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        counts = builder.call(function, [differing])
        near = builder.icmp_unsigned("<=", counts, splat(args[2]))
        mask = builder.bitcast(near, ir.IntType(LANES))
        return builder.zext(mask, _I64)

    return types.uint64(types.int64, types.uint64, types.uint64), generate


prefetch: Any = intrinsic(_prefetch)
bits_set: Any = intrinsic(_bits_set)
lowest_bit: Any = intrinsic(_lowest_bit)
within: Any = intrinsic(_within)
