"""Fits of a batch of series, with what becomes of those that have too few observations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geofeat.kernels._harmonic_design import harmonic_design, n_parameters
from geofeat.kernels._harmonic_regression import (
    FITTED,
    INFINITE,
    FitRules,
    fit_row_times,
    fit_rules,
    fit_shared_times,
)
from geofeat.kernels._robust_weights import BISQUARE, HUBER

_ROBUST = {None: 0, "huber": HUBER, "bisquare": BISQUARE}
# Observations a coefficient must have for its order to be kept, as in CCDC.
_OBSERVATIONS_PER_COEFFICIENT = 3
# As strong as one observation, for series that least squares cannot fit.
_RESCUE_RIDGE = 1.0


@dataclass(frozen=True)
class HarmonicFit:
    """One way to fit harmonic models; `run` applies it to a batch.

    Parameters
    ----------
    order, trend, period, ridge, on_short, robust, max_condition
        As in `HarmonicFeatures`.
    shared_days : ndarray of shape (n_times,) or None
        Days since 1970 of all rows, None where each row has its own.
    mid : float
        Day at which the trend is zero, for shared days.
    n_bands : int
        Number of bands.
    want_residuals, want_condition : bool
        Which statistics are wanted.
    """

    order: int
    trend: bool
    period: float
    ridge: float
    on_short: str
    robust: str | None
    max_condition: float
    shared_days: np.ndarray | None
    mid: float
    n_bands: int
    want_residuals: bool
    want_condition: bool

    def __post_init__(self) -> None:
        if self.shared_days is not None:
            design = harmonic_design(
                self.shared_days, self.mid, self.period, self.order, self.trend
            )
            object.__setattr__(self, "_design", design)

    def run(
        self, days: np.ndarray | None, values: np.ndarray, weights: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Fit a batch of rows.

        Parameters
        ----------
        days : ndarray of shape (n, n_times) or None
            Days of each row, None where all share theirs.
        values : ndarray of shape (n, n_times * n_bands)
            Observations, NaN where missing.
        weights : ndarray of shape (n, n_times) or (n, n_times * n_bands) or None
            Their weights.

        Returns
        -------
        coefficients : ndarray of shape (n * n_bands, p), float64
            NaN where a series could not be fitted.
        statistics : ndarray of shape (n * n_bands, 4), float64
            Number of observations, rmse, r2 and condition number.
        status : ndarray of shape (n * n_bands,), uint8
            See `geofeat.kernels._harmonic_regression`.
        """
        n_series = values.shape[0] * self.n_bands
        result = (
            np.empty((n_series, n_parameters(self.order, self.trend))),
            np.empty((n_series, 4)),
            np.empty(n_series, dtype=np.uint8),
        )
        order_minimum = self._minimum(self.order)
        self._solve(
            days, values, weights, self.n_bands, self.order, order_minimum, self.ridge, result
        )
        if self.on_short == "reduce":
            for order in range(self.order - 1, 0, -1):
                self._retry(days, values, weights, order, self._minimum(order), self.ridge, result)
        elif self.on_short == "ridge":
            ridge = self.ridge if self.ridge > 0 else _RESCUE_RIDGE
            self._retry(days, values, weights, self.order, 1, ridge, result)
        return result

    def _minimum(self, order: int) -> int:
        p = n_parameters(order, self.trend)
        if self.on_short == "reduce" and order > 1:
            return _OBSERVATIONS_PER_COEFFICIENT * p
        return p

    def _retry(
        self,
        days: np.ndarray | None,
        values: np.ndarray,
        weights: np.ndarray | None,
        order: int,
        minimum: int,
        ridge: float,
        result: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> None:
        """Fit the series that are without a fit once more, each as a row of one band."""
        failed = np.flatnonzero((result[2] != FITTED) & (result[2] != INFINITE))
        if not failed.size:
            return
        rows, bands = np.divmod(failed, self.n_bands)
        coefficients, statistics, status = result
        again = coefficients[failed], statistics[failed], status[failed]
        self._solve(
            None if days is None else days[rows],
            _one_band(values, self.n_bands, rows, bands),
            None if weights is None else self._weights_of(weights, values, rows, bands),
            1,
            order,
            minimum,
            ridge,
            again,
        )
        for whole, part in zip(result, again, strict=True):
            whole[failed] = part

    def _weights_of(
        self, weights: np.ndarray, values: np.ndarray, rows: np.ndarray, bands: np.ndarray
    ) -> np.ndarray:
        if weights.shape[1] < values.shape[1]:
            return weights[rows]
        return _one_band(weights, self.n_bands, rows, bands)

    def _solve(
        self,
        days: np.ndarray | None,
        values: np.ndarray,
        weights: np.ndarray | None,
        n_bands: int,
        order: int,
        minimum: int,
        ridge: float,
        result: tuple[np.ndarray, np.ndarray, np.ndarray],
    ) -> None:
        p = n_parameters(order, self.trend)
        rules: FitRules = fit_rules(
            p,
            minimum,
            self.max_condition,
            _ROBUST[self.robust],
            self.want_residuals,
            self.want_condition,
        )
        given = np.empty((0, 0)) if weights is None else weights
        penalty = ridge * _penalty_shape(order, self.trend)
        # A read-only view: kernels are then compiled for one kind of array only.
        values, given = _read_only(values), _read_only(given)
        if days is None:
            columns, products = self._design  # type: ignore[attr-defined]
            fit_shared_times(values, given, n_bands, columns, products, penalty, rules, *result)
        else:
            fit_row_times(
                _read_only(days),
                self.period,
                self.trend,
                values,
                given,
                n_bands,
                penalty,
                rules,
                *result,
            )


def _penalty_shape(order: int, trend: bool) -> np.ndarray:
    """Diagonal of the ridge penalty: 0, then 1 for the slope and k**4 for order k."""
    harmonics = np.repeat(np.arange(1.0, order + 1) ** 4, 2)
    return np.concatenate([[0.0], np.ones(int(trend)), harmonics])


def _one_band(array: np.ndarray, n_bands: int, rows: np.ndarray, bands: np.ndarray) -> np.ndarray:
    series = array.reshape(array.shape[0], -1, n_bands)[rows, :, bands]
    return np.ascontiguousarray(series)


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view
