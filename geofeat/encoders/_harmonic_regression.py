"""HarmonicFeatures: seasonal coefficients of satellite time series."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import validate_data

from geofeat._columns import describe_rows
from geofeat._lazy import LazyCollections
from geofeat._series import SeriesTable, as_series_table, carried_days, read_days, read_numbers
from geofeat._sklearn import Interval, StrOptions, _fit_context, check_feature_names_in
from geofeat._state import VersionedState
from geofeat._threads import run_slabs
from geofeat._times import days_since_1970
from geofeat._warnings import warn_caller
from geofeat.encoders._harmonic_fit import HarmonicFit
from geofeat.encoders._harmonic_outputs import output_columns
from geofeat.exceptions import TimesWarning
from geofeat.kernels._harmonic_regression import FITTED, INFINITE
from geofeat.kernels._seasonal_descriptors import write_descriptors

# Observations of one slab: what a core keeps in its cache.
_SLAB_BYTES = 2**20


class HarmonicFeatures(VersionedState, LazyCollections, TransformerMixin, BaseEstimator):
    r"""Describe seasonal time series by the coefficients of a harmonic regression.

    Every series, one band of one row, is fitted by least squares with

    .. math:: y(t) = b_0 + b_1 (t - t_{ref}) + \sum_{k=1}^{K}
              [a_k \cos(2 \pi k t / P) + c_k \sin(2 \pi k t / P)]

    where gaps (NaN) are left out, each series with its own. Rows do not depend on each other and
    nothing is learned, so the transformer is safe before any split into train and test. The
    models are those of [1]_ and [2]_ without their selection of terms.

    Parameters
    ----------
    order : int, default=2
        Number of harmonics K: 1 is one wave a period, 2 adds a wave of half the period.
    times : array-like of shape (n_times,), "row" or None, default=None
        When the columns were observed: datetime64, ``datetime`` objects, ISO 8601 text, a pandas
        or polars index or column, or numbers of days since 1970-01-01. Dates with a time zone are
        converted to UTC, those without are UTC.

        "row": each row has its own times, in the first n_times columns of X (dates or days since
        1970-01-01, a missing one is a missing observation); the values follow.

        None: the times come from the ``time`` coordinate of a DataArray, or from the column names
        of a data frame if all are dates; else the columns are taken as equal steps through one
        period from 1970-01-01 on, with a `TimesWarning`.
    period : float, default=365.25
        Length of the season P in days.
    trend : bool, default=True
        Whether the model has a slope.
    n_bands : int or sequence of str, default=1
        Number of bands, or their names, of a two-dimensional X whose columns are time-major:
        ``X.reshape(n_samples, n_times, n_bands)``. Three-dimensional input knows its number.
    outputs : sequence of str, default=("coefficients", "amplitude", "phase", "rmse")
        Groups of columns, in this order, for each band:

        - "coefficients": ``intercept`` (the level at t_ref), ``slope`` (per year of 365.25 days;
          with a trend only), ``cos1``, ``sin1``, ``cos2``, ...;
        - "amplitude": ``amplitude1``, ..., the square root of cos_k\ :sup:`2` + sin_k\ :sup:`2`;
        - "phase": ``phase1``, ... in (-pi, pi], arctan2(sin_k, cos_k), counted from 1970-01-01:
          the k-th wave is greatest at t = phase P / (2 pi k). NaN at amplitude 0;
        - "phase_vector": ``cos_phase1``, ``sin_phase1``, ..., the same without the jump at the
          year's end, better for trees;
        - "peak_day": ``peak_day1``, days in [0, P) from 1970-01-01, modulo P, to the first wave's
          maximum: close to the day of the year, counted from 0;
        - "rmse": root of the weighted mean squared residual (divisor: the sum of weights);
        - "r2": share of the weighted variance explained, NaN for a constant series;
        - "n_obs": number of observations that are finite and have a weight;
        - "condition": condition number of the design with columns scaled to length 1.
    ridge : float, default=0.0
        Adds ``ridge * (slope**2 + sum_k k**4 * (cos_k**2 + sin_k**2))`` to the sum of squares: a
        penalty on curvature, which leaves the intercept alone.
    on_short : {"nan", "reduce", "ridge", "raise"}, default="nan"
        What becomes of a series with fewer observations than coefficients, of deficient rank (a
        Cholesky pivot below 1e-10 of its diagonal) or beyond ``max_condition``:

        - "nan": all its features but ``n_obs`` and ``condition`` are NaN;
        - "reduce": orders are dropped, to coefficients 0, until it can be fitted. Here an order
          above 1 also asks for three observations a coefficient, as CCDC [1]_ does;
        - "ridge": it is fitted with the penalty ``ridge``, 1 if that is 0;
        - "raise": ValueError.

        A series that still cannot be fitted, such as one without observations, is NaN.
    robust : {"huber", "bisquare"} or None, default=None
        Refit with weights that distrust large residuals, against clouds: ten rounds at most of
        iteratively reweighted least squares from the plain fit, Huber's k = 1.345 or Tukey's
        c = 4.685, scale = median \|residual\| / 0.6745. A round that would leave too few
        observations is not taken. rmse and r2 count all observations.
    max_condition : float or None, default=200.0
        Condition number of the scaled design up to which a fit is trusted. Observations from a
        few months only determine a season's wave badly: 24 of them from June to August reach 18
        at order 1, 410 at order 2 and 10 000 at order 3, and errors grow by as much. None: no
        limit beyond the rank test.

    Attributes
    ----------
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, where X had names.
    times_ : ndarray of shape (n_times,)
        Days since 1970-01-01 of the columns; None with ``times="row"``.
    t_ref_ : float
        Day since 1970-01-01 at which the trend is zero: halfway between the first and last time.
        NaN with ``times="row"``, where it is halfway between the row's own.
    band_names_ : tuple of str
        Names of the bands.

    Notes
    -----
    float32 input gives float32 features, computed in float64; all else gives float64. Infinite
    values raise; NaN, None, NA and masked values are missing. The threads used follow
    ``numba.get_num_threads()``.

    Fits agree with ``numpy.linalg.lstsq`` on the remaining observations to about 1e-10: the
    normal equations are solved with a centred trend, and series near ``max_condition`` are refined
    with their residuals.

    References
    ----------
    .. [1] Z. Zhu and C. E. Woodcock, "Continuous change detection and classification of land
       cover using all available Landsat data", Remote Sensing of Environment 144, 2014.
       doi:10.1016/j.rse.2014.01.011
    .. [2] R. H. Shumway and D. S. Stoffer, "Time Series Analysis and Its Applications",
       Springer, 2017. doi:10.1007/978-3-319-52452-8

    Examples
    --------
    >>> import numpy as np
    >>> from geofeat import HarmonicFeatures
    >>> times = np.arange("2020-01-01", "2022-01-01", 10, dtype="datetime64[D]")
    >>> days = times.astype(float)
    >>> ndvi = 0.5 + 0.3 * np.cos(2 * np.pi * (days - 180) / 365.25)
    >>> ndvi[::3] = np.nan
    >>> features = HarmonicFeatures(
    ...     order=1, times=times, outputs=("amplitude", "peak_day", "rmse", "n_obs")
    ... )
    >>> row = features.fit_transform([ndvi])[0]
    >>> for name, value in zip(features.get_feature_names_out(), row):
    ...     print(f"{name:<11}{value:8.2f}")
    amplitude1     0.30
    peak_day1    180.00
    rmse           0.00
    n_obs         49.00
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "order": [Interval(Integral, 1, None, closed="left")],
        "times": ["array-like", StrOptions({"row"}), None],
        "period": [Interval(Real, 0, None, closed="neither")],
        "trend": ["boolean"],
        "n_bands": [Interval(Integral, 1, None, closed="left"), "array-like"],
        "outputs": ["array-like"],
        "ridge": [Interval(Real, 0, None, closed="left")],
        "on_short": [StrOptions({"nan", "reduce", "ridge", "raise"})],
        "robust": [StrOptions({"huber", "bisquare"}), None],
        "max_condition": [Interval(Real, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        order: int = 2,
        *,
        times: Any = None,
        period: float = 365.25,
        trend: bool = True,
        n_bands: int | Sequence[str] = 1,
        outputs: Sequence[str] = ("coefficients", "amplitude", "phase", "rmse"),
        ridge: float = 0.0,
        on_short: str = "nan",
        robust: str | None = None,
        max_condition: float | None = 200.0,
    ):
        self.order = order
        self.times = times
        self.period = period
        self.trend = trend
        self.n_bands = n_bands
        self.outputs = outputs
        self.ridge = ridge
        self.on_short = on_short
        self.robust = robust
        self.max_condition = max_condition

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Check X and keep its times and bands; nothing is learned from the values.

        Parameters
        ----------
        X : array-like, data frame or DataArray
            As in `transform`.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The transformer itself.
        """
        return self._fit(X, masked=False)

    def fit_transform(self, X: Any, y: Any = None, weights: Any = None) -> Any:
        """Fit to X, then transform it.

        Parameters
        ----------
        X : array-like, data frame or DataArray
            As in `transform`.
        y : None
            Ignored.
        weights : array-like, default=None
            As in `transform`.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out)
            As from `transform`.
        """
        self._validate_params()
        return self._fit(X, masked=weights is not None).transform(X, weights=weights)

    def transform(self, X: Any, weights: Any = None) -> Any:
        """Fit the harmonic model to every series of X.

        Parameters
        ----------
        X : array-like, data frame or DataArray
            Shape (n_samples, n_times), (n_samples, n_times * n_bands) in time-major order, or
            (n_samples, n_times, n_bands). With ``times="row"`` the times come first:
            (n_samples, n_times + n_times * n_bands). Of a DataArray the dimensions ``time`` and
            ``band`` are found by name. A collection of dask gives a lazy one.
        weights : array-like, default=None
            Weight of every observation, none negative, or a boolean mask of those to use: shape
            (n_samples, n_times) for all bands, or that of the values. 0 is the same as deleting an
            observation, 2 as having it twice, save that ``n_obs`` counts it once. A Pipeline hands
            weights on only where metadata routing is enabled and
            ``set_transform_request(weights=True)`` was called.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out)
            Band by band the columns named by `get_feature_names_out`. float32 for float32 input,
            else float64.
        """
        self._validate_params()
        days, bands, values, row_days = self._read(X, reset=False)
        n_bands = len(bands)
        n_times = values.shape[1] // n_bands
        if weights is not None:
            weights = _read_weights(weights, len(values), n_times, n_bands, type(self).__name__)
        fit = self._fit_of(days, n_bands)
        _, kinds, places = output_columns(self.outputs, self.order, self.trend)
        out = np.empty((len(values), n_bands * kinds.size), dtype=values.dtype)
        status = np.empty(len(values) * n_bands, dtype=np.uint8)

        def work(start: int, stop: int) -> None:
            rows = slice(start, stop)
            coefficients, statistics, part = fit.run(
                None if row_days is None else row_days[rows],
                values[rows],
                None if weights is None else weights[rows],
            )
            status[start * n_bands : stop * n_bands] = part
            columns = out[rows].reshape(-1, kinds.size)
            write_descriptors(coefficients, statistics, kinds, places, fit.period, columns)

        run_slabs(work, len(values), max(16, _SLAB_BYTES // values[0].nbytes))
        self._refuse(status.reshape(len(values), n_bands))
        return out

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the output columns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Checked against the names seen in `fit`, otherwise unused.

        Returns
        -------
        names : ndarray of str objects
            ``cos1``, ...; with several or named bands ``<band>_cos1``, ..., band by band.
        """
        if input_features is not None or hasattr(self, "n_features_in_"):
            check_feature_names_in(self, input_features, generate_names=False)
        names, _, _ = output_columns(self.outputs, self.order, self.trend)
        bands = getattr(self, "band_names_", None) or self._band_names(None, None)
        if len(bands) == 1 and isinstance(self.n_bands, Integral):
            return np.asarray(names, dtype=object)
        return np.asarray([f"{band}_{name}" for band in bands for name in names], dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.array_api_support = False
        tags.input_tags.allow_nan = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _features_dtype(self, X: Any) -> np.dtype[Any]:
        self._validate_params()
        return self._read(X, reset=False)[2].dtype

    def _fit(self, X: Any, *, masked: bool) -> Self:
        days, bands, values, _ = self._read(X, reset=True)
        if not masked:
            infinite = np.asarray(np.isinf(values).any(axis=1))
            if infinite.any():
                self._raise_infinite(infinite)
        self.times_ = days
        self.t_ref_ = np.nan if days is None else _middle(days)
        self.band_names_ = bands
        return self

    def _read(
        self, X: Any, *, reset: bool
    ) -> tuple[np.ndarray | None, tuple[str, ...], np.ndarray, np.ndarray | None]:
        """Shared days or None, names of bands, values, each row's days or None."""
        owner = type(self).__name__
        output_columns(self.outputs, self.order, self.trend)  # refuses unknown groups
        table = as_series_table(X, owner)
        if reset or hasattr(self, "n_features_in_"):
            validate_data(self, table.cells, reset=reset, skip_check_array=True)
        bands = self._band_names(table, None if reset else getattr(self, "band_names_", None))
        per_row = isinstance(self.times, str)
        n_columns = table.cells.shape[1]
        n_times, rest = divmod(n_columns, len(bands) + per_row)
        if rest:
            wanted = "n_times * (1 + n_bands)" if per_row else "n_times * n_bands"
            raise ValueError(
                f"{owner} with n_bands={len(bands)} expects {wanted} columns, got {n_columns}."
            )
        if per_row:
            row_days = read_days(table, n_times, owner)
            return None, bands, read_numbers(table, n_times, n_columns, owner), row_days
        values = read_numbers(table, 0, n_columns, owner)
        fitted = None if reset else getattr(self, "times_", None)
        return self._shared_days(table, n_times, fitted), bands, values, None

    def _band_names(
        self, table: SeriesTable | None, fitted: tuple[str, ...] | None
    ) -> tuple[str, ...]:
        depth = None if table is None else table.depth
        if not isinstance(self.n_bands, Integral):
            names = tuple(self.n_bands)  # type: ignore[arg-type]
            if not names or len(set(names)) < len(names):
                raise ValueError(f"n_bands must be a number or distinct names, got {names!r}.")
        else:
            count = int(self.n_bands)
            if count == 1:
                count = depth or len(fitted or "1")
            names = tuple(f"band{number}" for number in range(1, count + 1))
            carried = None if table is None else table.bands
            if carried is not None and len(carried) == count:
                names = carried
            elif fitted is not None and len(fitted) == count:
                names = fitted
        expected = len(names) if fitted is None else len(fitted)
        if depth not in {None, expected}:
            raise ValueError(
                f"X has {depth} bands, but {type(self).__name__} is expecting {expected}."
            )
        return tuple(str(name) for name in names)

    def _shared_days(
        self, table: SeriesTable, n_times: int, fitted: np.ndarray | None
    ) -> np.ndarray:
        """Days of all rows: as given, as X carries them, as seen in fit, or assumed."""
        owner = type(self).__name__
        if self.times is not None:
            days = days_since_1970(self.times, f"times of {owner}")
            if days.size != n_times:
                raise ValueError(
                    f"times of {owner} has {days.size} entries, but X has {n_times} observations "
                    "of each series. Several bands in one table need n_bands."
                )
            if np.isnan(days).any():
                missing = int(np.flatnonzero(np.isnan(days))[0])
                raise ValueError(f"times of {owner} is missing (NaT) at position {missing}.")
            return days
        carried = carried_days(table)
        if carried is not None and carried.size == n_times and not np.isnan(carried).any():
            return carried
        if fitted is not None and fitted.size == n_times:
            return fitted
        warn_caller(
            f"{owner}: neither times nor dates in X; its {n_times} columns are taken as equal "
            f"steps through one period of {self.period:g} days from 1970-01-01. Pass times=.",
            TimesWarning,
        )
        return np.arange(n_times) * (self.period / n_times)

    def _fit_of(self, days: np.ndarray | None, n_bands: int) -> HarmonicFit:
        return HarmonicFit(
            order=int(self.order),
            trend=bool(self.trend),
            period=float(self.period),
            ridge=float(self.ridge),
            on_short=self.on_short,
            robust=self.robust,
            max_condition=np.inf if self.max_condition is None else float(self.max_condition),
            shared_days=days,
            mid=np.nan if days is None else _middle(days),
            n_bands=n_bands,
            want_residuals=not {"rmse", "r2"}.isdisjoint(self.outputs),
            want_condition="condition" in self.outputs,
        )

    def _refuse(self, status: np.ndarray) -> None:
        """Raise for infinite values and, where asked for, for series that have no fit."""
        infinite = (status == INFINITE).any(axis=1)
        if infinite.any():
            self._raise_infinite(infinite)
        failed = (status != FITTED).any(axis=1)
        if self.on_short == "raise" and failed.any():
            raise ValueError(
                f"{type(self).__name__}(order={self.order}): too few observations, or too badly "
                f"spread, in {describe_rows(failed)}. Lower the order, or use on_short='nan', "
                "'reduce' or 'ridge'."
            )

    def _raise_infinite(self, infinite: np.ndarray) -> None:
        raise ValueError(
            f"X holds inf, or numbers whose sum is, in {describe_rows(infinite)}; "
            f"{type(self).__name__} takes NaN for a missing value."
        )


def _middle(days: np.ndarray) -> float:
    return float(0.5 * (days.min() + days.max()))


def _read_weights(weights: Any, n_rows: int, n_times: int, n_bands: int, owner: str) -> np.ndarray:
    """Weights as float64 of shape (n_rows, n_times) or (n_rows, n_times * n_bands)."""
    cells = as_series_table(weights, owner).cells
    given = np.ascontiguousarray(cells, dtype=np.float64)
    if given.shape not in {(n_rows, n_times), (n_rows, n_times * n_bands)}:
        raise ValueError(
            f"weights of {owner} must have shape ({n_rows}, {n_times}) or, with the bands, "
            f"({n_rows}, {n_times * n_bands}); got {given.shape}."
        )
    wrong = np.asarray(~((given >= 0) & (given < np.inf)).all(axis=1))
    if wrong.any():
        raise ValueError(
            f"weights of {owner} must be finite and not negative; they are not in "
            f"{describe_rows(wrong)}."
        )
    return given
