"""Eight float64 numbers at once inside compiled kernels: a vector type for Numba.

Numba leaves vectors to LLVM's loop vectoriser, which gives up on recursions and transposes. Here
a kernel names them itself: ``Lanes`` are loaded, multiplied and stored as a whole, in registers
of whatever width the processor has. One lane is one point, so every point meets the same
instructions wherever it stands in a batch.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

from geofeat.kernels._jit import njit

LANES = 8

_LANES = ir.VectorType(ir.DoubleType(), LANES)
_INT32 = ir.IntType(32)


class Lanes(types.Type):
    """Type of eight float64 numbers held in vector registers."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


_lanes = Lanes()


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _LANES)


def _bind(symbol: Callable[..., Any], instruction: str) -> None:
    """Make an operator of Python an instruction on two ``Lanes``."""

    def type_operator(context: Any) -> Callable[[Any, Any], Any]:
        def result(left: Any, right: Any) -> Any:
            return _lanes if isinstance(left, Lanes) and isinstance(right, Lanes) else None

        return result

    def lower_operator(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return getattr(builder, instruction)(*args)

    type_callable(symbol)(type_operator)
    lower_builtin(symbol, Lanes, Lanes)(lower_operator)


_bind(operator.add, "fadd")
_bind(operator.sub, "fsub")
_bind(operator.mul, "fmul")
_bind(operator.truediv, "fdiv")


def _call(builder: Any, name: str, args: Any) -> Any:
    kind = ir.FunctionType(_LANES, [_LANES] * len(args))
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f64")
    return builder.call(function, args)


@intrinsic
def multiply_add(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """Compute ``a * b + c``, rounded once where the processor has such an instruction."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _call(builder, "fmuladd", args)

    return _lanes(_lanes, _lanes, _lanes), codegen


@intrinsic
def floor(typing_context: Any, a: Any) -> Any:
    """Next integer below, lane by lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _call(builder, "floor", args)

    return _lanes(_lanes), codegen


@intrinsic
def copysign(typing_context: Any, magnitude: Any, sign: Any) -> Any:
    """Magnitude of the first with the sign of the second, lane by lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _call(builder, "copysign", args)

    return _lanes(_lanes, _lanes), codegen


@intrinsic
def splat(typing_context: Any, value: Any) -> Any:
    """One float64 in all lanes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        empty = ir.Constant(_LANES, ir.Undefined)
        first = builder.insert_element(empty, args[0], ir.Constant(_INT32, 0))
        return _shuffle(builder, first, empty, [0] * LANES)

    return _lanes(types.float64), codegen


@njit()
def aligned(size: Any, like: Any) -> Any:
    """Uninitialised array that begins where a cache line does."""
    memory = np.empty(size + 64 // like.itemsize, like.dtype)
    skip = (-memory.ctypes.data % 64) // like.itemsize
    return memory[skip : skip + size]


@intrinsic
def load(typing_context: Any, array: Any, index: Any) -> Any:
    """Eight neighbours from ``array[index]`` on, contiguous float64 or float32, unchecked."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _vector(array.dtype, LANES)
        pointer = _pointer(context, builder, array, args[0], args[1], vector)
        value = builder.load(pointer, align=array.dtype.bitwidth // 8)
        return value if vector == _LANES else builder.fpext(value, _LANES)

    if array.dtype not in (types.float64, types.float32):
        raise TypeError(f"load reads float64 or float32, not {array.dtype}")
    return _lanes(array, types.intp), codegen


@intrinsic
def store(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Write the lanes to ``array[index:]``, contiguous float64 or float32, unchecked."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _vector(array.dtype, LANES)
        value = args[2] if vector == _LANES else builder.fptrunc(args[2], vector)
        pointer = _pointer(context, builder, array, args[0], args[1], vector)
        builder.store(value, pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, _lanes), codegen


@intrinsic
def store_transposed(
    typing_context: Any, tile: Any, first: Any, out: Any, row: Any, column: Any
) -> Any:
    """Turn eight stored ``Lanes`` into eight rows of eight columns, unchecked.

    They stand in the 1-D ``tile`` from lanes number ``first`` on and go to the square at ``row``,
    ``column`` of ``out``, which is C-contiguous and has the tile's dtype.
    """
    side = 4 if tile.dtype == types.float64 else 8

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        tile_array, first, out_array, row, column = args
        vector, size = _vector(tile.dtype, side), tile.dtype.bitwidth // 8
        index = first.type
        target = context.make_array(out)(context, builder, out_array)
        width = builder.extract_value(target.shape, 1)
        corner = builder.gep(target.data, [builder.add(builder.mul(row, width), column)])
        source = builder.mul(first, ir.Constant(index, LANES))
        for row_shift in range(0, LANES, side):
            for column_shift in range(0, LANES, side):
                shifts = [(column_shift + k) * LANES + row_shift for k in range(side)]
                square = []
                for shift in shifts:
                    place = builder.add(source, ir.Constant(index, shift))
                    pointer = _pointer(context, builder, tile, tile_array, place, vector)
                    square.append(builder.load(pointer, align=size))
                for k, line in enumerate(_transpose(builder, square)):
                    step = builder.mul(width, ir.Constant(index, row_shift + k))
                    place = builder.add(step, ir.Constant(index, column_shift))
                    pointer = builder.bitcast(builder.gep(corner, [place]), vector.as_pointer())
                    builder.store(line, pointer, align=size)
        return context.get_dummy_value()

    return types.void(tile, types.intp, out, types.intp, types.intp), codegen


def _vector(dtype: Any, lanes: int) -> Any:
    scalar = ir.DoubleType() if dtype == types.float64 else ir.FloatType()
    return ir.VectorType(scalar, lanes)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any, vector: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def _shuffle(builder: Any, a: Any, b: Any, lanes: list[int]) -> Any:
    mask = ir.Constant(ir.VectorType(_INT32, len(lanes)), lanes)
    return builder.shuffle_vector(a, b, mask)


def _transpose(builder: Any, rows: list[Any]) -> list[Any]:
    """Transpose four vectors of four or eight of eight, by steps that are one instruction each."""
    if len(rows) == 4:
        pairs = [
            _shuffle(builder, rows[i], rows[i + 1], lanes)
            for lanes in ([0, 4, 2, 6], [1, 5, 3, 7])
            for i in (0, 2)
        ]
        return [
            _shuffle(builder, pairs[i], pairs[i + 1], lanes)
            for lanes in ([0, 1, 4, 5], [2, 3, 6, 7])
            for i in (0, 2)
        ]
    pairs = [
        [_shuffle(builder, rows[i], rows[i + 1], lanes) for i in range(0, 8, 2)]
        for lanes in ([0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15])
    ]
    quads = [
        [_shuffle(builder, pair[i], pair[i + 1], lanes) for i in (0, 2)]
        for pair in pairs
        for lanes in ([0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15])
    ]
    return [
        _shuffle(builder, low, high, lanes)
        for lanes in ([0, 1, 2, 3, 8, 9, 10, 11], [4, 5, 6, 7, 12, 13, 14, 15])
        for low, high in quads
    ]
