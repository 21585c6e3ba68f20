"""Random functions of points: cosines of random waves, and Legendre polynomials about random axes.

One lane is one point. A block of eight points is turned into lanes once and meets all functions;
64 of them wait in the first cache level before they are written out as rows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from geofeat.kernels._fourier import store_columns
from geofeat.kernels._jit import njit
from geofeat.kernels._lanes import LANES, aligned, floor, load, multiply_add, splat, store
from geofeat.kernels._precision import in_double
from geofeat.kernels._sine import (
    _QUARTER_1,
    _QUARTER_2,
    _QUARTER_3,
    MAX_RADIANS,
    sine_and_cosine,
)

_TILE_COLUMNS = 64
# Columns whose sums or recursions run side by side, so that none waits for its own last step.
_TOGETHER = 4


def random_waves(
    points: Any,
    weights: Any,
    phases: Any,
    scale: float,
    xp: Any,
    *,
    out: np.ndarray | None = None,
) -> Any:
    """Cosines, or cosines and sines, of linear phases of points; NaN in, NaN out.

    Parameters
    ----------
    points : array of shape (n, d)
        Float64 or float32, C-contiguous, in namespace ``xp``.
    weights : array of shape (n_waves, d), float64
        Radians a unit of each coordinate.
    phases : array of shape (n_waves,), float64, or None
        Column j is ``scale * cos(weights[j] @ x + phases[j])``. Without phases there are twice
        as many columns, all cosines first, then all sines.
    scale : float
        Factor of all columns.
    xp : module
        NumPy for the compiled kernel, else an array API namespace.
    out : ndarray of shape (n, n_columns), optional
        C-contiguous, float64 or float32; filled and returned. NumPy only.

    Returns
    -------
    waves : array of shape (n, n_columns)
        In the dtype of ``points``; arithmetic is float64 where the device has it.
    """
    if xp is not np:
        return _waves_array_api(points, weights, phases, scale, xp)
    if out is None:
        n_columns = weights.shape[0] * (2 if phases is None else 1)
        out = np.empty((points.shape[0], n_columns), dtype=points.dtype)
    paired = phases is None
    start = np.zeros(weights.shape[0]) if phases is None else phases
    _waves_cpu(points, weights, start, scale, paired, out)
    _mend_far_rows(points, weights, phases, scale, out)
    return out


def zonal_functions(
    points: Any,
    axes: Any,
    degrees: np.ndarray,
    scale: float,
    xp: Any,
    *,
    out: np.ndarray | None = None,
) -> Any:
    """Legendre polynomials about axes, ``scale * sqrt(2n + 1) P_n(axis @ x)``; NaN in, NaN out.

    Parameters
    ----------
    points : array of shape (n, 3)
        Unit vectors, float64 or float32, C-contiguous, in namespace ``xp``.
    axes : array of shape (n_columns, 3), float64
        Unit vectors.
    degrees : ndarray of shape (n_columns,), int64
        Degree of each polynomial, ascending.
    scale : float
        Factor of all columns.
    xp : module
        NumPy for the compiled kernel, else an array API namespace.
    out : ndarray of shape (n, n_columns), optional
        C-contiguous, float64 or float32; filled and returned. NumPy only.

    Returns
    -------
    functions : array of shape (n, n_columns)
        In the dtype of ``points``; arithmetic is float64 where the device has it.
    """
    factors = scale * np.sqrt(2.0 * degrees + 1.0)
    if xp is not np:
        return _zonal_array_api(points, axes, degrees, factors, xp)
    if out is None:
        out = np.empty((points.shape[0], axes.shape[0]), dtype=points.dtype)
    _zonal_cpu(points, axes, degrees, factors, out)
    return out


@njit()
def _load_points(points: Any, first: Any, lanes: Any) -> None:
    """Lay eight points into lanes, one coordinate after the other; the last point fills up."""
    last = points.shape[0] - 1
    for i in range(LANES):
        for k in range(points.shape[1]):
            lanes[k * LANES + i] = points[min(first + i, last), k]


@njit()
def _packed(weights: Any, phases: Any) -> Any:
    """Phases and weights in the order in which they are read, four waves side by side."""
    n_waves, d = weights.shape
    packed = np.zeros((-(-n_waves // _TOGETHER), d + 1, _TOGETHER))
    for j in range(n_waves):
        packed[j // _TOGETHER, 0, j % _TOGETHER] = phases[j]
        for k in range(d):
            packed[j // _TOGETHER, k + 1, j % _TOGETHER] = weights[j, k]
    return packed


@njit()
def _store_angles(lanes: Any, four_waves: Any, angles: Any, place: Any) -> None:
    """Phases of the points for four waves."""
    a, b = splat(four_waves[0, 0]), splat(four_waves[0, 1])
    c, d = splat(four_waves[0, 2]), splat(four_waves[0, 3])
    for k in range(1, four_waves.shape[0]):
        x = load(lanes, (k - 1) * LANES)
        a = multiply_add(splat(four_waves[k, 0]), x, a)
        b = multiply_add(splat(four_waves[k, 1]), x, b)
        c = multiply_add(splat(four_waves[k, 2]), x, c)
        d = multiply_add(splat(four_waves[k, 3]), x, d)
    store(angles, place * LANES, a)
    store(angles, (place + 1) * LANES, b)
    store(angles, (place + 2) * LANES, c)
    store(angles, (place + 3) * LANES, d)


@njit()
def _cosine(radians: Any, single: Any) -> Any:
    """Cosine of radians up to `MAX_RADIANS`, within 4e-16: the sine of a quarter turn more.

    Reduced to half a turn, one Taylor series does where sine and cosine together take two. With
    ``single`` it ends below 1e-9, a sixtieth of the last place of float32.
    """
    half_turns = floor(multiply_add(radians, splat(1 / math.pi), splat(1.0)))
    quarters = multiply_add(splat(2.0), half_turns, splat(-1.0))
    rest = multiply_add(quarters, splat(-_QUARTER_1), radians)
    rest = multiply_add(quarters, splat(-_QUARTER_2), rest)
    rest = multiply_add(quarters, splat(-_QUARTER_3), rest)
    square = rest * rest
    if single:
        sine = splat(1 / 6227020800)
    else:
        sine = splat(-1 / 121645100408832000)
        sine = multiply_add(sine, square, splat(1 / 355687428096000))
        sine = multiply_add(sine, square, splat(-1 / 1307674368000))
        sine = multiply_add(sine, square, splat(1 / 6227020800))
    sine = multiply_add(sine, square, splat(-1 / 39916800))
    sine = multiply_add(sine, square, splat(1 / 362880))
    sine = multiply_add(sine, square, splat(-1 / 5040))
    sine = multiply_add(sine, square, splat(1 / 120))
    sine = multiply_add(sine, square, splat(-1 / 6))
    sine = multiply_add(sine * square, rest, rest)
    turns = half_turns * splat(0.5)
    return sine * multiply_add(splat(-4.0), turns - floor(turns), splat(1.0))


@njit()
def _fill_waves(
    points: Any, start: Any, packed: Any, scale: Any, paired: Any, lanes: Any, out: Any
) -> None:
    """Waves of the points from ``start`` on into all rows of ``out``, a multiple of LANES."""
    n_waves = out.shape[1] // 2 if paired else out.shape[1]
    angles = aligned(_TILE_COLUMNS * LANES, lanes)
    cosines, sines = aligned(_TILE_COLUMNS * LANES, out), aligned(_TILE_COLUMNS * LANES, out)
    single = out.itemsize == 4
    factor = splat(scale)
    for row in range(0, out.shape[0], LANES):
        _load_points(points, start + row, lanes)
        for first in range(0, n_waves, _TILE_COLUMNS):
            columns = min(_TILE_COLUMNS, n_waves - first)
            for c in range(0, columns, _TOGETHER):
                _store_angles(lanes, packed[(first + c) // _TOGETHER], angles, c)
            if paired:
                for c in range(columns):
                    sine, cosine = sine_and_cosine(load(angles, c * LANES), single)
                    store(cosines, c * LANES, cosine * factor)
                    store(sines, c * LANES, sine * factor)
                store_columns(sines, columns, out, row, n_waves + first)
            else:
                for c in range(columns):
                    store(cosines, c * LANES, _cosine(load(angles, c * LANES), single) * factor)
            store_columns(cosines, columns, out, row, first)


@njit()
def _waves_cpu(points: Any, weights: Any, phases: Any, scale: Any, paired: Any, out: Any) -> None:
    n = out.shape[0]
    whole = n // LANES * LANES
    lanes = aligned(points.shape[1] * LANES, weights)
    packed = _packed(weights, phases)
    # The last points, fewer than LANES, meet the same instructions in a block of their own.
    rest = np.empty((LANES if whole < n else 0, out.shape[1]), out.dtype)
    start = n - n
    for rows in (out[:whole], rest):
        _fill_waves(points, start, packed, scale, paired, lanes, rows)
        start = whole
    for row in range(whole, n):
        for column in range(out.shape[1]):
            out[row, column] = rest[row - whole, column]


@njit()
def _far_rows(points: Any, weights: Any) -> Any:
    """Rows whose phases may be beyond what the sines of this file can do."""
    reach = np.zeros(weights.shape[1])
    for j in range(weights.shape[0]):
        for k in range(weights.shape[1]):
            reach[k] = max(reach[k], abs(weights[j, k]))
    far = np.zeros(points.shape[0], np.bool_)
    for i in range(points.shape[0]):
        furthest = 2 * math.pi
        for k in range(weights.shape[1]):
            furthest += reach[k] * abs(points[i, k])
        far[i] = furthest > MAX_RADIANS
    return np.flatnonzero(far)


def _mend_far_rows(
    points: np.ndarray, weights: np.ndarray, phases: Any, scale: float, out: np.ndarray
) -> None:
    """Compute the rows with huge phases again, by NumPy.

    Coordinate by coordinate, so that a row does not depend on how many there are.
    """
    far = _far_rows(points, weights)
    if far.size:
        angles = np.zeros((far.size, weights.shape[0]))
        for coordinate, weight in zip(points[far].T, weights.T, strict=True):
            angles += coordinate.astype(np.float64)[:, None] * weight
        out[far] = _waves_of_angles(angles, phases, scale, np)


def _waves_of_angles(angles: Any, phases: Any, scale: float, xp: Any) -> Any:
    if phases is None:
        return scale * xp.concat([xp.cos(angles), xp.sin(angles)], axis=1)
    return scale * xp.cos(angles + phases)


def _waves_array_api(points: Any, weights: Any, phases: Any, scale: float, xp: Any) -> Any:
    exact = in_double(points, xp)
    angles = xp.matmul(exact, xp.astype(weights, exact.dtype).T)
    if phases is not None:
        phases = xp.astype(phases, exact.dtype)
    return xp.astype(_waves_of_angles(angles, phases, scale, xp), points.dtype)


@njit()
def _fill_zonal(
    points: Any, start: Any, axes: Any, degrees: Any, factors: Any, lanes: Any, out: Any
) -> None:
    """Zonal functions of the points from ``start`` on into all rows of ``out``."""
    n_columns = axes.shape[0]
    tile = aligned((_TILE_COLUMNS + _TOGETHER) * LANES, out)
    for row in range(0, out.shape[0], LANES):
        _load_points(points, start + row, lanes)
        for first in range(0, n_columns, _TILE_COLUMNS):
            columns = min(_TILE_COLUMNS, n_columns - first)
            for c in range(0, columns, _TOGETHER):
                _four_polynomials(lanes, axes, degrees, factors, first + c, c, tile)
            store_columns(tile, columns, out, row, first)


@njit()
def _height(lanes: Any, axes: Any, column: Any) -> Any:
    """Cosine of the angle between points and an axis."""
    height = splat(axes[column, 0]) * load(lanes, 0)
    height = multiply_add(splat(axes[column, 1]), load(lanes, LANES), height)
    return multiply_add(splat(axes[column, 2]), load(lanes, 2 * LANES), height)


@njit()
def _next_polynomial(height: Any, one: Any, before: Any, share: Any) -> Any:
    """P_n from P_(n-1) and P_(n-2), with ``share`` = (n - 1) / n."""
    product = height * one
    return multiply_add(share, product - before, product)


@njit()
def _finish(height: Any, one: Any, before: Any, n: Any, degree: Any) -> Any:
    """Polynomial of a degree, given those of n and n - 1."""
    for k in range(n + 1, degree + 1):
        one, before = _next_polynomial(height, one, before, splat((k - 1) / k)), one
    return one


@njit()
def _four_polynomials(
    lanes: Any, axes: Any, degrees: Any, factors: Any, column: Any, place: Any, tile: Any
) -> None:
    """Four neighbours together up to the least degree, then each up to its own."""
    last = axes.shape[0] - 1
    j0, j1, j2, j3 = column, min(column + 1, last), min(column + 2, last), min(column + 3, last)
    t0, t1 = _height(lanes, axes, j0), _height(lanes, axes, j1)
    t2, t3 = _height(lanes, axes, j2), _height(lanes, axes, j3)
    # P_0 = 1; NaN heights must reach it too.
    p0, p1, p2, p3 = (
        multiply_add(splat(0.0), t0, splat(1.0)),
        multiply_add(splat(0.0), t1, splat(1.0)),
        multiply_add(splat(0.0), t2, splat(1.0)),
        multiply_add(splat(0.0), t3, splat(1.0)),
    )
    b0, b1, b2, b3 = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
    together = degrees[j0]
    for n in range(1, together + 1):
        share = splat((n - 1) / n)
        p0, b0 = _next_polynomial(t0, p0, b0, share), p0
        p1, b1 = _next_polynomial(t1, p1, b1, share), p1
        p2, b2 = _next_polynomial(t2, p2, b2, share), p2
        p3, b3 = _next_polynomial(t3, p3, b3, share), p3
    p1 = _finish(t1, p1, b1, together, degrees[j1])
    p2 = _finish(t2, p2, b2, together, degrees[j2])
    p3 = _finish(t3, p3, b3, together, degrees[j3])
    store(tile, place * LANES, p0 * splat(factors[j0]))
    store(tile, (place + 1) * LANES, p1 * splat(factors[j1]))
    store(tile, (place + 2) * LANES, p2 * splat(factors[j2]))
    store(tile, (place + 3) * LANES, p3 * splat(factors[j3]))


@njit()
def _zonal_cpu(points: Any, axes: Any, degrees: Any, factors: Any, out: Any) -> None:
    n = out.shape[0]
    whole = n // LANES * LANES
    lanes = aligned(3 * LANES, axes)
    rest = np.empty((LANES if whole < n else 0, out.shape[1]), out.dtype)
    start = n - n
    for rows in (out[:whole], rest):
        _fill_zonal(points, start, axes, degrees, factors, lanes, rows)
        start = whole
    for row in range(whole, n):
        for column in range(out.shape[1]):
            out[row, column] = rest[row - whole, column]


def _zonal_array_api(
    points: Any, axes: Any, degrees: np.ndarray, factors: np.ndarray, xp: Any
) -> Any:
    exact = in_double(points, xp)
    height = xp.matmul(exact, xp.astype(axes, exact.dtype).T)
    one, before = 1 + 0 * height, 0 * height
    finished, first = [], 0
    for n in range(int(degrees[-1]) + 1):
        done = int(np.searchsorted(degrees, n, side="right")) - first
        if n > 0:
            product = height * one
            one, before = product + (n - 1) / n * (product - before), one
        if done:
            finished.append(one[:, :done])
            one, before, height = one[:, done:], before[:, done:], height[:, done:]
            first += done
    factors = xp.asarray(factors, dtype=exact.dtype, device=points.device)
    return xp.astype(xp.concat(finished, axis=1) * factors, points.dtype)
