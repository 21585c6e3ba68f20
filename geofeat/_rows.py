"""RowTransformer: output of any size, row by row, in slabs on threads or on a torch device."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from geofeat._lazy import LazyCollections
from geofeat._memory import refuse_beyond_memory
from geofeat._sklearn import (
    check_feature_names_in,
    get_namespace_and_device,
    move_to,
    torch_namespace,
)
from geofeat._state import VersionedState
from geofeat._threads import run_slabs

# Two huge pages, so that two threads seldom wait for the same one; rows in a multiple of all lanes.
_SLAB_BYTES = 2**22
_SLAB_ROW_MULTIPLE = 64
_MAX_SLAB_ROWS = 2**15
# Features computed at once on a device.
_BLOCK_BYTES = 2**26
# Features in one block of a stream: few enough to be read again from the last cache level.
_CHUNK_BYTES = 2**24


class RowTransformer(VersionedState, LazyCollections, TransformerMixin, BaseEstimator):
    """Base of transformers whose row i of the output depends on row i of X only.

    A subclass has parameters, `_parameter_constraints`, feature names (`_feature_names`), their
    number (`_n_features_out`), `fit`, and two hooks: `_read` turns X into arrays, `_encode` turns
    their rows into features. Slabs and threads, memory, array API namespaces and the optional
    ``device`` are here.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    @property
    def _n_features_out(self) -> int:
        return len(self._feature_names())

    def _feature_names(self) -> list[str]:
        """Names of the output columns."""
        raise TypeError(f"{type(self).__name__} must define _feature_names")

    def _read(self, X: Any) -> tuple[tuple[Any, ...], Any]:
        """Check X; arrays with one row a sample, in one namespace and float dtype, and this."""
        raise TypeError(f"{type(self).__name__} must define _read")

    def _encode(self, *args: Any, **kwargs: Any) -> Any:
        """Features, shape (n, d); the arguments are the arrays of `_read`, ``xp`` and ``out``.

        ``out`` is given with NumPy input, to be filled, and left out otherwise. NaN in, NaN out.
        """
        raise TypeError(f"{type(self).__name__} must define _encode")

    def transform(self, X: Any) -> Any:
        """Compute the features of every row of X.

        Parameters
        ----------
        X : array-like, data frame or geometry of shape (n_samples, n_columns)
            As in `fit`. A collection of dask gives a lazy one, see the guide on clusters.

        Returns
        -------
        features : array of shape (n_samples, n_features_out)
            In X's namespace, on its device, in its float dtype (float64 for integers). Rows with
            a missing or impossible value are NaN.

        Raises
        ------
        NotFittedError
            Before `fit`, where this draws or learns.
        ValueError
            For infinite values, or columns that are not those of `fit`.
        """
        return self._fitted_to(X)._transform(X)

    def _transform(self, X: Any) -> Any:
        inputs, xp = self._read(X)
        n_rows, dtype = inputs[0].shape[0], self._result_dtype(inputs[0].dtype)
        width = self._n_features_out
        refuse_beyond_memory(n_rows, width, dtype, type(self).__name__)
        device = getattr(self, "device", None)
        if device is not None:
            return self._encode_on(device, inputs, xp, width)
        if xp is np:
            return self._encode_rows(inputs, width)
        if _is_cpu_tensor(inputs[0]):  # memory that the compiled kernels can read
            return xp.asarray(self._encode_rows(tuple(part.numpy() for part in inputs), width))
        return self._encode(*inputs, xp)

    def transform_chunks(
        self, X: Any, *, chunk_rows: int | None = None
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Compute the features block by block into one buffer that is used again.

        This is the way to features that do not fit in memory, and the fastest way to features
        that are consumed at once: no block is allocated twice.

        Parameters
        ----------
        X : array-like, data frame or geometry of shape (n_samples, n_columns)
            As in `transform`; NumPy arithmetic, whatever the namespace of X.
        chunk_rows : int, default=None
            Rows of a block. None takes as many as fill 16 MiB.

        Yields
        ------
        rows : slice
            Which rows of X the block holds.
        features : ndarray of shape (rows.stop - rows.start, n_features_out)
            Valid until the next block is asked for; copy what must be kept.
        """
        ready = self._fitted_to(X)
        inputs, xp = ready._read(X)
        if xp is not np:
            inputs = tuple(move_to(part, xp=np, device=None) for part in inputs)
        n_rows, width = inputs[0].shape[0], ready._n_features_out
        dtype = ready._result_dtype(inputs[0].dtype)
        if chunk_rows is None:
            chunk_rows = max(1, _CHUNK_BYTES // (width * dtype.itemsize))
        buffer = np.empty((min(chunk_rows, n_rows), width), dtype=dtype)
        for first in range(0, n_rows, chunk_rows):
            rows = slice(first, min(first + chunk_rows, n_rows))
            block = buffer[: rows.stop - rows.start]
            ready._encode_slabs(tuple(part[rows] for part in inputs), block)
            yield rows, block

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the output columns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Checked against the names seen in `fit`, otherwise unused.

        Returns
        -------
        names : ndarray of str objects
            One name a column.
        """
        if input_features is not None or hasattr(self, "n_features_in_"):
            check_feature_names_in(self, input_features, generate_names=False)
        return np.asarray(self._feature_names(), dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _fitted_to(self, X: Any) -> Self:
        """Return the transformer that serves X: itself, or unfitted a copy that has seen X."""
        return self

    def _features_dtype(self, X: Any) -> np.dtype[Any]:
        return self._result_dtype(self._read(X)[0][0].dtype)

    def _result_dtype(self, dtype: Any) -> Any:
        """Return the dtype of the features for that of the input."""
        return dtype

    def _rows_per_slab(self, dtype: Any) -> int:
        rows = _SLAB_BYTES // (self._n_features_out * int(dtype.itemsize))
        return min(max(_SLAB_ROW_MULTIPLE, rows - rows % _SLAB_ROW_MULTIPLE), _MAX_SLAB_ROWS)

    def _encode_rows(self, inputs: tuple[np.ndarray, ...], width: int) -> np.ndarray:
        dtype = self._result_dtype(inputs[0].dtype)
        out = np.empty((inputs[0].shape[0], width), dtype=dtype)
        self._encode_slabs(inputs, out)
        return out

    def _encode_slabs(self, inputs: tuple[np.ndarray, ...], out: np.ndarray) -> None:
        """Fill ``out`` slab by slab on the threads the call may use."""

        def encode(start: int, stop: int) -> None:
            self._encode(*(part[start:stop] for part in inputs), np, out[start:stop])

        run_slabs(encode, out.shape[0], self._rows_per_slab(out.dtype))

    def _encode_on(self, device: Any, inputs: tuple[Any, ...], xp: Any, width: int) -> Any:
        """Move the inputs to a torch device, encode there in blocks, return X's kind."""
        torch = _import_torch(device, type(self).__name__)
        on_device = [_to_torch(torch, part, device) for part in inputs]
        itemsize = on_device[0].element_size()
        rows = max(1, _BLOCK_BYTES // (width * itemsize))
        blocks = (
            self._encode(*parts, torch_namespace())
            for parts in zip(*(part.split(rows) for part in on_device), strict=True)
        )
        if xp is not np:
            out_device = get_namespace_and_device(inputs[0])[2]
            return move_to(torch.cat(list(blocks)), xp=xp, device=out_device)
        dtype = self._result_dtype(inputs[0].dtype)
        out = np.empty((inputs[0].shape[0], width), dtype=dtype)
        for first, block in zip(range(0, out.shape[0], rows), blocks, strict=True):
            torch.from_numpy(out[first : first + rows]).copy_(block)
        return out


def _is_cpu_tensor(values: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(values, torch.Tensor) and values.device.type == "cpu"


def _to_torch(torch: Any, axis: Any, device: Any) -> Any:
    tensor = torch.from_numpy(axis) if isinstance(axis, np.ndarray) else torch.from_dlpack(axis)
    if torch.device(device).type == "mps":  # has no double precision
        tensor = tensor.to(torch.float32)
    return tensor.to(device)


def _import_torch(device: Any, owner: str) -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"{owner}(device={device!r}) needs torch: pip install 'geofeat[torch]', or leave "
            "device=None to compute with NumPy."
        ) from error
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"{owner}(device={device!r}): this machine's torch {torch.__version__} has no such "
            "device. device=None computes where X is."
        ) from error
    return torch
