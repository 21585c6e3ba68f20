"""CartesianEncoder: the place as a vector from the centre of the sphere."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np

from geofeat._base import LocationTransformer
from geofeat._sklearn import Interval
from geofeat.kernels._unit_vectors import unit_vectors


class CartesianEncoder(LocationTransformer):
    """Place each point on the sphere [1]_.

    ``x = r cos(lat) cos(lon)``, ``y = r cos(lat) sin(lon)``, ``z = r sin(lat)``. Straight distances
    between the vectors grow with the distances on Earth, so nearest neighbours, trees and kernels
    on these columns know no antimeridian and no pole.

    Parameters
    ----------
    radius : float, default=1.0
        Length of the vectors, in any unit. 6371.0088 gives kilometres.
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
    .. [1] G. Mai, Y. Xuan, W. Zuo, Y. He, J. Song, S. Ermon, K. Janowicz, N. Lao, "Sphere2Vec: a
       general-purpose location representation learning over a spherical surface for large-scale
       geospatial predictions", ISPRS Journal of Photogrammetry and Remote Sensing 202, 2023.

    Examples
    --------
    >>> from geofeat import CartesianEncoder
    >>> CartesianEncoder(radius=2.0).transform([[0.0, 0.0], [90.0, 0.0], [7.0, -90.0]]) + 0.0
    array([[ 2.,  0.,  0.],
           [ 0.,  2.,  0.],
           [ 0.,  0., -2.]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "radius": [Interval(Real, 0, None, closed="neither")],
        "device": [str, None],
    }

    def __init__(self, *, radius: float = 1.0, device: str | None = None):
        self.radius = radius
        self.device = device

    def _feature_names(self) -> list[str]:
        return ["x", "y", "z"]

    def _encode(self, lon: Any, lat: Any, xp: Any, out: np.ndarray | None = None) -> Any:
        xyz = unit_vectors(lon, lat, xp, out)
        xyz *= self.radius
        return xyz
