"""LocationModule: a location encoder as a torch.nn.Module."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from geofeat._sklearn import torch_namespace
from geofeat.embedders._layers import Dense, Layers

if TYPE_CHECKING:
    import torch

    from geofeat.embedders._network_embedder import NetworkEmbedder


def location_module(embedder: NetworkEmbedder, network: Any, trainable: bool) -> torch.nn.Module:
    """Make a module of an embedder and copies of its arrays.

    Parameters
    ----------
    embedder : NetworkEmbedder
        Its parameters but for the weights are kept.
    network : NamedTuple or tuple
        Its arrays, as `NetworkEmbedder._network` returns them for NumPy.
    trainable : bool
        Whether the weights of the layers shall change in training.
    """
    try:
        kind = _module_class()
    except ImportError as error:
        raise ImportError(
            f"{type(embedder).__name__}.to_torch needs torch: pip install 'geofeat[torch]'"
        ) from error
    module: torch.nn.Module = kind(embedder, network, trainable)
    return module


def __getattr__(name: str) -> Any:
    """Find the class where pickle looks for it."""
    if name == "LocationModule":
        return _module_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _module_class() -> type[Any]:
    """Define the class once torch is needed."""
    import torch

    class LocationModule(torch.nn.Module):
        """Embeddings of places, with weights that move, train and save as torch's do."""

        def __init__(self, embedder: NetworkEmbedder, network: Any, trainable: bool):
            super().__init__()
            self._embedder = copy.copy(embedder).set_params(weights=None)
            _register(self, network, trainable)
            # Arrays are looked up where torch may have moved or replaced them.
            self._structure = _with_arrays(network, lambda *_: np.empty(0))

        def forward(self, lonlat: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
            """Embed places; rows with NaN, infinities or impossible latitudes become NaN.

            Parameters
            ----------
            lonlat : tensor of shape (..., 2)
                Longitude and latitude in degrees, of any real type, on the module's device. No
                gradient flows into them.
            *others : tensors of shape (...)
                What the embedder reads beside them, such as months.

            Returns
            -------
            embeddings : tensor of shape (..., n_features)
                In the type of the module's weights.
            """
            lon, lat, *others_ = _columns(lonlat, others)
            network = _with_arrays(self._structure, lambda name, _: _tensor(self, name))
            layers = Layers(torch_namespace())
            rows = self._embedder._forward(network, lon, lat, layers, None, *others_)
            weight = next(self.parameters())
            return rows.to(weight.dtype).reshape(*lonlat.shape[:-1], rows.shape[1])

        def extra_repr(self) -> str:
            """Tell which embedder it is."""
            return repr(self._embedder)

    LocationModule.__qualname__ = "LocationModule"
    return LocationModule


def _columns(lonlat: torch.Tensor, others: tuple[torch.Tensor, ...]) -> list[torch.Tensor]:
    """Return valid degrees and what comes beside them, of one axis and the highest precision."""
    import torch

    if lonlat.shape[-1] != 2:
        raise ValueError(f"lonlat must have shape (..., 2), got {tuple(lonlat.shape)}")
    # Metal has no double precision.
    working = torch.float32 if lonlat.device.type == "mps" else torch.float64
    lon, lat = lonlat.detach().to(working).reshape(-1, 2).unbind(dim=1)
    wrapped = lon.remainder(360)
    wrapped = torch.where(wrapped >= 180, wrapped - 360, wrapped)
    lon = torch.where((lon >= -180) & (lon < 180), lon, wrapped)
    possible = lon.isfinite() & (lat.abs() <= 90)
    places = (torch.where(possible, axis, torch.nan) for axis in (lon, lat))
    return [*places, *(other.detach().to(working).reshape(-1) for other in others)]


def _register(module: torch.nn.Module, part: Any, trainable: bool) -> None:
    """Give a module the arrays of a network, those of inner parts to modules within.

    The weights of layers become parameters; all other arrays, such as random frequencies and
    databases, are no weights in training and become buffers.
    """
    import torch

    names = getattr(part, "_fields", None) or [str(i) for i in range(len(part))]
    for name, piece in zip(names, part, strict=True):
        if isinstance(piece, np.ndarray):
            tensor = torch.tensor(piece)
            if isinstance(part, Dense):
                module.register_parameter(name, torch.nn.Parameter(tensor, trainable))
            else:
                module.register_buffer(name, tensor)
        elif isinstance(piece, tuple):
            inner = torch.nn.Module()
            _register(inner, piece, trainable)
            if inner.state_dict():
                module.add_module(name, inner)


def _tensor(module: Any, name: str) -> torch.Tensor:
    """Parameter or buffer of a dotted name."""
    for part in name.split("."):
        module = getattr(module, part)
    tensor: torch.Tensor = module
    return tensor


def _with_arrays(part: Any, replace: Callable[[str, np.ndarray], Any], name: str = "") -> Any:
    """Copy a network with ``replace(name, array)`` for each array, by its dotted name."""
    if isinstance(part, np.ndarray):
        return replace(name, part)
    if not isinstance(part, tuple):
        return part
    names = getattr(part, "_fields", None) or range(len(part))
    dot = "." if name else ""
    pieces = [
        _with_arrays(piece, replace, f"{name}{dot}{field}")
        for field, piece in zip(names, part, strict=True)
    ]
    return type(part)(*pieces) if hasattr(part, "_fields") else tuple(pieces)
