"""The Gaussian error linear unit, z times the normal distribution function of z.

The distribution function falls as ``exp(-z**2 / 2)`` and is computed as such, times a smooth rest:

    erfc(x) = t exp(-x**2 + P(t)),  t = 2 / (2 + x),  x >= 0

with P a Chebyshev series. So the unit has no cancellation for negative z, where the textbook form
``z / 2 * (1 + erf(z / sqrt 2))`` has lost all digits at z = -9. Array libraries need not have an
error function; this form needs none.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from geofeat.kernels._jit import njit
from geofeat.kernels._lanes import LANES, copysign, load, multiply_add, splat, store

# Chebyshev coefficients of P on 0 <= t <= 1, the first one halved: interpolation of
# log(erfc(x) / t) + x**2 at 64 nodes with 50 digits. What is left out is below 3e-17.
_COEFFICIENTS = (
    -1.30265371978170943 / 2,
    0.641969792356490261,
    0.0194764732041858356,
    -0.00956151478680863089,
    -0.000946595344482037616,
    0.0003668394978527622,
    0.000042523324806907026,
    -0.0000202785781125335005,
    -1.62429000464776481e-6,
    1.30365583558125867e-6,
    1.56264417213349524e-8,
    -8.52380959142000668e-8,
    6.52905443837752841e-9,
    5.05934349626720489e-9,
    -9.91364157202750766e-10,
    -2.27365121589911686e-10,
    9.64679103237527717e-11,
    2.39403877215272057e-12,
    -6.88602820790717249e-12,
    8.94488600604249268e-13,
    3.13091475159129349e-13,
    -1.12707567758952006e-13,
    3.80443986306706344e-16,
    7.10673444786210746e-15,
    -1.52365494714548723e-15,
    -9.39586661171841215e-17,
    1.20418276643138672e-16,
)
_TABLE = np.array(_COEFFICIENTS)


def gelu(values: Any, xp: Any) -> Any:
    """Compute ``z * (1 + erf(z / sqrt(2))) / 2`` of every number.

    Parameters
    ----------
    values : array of shape (n, width)
        Float64 or float32. In NumPy C-contiguous, and replaced by the result.
    xp : module
        NumPy for the compiled kernel, else an array API namespace.

    Returns
    -------
    values : array of shape (n, width)
        Relative error below 1e-14 down to z = -30 in float64; NaN stays NaN.
    """
    if xp is not np:
        return _gelu_array_api(values, xp)
    flat = values.reshape(values.size)
    tail = np.empty_like(flat)
    rest = np.zeros(LANES, dtype=flat.dtype)
    whole = flat.size // LANES * LANES
    rest[: flat.size - whole] = flat[whole:]
    _exponents(flat[:whole], tail)
    _exponents(rest, rest)
    tail[whole:] = rest[: flat.size - whole]
    np.exp(tail, out=tail)
    _combine(flat, tail)
    return values


@njit()
def _exponents(values: Any, out: Any) -> None:
    """Logarithm of ``erfc(|z| / sqrt(2)) / t`` for as many numbers as fill whole lanes."""
    half, one, two, four = splat(0.5), splat(1.0), splat(2.0), splat(4.0)
    root = splat(math.sqrt(0.5))
    for i in range(0, values.size, LANES):
        x = root * copysign(load(values, i), one)
        argument = four * two / (two + x) - two
        b1 = splat(0.0)
        b2 = splat(0.0)
        for k in range(_TABLE.size - 1, 0, -1):
            b1, b2 = multiply_add(argument, b1, splat(_TABLE[k]) - b2), b1
        series = multiply_add(half * argument, b1, splat(_TABLE[0]) - b2)
        store(out, i, series - x * x)


@njit()
def _combine(values: Any, exponentials: Any) -> None:
    for i in range(values.size):
        size = abs(values[i])
        t = 2 / (2 + math.sqrt(0.5) * size)
        values[i] = max(values[i], 0) - 0.5 * size * t * exponentials[i]


def _gelu_array_api(values: Any, xp: Any) -> Any:
    size = xp.abs(values)
    x = math.sqrt(0.5) * size
    t = 2 / (2 + x)
    argument = 4 * t - 2
    b1 = b2 = xp.zeros_like(values)
    for coefficient in reversed(_COEFFICIENTS[1:]):
        b1, b2 = argument * b1 - b2 + coefficient, b1
    exponent = argument / 2 * b1 - b2 + _COEFFICIENTS[0] - x * x
    return xp.clip(values, min=0) - size / 2 * t * xp.exp(exponent)
