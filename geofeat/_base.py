"""LocationTransformer: what every transformer that reads longitude and latitude shares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import validate_data

from geofeat._coordinates import check_layout, is_geometry, read_lonlat, require_lonlat
from geofeat._memory import refuse_beyond_memory
from geofeat._sklearn import (
    _fit_context,
    check_feature_names_in,
    check_same_namespace,
    get_namespace_and_device,
    move_to,
    torch_namespace,
)
from geofeat._state import VersionedState
from geofeat._threads import run_slabs

# One slab of features stays in a core's share of the cache.
_SLAB_BYTES = 2**21
_MIN_SLAB_ROWS = 256
# Features computed at once on a device.
_BLOCK_BYTES = 2**26
# Features in one block of a stream: few enough to be read again from the last cache level.
_CHUNK_BYTES = 2**24


class LocationTransformer(VersionedState, TransformerMixin, BaseEstimator):
    """Base of transformers that turn (lon, lat) rows into features, row by row.

    A subclass has parameters, `_parameter_constraints`, feature names (`_feature_names`), their
    number (`_n_features_out`) and one hook, `_encode`. Everything else is here: input of any kind,
    slabs and threads, array API namespaces, the optional ``device``.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {}

    @property
    def _n_features_out(self) -> int:
        return len(self._feature_names())

    def _feature_names(self) -> list[str]:
        """Names of the output columns."""
        raise TypeError(f"{type(self).__name__} must define _feature_names")

    def _encode(self, lon: Any, lat: Any, xp: Any, out: np.ndarray | None = None) -> Any:
        """Features, shape (n, d), of 1-D degrees in namespace ``xp``; NaN in, NaN out.

        ``out`` is given for NumPy input and is to be filled; longitudes lie in [-180, 180).
        """
        raise TypeError(f"{type(self).__name__} must define _encode")

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Check X and keep its bounds; no transformer of this family learns from it.

        Parameters
        ----------
        X : array-like, data frame or geometry of shape (n_samples, n_columns >= 2)
            Longitude and latitude in degrees in the first two columns, or points in any CRS.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The transformer itself.
        """
        X = self._check_columns(X, reset=True)
        lon, lat, xp = read_lonlat(X, type(self).__name__)
        self.bounds_ = _bounds(lon, lat, xp)
        return self

    def transform(self, X: Any) -> Any:
        """Compute the features of every row of X.

        Parameters
        ----------
        X : array-like, data frame or geometry of shape (n_samples, n_columns >= 2)
            Longitude and latitude in degrees in the first two columns, or points in any CRS.

        Returns
        -------
        features : array of shape (n_samples, n_features_out)
            In X's namespace, on its device, in its float dtype (float64 for integers). Rows with
            a missing or impossible coordinate are NaN.
        """
        lon, lat, xp = self._read(X)
        refuse_beyond_memory(lon.shape[0], self._n_features_out, lon.dtype, type(self).__name__)
        device = getattr(self, "device", None)
        if device is not None:
            return self._encode_on(device, lon, lat, xp)
        if xp is not np:
            return self._encode(lon, lat, xp)
        out = np.empty((lon.shape[0], self._n_features_out), dtype=lon.dtype)
        run_slabs(
            lambda start, stop: self._encode(lon[start:stop], lat[start:stop], np, out[start:stop]),
            lon.shape[0],
            self._rows_per_slab(lon.dtype),
        )
        return out

    def transform_chunks(
        self, X: Any, *, chunk_rows: int | None = None
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Compute the features block by block into one buffer that is used again.

        This is the way to features that do not fit in memory, and the fastest way to features
        that are consumed at once: no block is allocated twice.

        Parameters
        ----------
        X : array-like, data frame or geometry of shape (n_samples, n_columns >= 2)
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
        lon, lat, xp = self._read(X)
        if xp is not np:
            lon, lat = move_to(lon, lat, xp=np, device=None)
        width = self._n_features_out
        if chunk_rows is None:
            chunk_rows = max(1, _CHUNK_BYTES // (width * lon.dtype.itemsize))
        buffer = np.empty((min(chunk_rows, lon.shape[0]), width), dtype=lon.dtype)
        for first in range(0, lon.shape[0], chunk_rows):
            rows = slice(first, min(first + chunk_rows, lon.shape[0]))
            block = buffer[: rows.stop - rows.start]
            part = lon[rows], lat[rows]
            run_slabs(
                lambda start, stop, part=part, block=block: self._encode(  # type: ignore[misc]
                    part[0][start:stop], part[1][start:stop], np, block[start:stop]
                ),
                block.shape[0],
                self._rows_per_slab(lon.dtype),
            )
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
        tags.requires_fit = False
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _rows_per_slab(self, dtype: Any) -> int:
        return max(_MIN_SLAB_ROWS, _SLAB_BYTES // (self._n_features_out * dtype.itemsize))

    def _read(self, X: Any) -> tuple[Any, Any, Any]:
        """Check X and read longitude, latitude and their namespace."""
        self._validate_params()
        X = self._check_columns(X, reset=False)
        if hasattr(self, "bounds_") and not is_geometry(X):
            check_same_namespace(X, self, attribute="bounds_", method="transform")
        return read_lonlat(X, type(self).__name__)

    def _check_columns(self, X: Any, *, reset: bool) -> Any:
        X = check_layout(X, type(self).__name__)
        if is_geometry(X):  # whatever columns lie beside the geometry are none of our business
            if reset:
                for attribute in ("n_features_in_", "feature_names_in_"):
                    if hasattr(self, attribute):
                        delattr(self, attribute)
            return X
        if not reset and hasattr(self, "n_features_in_"):
            validate_data(self, X, reset=False, skip_check_array=True)
        require_lonlat(X, type(self).__name__)
        if reset:
            validate_data(self, X, reset=True, skip_check_array=True)
        return X

    def _encode_on(self, device: Any, lon: Any, lat: Any, xp: Any) -> Any:
        """Move the coordinates to a torch device, encode there in blocks, return X's kind."""
        torch = _import_torch(device, type(self).__name__)
        on_device = [_to_torch(torch, axis, device) for axis in (lon, lat)]
        rows = max(1, _BLOCK_BYTES // (self._n_features_out * on_device[0].element_size()))
        blocks = [
            self._encode(part_lon, part_lat, torch_namespace())
            for part_lon, part_lat in zip(*(axis.split(rows) for axis in on_device), strict=True)
        ]
        if xp is not np:
            return move_to(torch.cat(blocks), xp=xp, device=get_namespace_and_device(lon)[2])
        out = np.empty((lon.shape[0], self._n_features_out), dtype=lon.dtype)
        for first, block in zip(range(0, lon.shape[0], rows), blocks, strict=True):
            out[first : first + rows] = block.cpu().numpy()
        return out


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


def _bounds(lon: Any, lat: Any, xp: Any) -> Any:
    """West, south, east, north of the points that are not missing; NaN if all are."""
    edges = []
    for reduce, fill in ((xp.min, xp.inf), (xp.max, -xp.inf)):
        for axis in (lon, lat):
            edge = reduce(xp.where(xp.isnan(axis), fill, axis))
            edges.append(xp.where(xp.isinf(edge), xp.nan, edge))
    return xp.stack(edges)
