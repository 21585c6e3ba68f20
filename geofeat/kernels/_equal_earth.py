"""The Equal Earth projection as GeoCLIP and its kin scale it."""

from __future__ import annotations

import math
from typing import Any

from geofeat.kernels._precision import in_double

# The constants of Equal Earth, and what makes x run from -1 to 1 along the equator.
_A1, _A2, _A3, _A4 = 1.340264, -0.081106, 0.000893, 0.003796
_SCALE = 66.50336 / 180
SQRT_3 = math.sqrt(3.0)
# What the published networks were trained on: the square root in single precision.
SQRT_3_SINGLE = 1.7320507764816284


def equal_earth(lon: Any, lat: Any, xp: Any, *, sqrt_3: float = SQRT_3) -> tuple[Any, Any]:
    """Project degrees to x in [-1, 1] and y in [-0.487, 0.487], two arrays of shape (n,).

    Float64 arithmetic where the device has it; NaN in, NaN out.
    """
    lon, lat = in_double(lon, xp), in_double(lat, xp)
    t = xp.asin(sqrt_3 / 2 * xp.sin(lat * (math.pi / 180)))
    t2 = t * t
    t6 = t2 * t2 * t2
    slope = 3 * (9 * _A4 * t6 * t2 + 7 * _A3 * t6 + 3 * _A2 * t2 + _A1)
    x = 2 * sqrt_3 * (lon * (math.pi / 180)) * xp.cos(t) / slope
    y = t * (_A4 * t6 * t2 + _A3 * t6 + _A2 * t2 + _A1)
    return x * _SCALE, y * _SCALE
