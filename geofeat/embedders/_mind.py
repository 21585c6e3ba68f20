"""MINDEmbedder: location embeddings distilled from satellite embeddings, cut to any width."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np

from geofeat._sklearn import Interval
from geofeat.embedders._layers import Dense, Layers, in_precision
from geofeat.embedders._layout import Layout
from geofeat.embedders._network_embedder import NetworkEmbedder
from geofeat.exceptions import CorruptFileError
from geofeat.kernels._equal_earth import SQRT_3, equal_earth

# The angle of a year is (year - 2021) / 4, times each frequency of the checkpoint.
_YEAR_ORIGIN, _YEAR_SCALE = 2021.0, 4.0


class MINDNetwork(NamedTuple):
    """A sine layer, blocks that add a sine layer to their input, frequencies of the year."""

    first: Dense
    blocks: tuple[Dense, ...]
    year_frequencies: tuple[float, ...]


class MINDEmbedder(NetworkEmbedder):
    """Embed places by MIND, a residual sine network over the Equal Earth map [1]_ [2]_.

    Its columns are ordered: the first k of them are an embedding of their own ("Matryoshka"), so
    that one model serves small tables and fine maps.

    Parameters
    ----------
    model : str, default="mind"
        Name of the model, see `geofeat.list_models`.
    n_components : int, default=64
        Number of columns, from 1 to the width of the network (3072 for "mind"). The authors
        trained prefixes of 64, 128, 256, 512, 1024 and 2048 columns, and the whole; other numbers
        cut a larger prefix short. None takes all columns. Narrow embeddings save memory, hardly
        time: only the last of twelve blocks gets narrower.
    year : float, default=None
        Year of the embedding, for models that take one. None for the others.
    weights : path or mapping of str to array, default=None
        File or arrays to use in place of the registered download, by the names
        ``first.linear.weight``, ``blocks.0.linear.weight`` and so on.
    device : str, default=None
        None computes where X is. "cuda", "cpu" or any torch device moves the coordinates there,
        computes, and returns the result as X's kind. Needs torch.
    dtype : {"float32", "float64"}, default=None
        Precision of arithmetic and result. None takes that of X. "float32" halves the time, and
        the published weights have the precision of float16.
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
    The code of the authors takes (latitude, longitude); here it is (longitude, latitude), as
    everywhere. Embeddings are the trunk of the network and not normalised; the head of some
    checkpoints, which rebuilds the embeddings MIND was trained on, is not used.

    - **Longitude has a seam.** The map has an edge at the antimeridian, where embeddings jump. A
      place at exactly 180 degrees gets the embedding of -180 here, as everywhere in geofeat; the
      original has another one for each. The poles are lines on this map: each longitude has an
      embedding of its own there.
    - The code of the authors rounds coordinates to float32 first; here float64 coordinates count in
      full. Projection and first layer are float64 for float32 input too.
    - The network is large: 113 million multiplications a place.

    Weights under the MIT licence.

    References
    ----------
    .. [1] "MIND", arXiv:2609.25454.
    .. [2] B. Savric, T. Patterson, B. Jenny, "The Equal Earth map projection", International
       Journal of Geographical Information Science 33, 2019. doi:10.1080/13658816.2018.1504949.

    Examples
    --------
    Weights of the same layout, drawn at random, stand for the published ones:

    >>> import numpy as np
    >>> from geofeat import MINDEmbedder
    >>> rng = np.random.default_rng(0)
    >>> weights = {
    ...     "first.linear.weight": rng.normal(size=(8, 2)) / 2,
    ...     "first.linear.bias": np.zeros(8),
    ...     "blocks.0.linear.weight": rng.normal(size=(8, 8)),
    ...     "blocks.0.linear.bias": np.zeros(8),
    ... }
    >>> whole = MINDEmbedder(n_components=None, weights=weights).transform([[5.7, 52.0]])
    >>> short = MINDEmbedder(n_components=3, weights=weights).transform([[5.7, 52.0]])
    >>> whole.shape, np.allclose(short, whole[:, :3])
    ((1, 8), True)
    """

    _column_prefix = "mind"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **NetworkEmbedder._parameter_constraints,
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "year": [Interval(Real, None, None, closed="neither"), None],
    }

    def __init__(
        self,
        model: str = "mind",
        *,
        n_components: int | None = 64,
        year: float | None = None,
        weights: Any = None,
        device: str | None = None,
        dtype: str | None = None,
        local_files_only: bool | None = None,
    ):
        self.model = model
        self.n_components = n_components
        self.year = year
        self.weights = weights
        self.device = device
        self.dtype = dtype
        self.local_files_only = local_files_only

    @classmethod
    def _build(cls, layout: Layout) -> MINDNetwork:
        first = layout.dense("first.linear")
        width, n_inputs = first.weight.shape
        blocks: list[Dense] = []
        while f"blocks.{len(blocks)}.linear.weight" in layout:
            blocks.append(layout.dense(f"blocks.{len(blocks)}.linear", width, outputs=width))
        frequencies: list[float] = []
        if "year_freqs" in layout:  # kept in the file by models that take no year, too
            frequencies = layout.array("year_freqs", None).tolist()
        if "head.weight" in layout:
            layout.dense("head", width)
        if n_inputs == 2:
            frequencies = []
        if not blocks or n_inputs != 2 + 2 * len(frequencies):
            raise CorruptFileError(
                layout.source,
                f"has {len(blocks)} residual blocks and {n_inputs} inputs; MIND has at least one "
                "block, and 2 inputs or two more for each frequency of the year",
            )
        return MINDNetwork(first, tuple(blocks), tuple(frequencies))

    def _width(self, network: MINDNetwork) -> int:
        width = int(network.first.weight.shape[0])
        if self.n_components is None:
            return width
        if self.n_components > width:
            raise ValueError(
                f"n_components={self.n_components} is more than the {width} columns of this model."
            )
        return int(self.n_components)

    def _forward(
        self,
        network: MINDNetwork,
        lon: Any,
        lat: Any,
        layers: Layers,
        out: np.ndarray | None,
        *others: Any,
    ) -> Any:
        xp, k, last = layers.xp, self._width(network), network.blocks[-1]
        x, y = equal_earth(lon, lat, xp, sqrt_3=SQRT_3)
        years = [0 * x + value for value in self._year_features(network)]
        first = in_precision(network.first, x.dtype, xp)
        h = layers.sine(xp.stack([x, y, *years], axis=1), first, 30.0)
        h = xp.astype(h, last.weight.dtype, copy=False)
        for dense in network.blocks[:-1]:
            h = layers.add_sine(h, dense)
        short = layers.sine(h, Dense(last.weight[:k, :], last.bias[:k]))
        short += h[:, :k]
        return layers.deliver(short, out)

    def _year_features(self, network: MINDNetwork) -> list[float]:
        """Sines of the year at each frequency, then cosines; empty for models without a year."""
        frequencies, year = network.year_frequencies, self.year
        if bool(frequencies) != (year is not None):
            given = "takes a year: give year=" if frequencies else "takes no year: leave year=None"
            raise ValueError(f"{type(self).__name__}(year={self.year}): the model {given}.")
        if year is None:
            return []
        angles = (float(year) - _YEAR_ORIGIN) / _YEAR_SCALE * np.array(frequencies)
        return [*np.sin(angles).tolist(), *np.cos(angles).tolist()]
