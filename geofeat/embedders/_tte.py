"""TTEEmbedder: location embeddings from a tessellation of the Earth."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np

from geofeat.embedders._layers import Dense, Layers
from geofeat.embedders._layout import Layout
from geofeat.embedders._network_embedder import NetworkEmbedder
from geofeat.embedders._residual_network import ResidualNetwork, residual_network
from geofeat.embedders._row_operations import layer_norm, softmax, to_unit_length
from geofeat.exceptions import CorruptFileError
from geofeat.kernels._precision import in_double
from geofeat.kernels._unit_vectors import unit_vectors

_REGISTERS = "location.semantic_registers"
# Logarithm of a slope that no training reaches: the authors stop at 6.2.
_STEEPEST = 20.0


class TTENetwork(NamedTuple):
    """Sites on the sphere with embeddings, registers they attend to, a residual network."""

    sites: np.ndarray
    site_embeddings: np.ndarray
    attention: Dense
    cosine: bool
    registers: np.ndarray
    site_to_out: Dense
    norm_weight: np.ndarray
    norm_bias: np.ndarray
    residual: ResidualNetwork
    last: Dense


class TTEEmbedder(NetworkEmbedder):
    """Embed places by TTE, "Tessellating the Earth": a mean over learned sites on the globe [1]_.

    Of 4096 sites, each has an embedding and a reach of its own. A place takes a mean of the
    embeddings of the sites around, and a small network that attends to global concepts shapes the
    result. 512 columns of unit length.

    Parameters
    ----------
    model : str, default="tte"
        Name of the model, see `geofeat.list_models`.
    normalize : bool, default=True
        Scale each embedding to length 1, as the authors do by default.
    weights : path or mapping of str to array, default=None
        File or arrays to use in place of the registered download, by the names
        ``location._directions`` and so on; those of the image side are not used.
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
    The code of the authors takes (latitude, longitude); here it is (longitude, latitude), as
    everywhere. Places are unit vectors to this network: it has no seam at the antimeridian, and one
    embedding at each pole.

    Distances to the sites are float64 for float32 input too, because a softmax of steep slopes
    magnifies their rounding.

    Weights under the MIT licence.

    References
    ----------
    .. [1] D. Cher and others, "Tessellating the Earth", ECCV 2026. arXiv:2606.27514.

    Examples
    --------
    Weights of the same layout, drawn at random, stand for the published ones:

    >>> import numpy as np
    >>> from geofeat import TTEEmbedder
    >>> rng = np.random.default_rng(0)
    >>> shapes = {
    ...     "_directions": (6, 3),
    ...     "_log_tau": (6,),
    ...     "_embeddings": (6, 4),
    ...     "semantic_registers.registers": (2, 5),
    ...     "semantic_registers.log_temperature": (),
    ...     "semantic_registers.loc_to_logits.weight": (2, 4),
    ...     "semantic_registers.loc_to_logits.bias": (2,),
    ...     "semantic_registers.site_to_out.weight": (5, 4),
    ...     "semantic_registers.site_to_out.bias": (5,),
    ...     "semantic_registers.norm.weight": (5,),
    ...     "semantic_registers.norm.bias": (5,),
    ...     "mlp.0.weight": (8, 5),
    ...     "mlp.0.bias": (8,),
    ...     "mlp.2.weight": (5, 8),
    ... }
    >>> weights = {f"location.{name}": rng.normal(size=size) for name, size in shapes.items()}
    >>> embeddings = TTEEmbedder(weights=weights).transform([[5.7, 52.0], [-74.0, 40.7]])
    >>> embeddings.shape, np.linalg.norm(embeddings, axis=1).round(6).tolist()
    ((2, 5), [1.0, 1.0])
    """

    _column_prefix = "tte"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **NetworkEmbedder._parameter_constraints,
        "normalize": ["boolean"],
    }

    def __init__(
        self,
        model: str = "tte",
        *,
        normalize: bool = True,
        weights: Any = None,
        device: str | None = None,
        dtype: str | None = None,
        local_files_only: bool | None = None,
    ):
        self.model = model
        self.normalize = normalize
        self.weights = weights
        self.device = device
        self.dtype = dtype
        self.local_files_only = local_files_only

    @classmethod
    def _build(cls, layout: Layout) -> TTENetwork:
        directions = layout.array("location._directions", None, 3, dtype=np.float64)
        n_sites = directions.shape[0]
        slopes = layout.array("location._log_tau", n_sites, dtype=np.float64)
        if slopes.max() > _STEEPEST:
            raise CorruptFileError(layout.source, f"holds a site of slope exp({slopes.max():g})")
        site_embeddings = layout.array("location._embeddings", n_sites, None)
        registers = layout.array(f"{_REGISTERS}.registers", None, None)
        n_registers, width = registers.shape
        attention, cosine = _attention(layout, site_embeddings.shape[1], n_registers)
        site_to_out = layout.dense(
            f"{_REGISTERS}.site_to_out", site_embeddings.shape[1], outputs=width
        )
        residual = residual_network(layout, "location.mlp", width)
        return TTENetwork(
            to_unit_length(directions.copy(), np) * np.exp(slopes)[:, None],
            site_embeddings,
            attention,
            cosine,
            registers,
            site_to_out,
            layout.array(f"{_REGISTERS}.norm.weight", width),
            layout.array(f"{_REGISTERS}.norm.bias", width),
            residual,
            layout.dense(f"location.mlp.{2 + len(residual.blocks)}", residual.width, bias=False),
        )

    def _width(self, network: TTENetwork) -> int:
        return int(network.last.weight.shape[0])

    def _forward(
        self,
        network: TTENetwork,
        lon: Any,
        lat: Any,
        layers: Layers,
        out: np.ndarray | None,
        *others: Any,
    ) -> Any:
        xp = layers.xp
        xyz = unit_vectors(in_double(lon, xp), in_double(lat, xp), xp)
        near = softmax(xyz @ xp.astype(network.sites, xyz.dtype, copy=False).T, xp)
        site = xp.astype(near, network.last.weight.dtype, copy=False) @ network.site_embeddings
        query = to_unit_length(xp.asarray(site, copy=True), xp) if network.cosine else site
        attention = softmax(layers.linear(query, network.attention), xp)
        h = layers.linear(site, network.site_to_out)
        h += attention @ network.registers
        h *= 0.5
        h = layer_norm(h, network.norm_weight, network.norm_bias, xp)
        embedding = layers.linear(network.residual.forward(h, layers), network.last, out)
        return to_unit_length(embedding, xp) if self.normalize else embedding


def _attention(layout: Layout, n_inputs: int, n_registers: int) -> tuple[Dense, bool]:
    """Layer of the logits of the registers over the temperature, and whether it takes cosines.

    The variant of cosines has no bias, and rows of unit length in its place.
    """
    name = f"{_REGISTERS}.loc_to_logits"
    cosine = f"{name}.bias" not in layout
    weight, bias = layout.dense(name, n_inputs, outputs=n_registers, bias=not cosine)
    logarithm = layout.array(f"{_REGISTERS}.log_temperature").item()
    temperature = math.exp(min(max(logarithm, math.log(0.01)), math.log(10.0)))
    if cosine:
        weight = to_unit_length(weight.copy(), np)
        return Dense(weight / temperature), True
    return Dense(weight / temperature, bias / temperature), False
