"""Real spherical harmonics of longitude and latitude in degrees, by a stable recursion in degree.

A harmonic of degree l and order m is ``Q(l, |m|) (z) * s**|m| * cos(m lon)`` (sine for m < 0), with
s, z the cosine and sine of latitude and Q the normalised Legendre function over s**m:

    Q(l, m) = a(l, m) z Q(l-1, m) - b(l, m) Q(l-2, m)

The forward recursion in l is stable; dividing by s**m lets every point start from the same
constant Q(m, m), so nothing underflows on its way to the poles. Zonal columns are the steepest:
near a pole the roundings of this recursion would cost them 7e-12 at degree 199. They sum the
differences of Legendre polynomials instead, which depend on t = 1 - abs(z) and vanish with it:

    D(l) = (l-1)/l D(l-1) - (2l-1)/l t P(l-1)      P(l) = P(l-1) + D(l)

The sign of a convention and the factors of degrees depend on the degree only, the factor pi on
m = 0, so they are part of the coefficients.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from geofeat.kernels._jit import njit
from geofeat.kernels._lanes import (
    LANES,
    aligned,
    copysign,
    load,
    multiply_add,
    splat,
    store,
    store_transposed,
)
from geofeat.kernels._sine import sine_and_cosine_of_degrees

# Q(l, m) grows like (1 + sqrt(2))**l at the poles and would overflow from degree 800 on.
MAX_DEGREE = 700
# Elements of one temporary array on a device.
_ARRAY_ELEMENTS = 2**24
# Columns that wait in the first cache level before they are written out.
_TILE_COLUMNS = 64
# Added and taken off, it turns powers of s that are nearly subnormal, and slow, into zero.
_TINY = 1e-270


def spherical_harmonics(
    lon: Any,
    lat: Any,
    degree: int,
    xp: Any,
    *,
    convention: str = "locationencoder",
    degree_factors: tuple[float, ...] | None = None,
    out: np.ndarray | None = None,
) -> Any:
    """All harmonics up to a degree, shape (n, (degree + 1)**2); NaN in, NaN out.

    Parameters
    ----------
    lon, lat : array of shape (n,)
        Degrees, float64 or float32, in namespace ``xp``.
    degree : int
        Highest degree, at most `MAX_DEGREE`.
    xp : module
        NumPy for the compiled kernel, else an array API namespace.
    convention : {"locationencoder", "satclip", "geodesy"}
        Sign and scale: (-1)**l times the geodesists' harmonics, the same with zonal columns
        times pi, or the geodesists' orthonormal ones without Condon-Shortley phase.
    degree_factors : tuple of float, optional
        What each degree is multiplied by, from 0 to ``degree``: positive, at most 4, and all zero
        once one is. None multiplies by nothing.
    out : ndarray of shape (n, (degree + 1)**2), optional
        C-contiguous, float64 or float32; filled and returned. NumPy only.

    Returns
    -------
    harmonics : array of shape (n, (degree + 1)**2)
        Order m of degree l in column ``l * l + l + m``, in the dtype of ``lon``. Arithmetic is
        float64, except on devices that have no such type.
    """
    factors = (1.0,) * (degree + 1) if degree_factors is None else degree_factors
    if xp is not np:
        return _harmonics_array_api(lon, lat, convention, factors, xp)
    if out is None:
        out = np.empty((lon.shape[0], (degree + 1) ** 2), dtype=lon.dtype)
    steps, starts = _step_table(convention, factors), _start_table(convention, factors)
    _harmonics_cpu(lon, lat, steps, starts, out)
    return out


def _signed_factors(convention: str, factors: tuple[float, ...]) -> np.ndarray:
    """Factor of each degree with the sign of the convention."""
    signed = np.array(factors, dtype=np.float64)
    if convention != "geodesy":
        signed[1::2] *= -1
    return signed


@lru_cache(maxsize=32)
def _start_table(convention: str, factors: tuple[float, ...]) -> np.ndarray:
    """Q(m, m), and the scale of the zonal column of degree m, m = 0 .. degree, (2, degree + 1)."""
    m = np.arange(len(factors))
    growth = np.sqrt((2 * m + 1) / np.maximum(2 * m, 1))
    sectoral = math.sqrt(2 / (4 * math.pi)) * np.cumprod(growth)  # 2 for all orders but zero
    zonal = np.sqrt((2 * m + 1) / (4 * math.pi))
    if convention == "satclip":
        zonal *= math.pi
    starts = np.stack([sectoral, zonal]) * _signed_factors(convention, factors)
    starts.flags.writeable = False
    return starts


@lru_cache(maxsize=32)
def _step_table(convention: str, factors: tuple[float, ...]) -> np.ndarray:
    """Pairs of coefficients for l = 1 .. degree, m = 0 .. l - 1, shape (degree * (degree + 1),).

    a(l, m) and -b(l, m); at m = 0 -(2l-1)/l and (l-1)/l.
    """
    degree = len(factors) - 1
    signed = _signed_factors(convention, factors)
    # Factors that vanish do so for good, and 0/0 stands for 0.
    ratio = np.divide(signed[1:], signed[:-1], out=np.zeros(degree), where=signed[:-1] != 0)
    steps = np.zeros(degree * (degree + 1))
    at = 0
    for l in range(1, degree + 1):
        m = np.arange(l)
        span = l * l - m * m
        steps[at : at + 2 * l : 2] = ratio[l - 1] * np.sqrt((4 * l * l - 1) / span)
        if l > 1:
            twice = ratio[l - 1] * ratio[l - 2]
            below = (2 * l + 1) * ((l - 1) ** 2 - m * m) / ((2 * l - 3) * span)
            steps[at + 1 : at + 2 * l : 2] = -twice * np.sqrt(below)
        steps[at] = -(2 * l - 1) / l
        steps[at + 1] = (l - 1) / l
        at += 2 * l
    steps.flags.writeable = False
    return steps


@njit()
def _unit_vectors(lon: Any, lat: Any, xyz: Any) -> None:
    """Fill x, y, z and 1 - abs(z), each a multiple of LANES long, in one array.

    A missing longitude or latitude makes z and 1 - abs(z) NaN.
    """
    n = lon.shape[0]
    span = xyz.shape[0] // 4
    for i in range(n):
        xyz[i] = lon[i]
        xyz[span + i] = lat[i]
    for i in range(n, span):
        xyz[i] = 0.0
        xyz[span + i] = 0.0
    for i in range(0, span, LANES):
        sine, cosine, _ = sine_and_cosine_of_degrees(load(xyz, i))
        z, s, below_one = sine_and_cosine_of_degrees(load(xyz, span + i))
        x = s * cosine
        store(xyz, i, x)
        store(xyz, span + i, s * sine)
        store(xyz, 2 * span + i, multiply_add(splat(0.0), x, z))
        store(xyz, 3 * span + i, multiply_add(splat(0.0), x, below_one))


@njit()
def _fill_rows(
    xyz: Any, first: Any, steps: Any, starts: Any, work: Any, tile: Any, out: Any
) -> None:
    """Harmonics of the points from ``first`` on into all rows of ``out``, a multiple of LANES.

    ``work`` holds, by order, s**m cos(m lon), s**m sin(m lon) and Q of the last two degrees;
    ``tile`` the finished columns that are not yet in ``out``. One lane is one point.
    """
    degree = starts.shape[1] - 1
    span = xyz.shape[0] // 4
    sines = (degree + 1) * LANES
    tiny = splat(_TINY)
    for row in range(0, out.shape[0], LANES):
        x = load(xyz, first + row)
        y = load(xyz, span + first + row)
        z = load(xyz, 2 * span + first + row)
        t = load(xyz, 3 * span + first + row)
        c, s, change, sign = splat(1.0), splat(0.0), splat(0.0), splat(1.0)
        legendre = multiply_add(z, s, c)  # NaN where z is
        store(tile, 0, legendre * splat(starts[1, 0]))
        step, column, held = 0, 0, 1
        for l in range(1, degree + 1):
            new, old, middle = (2 + l % 2) * sines, (3 - l % 2) * sines, (held + l) * LANES
            change = multiply_add(splat(steps[step]) * t, legendre, change * splat(steps[step + 1]))
            legendre = legendre + change
            sign = sign * copysign(splat(1.0), z)  # P(l) is odd in z for odd l
            store(tile, middle, legendre * sign * splat(starts[1, l]))
            step += 2
            for m in range(LANES, (l - 1) * LANES, LANES):
                before = load(work, new + m) * splat(steps[step + 1])
                value = multiply_add(z * splat(steps[step]), load(work, old + m), before)
                step += 2
                store(work, new + m, value)
                store(tile, middle - m, value * load(work, sines + m))
                store(tile, middle + m, value * load(work, m))
            m = (l - 1) * LANES
            if m:  # b is 0, and what Q(l-2, m) would be is left from elsewhere
                value = z * splat(steps[step]) * load(work, old + m)
                step += 2
                store(work, new + m, value)
                store(tile, middle - m, value * s)
                store(tile, middle + m, value * c)
            m += LANES
            turned = multiply_add(x, c, tiny - y * s) - tiny
            s, c = multiply_add(x, s, multiply_add(y, c, tiny)) - tiny, turned
            store(work, m, c)
            store(work, sines + m, s)
            value = splat(starts[0, l])
            store(work, new + m, value)
            store(tile, middle - m, value * s)
            store(tile, middle + m, value * c)
            held += 2 * l + 1
            if held >= _TILE_COLUMNS or l == degree:
                whole = held // LANES * LANES
                for k in range(0, whole, LANES):
                    store_transposed(tile, k, out, row, column + k)
                if (
                    l == degree and whole and whole < held
                ):  # what is left, and columns that are done again
                    store_transposed(tile, held - LANES, out, row, column + held - LANES)
                    held = whole
                column, held = column + whole, held - whole
                for k in range(held * LANES):
                    tile[k] = tile[whole * LANES + k]
        for k in range(held):  # degree 0 and 1 have less than LANES columns
            for i in range(LANES):
                out[row + i, column + k] = tile[k * LANES + i]


@njit()
def _harmonics_cpu(lon: Any, lat: Any, steps: Any, starts: Any, out: Any) -> None:
    n = lon.shape[0]
    degree = starts.shape[1] - 1
    whole = n // LANES * LANES
    padded = whole if whole == n else whole + LANES
    xyz = aligned(4 * padded, steps)
    _unit_vectors(lon, lat, xyz)
    work = aligned(4 * (degree + 1) * LANES, steps)
    tile = aligned((_TILE_COLUMNS + 2 * degree + 1) * LANES, out)
    # The last points, fewer than LANES, meet the same instructions in a block of their own.
    rest = np.empty((padded - whole, out.shape[1]), out.dtype)
    first = n - n
    for rows in (out[:whole], rest):
        _fill_rows(xyz, first, steps, starts, work, tile, rows)
        first = whole
    for row in range(whole, n):
        for column in range(out.shape[1]):
            out[row, column] = rest[row - whole, column]


def _harmonics_array_api(
    lon: Any, lat: Any, convention: str, factors: tuple[float, ...], xp: Any
) -> Any:
    """Array API version: whole arrays over points and orders, a loop over degrees only."""
    degree = len(factors) - 1
    device = lon.device
    # Metal has no double precision; there the recursion drifts to 1e-5 at degree 39.
    working = lon.dtype if "mps" in str(device) else xp.float64
    starts = _start_table(convention, factors)
    steps, sectoral = (
        xp.asarray(table, dtype=working, device=device)
        for table in (_signed_orders(convention, factors), starts[:1].copy())
    )
    zonal = starts[1].tolist()
    out = xp.empty((lon.shape[0], (degree + 1) ** 2), dtype=lon.dtype, device=device)
    rows = max(1, _ARRAY_ELEMENTS // (2 * degree + 1))
    for first in range(0, lon.shape[0], rows):
        part = slice(first, min(first + rows, lon.shape[0]))
        lon_part, lat_part = xp.astype(lon[part], working), xp.astype(lat[part], working)
        _fill_array_api(lon_part, lat_part, steps, sectoral, zonal, out[part, :], xp)
    return out


def _signed_orders(convention: str, factors: tuple[float, ...]) -> np.ndarray:
    """Return the coefficients for orders of both signs, shape (2, degree**2).

    Those of degree l and orders -(l-1) .. l-1 begin at column (l-1)**2.
    """
    steps, degree = _step_table(convention, factors), len(factors) - 1
    pairs = [steps[l * (l - 1) : l * (l + 1)].reshape(l, 2).T for l in range(1, degree + 1)]
    return np.hstack([np.empty((2, 0)), *(np.hstack([p[:, :0:-1], p]) for p in pairs)])


def _fill_array_api(
    lon: Any, lat: Any, steps: Any, sectoral: Any, zonal: list[float], out: Any, xp: Any
) -> None:
    """Run the recursion on the harmonics themselves, sine and cosine terms side by side.

    Q(l, m) times s**m cos(m lon) obeys the same recursion in l. The last two degrees are held in
    turn by two arrays with order m in column degree + m, which begin with the harmonics of l = m;
    the smallest of these may vanish, where they no longer matter.
    """
    degree = len(zonal) - 1
    orders = xp.arange(degree + 1, dtype=lon.dtype, device=lon.device)[None, :]
    z = xp.sin(lat * (math.pi / 180))
    s = xp.sin((90 - xp.abs(lat)) * (math.pi / 180))  # exactly 0 at the poles
    t = s * s / (1 + xp.abs(z))
    angle = ((lon + 0 * lat) * (math.pi / 180))[:, None] * orders
    powers = sectoral * s[:, None] ** orders
    sines, cosines = powers * xp.sin(angle), powers * xp.cos(angle)
    first = xp.concat([xp.flip(sines[:, 1:], axis=1), cosines], axis=1)
    even = xp.concat([xp.flip(orders[:, 1:], axis=1), orders], axis=1) % 2 == 0
    held = [xp.where(even, first, 0 * first), xp.where(even, 0 * first, first)]
    legendre, change = 1 + 0 * angle[:, 0], 0 * t
    sign = xp.where(z < 0, -1 + 0 * z, 1 + 0 * z)
    out[:, 0] = xp.astype(legendre * zonal[0], out.dtype)
    z = z[:, None]
    for l in range(1, degree + 1):
        new, last = (held[k % 2] for k in (l, l - 1))
        inner = slice(degree - l + 1, degree + l)
        value = z * last[:, inner]
        value *= steps[:1, (l - 1) ** 2 : l * l]
        new[:, inner] *= steps[1:, (l - 1) ** 2 : l * l]
        new[:, inner] += value
        out[:, l * l : (l + 1) ** 2] = xp.astype(new[:, degree - l : degree + l + 1], out.dtype)
        change = change * ((l - 1) / l) - t * legendre * ((2 * l - 1) / l)
        legendre = legendre + change
        middle = legendre * sign if l % 2 else legendre  # P(l) is odd in z for odd l
        out[:, l * l + l] = xp.astype(middle * zonal[l], out.dtype)
