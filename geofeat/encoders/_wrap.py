"""WrapEncoder: sine and cosine of longitude and latitude."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from geofeat._base import LocationTransformer
from geofeat.kernels._fourier import ONE, cosine_term, fourier_products, sine_term

_RATES = np.eye(2)
_FACTORS = np.array(
    [
        [cosine_term(0), sine_term(0), cosine_term(1), sine_term(1)],
        [ONE, ONE, ONE, ONE],
    ]
)


class WrapEncoder(LocationTransformer):
    """Wrap longitude and latitude round a circle each: cos lon, sin lon, cos lat, sin lat [1]_.

    The columns are continuous across the antimeridian. Near a pole, unlike those of
    `CartesianEncoder`, neighbours on opposite meridians stay apart.

    Parameters
    ----------
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
    .. [1] O. Mac Aodha, E. Cole, P. Perona, "Presence-only geographical priors for fine-grained
       image classification", ICCV 2019. Named "wrap" by M. Russwurm et al., ICLR 2024.

    Examples
    --------
    >>> from geofeat import WrapEncoder
    >>> WrapEncoder().transform([[0.0, 0.0], [90.0, -90.0]]) + 0.0
    array([[ 1.,  0.,  1.,  0.],
           [ 0.,  1.,  0., -1.]])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {"device": [str, None]}

    def __init__(self, *, device: str | None = None):
        self.device = device

    def _feature_names(self) -> list[str]:
        return ["cos_lon", "sin_lon", "cos_lat", "sin_lat"]

    def _encode(self, lon: Any, lat: Any, xp: Any, out: np.ndarray | None = None) -> Any:
        return fourier_products((lon, lat), _RATES, _FACTORS, xp, in_degrees=True, out=out)
