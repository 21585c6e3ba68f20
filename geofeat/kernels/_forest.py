"""Votes of a forest for 128 rows at a time, one bit a row.

Every node of a tree holds two words of 64 bits: which of the rows come by. Comparisons of 64
numbers split them into the words of the two children, without a jump; no row is followed by itself.
A leaf's words vote for its class, and votes are counted in binary, digit by digit for all rows at
once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from geofeat.kernels._jit import njit

ROWS = 128
_WORDS = 2
_BITS = 64
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@intrinsic
def _above(typing_context: Any, values: Any, first: Any, limit: Any) -> Any:
    """Bit i tells whether ``values[first + i] > limit``, for 64 float32 or int8; unchecked."""
    scalars = {types.float32: ir.FloatType(), types.int8: ir.IntType(8)}

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(scalars[values.dtype], _BITS)
        data = context.make_array(values)(context, builder, args[0]).data
        pointer = builder.bitcast(builder.gep(data, [args[1]]), vector.as_pointer())
        numbers = builder.load(pointer, align=1)
        empty = ir.Constant(vector, ir.Undefined)
        one = builder.insert_element(empty, args[2], ir.Constant(ir.IntType(32), 0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), _BITS), [0] * _BITS)
        limits = builder.shuffle_vector(one, empty, lanes)
        compare = builder.fcmp_ordered if values.dtype == types.float32 else builder.icmp_signed
        return builder.bitcast(compare(">", numbers, limits), ir.IntType(_BITS))

    if values.dtype not in scalars:
        raise TypeError(f"float32 or int8 are compared, not {values.dtype}")
    return types.uint64(values, types.uint64, values.dtype), codegen


@njit()
def _vote(
    columns: np.ndarray,
    feature: np.ndarray,
    limit: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    starts: np.ndarray,
    leaves: np.ndarray,
    reach: np.ndarray,
    digits: np.ndarray,
) -> None:
    """Fill the binary ``digits``, (classes, digits, words), of the votes of `ROWS` rows.

    ``columns`` holds the rows feature by feature, ``reach`` the words of each place of a tree; all
    else is as in `count_votes`.
    """
    # Unsigned indices need no test for negative ones.
    one, words, bits, rows = np.uint64(1), np.uint64(_WORDS), np.uint64(_BITS), np.uint64(ROWS)
    votes = np.zeros(_WORDS, dtype=np.uint64)
    digits[:] = 0
    reach[:_WORDS] = _ALL
    for tree in range(leaves.shape[0]):
        node, end = np.uint64(starts[tree]), np.uint64(starts[tree + 1])
        place = np.uint64(0)
        while node < end:
            column = np.uint64(feature[node]) * rows
            to_left, to_right = np.uint64(left[node]) * words, np.uint64(right[node]) * words
            bound = limit[node]
            for i in range(_WORDS):
                word = np.uint64(i)
                above = _above(columns, column + bits * word, bound)
                here = reach[place + word]
                reach[to_left + word] = here & ~above
                reach[to_right + word] = here & above
            node += one
            place += words
        for label in range(digits.shape[0]):
            votes[:] = 0
            leaf, stop = np.uint64(leaves[tree, label]), np.uint64(leaves[tree, label + 1])
            leaf, stop = leaf * words, stop * words
            while leaf < stop:
                for i in range(_WORDS):
                    votes[i] |= reach[leaf + np.uint64(i)]
                leaf += words
            for digit in range(digits.shape[1]):
                for i in range(_WORDS):
                    before = digits[label, digit, i]
                    digits[label, digit, i] = before ^ votes[i]
                    votes[i] &= before


@njit()
def count_votes(
    rows: np.ndarray,
    which: np.ndarray,
    feature: np.ndarray,
    limit: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    starts: np.ndarray,
    leaves: np.ndarray,
    out: np.ndarray,
) -> bool:
    """Count how many trees vote for each class; stop and return False at a row with a NaN.

    Parameters
    ----------
    rows : float32 or int8 array of shape (n, features)
        Samples.
    which : int64 array of shape (m,)
        Those to be classified.
    feature, left, right : uint16 arrays of shape (nodes,)
        Of the inner nodes of all trees, parents first: the feature compared, and the place of
        each child in its tree; inner nodes have the first places, in their order.
    limit : array of shape (nodes,)
        Rows whose feature is larger go right; of the type of ``rows``.
    starts : int64 array of shape (trees + 1,)
        First inner node of each tree.
    leaves : int64 array of shape (trees, classes + 1)
        Places where the leaves of each class begin, and where the last ones end.
    out : int64 array of shape (m, classes)
        Votes.
    """
    n_features, n_classes, n_trees = rows.shape[1], out.shape[1], leaves.shape[0]
    n_digits = 1
    while n_trees >> n_digits:
        n_digits += 1
    columns = np.zeros(n_features * ROWS, dtype=rows.dtype)
    reach = np.zeros((leaves[:, -1].max() + 1) * _WORDS, dtype=np.uint64)
    digits = np.zeros((n_classes, n_digits, _WORDS), dtype=np.uint64)
    for first in range(0, which.shape[0], ROWS):
        n = min(ROWS, which.shape[0] - first)
        for i in range(n):
            row = rows[which[first + i]]
            for j in range(n_features):
                if np.isnan(row[j]):
                    return False
                columns[j * ROWS + i] = row[j]
        _vote(columns, feature, limit, left, right, starts, leaves, reach, digits)
        for i in range(n):
            word, bit = i // _BITS, np.uint64(i % _BITS)
            for label in range(n_classes):
                total = np.uint64(0)
                for digit in range(n_digits):
                    here = (digits[label, digit, word] >> bit) & np.uint64(1)
                    total |= here << np.uint64(digit)
                out[first + i, label] = total
    return True


@njit()
def scatter_codes(
    raw: np.ndarray,
    codes: np.ndarray,
    is_missing: np.ndarray,
    rows: np.ndarray,
    out: np.ndarray,
    spare: np.ndarray,
) -> np.ndarray:
    """Write the codes of bytes to whole rows; return which rows miss nothing, shape (k,).

    Parameters
    ----------
    raw : uint8 array of shape (bands, k)
        Stored bytes of k pixels.
    codes, is_missing : int8 and bool arrays of shape (bands, 256)
        Code of each byte, and whether it stands for nothing.
    rows : int64 array of shape (k,)
        Row of ``out``; a row r below zero stands for row ``-1 - r`` of ``spare``.
    out, spare : int8 arrays of shape (n, bands)
        Written in place.
    """
    bands, k = raw.shape
    valid = np.ones(k, dtype=np.bool_)
    for i in range(k):
        row = rows[i]
        target = out[row] if row >= 0 else spare[-1 - row]
        for band in range(bands):
            byte = raw[band, i]
            target[band] = codes[band, byte]
            if is_missing[band, byte]:
                valid[i] = False
    return valid
