"""ClimplicitEmbedder: location embeddings of the climate, by month."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any, ClassVar, NamedTuple

import numpy as np

from geofeat._sklearn import Interval, get_namespace_and_device, move_to
from geofeat.embedders._layers import Dense, Layers, in_precision
from geofeat.embedders._layout import Layout
from geofeat.embedders._months import month_column, months_of
from geofeat.embedders._network_embedder import NetworkEmbedder
from geofeat.kernels._precision import in_double

# One of each season: what the authors concatenate where no month is given.
_SEASONS = (3, 6, 9, 12)


class ClimplicitNetwork(NamedTuple):
    """A layer with hyperbolic sines, sine layers that average, a linear layer."""

    first: Dense
    hidden: tuple[Dense, ...]
    last: Dense


class ClimplicitEmbedder(NetworkEmbedder):
    """Embed places by Climplicit, a network that holds the monthly climate of the Earth [1]_.

    Trained to reproduce eleven variables of the CHELSA climatology in every month: temperature,
    precipitation, humidity, radiation, wind and others. So 256 numbers a month stand for stacks of
    climate rasters, without a raster.

    Parameters
    ----------
    model : str, default="climplicit"
        Name of the model, see `geofeat.list_models`.
    month : int or str, default=None
        - None: March, June, September and December side by side, four times as many columns.
        - 1 to 12: this month at every place.
        - "column": each place's own month, from the third column of an array or a data frame.
        - any other string: each place's own month, from the column of this name of a data frame
          or a GeoDataFrame.

        A column holds the numbers 1 to 12, or dates, of which the month counts (in UTC where they
        have a time zone). A missing month makes its row NaN.
    weights : path or mapping of str to array, default=None
        File or arrays to use in place of the registered download, by the names
        ``layers.0.weight`` and so on; those of the regressor to climate variables are not used.
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
    The code of the authors takes (longitude, latitude) and the month. The network sees lon / 180,
    lat / 90, sin(2 pi m / 12) and cos(2 pi m / 12) of month m = 1 to 12: December is the angle 0.
    Embeddings are not normalised.

    - **Longitude has a seam.** lon / 180 is not periodic: embeddings jump at the antimeridian. A
      place at exactly 180 degrees gets the embedding of -180 here, as everywhere in geofeat; the
      original has another one for each.
    - The code of the authors rounds coordinates to float32 first; here float64 coordinates count in
      full. The first layer, where hyperbolic sines magnify rounding, is float64 for float32 input
      too.

    No licence is stated for the weights.

    References
    ----------
    .. [1] J. Dollinger, D. Robert, E. Plekhanova, L. Drees, J. D. Wegner, "Climplicit: climatic
       implicit embeddings for global ecological tasks", ICLR 2025 workshop on tackling climate
       change with machine learning. arXiv:2504.05089.

    Examples
    --------
    Weights of the same layout, drawn at random, stand for the published ones:

    >>> import numpy as np
    >>> from geofeat import ClimplicitEmbedder
    >>> rng = np.random.default_rng(0)
    >>> weights = {
    ...     "layers.0.weight": rng.normal(size=(8, 4)) / 4,
    ...     "layers.0.bias": np.zeros(8),
    ...     "layers.1.weight": rng.normal(size=(8, 8)),
    ...     "layers.1.bias": np.zeros(8),
    ...     "last_layer.weight": rng.normal(size=(3, 8)),
    ...     "last_layer.bias": np.zeros(3),
    ... }
    >>> places = [[5.7, 52.0], [-74.0, 40.7]]
    >>> ClimplicitEmbedder(weights=weights).fit(places).get_feature_names_out()[:4].tolist()
    ['climplicit_m03_0', 'climplicit_m03_1', 'climplicit_m03_2', 'climplicit_m06_0']
    >>> ClimplicitEmbedder(month=7, weights=weights).transform(places).shape
    (2, 3)

    Observations that have a month each:

    >>> by_month = ClimplicitEmbedder(month="column", weights=weights)
    >>> by_month.transform([[5.7, 52.0, 1], [5.7, 52.0, 7]]).shape
    (2, 3)
    """

    _column_prefix = "climplicit"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **NetworkEmbedder._parameter_constraints,
        "month": [Interval(Integral, 1, 12, closed="both"), str, None],
    }

    def __init__(
        self,
        model: str = "climplicit",
        *,
        month: int | str | None = None,
        weights: Any = None,
        device: str | None = None,
        dtype: str | None = None,
        local_files_only: bool | None = None,
    ):
        self.model = model
        self.month = month
        self.weights = weights
        self.device = device
        self.dtype = dtype
        self.local_files_only = local_files_only

    @classmethod
    def _build(cls, layout: Layout) -> ClimplicitNetwork:
        first = layout.dense("layers.0", 4)
        width = first.weight.shape[0]
        hidden: list[Dense] = []
        while f"layers.{1 + len(hidden)}.weight" in layout:
            hidden.append(layout.dense(f"layers.{1 + len(hidden)}", width, outputs=width))
        return ClimplicitNetwork(first, tuple(hidden), layout.dense("last_layer", width))

    def _width(self, network: ClimplicitNetwork) -> int:
        blocks = len(_SEASONS) if self.month is None else 1
        return blocks * int(network.last.weight.shape[0])

    def _feature_names(self) -> list[str]:
        if self.month is not None:
            return super()._feature_names()
        width = self._n_features_out // len(_SEASONS)
        digits = len(str(width - 1))
        return [
            f"{self._column_prefix}_m{month:02}_{i:0{digits}}"
            for month in _SEASONS
            for i in range(width)
        ]

    def _read(self, X: Any) -> tuple[tuple[Any, ...], Any]:
        """Read longitude, latitude and, where the month is a column, the months."""
        inputs, xp = super()._read(X)
        if not isinstance(self.month, str):
            return inputs, xp
        owner = type(self).__name__
        name = None if self.month == "column" else self.month
        if not hasattr(X, "shape"):
            X = np.asarray(X)
        column = month_column(X, name, owner)
        if xp is not np:
            column = move_to(column, xp=np, device=None)
        months = months_of(column, f"the month column of {owner}'s X")
        months = months.astype(str(inputs[0].dtype).rpartition(".")[2])
        if xp is not np:
            months = xp.asarray(months, device=get_namespace_and_device(inputs[0])[2])
        return (*inputs, months), xp

    def _forward(
        self,
        network: ClimplicitNetwork,
        lon: Any,
        lat: Any,
        layers: Layers,
        out: np.ndarray | None,
        *others: Any,
    ) -> Any:
        if self.month is not None:
            month = others[0] if others else self.month
            return self._at_month(network, lon, lat, month, layers, out)
        width = network.last.weight.shape[0]
        blocks = [
            self._at_month(
                network,
                lon,
                lat,
                month,
                layers.begin(),
                None if out is None else out[:, i * width : (i + 1) * width],
            )
            for i, month in enumerate(_SEASONS)
        ]
        return out if out is not None else layers.xp.concat(blocks, axis=1)

    def _at_month(
        self,
        network: ClimplicitNetwork,
        lon: Any,
        lat: Any,
        month: Any,
        layers: Layers,
        out: np.ndarray | None,
    ) -> Any:
        xp, dtype = layers.xp, network.last.weight.dtype
        lon, lat = in_double(lon, xp), in_double(lat, xp)
        angle = (0 * lon + month) * (math.pi / 6)
        x = xp.stack([lon / 180, lat / 90, xp.sin(angle), xp.cos(angle)], axis=1)
        first = in_precision(network.first, x.dtype, xp)
        mean = x @ first.weight.T + first.bias
        h = xp.astype(xp.sin(30 * xp.sinh(2 * mean)), dtype)
        mean = xp.astype(mean, dtype, copy=False)
        for dense in network.hidden:
            h, mean = layers.sine_of_mean(h, dense, mean)
        return layers.linear(h, network.last, out)
