"""NetworkEmbedder: what all pretrained location encoders share."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import lru_cache
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from geofeat._base import LocationTransformer
from geofeat._blas import single_threaded_blas
from geofeat._sklearn import StrOptions
from geofeat._threads import run_slabs, usable_threads
from geofeat.embedders._layers import Layers
from geofeat.embedders._layout import Layout
from geofeat.embedders._registry import find_model
from geofeat.embedders._weights import Weights, load_weights
from geofeat.kernels._precision import in_double

if TYPE_CHECKING:
    import torch

# Rows that one thread takes through all layers at a time: their activations stay in its cache.
_BLOCK_ROWS = 1024
_MIN_BLOCK_ROWS = 128
_DEVICE_BLOCK_ROWS = 2**14


class NetworkEmbedder(LocationTransformer, ABC):
    """Base of pretrained location encoders: weights, blocks, precision, devices.

    A subclass has a name prefix for its columns and two hooks: `_build` takes its arrays out of a
    checkpoint, `_forward` runs a block of places through them. Both are written once, for NumPy and
    for tensors: what differs is in `Layers`.
    """

    _column_prefix: ClassVar[str]
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "model": [str],
        "weights": [str, PathLike, Mapping, None],
        "device": [str, None],
        "dtype": [StrOptions({"float32", "float64"}), None],
        "local_files_only": ["boolean", None],
    }

    @classmethod
    @abstractmethod
    def _build(cls, layout: Layout) -> Any:
        """Arrays of the network as a NamedTuple of `Dense` layers, arrays and numbers."""

    @abstractmethod
    def _forward(
        self,
        network: Any,
        lon: Any,
        lat: Any,
        layers: Layers,
        out: np.ndarray | None,
        *others: Any,
    ) -> Any:
        """Embeddings of degrees, shape (n, width), into ``out`` where it is given.

        ``others`` are arrays that `_read` of a subclass returns after longitude and latitude.
        """

    @abstractmethod
    def _width(self, network: Any) -> int:
        """Return the number of columns."""

    def to_torch(self, trainable: bool = False) -> torch.nn.Module:
        """Turn the embedder into a module of torch, to train it or to condition a network.

        Parameters
        ----------
        trainable : bool, default=False
            Whether the weights of its layers take gradients. Frequencies, databases and the like
            stay as they are in any case.

        Returns
        -------
        module : torch.nn.Module
            Takes longitude and latitude in degrees, a tensor of shape (..., 2), and returns
            embeddings of shape (..., n_features_out), the same as `transform`. Its weights are
            copies, float64 unless ``dtype`` of the embedder says otherwise; ``module.float()``
            rounds them. They can be moved, saved and loaded like those of any module.
        """
        from geofeat.embedders._torch_module import location_module

        self._validate_params()
        return location_module(self, self._network(self.dtype or "float64"), trainable)

    @property
    def _n_features_out(self) -> int:
        return self._width(self._network("float32"))

    def _feature_names(self) -> list[str]:
        width = self._n_features_out
        digits = len(str(width - 1))
        return [f"{self._column_prefix}_{i:0{digits}}" for i in range(width)]

    def _network(self, dtype: str, xp: Any = np, device: Any = None) -> Any:
        """Return the arrays in one precision, namespace and place, shared by all estimators."""
        owner = find_model(self.model).embedder
        if owner not in {kind.__name__ for kind in type(self).__mro__}:
            raise ValueError(
                f"{type(self).__name__}(model={self.model!r}): that is a model of {owner}."
            )
        weights = load_weights(
            self.model, weights=self.weights, local_files_only=self.local_files_only
        )
        if xp is np:
            return _built(type(self), weights, dtype)
        return _moved(type(self), weights, dtype, xp, device)

    def _result_dtype(self, dtype: Any) -> Any:
        return dtype if self.dtype is None else np.dtype(self.dtype)

    def _encode_slabs(self, inputs: tuple[np.ndarray, ...], out: np.ndarray) -> None:
        network = self._network(out.dtype.name)
        scratch = threading.local()

        def embed(start: int, stop: int) -> None:
            if not hasattr(scratch, "layers"):
                scratch.layers = Layers(np)
            lon, lat, *others = (part[start:stop] for part in inputs)
            self._forward(network, lon, lat, scratch.layers.begin(), out[start:stop], *others)

        if out.shape[0] <= _MIN_BLOCK_ROWS:
            embed(0, out.shape[0])
            return
        share = -(-out.shape[0] // usable_threads())
        with single_threaded_blas():
            run_slabs(embed, out.shape[0], max(_MIN_BLOCK_ROWS, min(_BLOCK_ROWS, share)))

    def _encode(self, *args: Any) -> Any:
        """Embed the rows of arrays: in NumPy one block into ``out``, tensors block by block."""
        if args[-2] is np:
            lon, lat, *others, _, out = args
            network = self._network(out.dtype.name)
            return self._forward(network, lon, lat, Layers(np), out, *others)
        lon, lat, *others, xp = args
        dtype = self.dtype or str(lon.dtype).rpartition(".")[2]
        network = self._network(dtype, xp, lon.device)
        if dtype == "float64":
            lon, lat = in_double(lon, xp), in_double(lat, xp)
        layers = Layers(xp)
        blocks = [
            self._forward(
                network, lon[rows], lat[rows], layers, None, *(part[rows] for part in others)
            )
            for rows in _slices(lon.shape[0], _DEVICE_BLOCK_ROWS)
        ]
        return xp.concat(blocks)


def _slices(n_rows: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]


@lru_cache(maxsize=16)
def _built(kind: type[NetworkEmbedder], weights: Weights, dtype: str) -> Any:
    layout = Layout(weights.tensors, weights.source, dtype, weights.settings)
    network = kind._build(layout)
    layout.finish()
    return network


@lru_cache(maxsize=16)
def _moved(kind: type[NetworkEmbedder], weights: Weights, dtype: str, xp: Any, device: Any) -> Any:
    def move(part: Any) -> Any:
        if isinstance(part, np.ndarray):
            if "mps" in str(device):  # has no double precision
                part = part.astype(np.float32)
            return xp.asarray(part.copy(), device=device)  # torch takes no read-only memory
        if isinstance(part, tuple):
            moved = [move(piece) for piece in part]
            return type(part)(*moved) if hasattr(part, "_fields") else tuple(moved)
        return part

    return move(_built(kind, weights, dtype))
