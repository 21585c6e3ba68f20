"""SINREmbedder: location embeddings trained on where species were seen."""

from __future__ import annotations

from typing import Any

import numpy as np

from geofeat.embedders._layers import Layers
from geofeat.embedders._layout import Layout
from geofeat.embedders._network_embedder import NetworkEmbedder
from geofeat.embedders._residual_network import ResidualNetwork, residual_network
from geofeat.kernels._fourier import ONE, cosine_term, fourier_products, sine_term

# sin(lon), sin(2 lat), cos(lon), cos(2 lat)
_RATES = np.diag([1.0, 2.0])
_FACTORS = np.array([[sine_term(0), sine_term(1), cosine_term(0), cosine_term(1)], [ONE] * 4])


class SINREmbedder(NetworkEmbedder):
    """Embed places by SINR, a network trained to map tens of thousands of species at once [1]_.

    The embedding is what all species' maps have in common: the last hidden layer, before the
    layer that turns it into one score a species. 256 columns, not negative, not normalised, of
    about species' habitats worldwide.

    Parameters
    ----------
    model : str, default="sinr"
        Name of the model, see `geofeat.list_models`.
    weights : path or mapping of str to array, default=None
        File or arrays to use in place of the registered download: a ``.pt`` or ``.safetensors``
        file of SINR, or its arrays by the names ``feats.0.weight`` and so on. The class layer
        ``class_emb`` may be among them and is not used.
    device : str, default=None
        None computes where X is. "cuda", "cpu" or any torch device moves the coordinates there,
        computes, and returns the result as X's kind. Needs torch.
    dtype : {"float32", "float64"}, default=None
        Precision of arithmetic and result. None takes that of X.
    local_files_only : bool, default=None
        True never opens a connection.

    Attributes
    ----------
    bounds_ : array of shape (4,)
        West, south, east, north of the fitted points, in degrees.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, where X had names.

    Notes
    -----
    The code of the authors takes (longitude, latitude), as everything here, and scales it to
    u = lon / 180, v = lat / 90. The network sees sin(pi u), sin(pi v), cos(pi u), cos(pi v):
    latitude runs through a full circle, so **both poles have the same code**, and places near one
    get embeddings like those near the other. Longitude is periodic as it should be.

    Models that also take climate at the place (input width 20 or 24) are refused: the climate
    rasters are no part of the weights.

    Code under the MIT licence; see `geofeat.list_models` for what is known of the weights.

    References
    ----------
    .. [1] E. Cole, G. Van Horn, C. Lange, A. Shepard, P. Leary, P. Perona, S. Loarie, O. Mac Aodha,
       "Spatial implicit neural representations for global-scale species mapping", ICML 2023.
       arXiv:2306.02564.

    Examples
    --------
    Weights of the same layout, drawn at random, stand for the published ones:

    >>> import numpy as np
    >>> from geofeat import SINREmbedder
    >>> rng = np.random.default_rng(0)
    >>> weights = {
    ...     "feats.0.weight": rng.normal(size=(8, 4)),
    ...     "feats.0.bias": np.zeros(8),
    ...     "feats.2.w1.weight": rng.normal(size=(8, 8)),
    ...     "feats.2.w1.bias": np.zeros(8),
    ...     "feats.2.w2.weight": rng.normal(size=(8, 8)),
    ...     "feats.2.w2.bias": np.zeros(8),
    ... }
    >>> SINREmbedder(weights=weights).transform([[5.7, 52.0], [-74.0, 40.7]]).shape
    (2, 8)
    """

    _column_prefix = "sinr"

    def __init__(
        self,
        model: str = "sinr",
        *,
        weights: Any = None,
        device: str | None = None,
        dtype: str | None = None,
        local_files_only: bool | None = None,
    ):
        self.model = model
        self.weights = weights
        self.device = device
        self.dtype = dtype
        self.local_files_only = local_files_only

    @classmethod
    def _build(cls, layout: Layout) -> ResidualNetwork:
        return residual_network(layout, "feats", n_inputs=4)

    def _width(self, network: ResidualNetwork) -> int:
        return network.width

    def _forward(
        self,
        network: ResidualNetwork,
        lon: Any,
        lat: Any,
        layers: Layers,
        out: np.ndarray | None,
        *others: Any,
    ) -> Any:
        code = fourier_products(
            (lon, lat),
            _RATES,
            _FACTORS,
            layers.xp,
            in_degrees=True,
            out=layers.buffer(lon.shape[0], 4, network.first.weight.dtype),
        )
        return layers.deliver(network.forward(code, layers), out)
