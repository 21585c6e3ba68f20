"""Places as unit vectors from the centre of the sphere."""

from __future__ import annotations

from typing import Any

import numpy as np

from geofeat.kernels._fourier import ONE, cosine_term, fourier_products, sine_term

_RATES = np.eye(2)
_FACTORS = np.array(
    [
        [cosine_term(0), sine_term(0), sine_term(1)],
        [cosine_term(1), cosine_term(1), ONE],
    ]
)


def unit_vectors(lon: Any, lat: Any, xp: Any, out: np.ndarray | None = None) -> Any:
    """Vectors x, y, z of degrees, shape (n, 3), in their dtype; NaN in, NaN out.

    Exact zeros at the poles and at quarter turns. ``out``, NumPy only, is filled and returned.
    """
    return fourier_products((lon, lat), _RATES, _FACTORS, xp, in_degrees=True, out=out)
