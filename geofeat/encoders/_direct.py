"""DirectEncoder: longitude and latitude themselves, in radians."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from geofeat._base import LocationTransformer
from geofeat._sklearn import StrOptions

_SHIFT = {"radians": 0.0, "locationencoder": math.pi}


class DirectEncoder(LocationTransformer):
    """Pass longitude and latitude on in radians, as the baseline of location encoders [1]_.

    Points on the two sides of the antimeridian lie far apart in these columns; every other encoder
    avoids that.

    Parameters
    ----------
    convention : {"radians", "locationencoder"}, default="radians"
        "radians": longitude in [-pi, pi), latitude in [-pi / 2, pi / 2]. "locationencoder": both
        less pi, as the published "direct" encoding [1]_ has them, for models trained on it.
    device : str, default=None
        None computes where X is. "cuda", "mps", "cpu" or any torch device moves the coordinates
        there, computes, and returns the result as X's kind. Needs torch.

    Attributes
    ----------
    bounds_ : array of shape (4,)
        West, south, east, north of the fitted points, in degrees.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, where X had names.

    References
    ----------
    .. [1] M. Russwurm, K. Klemmer, E. Rolf, R. Zbinden, D. Tuia, "Geographic location encoding
       with spherical harmonics and sinusoidal representation networks", ICLR 2024.

    Examples
    --------
    >>> from geofeat import DirectEncoder
    >>> DirectEncoder().transform([[90.0, -45.0]]).round(4)
    array([[ 1.5708, -0.7854]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "convention": [StrOptions(set(_SHIFT))],
        "device": [str, None],
    }

    def __init__(self, *, convention: str = "radians", device: str | None = None):
        self.convention = convention
        self.device = device

    def _feature_names(self) -> list[str]:
        return ["lon", "lat"]

    def _encode(self, lon: Any, lat: Any, xp: Any, out: np.ndarray | None = None) -> Any:
        shift = _SHIFT[self.convention]
        if out is None:
            return xp.stack([lon, lat], axis=1) * (math.pi / 180) - shift
        for column, axis in enumerate((lon, lat)):
            np.multiply(axis, math.pi / 180, out=out[:, column])
        out -= shift
        return out
