"""Dask collections through transformers: lazily, partition by partition."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from geofeat._sklearn import output_container
from geofeat._threads import one_thread


class LazyCollections:
    """Mix-in of transformers whose `fit` and `transform` take dask collections.

    A wrapper lies around these methods of every subclass, outside the one of scikit-learn's
    `set_output`, which would compute what it wraps. A subclass tells by `_seen_in_fit` what `fit`
    must see of the values, and by `_features_dtype` what comes out.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, lazily in (
            ("fit", _fit),
            ("transform", _transform),
            ("fit_transform", _fit_transform),
        ):
            own = name in cls.__dict__
            if own or (LazyCollections in cls.__bases__ and hasattr(cls, name)):
                setattr(cls, name, _or_lazily(getattr(cls, name), lazily))

    def __dask_tokenize__(self) -> Any:
        return type(self).__name__, self.__getstate__()

    def _seen_in_fit(self, X: Any) -> tuple[np.ndarray, ...]:
        """Arrays, one row a sample, of which `fit` keeps the least and greatest values."""
        return ()

    def _features_dtype(self, X: Any) -> np.dtype[Any]:
        """Check X as `transform` does, and tell the dtype of its features."""
        raise TypeError(f"{type(self).__name__} must define _features_dtype")


def is_lazy(X: Any) -> bool:
    """Whether X is of dask, without importing dask for the question."""
    return _is_of_dask(type(X))  # type: ignore[arg-type]  # a class is hashable


@lru_cache(maxsize=256)
def _is_of_dask(kind: type) -> bool:
    roots = {one.__module__.partition(".")[0] for one in kind.__mro__}
    return not roots.isdisjoint({"dask", "dask_geopandas"})


def refuse_lazy(X: Any, owner: str) -> None:
    """Raise TypeError for a collection of dask where only values can serve."""
    if is_lazy(X):
        raise TypeError(
            f"{owner} takes dask collections in fit and transform only, got a {type(X).__name__}: "
            "pass X.compute()."
        )


def _or_lazily(method: Callable[..., Any], lazily: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def either(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        return (lazily if is_lazy(X) else method)(self, X, *args, **kwargs)

    return either


def _fit_transform(transformer: Any, X: Any, y: Any = None, weights: Any = None) -> Any:
    return _transform(transformer.fit(X), X, weights)


def _fit(transformer: Any, X: Any, y: Any = None) -> Any:
    """Fit to the rows that hold what fit keeps: those are computed, no others leave the workers."""
    transformer._validate_params()
    sample = _row_without_values(X, type(transformer).__name__)
    if transformer._seen_in_fit(sample):
        if _is_array(X):
            X = _in_one_block_of_columns(X)
            chunks = ((np.nan,) * X.numblocks[0], *X.chunks[1:])
            extremes = _map_array(X, _ExtremeRows(transformer), X._meta, chunks)
        else:
            extremes = _map_frame(X, _ExtremeRows(transformer), X._meta)
        sample = extremes.compute()
    return transformer.fit(sample)


def _transform(transformer: Any, X: Any, weights: Any = None) -> Any:
    owner = type(transformer).__name__
    if weights is not None:
        raise TypeError(
            f"{owner} takes no weights= with a dask collection: map a function of both, for "
            "example with dask.array.map_blocks."
        )
    container = output_container(transformer)
    if container == "polars":
        raise ValueError(
            f"{owner}: a dask collection has no polars counterpart; use "
            "set_output(transform='pandas') for a dask DataFrame, or 'default' for a dask array."
        )
    row = _row_without_values(X, owner)
    ready = copy.copy(transformer)  # later changes of parameters do not reach the graph
    if not any(name.endswith("_") and not name.startswith("__") for name in vars(ready)):
        check_is_fitted(transformer)
        ready.fit(row)
    dtype = ready._features_dtype(row)
    names = ready.get_feature_names_out()
    empty = np.empty((0, len(names)), dtype=dtype)
    if _is_array(X):
        X = _in_one_block_of_columns(X)
        chunks = (X.chunks[0], (len(names),))
        features = _map_array(X, _Features(ready, empty, None), empty, chunks)
        if container == "default":
            return features
        import dask.dataframe

        return dask.dataframe.from_dask_array(features, columns=list(names))
    if container == "default":
        return _map_frame(X, _Features(ready, empty, None), empty)
    work = _Features(ready, empty, names)
    return _map_frame(X, work, work(X._meta))


@dataclass(frozen=True)
class _Features:
    """What becomes of one partition: an array, or where there are names a data frame.

    ``empty`` has the width and dtype of the result.
    """

    transformer: Any
    empty: np.ndarray
    names: np.ndarray | None

    def __call__(self, part: Any) -> Any:
        features = self.empty
        if len(part):  # the scheduler fills the cores with partitions
            with one_thread():
                features = np.asarray(self.transformer.transform(part), dtype=self.empty.dtype)
        if self.names is None:
            return features
        import pandas as pd

        return pd.DataFrame(features, columns=self.names, index=part.index)


@dataclass(frozen=True)
class _ExtremeRows:
    """Rows of one partition that hold the extremes of all arrays that fit looks at."""

    transformer: Any

    def __call__(self, part: Any) -> Any:
        rows: set[int] = set()
        if len(part):
            with one_thread():
                arrays = self.transformer._seen_in_fit(part)
            for array in arrays:
                for column in array.reshape(len(part), -1).T:
                    known = np.flatnonzero(~np.isnan(column))  # knows NaT too
                    if known.size:
                        values = column[known]
                        rows |= {int(known[values.argmin()]), int(known[values.argmax()])}
            rows = rows or {0}
        kept = sorted(rows)
        return part.iloc[kept] if hasattr(part, "iloc") else part[kept]


def _apply(part: Any, work: Callable[[Any], Any]) -> Any:
    return work(part)


def _shared(work: Any) -> Any:
    """One node of the graph: what it holds is sent to a worker once, not with every partition."""
    from dask.base import tokenize
    from dask.delayed import Delayed

    # Of dask.delayed(work) dask would make a node that does not know its own name among frames.
    key = f"geofeat-{tokenize(work)}"
    return Delayed(key, {key: work})


def _map_frame(X: Any, work: Any, meta: Any) -> Any:
    return X.map_partitions(_apply, _shared(work), meta=meta)


def _map_array(X: Any, work: Any, meta: Any, chunks: Any) -> Any:
    import dask.array
    from dask.base import tokenize

    shared = _shared(work)
    return dask.array.map_blocks(
        _apply,
        X,
        shared,
        name=f"{type(work.transformer).__name__.lower()}-{tokenize(X.name, shared.key)}",
        dtype=meta.dtype,
        meta=meta,
        chunks=chunks,
        drop_axis=list(range(len(chunks), X.ndim)),
    )


def _is_array(X: Any) -> bool:
    import dask.array

    return isinstance(X, dask.array.Array)


def _in_one_block_of_columns(X: Any) -> Any:
    return X.rechunk(dict.fromkeys(range(1, X.ndim), -1))


def _row_without_values(X: Any, owner: str) -> Any:
    """One row with the columns, dtypes and CRS of a collection, in which all is missing."""
    if not _is_array(X):
        if not hasattr(getattr(X, "_meta", None), "iloc"):
            raise TypeError(
                f"{owner} takes dask arrays, data frames, series and geometries, got a "
                f"{type(X).__module__}.{type(X).__name__}."
            )
        return X._meta.reset_index(drop=True).reindex([0])
    shape = (1, *X.shape[1:])
    if any(np.isnan(n) for n in shape):
        raise ValueError(
            f"{owner} got a dask array whose number of columns is unknown, shape {X.shape}: call "
            "X.compute_chunk_sizes() first."
        )
    if X.dtype.kind in "fcMm":
        return np.full(shape, "NaT" if X.dtype.kind in "Mm" else np.nan, dtype=X.dtype)
    if X.dtype.kind in "iu":
        return np.full(shape, np.nan)
    if X.dtype.kind == "b":
        return np.zeros(shape, dtype=bool)
    return np.full(shape, None, dtype=object)
