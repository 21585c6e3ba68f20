"""Sines and cosines of linear phases of coordinates, and products of two of them.

Every fixed encoding of places and times but the spherical harmonics has this form. With phases
``p = rates @ coordinates`` there are the terms 1, sin p0, cos p0, sin p1, cos p1, ..., each
computed once, and a column is the product of two terms, named by their numbers:

    out[:, c] = term[factors[0, c]] * term[factors[1, c]]
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from geofeat.kernels._jit import njit
from geofeat.kernels._lanes import (
    LANES,
    aligned,
    load,
    multiply_add,
    splat,
    store,
    store_transposed,
)
from geofeat.kernels._precision import in_double
from geofeat.kernels._sine import sine_and_cosine, sine_and_cosine_of_degrees

ONE = 0
# Columns that wait in the first cache level before they are written out.
_TILE_COLUMNS = 64


def sine_term(phase: int) -> int:
    """Return the number of the term sin(phase)."""
    return 1 + 2 * phase


def cosine_term(phase: int) -> int:
    """Return the number of the term cos(phase)."""
    return 2 + 2 * phase


def fourier_products(
    coordinates: tuple[Any, ...],
    rates: Any,
    factors: np.ndarray,
    xp: Any,
    *,
    in_degrees: bool,
    out: np.ndarray | None = None,
) -> Any:
    """Products of sines and cosines, shape (n, n_columns); NaN in, NaN out.

    Parameters
    ----------
    coordinates : tuple of arrays of shape (n,)
        Float64 or float32, in namespace ``xp``. A NaN in one of them makes its row NaN.
    rates : array of shape (n_phases, len(coordinates)), float64
        Phase j is the sum of ``rates[j, k] * coordinates[k]``. NumPy, or in namespace ``xp``.
    factors : ndarray of shape (2, n_columns), int64
        Terms whose product a column is: `sine_term` or `cosine_term` of a phase, in the second
        row also `ONE`.
    xp : module
        NumPy for the compiled kernel, else an array API namespace.
    in_degrees : bool
        Whether phases count degrees, with exact zeros at quarter turns, or radians up to 1e6.
    out : ndarray of shape (n, n_columns), optional
        C-contiguous, float64 or float32; filled and returned. NumPy only.

    Returns
    -------
    products : array of shape (n, n_columns)
        In the dtype of the coordinates; arithmetic is float64 where the device has it.
    """
    if xp is not np:
        return _products_array_api(coordinates, rates, factors, xp, in_degrees)
    n = coordinates[0].shape[0]
    if out is None:
        out = np.empty((n, factors.shape[1]), dtype=coordinates[0].dtype)
    padded = np.zeros((len(coordinates), -(-n // LANES) * LANES))
    for k, coordinate in enumerate(coordinates):
        padded[k, :n] = coordinate
    _products_cpu(padded, rates, factors, in_degrees, out)
    return out


@njit()
def store_columns(tile: Any, columns: Any, out: Any, row: Any, first: Any) -> None:
    """Turn ``columns`` stored lanes into ``LANES`` rows of ``out`` from column ``first`` on.

    Fewer than eight columns are left over at a time: they go with columns that are done again.
    """
    if columns < LANES:
        for column in range(columns):
            for i in range(LANES):
                out[row + i, first + column] = tile[column * LANES + i]
        return
    for column in range(0, columns - LANES + 1, LANES):
        store_transposed(tile, column, out, row, first + column)
    store_transposed(tile, columns - LANES, out, row, first + columns - LANES)


@njit()
def _fill_rows(
    coordinates: Any, start: Any, rates: Any, factors: Any, in_degrees: Any, terms: Any, out: Any
) -> None:
    """Products of the points from ``start`` on into all rows of ``out``, a multiple of LANES."""
    n_columns = factors.shape[1]
    tile = aligned(_TILE_COLUMNS * LANES, out)
    span = coordinates.shape[1]
    flat = coordinates.reshape(coordinates.size)
    single = out.itemsize == 4
    store(terms, ONE, splat(1.0))
    for row in range(0, out.shape[0], LANES):
        missing = splat(0.0)  # or NaN, which every phase begins with
        for k in range(rates.shape[1]):
            missing = multiply_add(splat(0.0), load(flat, k * span + start + row), missing)
        for j in range(rates.shape[0]):
            phase = missing
            for k in range(rates.shape[1]):
                phase = multiply_add(splat(rates[j, k]), load(flat, k * span + start + row), phase)
            if in_degrees:
                sine, cosine, _ = sine_and_cosine_of_degrees(phase, single)
            else:
                sine, cosine = sine_and_cosine(phase, single)
            store(terms, (1 + 2 * j) * LANES, sine)
            store(terms, (2 + 2 * j) * LANES, cosine)
        for first in range(0, n_columns, _TILE_COLUMNS):
            columns = min(_TILE_COLUMNS, n_columns - first)
            for c in range(columns):
                product = load(terms, factors[0, first + c] * LANES)
                if factors[1, first + c] != ONE:
                    product = product * load(terms, factors[1, first + c] * LANES)
                store(tile, c * LANES, product)
            store_columns(tile, columns, out, row, first)


@njit()
def _products_cpu(coordinates: Any, rates: Any, factors: Any, in_degrees: Any, out: Any) -> None:
    n = out.shape[0]
    whole = n // LANES * LANES
    terms = aligned((1 + 2 * rates.shape[0]) * LANES, rates)
    # The last points, fewer than LANES, meet the same instructions in a block of their own.
    rest = np.empty((coordinates.shape[1] - whole, out.shape[1]), out.dtype)
    start = n - n
    for rows in (out[:whole], rest):
        _fill_rows(coordinates, start, rates, factors, in_degrees, terms, rows)
        start = whole
    for row in range(whole, n):
        for column in range(out.shape[1]):
            out[row, column] = rest[row - whole, column]


def _products_array_api(
    coordinates: tuple[Any, ...], rates: Any, factors: np.ndarray, xp: Any, in_degrees: bool
) -> Any:
    dtype, device = coordinates[0].dtype, coordinates[0].device
    columns = [in_double(coordinate, xp)[:, None] for coordinate in coordinates]
    missing = 0 * sum(columns[1:], start=columns[0])  # or NaN
    if isinstance(rates, np.ndarray):
        rates = xp.asarray(rates.copy(), dtype=columns[0].dtype, device=device)
    phases = missing
    for k, column in enumerate(columns):
        phases = phases + column * rates[None, :, k]
    sines, cosines = _sines_and_cosines(phases, xp, in_degrees)
    terms = xp.concat([1 + missing, sines, cosines], axis=1)
    # Terms alternate between sine and cosine; here all sines come first.
    places = np.where(factors % 2, (factors + 1) // 2, rates.shape[0] + factors // 2)
    left, right = (
        xp.asarray(side, device=device) for side in np.where(factors == ONE, 0, places).copy()
    )
    return xp.astype(xp.take(terms, left, axis=1) * xp.take(terms, right, axis=1), dtype)


def _sines_and_cosines(phases: Any, xp: Any, in_degrees: bool) -> tuple[Any, Any]:
    if not in_degrees:
        return xp.sin(phases), xp.cos(phases)
    # exact at quarter turns
    turns = xp.floor(phases / 90 + 0.5)
    rest = (phases - turns * 90) * (math.pi / 180)
    sine, cosine = xp.sin(rest), xp.cos(rest)
    odd = xp.remainder(turns, 2 + 0 * turns) == 1
    sign = xp.where(xp.remainder(turns, 4 + 0 * turns) >= 2, -1 + 0 * turns, 1 + 0 * turns)
    return sign * xp.where(odd, cosine, sine), sign * xp.where(odd, -sine, cosine)
