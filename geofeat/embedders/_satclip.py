"""SatCLIPEmbedder: location embeddings trained against Sentinel-2 images."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np

from geofeat._sklearn import StrOptions
from geofeat.embedders._layers import Dense, Layers
from geofeat.embedders._layout import Layout
from geofeat.embedders._network_embedder import NetworkEmbedder
from geofeat.exceptions import CorruptFileError
from geofeat.kernels._published_harmonics import published_harmonics
from geofeat.kernels._spherical_harmonics import spherical_harmonics


class SatCLIPNetwork(NamedTuple):
    """Harmonics up to a degree, sine layers, a linear layer."""

    degree: int
    hidden: tuple[Dense, ...]
    last: Dense


class SatCLIPEmbedder(NetworkEmbedder):
    """Embed places by SatCLIP, a network trained to tell satellite images of places apart [1]_.

    Spherical harmonics of the place go through two layers of sines and a linear layer. Places
    with similar Sentinel-2 images, that is with similar climate, relief and land use, get similar
    vectors. Neither torch nor a connection is needed once the weights are on the computer.

    Parameters
    ----------
    model : str, default="satclip-resnet18-l10"
        Registered model, "satclip-{resnet18,resnet50,vit16}-{l10,l40}"; `geofeat.list_models` lists
        them. L is the number of degrees of the harmonics: l40 resolves some 500 km, l10 some
        2 000 km, and l40 is the usual choice for detail.
    weights : path or mapping of str to array, default=None
        Local checkpoint, or arrays by name, to use instead of the published file. None downloads
        that file at first use and keeps it.
    harmonics : {"exact", "published"}, default="exact"
        "exact" computes the harmonics to the last digit. "published" rebuilds the polynomials with
        15-digit coefficients that the published code evaluates: with l40 they are off by up to
        0.6 near the poles, and the weights have seen them so. See Notes.
    device : str, default=None
        None computes where X is. "cuda", "mps", "cpu" or any torch device moves the coordinates
        there, computes, and returns the result as X's kind. Needs torch.
    dtype : {"float64", "float32"}, default=None
        Precision of arithmetic and output. None takes that of X. The weights were trained in
        float64; float32 is twice as fast and differs by less than 5e-6 of the largest value.
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
    The published models give 256 columns, ``satclip_000`` to ``satclip_255``, not normalised. For
    retrieval by cosine, normalise them as the training did.

    The harmonics carry a factor pi on their zonal columns: a slip in the published code that the
    weights were trained with. Embeddings without it are off by a quarter to a half.

    Up to L = 25 "exact" and "published" agree to 1e-7. With l40 they agree to 3e-6 (relative) up
    to 45 degrees of latitude, to 4e-4 up to 60, and differ by per cents towards the poles, where
    the published code itself repeats only to 1e-3. Take "published" to repeat results of the
    original code south of 60 S or north of 60 N.

    References
    ----------
    .. [1] K. Klemmer, E. Rolf, C. Robinson, L. Mackey, M. Russwurm, "SatCLIP: global,
       general-purpose location embeddings with satellite imagery", AAAI 2025. arXiv:2311.17179.
       Weights under the MIT licence, https://github.com/microsoft/satclip.

    Examples
    --------
    Any network of this shape can be used; here a small one of random numbers:

    >>> import numpy as np
    >>> from geofeat import SatCLIPEmbedder
    >>> rng = np.random.default_rng(0)
    >>> shapes = {"layers.0": (8, 25), "layers.1": (8, 8), "last_layer": (4, 8)}
    >>> weights = {f"nnet.{name}.weight": rng.normal(size=s) for name, s in shapes.items()}
    >>> weights |= {f"nnet.{name}.bias": np.zeros(s[0]) for name, s in shapes.items()}
    >>> embedder = SatCLIPEmbedder(weights=weights)
    >>> embedder.transform([[5.66, 51.97], [-70.0, -30.0]]).shape
    (2, 4)
    >>> embedder.get_feature_names_out().tolist()
    ['satclip_0', 'satclip_1', 'satclip_2', 'satclip_3']
    """

    _column_prefix = "satclip"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **NetworkEmbedder._parameter_constraints,
        "harmonics": [StrOptions({"exact", "published"})],
    }

    def __init__(
        self,
        model: str = "satclip-resnet18-l10",
        *,
        weights: Any = None,
        harmonics: str = "exact",
        device: str | None = None,
        dtype: str | None = None,
        local_files_only: bool | None = None,
    ):
        self.model = model
        self.weights = weights
        self.harmonics = harmonics
        self.device = device
        self.dtype = dtype
        self.local_files_only = local_files_only

    @classmethod
    def _build(cls, layout: Layout) -> SatCLIPNetwork:
        hidden: list[Dense] = []
        while not hidden or f"nnet.layers.{len(hidden)}.weight" in layout:
            inputs = hidden[-1].weight.shape[0] if hidden else None
            hidden.append(layout.dense(f"nnet.layers.{len(hidden)}", inputs))
        width = hidden[0].weight.shape[1]
        degree = math.isqrt(width) - 1
        if (degree + 1) ** 2 != width:
            raise CorruptFileError(
                layout.source,
                f"its first layer takes {width} inputs, no number of spherical harmonics",
            )
        told = layout.settings.get("harmonics_calculation", "analytic")
        if told != "analytic":  # the others have other signs
            raise CorruptFileError(
                layout.source,
                f"was trained on {told!r} harmonics, not on the published analytic ones",
            )
        last = layout.dense("nnet.last_layer", hidden[-1].weight.shape[0])
        return SatCLIPNetwork(degree, tuple(hidden), last)

    def _width(self, network: SatCLIPNetwork) -> int:
        return int(network.last.weight.shape[0])

    def _forward(
        self,
        network: SatCLIPNetwork,
        lon: Any,
        lat: Any,
        layers: Layers,
        out: np.ndarray | None = None,
    ) -> Any:
        first, *others = network.hidden
        place, degree, xp = (lon, lat), network.degree, layers.xp
        features = layers.buffer(lon.shape[0], first.weight.shape[1], first.weight.dtype)
        if self.harmonics == "published":
            features = published_harmonics(*place, degree, xp, out=features)
        else:
            features = spherical_harmonics(*place, degree, xp, convention="satclip", out=features)
        h = layers.sine(features, first, 30.0)
        for dense in others:
            h = layers.sine(h, dense)
        return layers.linear(h, network.last, out)
