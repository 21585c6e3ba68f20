"""How much of a random field's variance each spherical-harmonic degree carries.

A stationary field on the sphere has the covariance ``sum of v(l) P(l)(cos angle)`` over degrees l;
v(l) is the sum over the 2l + 1 orders of the variances s(l) of their coefficients.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

# From here on the sum over degrees is an integral to ten digits, however short the length scale.
_SUMMED_DEGREES = 4000


@lru_cache(maxsize=32)
def degree_variances(
    spectrum: str, degree: int, *, nu: float, kappa: float, decay: float
) -> tuple[np.ndarray, float]:
    """Share of the variance in each degree up to ``degree``, and what lies above.

    Parameters
    ----------
    spectrum : {"matern", "heat", "power"}
        Variance s(l) of a coefficient of degree l, up to a constant:
        ``(2 nu / kappa**2 + l (l+1))**(-nu - 1)``, ``exp(-kappa**2 l (l+1) / 2)``,
        ``(1 + l)**(-2 decay)``.
    degree : int
        Highest degree.
    nu : float
        Smoothness of "matern", positive.
    kappa : float
        Length scale of "matern" and "heat" in radians, positive.
    decay : float
        Exponent of "power".

    Returns
    -------
    shares : ndarray of shape (degree + 1,)
        (2l + 1) s(l), divided by their sum.
    left_out : float
        What the degrees above hold of the variance of all degrees; 0 for "power", which is a
        spectrum up to ``degree`` and may have no sum beyond.
    """
    l = np.arange(degree + 1 if spectrum == "power" else max(degree + 1, _SUMMED_DEGREES))
    # Beyond these all is white noise or a constant, and the squares stay finite.
    kappa = min(max(kappa, 1e-100), 1e100)
    edge = l.size**2 - 0.25  # l (l + 1), half a degree above the last
    if spectrum == "power":
        relative = (1.0 + l) ** (-2.0 * decay)
        above = 0.0
    elif spectrum == "matern":
        with np.errstate(over="ignore"):  # a nu next to 0, where infinity has the right limit
            relative = np.exp(-(nu + 1) * np.log1p(kappa**2 * (l * (l + 1.0)) / (2 * nu)))
        above = 2 / kappa**2 * math.exp(-nu * math.log1p(kappa**2 * edge / (2 * nu)))
    else:
        relative = np.exp(-(kappa**2) * (l * (l + 1.0)) / 2)
        above = 2 / kappa**2 * math.exp(-(kappa**2) * edge / 2)
    variances = (2 * l + 1) * relative
    kept, above = variances[: degree + 1].sum(), above + variances[degree + 1 :].sum()
    shares = variances[: degree + 1] / kept
    shares.flags.writeable = False
    return shares, float(above / (kept + above))
