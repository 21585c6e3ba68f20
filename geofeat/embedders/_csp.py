"""CSPEmbedder: location embeddings trained against geo-tagged images of two collections."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import numpy as np

from geofeat._sklearn import StrOptions
from geofeat.embedders._layers import Dense, Layers
from geofeat.embedders._layout import Layout
from geofeat.embedders._network_embedder import NetworkEmbedder
from geofeat.embedders._row_operations import layer_norm
from geofeat.exceptions import CorruptFileError
from geofeat.kernels._fourier import ONE, cosine_term, fourier_products, sine_term
from geofeat.kernels._gelu import gelu

# What the two models were trained with, where the weights do not tell.
_ACTIVATIONS = {"csp-fmow": "gelu", "csp-inat": "leakyrelu"}
_LEAK = 0.2
# What longitude and latitude are divided by.
_SCALES = {"degrees": (1.0, 1.0), "normalized": (180.0, 90.0)}


class CSPNetwork(NamedTuple):
    """Radii of the multi-scale code, two layers, a layer norm between them."""

    radii: tuple[float, float]
    activation: str | None
    first: Dense
    norm: Dense | None
    second: Dense


class CSPEmbedder(NetworkEmbedder):
    """Embed places by CSP, trained to tell where an image was taken [1]_.

    Two models: "csp-fmow" learned from satellite images of buildings and land use, "csp-inat" from
    photographs of plants and animals. 256 columns, not normalised. The authors share the weights as
    an archive, which geofeat does not download: unpack it and pass the file as ``weights``.

    Parameters
    ----------
    model : {"csp-fmow", "csp-inat"}, default="csp-fmow"
        Name of the model, see `geofeat.list_models`. It tells the activation where the weights do
        not: "gelu" of "csp-fmow", leaky rectifier of slope 0.2 of "csp-inat".
    units : {"degrees", "normalized"}, default="degrees"
        What enters the sines, see Notes: degrees, or longitude / 180 and latitude / 90. X is in
        degrees in both cases.
    weights : path or mapping of str to array, default=None
        A ``.pth.tar`` file of the authors; those with UNSUPER in their names are the pretrained
        ones, the others were tuned on labels afterwards. Or arrays by the names
        ``ffn.layers.0.linear.weight`` and so on.
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
    **Which units?** The network was trained on plain degrees, and RANGE [2]_ feeds it degrees. A
    notebook of SatCLIP and the evaluation of MIND feed it coordinates scaled to [-1, 1], for which
    its sines hardly move: tables of results published by the ones and by the others are not about
    the same features. ``units="degrees"`` is the model as trained; ``units="normalized"`` is there
    to repeat those results.

    The code of the authors takes (longitude, latitude), as everything here. The place is written
    as sines and cosines at geometric scales (Space2Vec's "grid", with 32 scales from 0.1 to 360
    degrees), where degrees go into the sines as if they were radians. Then come a layer,
    an activation, a layer norm in some models, a second layer and **the activation once more**,
    so the columns of "csp-fmow" do not fall below -0.17.

    **Longitude has a seam**: the scales do not divide 360 degrees. A place at exactly 180 degrees
    gets the embedding of -180 here, as everywhere in geofeat; the original has another one for
    each.

    No licence is stated for code or weights.

    References
    ----------
    .. [1] G. Mai, N. Lao, Y. He, J. Song, S. Ermon, "CSP: self-supervised contrastive spatial
       pre-training for geospatial-visual representations", ICML 2023. arXiv:2305.01118.
    .. [2] A. Dhakal, S. Sastry, S. Khanal, A. Ahmad, E. Xing, N. Jacobs, "RANGE: retrieval
       augmented neural fields for multi-resolution geo-embeddings", CVPR 2025. arXiv:2502.19781.

    Examples
    --------
    Weights of the same layout, drawn at random, stand for the published ones:

    >>> import numpy as np
    >>> from geofeat import CSPEmbedder
    >>> rng = np.random.default_rng(0)
    >>> weights = {
    ...     "ffn.layers.0.linear.weight": rng.normal(size=(8, 16)),
    ...     "ffn.layers.0.linear.bias": np.zeros(8),
    ...     "ffn.layers.1.linear.weight": rng.normal(size=(5, 8)),
    ...     "ffn.layers.1.linear.bias": np.zeros(5),
    ... }
    >>> embedder = CSPEmbedder("csp-inat", weights=weights)
    >>> embedder.transform([[5.7, 52.0], [-74.0, 40.7]]).shape
    (2, 5)
    """

    _column_prefix = "csp"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **NetworkEmbedder._parameter_constraints,
        "model": [StrOptions(set(_ACTIVATIONS))],
        "units": [StrOptions(set(_SCALES))],
    }

    def __init__(
        self,
        model: str = "csp-fmow",
        *,
        units: str = "degrees",
        weights: Any = None,
        device: str | None = None,
        dtype: str | None = None,
        local_files_only: bool | None = None,
    ):
        self.model = model
        self.units = units
        self.weights = weights
        self.device = device
        self.dtype = dtype
        self.local_files_only = local_files_only

    @classmethod
    def _build(cls, layout: Layout) -> CSPNetwork:
        settings = layout.settings
        kind, activation = settings.get("spa_enc_type", "gridcell"), settings.get("spa_f_act")
        smallest, largest = settings.get("min_radius", 0.1), settings.get("max_radius", 360.0)
        first = layout.dense("ffn.layers.0.linear")
        width, n_inputs = first.weight.shape
        if (
            kind != "gridcell"
            or activation not in {None, *_ACTIVATIONS.values()}
            or n_inputs % 4
            or n_inputs < 8
            or not 1e-3 <= smallest < largest
        ):
            raise CorruptFileError(
                layout.source,
                f"holds an encoder {kind!r} with {n_inputs} inputs, radii from {smallest} to "
                f"{largest} and activation {activation!r}; CSP has 'gridcell', four inputs a "
                "scale, at least two scales, radii of 0.001 or more, and 'gelu' or 'leakyrelu'",
            )
        norm = None
        if (name := "ffn.layers.0.layernorm") + ".weight" in layout:
            norm = Dense(layout.array(f"{name}.weight", width), layout.array(f"{name}.bias", width))
        second = layout.dense("ffn.layers.1.linear", width)
        return CSPNetwork((smallest, largest), activation, first, norm, second)

    def _width(self, network: CSPNetwork) -> int:
        return int(network.second.weight.shape[0])

    def _forward(
        self,
        network: CSPNetwork,
        lon: Any,
        lat: Any,
        layers: Layers,
        out: np.ndarray | None,
        *others: Any,
    ) -> Any:
        xp, n_inputs = layers.xp, network.first.weight.shape[1]
        rates, factors = _grid(n_inputs // 4, *network.radii, *_SCALES[self.units])
        code = fourier_products(
            (lon, lat),
            rates,
            factors,
            xp,
            in_degrees=False,
            out=layers.buffer(lon.shape[0], n_inputs, network.first.weight.dtype),
        )
        activation = network.activation or _ACTIVATIONS[self.model]
        h = _activate(layers.linear(code, network.first), activation, xp)
        if network.norm is not None:
            h = layer_norm(h, *network.norm, xp)
        return _activate(layers.linear(h, network.second, out), activation, xp)


def _activate(values: Any, activation: str, xp: Any) -> Any:
    """Apply the activation, in NumPy in place."""
    if activation == "gelu":
        return gelu(values, xp)
    leaked = _LEAK * values
    return np.maximum(values, leaked, out=values) if xp is np else xp.maximum(values, leaked)


@lru_cache(maxsize=16)
def _grid(
    n_scales: int, min_radius: float, max_radius: float, lon_scale: float, lat_scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Rates and columns of the code: of longitude, then latitude, sine and cosine at each scale."""
    steps = np.arange(n_scales) / (n_scales - 1)
    frequencies = 1 / (min_radius * (max_radius / min_radius) ** steps)
    rates = np.zeros((2 * n_scales, 2))
    rates[:n_scales, 0] = frequencies / lon_scale
    rates[n_scales:, 1] = frequencies / lat_scale
    terms = [term(i) for i in range(2 * n_scales) for term in (sine_term, cosine_term)]
    return rates, np.array([terms, [ONE] * len(terms)])
