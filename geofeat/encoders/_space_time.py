"""SpaceTimeEncoder: the encodings of a place and of a time, side by side or multiplied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import clone
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted, validate_data

from geofeat._columns import frame_names
from geofeat._coordinates import as_table, is_geometry
from geofeat._rows import RowTransformer
from geofeat._sklearn import StrOptions, _fit_context, _safe_indexing, check_same_namespace
from geofeat.encoders._fourier_time import FourierTimeEncoder
from geofeat.encoders._spherical_harmonics import SphericalHarmonicsEncoder
from geofeat.kernels._row_products import row_products


class SpaceTimeEncoder(RowTransformer):
    """Encode places with their times, by any two encoders of geofeat.

    "concat" puts the columns of the place beside those of the time. A linear model of these is a
    map plus a season that is the same everywhere. "product" has every product of a column of the
    place with a column of the time, so that a linear model of these gives each place a season of
    its own; this is the joint encoder of [1]_.

    Parameters
    ----------
    space : encoder of geofeat, default=None
        Reads longitude and latitude, or a geometry. None is ``SphericalHarmonicsEncoder()``.
    time : encoder of geofeat, default=None
        Reads the time columns. None is ``FourierTimeEncoder()``, in a product with
        ``include_bias=True``: all other columns of a product swing about zero in the year, and a
        product without the constant cannot hold what is the same all year round.
    combine : {"concat", "product"}, default="concat"
        How the columns are put together.
    time_columns : int, str or sequence of these, default=None
        Positions or names of the time columns. None takes the only column of dates of a data frame,
        and of a table that has none the third column.

    Attributes
    ----------
    space_, time_ : encoders
        The fitted copies of both.
    bounds_ : array of shape (4,)
        West, south, east, north of the fitted points, in degrees.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, where X had names.

    Notes
    -----
    X is a table whose first two columns are longitude and latitude, or a GeoDataFrame. Columns
    that are neither these nor times are ignored.

    A row in which the place or the time is missing is NaN throughout, also of "concat".

    A column of the product is named after both, ``sh_l1_m0*year_sin1``, all times for the first
    column of the place, then for the second. With "concat" columns keep their names, but where
    both encoders have one of a name it gets ``space__`` or ``time__`` in front.

    With arrays and frames "concat" is what a `sklearn.compose.ColumnTransformer` of both encoders
    gives; this class is there for tensors, GeoDataFrames, blocks, and to choose between sum and
    product in one grid search.

    Features are float32 where coordinates and times are, else float64. Both encoders must have the
    same ``device``.

    References
    ----------
    .. [1] D. Mickisch, K. Klemmer, M. Russwurm, E. Rolf, M. Teng, D. Rolnick, "A joint space-time
       encoder for geographic time-series data", ICLR 2025 workshop.

    Examples
    --------
    >>> import pandas as pd
    >>> from geofeat import CartesianEncoder, SpaceTimeEncoder
    >>> X = pd.DataFrame(
    ...     {"lon": [0.0, 90.0], "lat": [0.0, 0.0], "date": pd.to_datetime(["2023-01-01"] * 2)}
    ... )
    >>> encoder = SpaceTimeEncoder(CartesianEncoder(), combine="product")
    >>> encoder.set_output(transform="pandas").fit_transform(X).iloc[:, :6] + 0.0
       x*bias  x*year_sin1  x*year_cos1  y*bias  y*year_sin1  y*year_cos1
    0     1.0          0.0          1.0     0.0          0.0          0.0
    1     0.0          0.0          0.0     1.0          0.0          1.0
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "space": [RowTransformer, None],
        "time": [RowTransformer, None],
        "combine": [StrOptions({"concat", "product"})],
        "time_columns": [Integral, str, "array-like", None],
    }

    def __init__(
        self,
        space: RowTransformer | None = None,
        time: RowTransformer | None = None,
        *,
        combine: str = "concat",
        time_columns: int | str | Sequence[int | str] | None = None,
    ):
        self.space = space
        self.time = time
        self.combine = combine
        self.time_columns = time_columns

    @property
    def device(self) -> str | None:
        """Where both encoders compute, None where X is."""
        return self._device_of(self._encoders())

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit copies of both encoders, each to its own columns.

        Parameters
        ----------
        X : array-like, data frame or GeoDataFrame of shape (n_samples, n_columns)
            Longitude, latitude and times, see Notes of the class.
        y : None
            Ignored.

        Returns
        -------
        self : SpaceTimeEncoder
            The encoder itself.
        """
        self._device_of(self._unfitted())
        places, times = self._split(X, reset=True)
        space, time = (clone(encoder) for encoder in self._unfitted())
        space, time = space.fit(places), time.fit(times)
        if len(time._read(times)[0]) != 1:
            raise TypeError(f"SpaceTimeEncoder: time={time!r} reads places, not times.")
        self.space_, self.time_ = space, time
        self.bounds_ = getattr(space, "bounds_", None)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        parts = [get_tags(encoder) for encoder in self._unfitted()]
        tags.requires_fit = any(part.requires_fit for part in parts)
        tags.array_api_support = all(part.array_api_support for part in parts)
        tags.input_tags.string = parts[1].input_tags.string
        return tags

    @property
    def _n_features_out(self) -> int:
        space, time = (encoder._n_features_out for encoder in self._encoders())
        return space * time if self.combine == "product" else space + time

    def _feature_names(self) -> list[str]:
        space, time = (encoder._feature_names() for encoder in self._encoders())
        if self.combine == "product":
            return [f"{place}*{moment}" for place in space for moment in time]
        both = {*space} & {*time}
        return [
            f"{part}__{name}" if name in both else name
            for part, names in (("space", space), ("time", time))
            for name in names
        ]

    def _unfitted(self) -> tuple[RowTransformer, RowTransformer]:
        space, time = self.space, self.time
        if space is None:
            space = SphericalHarmonicsEncoder()
        if time is None:
            time = FourierTimeEncoder(include_bias=self.combine == "product")
        return space, time

    def _encoders(self) -> tuple[RowTransformer, RowTransformer]:
        return (self.space_, self.time_) if hasattr(self, "space_") else self._unfitted()

    def _device_of(self, encoders: Iterable[RowTransformer]) -> str | None:
        devices = {getattr(encoder, "device", None) for encoder in encoders}
        if len(devices) > 1:
            raise ValueError(
                f"SpaceTimeEncoder: its encoders have different devices, {devices}. Set both by "
                "set_params(space__device=..., time__device=...)."
            )
        return devices.pop()

    def _fitted_to(self, X: Any) -> Self:
        """Return this encoder, or its copy that has seen X."""
        check_is_fitted(self)
        return self if hasattr(self, "space_") else clone(self).fit(X)

    def _split(self, X: Any, *, reset: bool) -> tuple[Any, Any]:
        """Columns of the place, or the geometry, and those of the time."""
        X = self._as_table(X)
        if not reset and not is_geometry(X):
            if hasattr(self, "n_features_in_"):
                validate_data(self, X, reset=False, skip_check_array=True)
            if self.bounds_ is not None:
                check_same_namespace(X, self, attribute="bounds_", method="transform")
        times = _safe_indexing(X, self._positions(X), axis=1)
        if is_geometry(X):  # whatever other columns it has are none of our business
            for attribute in ("n_features_in_", "feature_names_in_"):
                if reset and hasattr(self, attribute):
                    delattr(self, attribute)
            return X.geometry, times
        if reset:
            validate_data(self, X, reset=True, skip_check_array=True)
        return _safe_indexing(X, [0, 1], axis=1), times

    def _as_table(self, X: Any) -> Any:
        owner = type(self).__name__
        if is_geometry(X) and frame_names(X) is None:
            raise ValueError(f"{owner} got a GeoSeries, which has no times: pass a GeoDataFrame.")
        return as_table(X, owner, "a place and time, longitude and latitude first", "row")

    def _seen_in_fit(self, X: Any) -> tuple[np.ndarray, ...]:
        X = self._as_table(X)
        times = _safe_indexing(X, self._positions(X), axis=1)
        places = X.geometry if is_geometry(X) else _safe_indexing(X, [0, 1], axis=1)
        space, time = self._unfitted()
        return (*space._seen_in_fit(places), *time._seen_in_fit(times))

    def _positions(self, X: Any) -> list[int]:
        """Positions of the time columns."""
        names, n_columns = frame_names(X), X.shape[1]
        asked = self.time_columns
        if asked is None:
            asked = 2 if names is None else _column_of_dates(X, names)
        single = isinstance(asked, str | Integral)
        listed: list[Any] = [asked] if single else list(asked)  # type: ignore[arg-type]
        for column in listed:
            if isinstance(column, str) and column not in (names or ()):
                raise ValueError(f"SpaceTimeEncoder: X has no column {column!r} for the time.")
        positions = [
            names.index(column) if names and isinstance(column, str) else int(column)
            for column in listed
        ]
        positions = [at + n_columns if at < 0 else at for at in positions]
        needed = max([1 if is_geometry(X) else 2, *(at + 1 for at in positions)])
        if not positions or n_columns < needed or min(positions) < 0:
            raise ValueError(
                "SpaceTimeEncoder expects longitude, latitude and a time as columns, got X with "
                f"{n_columns} feature(s) (shape={tuple(X.shape)}) while a minimum of {needed} is "
                f"required with time_columns={self.time_columns!r}."
            )
        return positions

    def _read(self, X: Any) -> tuple[tuple[Any, ...], Any]:
        self._validate_params()
        places, times = self._split(X, reset=False)
        place_arrays, xp = self.space_._read(places)
        time_arrays, _ = self.time_._read(times)
        dtype = _common_dtype(
            xp,
            self.space_._result_dtype(place_arrays[0].dtype),
            self.time_._result_dtype(time_arrays[0].dtype),
        )
        # The first array gives the features their dtype.
        return (*(xp.astype(array, dtype, copy=False) for array in place_arrays), *time_arrays), xp

    def _encode(self, *args: Any) -> Any:
        """Features of the arrays of the place, that of the time, ``xp`` and perhaps ``out``."""
        if args[-2] is np:
            *places, times, _, out = args
            return self._fill(places, times, out)
        *places, times, xp = args
        space, time = self.space_._encode(*places, xp), self.time_._encode(times, xp)
        dtype = _common_dtype(xp, space.dtype, time.dtype)
        space, time = xp.astype(space, dtype, copy=False), xp.astype(time, dtype, copy=False)
        if self.combine == "product":
            return row_products(space, time, xp)
        missing = 0 * (space[:, :1] + time[:, :1])
        return xp.concat([space + missing, time + missing], axis=1)

    def _fill(self, places: list[np.ndarray], times: np.ndarray, out: np.ndarray) -> None:
        """Encode some rows in double precision; they are rounded once."""
        space = np.empty((out.shape[0], self.space_._n_features_out))
        time = np.empty((out.shape[0], self.time_._n_features_out))
        self.space_._encode(*(place.astype(np.float64, copy=False) for place in places), np, space)
        self.time_._encode(times, np, time)
        if self.combine == "product":
            row_products(space, time, np, out=out)
            return
        out[:, : space.shape[1]] = space
        out[:, space.shape[1] :] = time
        out[np.isnan(space[:, 0]) | np.isnan(time[:, 0])] = np.nan


def _column_of_dates(X: Any, names: list[Any]) -> int:
    """Position of the only column of dates of a frame, of a table without one the third."""
    dates = [
        at
        for at, dtype in enumerate(X.dtypes)
        if str(dtype).lower().startswith(("date", "timestamp", "period"))
    ]
    if len(dates) == 1:
        return dates[0]
    if dates or is_geometry(X):
        listed = ", ".join(repr(names[at]) for at in dates) or "none"
        raise ValueError(
            f"SpaceTimeEncoder: which column is the time? Of {len(names)} columns these hold "
            f"dates: {listed}. Name it by time_columns=."
        )
    return 2


def _common_dtype(xp: Any, *dtypes: Any) -> Any:
    return np.result_type(*dtypes) if xp is np else xp.result_type(*dtypes)
