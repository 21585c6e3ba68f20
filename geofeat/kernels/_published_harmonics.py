"""The published polynomials of SatCLIP's spherical harmonics, with all their rounding errors.

SatCLIP was trained on harmonics that a computer algebra system had printed as sums of powers of x,
the cosine of the angle from the south pole, with coefficients of 15 digits:

    prefactor * (1 - x**2)**(m/2) * (c x**p + c' x**(p-2) + ...) * cos(m phi)      (sin for -m)

From degree 20 on the rounded coefficients are a function of their own, 0.6 off at the poles at
degree 39, and that function is what the weights know. The digits follow from exact integers, so
they are computed here instead of stored; the few that were printed otherwise are listed.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from geofeat.kernels._jit import njit
from geofeat.kernels._lanes import LANES, aligned, load, splat, store
from geofeat.kernels._sine import sine_and_cosine

# That of the largest published models. Beyond it the errors soon reach hundreds.
MAX_DEGREE = 39
# Printed one unit in the 15th digit away from the rule, by degree, order and power of x.
_PRINTED_OTHERWISE = {
    (5, 0, 1): 5.51115410781949,
    (7, 0, 1): -7.5082483945856,
    (8, 0, 2): -35.9691335906579,
    (12, 0, 8): 8994.27292816496,
    (19, 0, 9): -847804.110542221,
    (27, 27, 0): 0.97265258980333,
    (30, 0, 14): 4337244127.45456,
    (36, 0, 26): -8713664996254.4,
}
# pi = _PI / _PI_UNIT.
_PI = 31415926535897932384626433832795028841971
_PI_UNIT = 10**40


def published_harmonics(
    lon: Any, lat: Any, degree: int, xp: Any, *, out: np.ndarray | None = None
) -> Any:
    """All published harmonics up to a degree, shape (n, (degree + 1)**2); NaN in, NaN out.

    In exact arithmetic they would be `spherical_harmonics` of the convention "satclip".

    Parameters
    ----------
    lon, lat : array of shape (n,)
        Degrees, float64 or float32, in namespace ``xp``.
    degree : int
        Highest degree, at most `MAX_DEGREE`.
    xp : module
        NumPy for the compiled kernel, else an array API namespace, where memory for some arrays
        as large as the result is needed.
    out : ndarray of shape (n, (degree + 1)**2), optional
        C-contiguous, float64 or float32; filled and returned. NumPy only.

    Returns
    -------
    harmonics : array of shape (n, (degree + 1)**2)
        Order m of degree l in column ``l * l + l + m``, in the dtype of ``lon``. Arithmetic is
        float64, which devices without that type refuse: in less the sums would mean nothing.

    Raises
    ------
    ValueError
        A degree above `MAX_DEGREE`.
    """
    if degree > MAX_DEGREE:
        raise ValueError(
            f"The published harmonics are reproduced up to degree {MAX_DEGREE}, not {degree}; "
            f"use the exact ones."
        )
    if xp is not np:
        return _harmonics_array_api(lon, lat, degree, xp)
    if out is None:
        out = np.empty((lon.shape[0], (degree + 1) ** 2), dtype=lon.dtype)
    _harmonics_cpu(lon, lat, *_table(degree), out)
    return out


@lru_cache(maxsize=8)
def _table(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients in a row, shape (n_coefficients,), and prefactors, (degree + 1, degree + 1).

    Degree by degree and order by order from 0 on, a polynomial's coefficients stand together,
    from its highest power, l - m, down in steps of two.
    """
    coefficients: list[float] = []
    prefactors = np.ones((degree + 1, degree + 1))
    for l in range(degree + 1):
        for m in range(l + 1):
            prefactors[l, m], polynomial = _polynomial(l, m)
            coefficients += polynomial
    table = np.array(coefficients)
    for array in (table, prefactors):
        array.flags.writeable = False
    return table, prefactors


def _polynomial(l: int, m: int) -> tuple[float, list[float]]:
    """Prefactor and coefficients of degree l and order m as they were printed.

    Nineteen prefactors were printed one unit of their 15th digit away. That stays a relative error
    of 1e-14, since a factor does not cancel.
    """
    # Derivative m of the Legendre polynomial, times 2**l.
    whole = [
        (-1) ** k * math.comb(l, k) * math.comb(2 * l - 2 * k, l) * math.perm(l - 2 * k, m)
        for k in range((l - m) // 2 + 1)
    ]
    prefactor = 1.0
    if m == 0:
        norm = _root((2 * l + 1) * _PI, 4 * _PI_UNIT)  # with pi where 1 / pi was meant
        printed = [_round_to_15_digits(norm * (number / 2**l)) for number in whole]
    else:
        square, over = (2 * l + 1) * _PI_UNIT, 2 * _PI * math.perm(l + m, 2 * m)
        if len(whole) == 1:
            printed = [_round_to_15_digits(_root(square * whole[0] ** 2, over * 4**l))]
        else:
            prefactor = _round_to_15_digits(_root(square, over))
            printed = [_round_to_15_digits(number / 2**l) for number in whole]
    return prefactor, [
        _PRINTED_OTHERWISE.get((l, m, l - m - 2 * k), c) for k, c in enumerate(printed)
    ]


def _root(numerator: int, denominator: int) -> float:
    """Square root of a quotient of integers, above 1e-200, to the nearest float64."""
    scale = 2**400
    return math.isqrt(numerator * scale**2 // denominator) / scale


def _round_to_15_digits(value: float) -> float:
    """Round to 15 significant decimal digits, ties away from zero; Python's own go to even."""
    numerator, denominator = abs(value).as_integer_ratio()
    exponent = math.floor(math.log10(abs(value))) - 14
    if exponent > 0:
        denominator *= 10**exponent
    else:
        numerator *= 10**-exponent
    digits = (2 * numerator + denominator) // (2 * denominator)
    return math.copysign(float(f"{digits}e{exponent}"), value)


@njit()
def _fill_factors(lon: Any, lat: Any, first: Any, x: Any, factors: Any, waves: Any) -> None:
    """Fill what the columns of LANES points are products of, points beyond the last being 0, 0.

    ``x`` takes the powers of x; ``factors`` (1 - x**2)**(m/2); ``waves`` the cosines of m phi, and
    after them the sines. Cosine and powers are those of the C library, as in the published code
    when it meets one point at a time: their last bits decide the noise.
    """
    span = x.shape[0]
    for i in range(LANES):
        inside = first + i < lon.shape[0]
        east = lon[first + i] if inside else 0.0
        north = lat[first + i] if inside else 0.0
        waves[i] = (east + 180.0) * (math.pi / 180)
        base = math.cos((north + 90.0) * (math.pi / 180)) + 0.0 * east  # NaN where either is
        x[i] = 1.0 + 0.0 * base
        for power in range(1, span // LANES):
            x[power * LANES + i] = base ** float(power)
            factors[power * LANES + i] = (1.0 - base * base) ** (0.5 * power)
    phi = load(waves, 0)
    for m in range(0, span, LANES):
        sine, cosine = sine_and_cosine(splat(float(m // LANES)) * phi)
        store(waves, m, cosine)
        store(waves, span + m, sine)


@njit()
def _harmonics_cpu(lon: Any, lat: Any, coefficients: Any, prefactors: Any, out: Any) -> None:
    n, degree = lon.shape[0], prefactors.shape[0] - 1
    span = (degree + 1) * LANES
    x, factors = aligned(span, coefficients), aligned(span, coefficients)
    waves = aligned(2 * span, coefficients)
    columns = aligned(out.shape[1] * LANES, coefficients)
    for first in range(0, n, LANES):
        _fill_factors(lon, lat, first, x, factors, waves)
        term = 0
        for l in range(degree + 1):
            middle = (l * l + l) * LANES
            for m in range(l + 1):
                # From the highest power down, as it was printed: the terms cancel.
                total = splat(coefficients[term]) * load(x, (l - m) * LANES)
                term += 1
                for power in range(l - m - 2, -1, -2):
                    total = total + splat(coefficients[term]) * load(x, power * LANES)
                    term += 1
                at = m * LANES
                if m == 0:
                    store(columns, middle, total)
                else:
                    total = splat(prefactors[l, m]) * load(factors, at) * total
                    store(columns, middle + at, total * load(waves, at))
                    store(columns, middle - at, total * load(waves, span + at))
        for i in range(min(LANES, n - first)):
            for column in range(out.shape[1]):
                out[first + i, column] = columns[column * LANES + i]


def _harmonics_array_api(lon: Any, lat: Any, degree: int, xp: Any) -> Any:
    """Array API version: all columns at once, a loop over powers."""
    table, prefactors, orders = (xp.asarray(part, device=lon.device) for part in _columns(degree))
    m = xp.arange(degree + 1, dtype=xp.float64, device=lon.device)[None, :]
    east, north = xp.astype(lon, xp.float64), xp.astype(lat, xp.float64)
    angle = ((east + 0 * north + 180) * (math.pi / 180))[:, None] * m
    x = xp.cos((north + 90) * (math.pi / 180))[:, None]
    powers, factors = x**m, (1 - x * x) ** (0.5 * m)
    sines, cosines = factors * xp.sin(angle), factors * xp.cos(angle)
    waves = xp.concat([xp.flip(sines[:, 1:], axis=1), cosines], axis=1)
    waves = xp.take(waves, orders, axis=1)
    values = 0 * waves
    # A matrix product would add in another order, and leave other noise than the published code.
    for power in range(degree, -1, -1):
        columns = slice(power * power, None)  # of degrees that have it
        values[:, columns] += table[power, columns] * powers[:, power : power + 1]
    return xp.astype(values * prefactors * waves, lon.dtype)


@lru_cache(maxsize=8)
def _columns(degree: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients of all columns by power of x; their prefactors; their order + degree."""
    table = np.zeros((degree + 1, (degree + 1) ** 2))
    prefactors = np.ones((1, table.shape[1]))
    orders = np.zeros(table.shape[1], dtype=np.int64)
    for l in range(degree + 1):
        for m in range(-l, l + 1):
            column = l * l + l + m
            prefactors[0, column], polynomial = _polynomial(l, abs(m))
            for k, c in enumerate(polynomial):
                table[l - abs(m) - 2 * k, column] = c
            orders[column] = degree + m
    return table, prefactors, orders
