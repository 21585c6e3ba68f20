"""GeoCLIPEmbedder: location embeddings trained against photographs, and their kin."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np

from geofeat.embedders._layers import Dense, Layers
from geofeat.embedders._layout import Layout
from geofeat.embedders._network_embedder import NetworkEmbedder
from geofeat.embedders._row_operations import to_unit_length
from geofeat.kernels._equal_earth import SQRT_3_SINGLE, equal_earth
from geofeat.kernels._fourier import ONE, cosine_term, fourier_products, sine_term
from geofeat.kernels._precision import in_double


class Capsule(NamedTuple):
    """Rates of the random Fourier features, three rectified layers, one linear layer."""

    rates: np.ndarray
    hidden: tuple[Dense, ...]
    head: Dense


class GeoCLIPEmbedder(NetworkEmbedder):
    """Embed places by GeoCLIP, trained to tell photographs of places apart [1]_, or by its kin.

    The place is projected to the plane, and random Fourier features at three scales go through a
    network each, whose outputs are added. TaxaBind's location encoder [2]_, SLED and GAIR have the
    same shape with other weights.

    Parameters
    ----------
    model : str, default="geoclip"
        Registered model; `geofeat.list_models` lists them.
    weights : path or mapping of str to array, default=None
        Local checkpoint, or arrays by name, to use instead of the published file. None downloads
        that file at first use and keeps it.
    normalize : bool, default=False
        Scale every row to length 1, as for retrieval by cosine. The published vectors have lengths
        around 0.3 to 0.45.
    device : str, default=None
        None computes where X is. "cuda", "mps", "cpu" or any torch device moves the coordinates
        there, computes, and returns the result as X's kind. Needs torch.
    dtype : {"float64", "float32"}, default=None
        Precision of matrix products and output. None takes that of X. The weights were trained in
        float32.
    local_files_only : bool, default=None
        True never opens a connection. None lets the environment variables GEOFEAT_OFFLINE and
        HF_HUB_OFFLINE decide.

    Attributes
    ----------
    bounds_ : array of shape (4,)
        West, south, east, north of the fitted points, in degrees.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, where X had names.

    Raises
    ------
    CorruptFileError, UnsafeFileError
        When weights are damaged, are those of another network, or could run code.
    DownloadError, OfflineError
        When weights cannot be fetched; the message tells how to place them by hand.

    Notes
    -----
    The originals read (lat, lon); this class reads (lon, lat), like all others here.

    The projection, Equal Earth, cuts the Pacific: embeddings jump at the antimeridian, and points
    at exactly 180 degrees are read as -180. Its square root of 3 is the single precision number
    of the original code even in float64, which moves the embedding by 5e-5. Projection and phases
    are float64 here even for float32 points: the finest scale has phases of thousands of radians,
    of which float32 loses the fourth digit, so that the original in float32 is off by 3e-4 and
    this class by 1e-6.

    References
    ----------
    .. [1] V. Vivanco Cepeda, G. K. Nayak, M. Shah, "GeoCLIP: Clip-inspired alignment between
       locations and images for effective worldwide geo-localization", NeurIPS 2023.
       arXiv:2309.16020. Weights under the MIT licence.
    .. [2] S. Sastry, S. Khanal, A. Dhakal, A. Ahmad, N. Jacobs, "TaxaBind: a unified embedding
       space for ecological applications", WACV 2025. arXiv:2411.00683.

    Examples
    --------
    Any network of this shape can be used; here a small one of random numbers:

    >>> import numpy as np
    >>> from geofeat import GeoCLIPEmbedder
    >>> rng = np.random.default_rng(0)
    >>> weights = {"LocEnc0.capsule.0.b": rng.normal(size=(3, 2))}
    >>> shapes = {"capsule.1": (8, 6), "capsule.3": (8, 8), "capsule.5": (8, 8), "head.0": (4, 8)}
    >>> for name, shape in shapes.items():
    ...     weights[f"LocEnc0.{name}.weight"] = rng.normal(size=shape)
    ...     weights[f"LocEnc0.{name}.bias"] = np.ones(shape[0])
    >>> embedder = GeoCLIPEmbedder(weights=weights, normalize=True)
    >>> np.linalg.norm(embedder.transform([[5.66, 51.97], [-70.0, -30.0]]), axis=1).round(6)
    array([1., 1.])
    """

    _column_prefix = "geoclip"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **NetworkEmbedder._parameter_constraints,
        "normalize": ["boolean"],
    }

    def __init__(
        self,
        model: str = "geoclip",
        *,
        weights: Any = None,
        normalize: bool = False,
        device: str | None = None,
        dtype: str | None = None,
        local_files_only: bool | None = None,
    ):
        self.model = model
        self.weights = weights
        self.normalize = normalize
        self.device = device
        self.dtype = dtype
        self.local_files_only = local_files_only

    @classmethod
    def _build(cls, layout: Layout) -> tuple[Capsule, ...]:
        capsules: list[Capsule] = []
        while (name := f"LocEnc{len(capsules)}") + ".capsule.0.b" in layout:
            rates = layout.array(f"{name}.capsule.0.b", None, 2)
            hidden: list[Dense] = []
            width = 2 * rates.shape[0]
            for i in (1, 3, 5):
                hidden.append(layout.dense(f"{name}.capsule.{i}", width))
                width = hidden[-1].weight.shape[0]
            capsules.append(Capsule(rates, tuple(hidden), layout.dense(f"{name}.head.0", width)))
        return tuple(capsules)

    def _width(self, network: tuple[Capsule, ...]) -> int:
        return int(network[0].head.weight.shape[0])

    def _forward(
        self,
        network: tuple[Capsule, ...],
        lon: Any,
        lat: Any,
        layers: Layers,
        out: np.ndarray | None = None,
    ) -> Any:
        plane = equal_earth(lon, lat, layers.xp, sqrt_3=SQRT_3_SINGLE)
        total = None
        for capsule in network:
            n = capsule.rates.shape[0]
            columns = [cosine_term(i) for i in range(n)] + [sine_term(i) for i in range(n)]
            dtype = capsule.head.weight.dtype
            h = fourier_products(
                plane,
                2 * math.pi * in_double(capsule.rates, layers.xp),
                np.array([columns, [ONE] * (2 * n)]),
                layers.xp,
                in_degrees=False,
                out=layers.begin().buffer(lon.shape[0], 2 * n, dtype),
            )
            for dense in capsule.hidden:
                h = layers.rectified(h, dense)
            if total is None:
                total = layers.linear(h, capsule.head, out)
            else:
                total += layers.linear(h, capsule.head)
        return to_unit_length(total, layers.xp) if self.normalize else total
