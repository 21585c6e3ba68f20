"""RANGEEmbedder: location embeddings with image features retrieved from a database."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar, NamedTuple

import numpy as np

from geofeat._sklearn import Interval, StrOptions
from geofeat.embedders._layers import Layers
from geofeat.embedders._layout import Layout
from geofeat.embedders._network_embedder import NetworkEmbedder
from geofeat.embedders._row_operations import exponential, to_unit_length
from geofeat.embedders._satclip import SatCLIPEmbedder
from geofeat.exceptions import CorruptFileError
from geofeat.kernels._precision import in_double
from geofeat.kernels._unit_vectors import unit_vectors

# Factors of the cosines before the softmax: of embeddings in both variants, and of places.
_SEMANTIC = {"RANGE": 15.0, "RANGE+": 12.0}
_GEOGRAPHIC = 40.0
# Rows of the database compared with a block of places at a time.
_CHUNK_ROWS = 1024


class RANGEDatabase(NamedTuple):
    """Unit vectors of places, their embeddings of length 1, image features; the query network."""

    places: np.ndarray
    keys: np.ndarray
    images: np.ndarray
    satclip: Any = None


class RANGEEmbedder(NetworkEmbedder):
    """Embed places by RANGE: what images of similar places show, beside the place itself [1]_.

    A database holds some hundred thousand places, the SatCLIP embedding of each and features of
    a satellite image taken there. A new place is embedded by SatCLIP and takes a mean of the image
    features of all places of the database, those with similar embeddings most. RANGE+ also counts
    how near they are. Columns: the 1024 image features, then the 256 columns of SatCLIP.

    Parameters
    ----------
    model : str, default="range-large"
        Name of the database, "range-large" or "range-med", see `geofeat.list_models`.
    variant : {"RANGE", "RANGE+"}, default="RANGE"
        Similar embeddings alone, or similar embeddings and nearness.
    beta : float, default=0.5
        Share of similar embeddings in RANGE+, from 0 (nearness alone, smooth) to 1. RANGE does not
        use it.
    satclip : SatCLIPEmbedder, default=None
        What embeds the places; it must be the model that the database was made with. Its
        ``device`` and ``dtype`` are not used. None is ``SatCLIPEmbedder("satclip-vit16-l40")``.
    weights : path or mapping of str to array, default=None
        The database, in place of the registered download: an ``.npz`` file or arrays ``locs``
        (n, 2) in degrees, longitude first, ``satclip_embeddings`` (n, 256) and
        ``image_embeddings`` (n, 1024).
    device : str, default=None
        None computes where X is. "cuda", "cpu" or any torch device moves the coordinates there,
        computes, and returns the result as X's kind. Needs torch. The whole database is compared
        with each place, so a GPU helps here more than anywhere.
    dtype : {"float32", "float64"}, default=None
        Precision of arithmetic and result. None takes that of X. The authors compute in float32,
        which halves the time. SatCLIP runs in float64 in any case.
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
    With e the embedding of a place and e_j those of the database, all of length 1, and image
    features v_j::

        RANGE    sum_j softmax_j(15 <e, e_j>) v_j
        RANGE+   beta sum_j softmax_j(12 <e, e_j>) v_j
                 + (1 - beta) sum_j softmax_j(40 cos(angle between the places)) v_j

    followed by e. So the columns of SatCLIP have length 1 together, the image features are as they
    come. The code of the authors takes (longitude, latitude), as everything here; coordinates are
    periodic.

    The database goes through in chunks, so memory stays bounded. It is kept in float32, as
    published, also where arithmetic is float64.

    No licence is stated for the database.

    References
    ----------
    .. [1] A. Dhakal, S. Sastry, S. Khanal, A. Ahmad, E. Xing, N. Jacobs, "RANGE: retrieval
       augmented neural fields for multi-resolution geo-embeddings", CVPR 2025. arXiv:2502.19781.

    Examples
    --------
    A database and weights of the same layout, drawn at random, stand for the published ones:

    >>> import numpy as np
    >>> from geofeat import RANGEEmbedder, SatCLIPEmbedder
    >>> rng = np.random.default_rng(0)
    >>> network = {
    ...     "nnet.layers.0.weight": rng.normal(size=(8, 4)),
    ...     "nnet.layers.0.bias": np.zeros(8),
    ...     "nnet.last_layer.weight": rng.normal(size=(3, 8)),
    ...     "nnet.last_layer.bias": np.zeros(3),
    ... }
    >>> database = {
    ...     "locs": rng.uniform(-90, 90, size=(20, 2)),
    ...     "satclip_embeddings": rng.normal(size=(20, 3)),
    ...     "image_embeddings": rng.normal(size=(20, 5)),
    ... }
    >>> embedder = RANGEEmbedder(
    ...     variant="RANGE+", weights=database, satclip=SatCLIPEmbedder(weights=network)
    ... )
    >>> embedder.transform([[5.7, 52.0], [-74.0, 40.7]]).shape
    (2, 8)
    """

    _column_prefix = "range"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **NetworkEmbedder._parameter_constraints,
        "variant": [StrOptions(set(_SEMANTIC))],
        "beta": [Interval(Real, 0, 1, closed="both")],
        "satclip": [SatCLIPEmbedder, None],
    }

    def __init__(
        self,
        model: str = "range-large",
        *,
        variant: str = "RANGE",
        beta: float = 0.5,
        satclip: SatCLIPEmbedder | None = None,
        weights: Any = None,
        device: str | None = None,
        dtype: str | None = None,
        local_files_only: bool | None = None,
    ):
        self.model = model
        self.variant = variant
        self.beta = beta
        self.satclip = satclip
        self.weights = weights
        self.device = device
        self.dtype = dtype
        self.local_files_only = local_files_only

    def _validate_params(self) -> None:
        super()._validate_params()
        self._satclip()._validate_params()

    def _satclip(self) -> SatCLIPEmbedder:
        if self.satclip is not None:
            return self.satclip
        return SatCLIPEmbedder("satclip-vit16-l40", local_files_only=self.local_files_only)

    @classmethod
    def _build(cls, layout: Layout) -> RANGEDatabase:
        lon, lat = layout.array("locs", None, 2, dtype=np.float64).T
        embeddings = layout.array("satclip_embeddings", lon.size, None)
        images = layout.array("image_embeddings", lon.size, None)
        if not lon.size or not embeddings.any(axis=1).all() or np.abs(lat).max() > 90:
            raise CorruptFileError(
                layout.source,
                "holds no places, latitudes (the second column of locs) outside [-90, 90], or "
                "embeddings that are zero",
            )
        keys = to_unit_length(embeddings.copy(), np)
        return RANGEDatabase(unit_vectors(lon, lat, np), keys, images)

    def _network(self, dtype: str, xp: Any = np, device: Any = None) -> RANGEDatabase:
        """Return the database, always in float32, and the network of queries, in float64."""
        database: RANGEDatabase = super()._network("float32", xp, device)
        satclip = self._satclip()._network("float64", xp, device)
        width, held = self._satclip()._width(satclip), database.keys.shape[1]
        if width != held:
            raise ValueError(
                f"The database holds embeddings of {held} columns and satclip gives {width}: the "
                "database was made with another model."
            )
        return database._replace(satclip=satclip)

    def _width(self, network: RANGEDatabase) -> int:
        return int(network.images.shape[1] + network.keys.shape[1])

    def _forward(
        self,
        network: RANGEDatabase,
        lon: Any,
        lat: Any,
        layers: Layers,
        out: np.ndarray | None,
        *others: Any,
    ) -> Any:
        xp = layers.xp
        if out is not None:
            dtype = out.dtype
        else:
            dtype = lon.dtype if self.dtype is None else getattr(xp, self.dtype)
        lon, lat = in_double(lon, xp), in_double(lat, xp)
        query = self._satclip()._forward(network.satclip, lon, lat, layers, None)
        query = to_unit_length(query, xp)
        beta = 1.0 if self.variant == "RANGE" else float(self.beta)
        scaled = xp.astype(_SEMANTIC[self.variant] * query, dtype, copy=False)
        similar = _Term(beta, network.keys, scaled)
        near = _Term(1 - beta, network.places, _GEOGRAPHIC * unit_vectors(lon, lat, xp))
        terms = [term for term in (similar, near) if term.share > 0]
        retrieved = _retrieve(network.images, terms, dtype, xp)
        return layers.deliver(xp.concat([retrieved, xp.astype(query, dtype)], axis=1), out)


class _Term(NamedTuple):
    """Share of a softmax of ``queries @ keys.T`` in the weights of the database."""

    share: float
    keys: Any
    queries: Any


def _retrieve(images: Any, terms: list[_Term], dtype: Any, xp: Any) -> Any:
    """Mean of the image features, by weights that are sums of softmaxes times their shares.

    The scores lie between -40 and 40, so that their exponentials fit into single precision without
    a search for the largest. One softmax is divided by its sum at the end. Several need their sums
    first; then one product with the images, the costly part, serves all.
    """
    n = images.shape[0]
    chunks = [slice(i, min(i + _CHUNK_ROWS, n)) for i in range(0, n, _CHUNK_ROWS)]

    def exponentials(term: _Term, rows: slice) -> Any:
        keys = xp.astype(term.keys[rows, :], term.queries.dtype, copy=False)
        return exponential(term.queries @ keys.T, xp)

    factors: list[Any] = [1.0]
    if len(terms) > 1:
        factors = [
            term.share
            / sum(xp.sum(exponentials(term, rows), axis=1, keepdims=True) for rows in chunks)
            for term in terms
        ]
    mean: Any = 0.0
    total: Any = 0.0
    for rows in chunks:
        weights: Any = 0.0
        for term, factor in zip(terms, factors, strict=True):
            share = exponentials(term, rows)
            share = np.multiply(share, factor, out=share) if xp is np else share * factor
            weights = weights + xp.astype(share, dtype, copy=False)
        mean += weights @ xp.astype(images[rows, :], dtype, copy=False)
        total += xp.sum(weights, axis=1, keepdims=True)
    return mean / total
