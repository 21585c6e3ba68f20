"""Vectors of floats stored as bytes, and bytes looked up in a table of values.

Vectors run along the middle one of three axes, (before, components, behind), so that every layout
of an array is a view of this one. What goes with a vector has the shape (before, behind).
"""

from __future__ import annotations

import numpy as np

from geofeat.kernels._jit import njit


@njit()
def largest_magnitudes(values: np.ndarray, out: np.ndarray) -> None:
    """Largest magnitude of each vector, float64; NaN where a component is missing."""
    out[:] = 0.0
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            for k in range(values.shape[2]):
                magnitude = abs(np.float64(values[i, j, k]))
                if magnitude > out[i, k] or np.isnan(magnitude):
                    out[i, k] = magnitude  # NaN stays: nothing is larger


@njit()
def vector_lengths(values: np.ndarray, largest: np.ndarray, out: np.ndarray) -> None:
    """Euclidean length of each vector, float64, whose largest magnitude is given and not 0."""
    out[:] = 0.0
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            for k in range(values.shape[2]):
                out[i, k] += (values[i, j, k] / largest[i, k]) ** 2
    for i in range(out.shape[0]):
        for k in range(out.shape[1]):
            out[i, k] = largest[i, k] * np.sqrt(out[i, k])


@njit()
def signed_square_codes(
    values: np.ndarray, divisors: np.ndarray, scale: float, nodata: int, codes: np.ndarray
) -> None:
    """Fill int8 ``codes`` with ``sign(v) rint(scale sqrt(abs(v)))`` for v = value / divisor.

    Codes end at 127. A vector whose divisor is NaN becomes ``nodata`` throughout.
    """
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            for k in range(values.shape[2]):
                if np.isnan(divisors[i, k]):
                    codes[i, j, k] = nodata
                    continue
                value = np.float64(values[i, j, k]) / divisors[i, k]
                code = min(127.0, np.rint(scale * np.sqrt(abs(value))))
                codes[i, j, k] = np.int8(code if value > 0 else -code)


@njit()
def scaled_codes(values: np.ndarray, steps: np.ndarray, codes: np.ndarray) -> None:
    """Fill int8 ``codes`` with ``rint(value / step)``, at most 127; 0 where the step is NaN."""
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            for k in range(values.shape[2]):
                code = 0.0
                if not np.isnan(steps[i, k]):
                    code = np.rint(np.float64(values[i, j, k]) / steps[i, k])
                codes[i, j, k] = np.int8(max(-127.0, min(127.0, code)))


@njit()
def look_up(stored: np.ndarray, table: np.ndarray, out: np.ndarray) -> None:
    """Fill ``out`` with ``table[stored]``; ``stored`` uint8, all three of one axis."""
    for i in range(stored.shape[0]):
        out[i] = table[stored[i]]
