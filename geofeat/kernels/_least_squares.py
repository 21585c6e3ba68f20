"""Weighted least squares of many small systems at once, through the normal equations.

Sixteen systems lie side by side ("lanes"), the last axis of every array here, so that one vector
instruction serves several of them. The Gram matrix of a lane is packed: entry i <= j lies at
j * (j + 1) / 2 + i, so a model's first k columns own its first k * (k + 1) / 2 entries.
"""

from __future__ import annotations

import numpy as np

from geofeat.kernels._jit import FASTMATH, njit

LANES = 16
# A pivot below this share of its diagonal entry means a deficient rank.
PIVOT_TOLERANCE = 1e-10
_JACOBI_SWEEPS = 30


@njit(fastmath=FASTMATH, error_model="numpy")
def inner_products(
    vectors: np.ndarray,
    source: int,
    rows: np.ndarray,
    count: int,
    out: np.ndarray,
    lane: int,
) -> None:
    """Inner products of ``vectors[source]`` with the first rows, to ``out[:, lane]``."""
    length = rows.shape[1]
    j = 0
    while j + 3 <= count:  # three rows share each load of the vector
        a = 0.0
        b = 0.0
        c = 0.0
        for t in range(length):
            v = vectors[source, t]
            a += v * rows[j, t]
            b += v * rows[j + 1, t]
            c += v * rows[j + 2, t]
        out[j, lane] = a
        out[j + 1, lane] = b
        out[j + 2, lane] = c
        j += 3
    while j < count:
        a = 0.0
        for t in range(length):
            a += vectors[source, t] * rows[j, t]
        out[j, lane] = a
        j += 1


@njit(fastmath=FASTMATH, error_model="numpy")
def gram_matrix(
    weights: np.ndarray,
    source: int,
    columns: np.ndarray,
    products: np.ndarray,
    p: int,
    gram: np.ndarray,
    lane: int,
) -> None:
    """Packed Gram matrix of the first p columns under ``weights[source]``, to one lane.

    ``products`` holds the products of all pairs of columns, or nothing.
    """
    if products.shape[0] > 0:
        inner_products(weights, source, products, p * (p + 1) // 2, gram, lane)
        return
    pair = 0
    for j in range(p):
        i = 0
        while i + 3 <= j + 1:
            a = 0.0
            b = 0.0
            c = 0.0
            for t in range(columns.shape[1]):
                v = weights[source, t] * columns[j, t]
                a += v * columns[i, t]
                b += v * columns[i + 1, t]
                c += v * columns[i + 2, t]
            gram[pair, lane] = a
            gram[pair + 1, lane] = b
            gram[pair + 2, lane] = c
            i += 3
            pair += 3
        while i <= j:
            a = 0.0
            for t in range(columns.shape[1]):
                a += weights[source, t] * columns[j, t] * columns[i, t]
            gram[pair, lane] = a
            i += 1
            pair += 1


@njit(fastmath=FASTMATH, error_model="numpy")
def factorise(
    gram: np.ndarray, p: int, lanes: int, regular: np.ndarray, determinant: np.ndarray
) -> None:
    """Replace packed Gram matrices by L D L': 1 / D on the diagonal, L D below it.

    ``regular`` becomes 1 where every pivot passes the rank test, else 0; ``determinant`` becomes
    the determinant of the Gram matrix scaled to a unit diagonal.
    """
    if lanes == 1:
        _factorise(gram, p, 1, regular, determinant)
    else:  # all lanes at a constant count cost less than some of them
        _factorise(gram, p, LANES, regular, determinant)


@njit(inline="always")
def _factorise(
    gram: np.ndarray, p: int, lanes: int, regular: np.ndarray, determinant: np.ndarray
) -> None:
    diagonal = np.empty((p, LANES))
    for j in range(p):
        for lane in range(lanes):
            diagonal[j, lane] = gram[j * (j + 1) // 2 + j, lane]
    for lane in range(lanes):
        regular[lane] = 1.0
        determinant[lane] = 1.0
    for j in range(p):
        jj = j * (j + 1) // 2 + j
        for lane in range(lanes):
            share = gram[jj, lane] / diagonal[j, lane]
            regular[lane] *= 1.0 if share >= PIVOT_TOLERANCE else 0.0
            determinant[lane] *= share
            gram[jj, lane] = 1.0 / gram[jj, lane]
        for k in range(j + 1, p):
            kj = k * (k + 1) // 2 + j
            for m in range(j + 1, k + 1):
                km = k * (k + 1) // 2 + m
                mj = m * (m + 1) // 2 + j
                for lane in range(lanes):
                    gram[km, lane] -= gram[kj, lane] * gram[mj, lane] * gram[jj, lane]


@njit(fastmath=FASTMATH, error_model="numpy")
def substitute(gram: np.ndarray, rhs: np.ndarray, p: int, lanes: int) -> None:
    """Replace right-hand sides by solutions, given what `factorise` left."""
    if lanes == 1:
        _substitute(gram, rhs, p, 1)
    else:
        _substitute(gram, rhs, p, LANES)


@njit(inline="always")
def _substitute(gram: np.ndarray, rhs: np.ndarray, p: int, lanes: int) -> None:
    for j in range(p):
        jj = j * (j + 1) // 2 + j
        for k in range(j + 1, p):
            kj = k * (k + 1) // 2 + j
            for lane in range(lanes):
                rhs[k, lane] -= gram[kj, lane] * gram[jj, lane] * rhs[j, lane]
    for j in range(p - 1, -1, -1):
        jj = j * (j + 1) // 2 + j
        for k in range(j + 1, p):
            kj = k * (k + 1) // 2 + j
            for lane in range(lanes):
                rhs[j, lane] -= gram[kj, lane] * rhs[k, lane]
        for lane in range(lanes):
            rhs[j, lane] *= gram[jj, lane]


@njit(fastmath=FASTMATH, error_model="numpy")
def residuals(
    y: np.ndarray,
    lane: int,
    columns: np.ndarray,
    coefficients: np.ndarray,
    p: int,
    out: np.ndarray,
) -> None:
    """Write ``y[lane]`` minus the model of ``coefficients[:, lane]``, p >= 3, to ``out[0]``."""
    length = columns.shape[1]
    a = coefficients[0, lane]
    b = coefficients[1, lane]
    c = coefficients[2, lane]
    for t in range(length):
        out[0, t] = y[lane, t] - (a * columns[0, t] + b * columns[1, t] + c * columns[2, t])
    j = 3
    while j + 3 <= p:
        a = coefficients[j, lane]
        b = coefficients[j + 1, lane]
        c = coefficients[j + 2, lane]
        for t in range(length):
            out[0, t] -= a * columns[j, t] + b * columns[j + 1, t] + c * columns[j + 2, t]
        j += 3
    while j < p:
        a = coefficients[j, lane]
        for t in range(length):
            out[0, t] -= a * columns[j, t]
        j += 1


@njit(error_model="numpy")
def condition_number(gram: np.ndarray, lane: int, p: int) -> float:
    """Condition number of the design behind one lane's Gram matrix, columns scaled to length 1.

    Eigenvalues by cyclic Jacobi rotations; infinity where the matrix is singular to rounding.
    """
    a = np.empty((p, p))
    for j in range(p):
        for i in range(j + 1):
            scale = np.sqrt(gram[i * (i + 1) // 2 + i, lane] * gram[j * (j + 1) // 2 + j, lane])
            a[i, j] = gram[j * (j + 1) // 2 + i, lane] / scale
            a[j, i] = a[i, j]
    for _ in range(_JACOBI_SWEEPS):
        off = 0.0
        for j in range(p):
            for i in range(j):
                off += a[i, j] * a[i, j]
        if not off > 1e-34:
            break
        for j in range(p):
            for i in range(j):
                _rotate(a, i, j, p)
    low = a[0, 0]
    high = a[0, 0]
    for j in range(1, p):
        low = min(low, a[j, j])
        high = max(high, a[j, j])
    return np.sqrt(high / low) if low > 0.0 else np.inf


@njit(error_model="numpy")
def _rotate(a: np.ndarray, i: int, j: int, p: int) -> None:
    """Rotate rows and columns i, j of a symmetric matrix so that a[i, j] vanishes."""
    if a[i, j] == 0.0:
        return
    theta = (a[j, j] - a[i, i]) / (2.0 * a[i, j])
    tangent = (1.0 if theta >= 0.0 else -1.0) / (abs(theta) + np.sqrt(theta * theta + 1.0))
    cosine = 1.0 / np.sqrt(tangent * tangent + 1.0)
    sine = tangent * cosine
    for k in range(p):
        left = a[k, i]
        right = a[k, j]
        a[k, i] = cosine * left - sine * right
        a[k, j] = sine * left + cosine * right
    for k in range(p):
        left = a[i, k]
        right = a[j, k]
        a[i, k] = cosine * left - sine * right
        a[j, k] = sine * left + cosine * right
