"""Harmonic regression of a batch of series with gaps: least squares, ridge, robust weights.

Each series, one band of one row, is loaded into a lane with gaps as weight 0; the Gram matrix is
the product of its weights with the design's column products, and is taken over from the series
before where the weights are the same, as they are for the bands of one cloudy scene.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from geofeat.kernels._harmonic_design import PADDING, fill_columns
from geofeat.kernels._jit import FASTMATH, njit
from geofeat.kernels._least_squares import (
    LANES,
    condition_number,
    factorise,
    gram_matrix,
    inner_products,
    residuals,
    substitute,
)
from geofeat.kernels._robust_weights import (
    NORMAL_MAD,
    robust_weights,
    weighted_median_magnitude,
)
from geofeat.kernels._series_lanes import (
    apply_weights,
    forget_undated,
    load_series,
    replace_if_new,
    weigh_values,
)

# Status of a series.
FITTED, TOO_SHORT, RANK_DEFICIENT, ILL_CONDITIONED, INFINITE = 0, 1, 2, 3, 4
# Columns of the statistics.
N_OBS, RMSE, R2, CONDITION = 0, 1, 2, 3
ROBUST_ROUNDS = 10


class FitRules(NamedTuple):
    """How series are fitted and when they are not.

    ``minimum`` observations at least; ``max_condition`` of the scaled design; ``safe_determinant``
    of the scaled Gram matrix, from which on the condition cannot pass that bound; ``robust`` 0, or
    a kind of `robust_weights`; which statistics beyond the count are wanted.
    """

    minimum: int
    max_condition: float
    safe_determinant: float
    robust: int
    want_residuals: bool
    want_condition: bool


class _Workspace(NamedTuple):
    """Series in lanes, their normal equations, and one series' worth of scratch space."""

    y: np.ndarray
    w: np.ndarray
    observed: np.ndarray
    gram: np.ndarray
    rhs: np.ndarray
    level: np.ndarray
    total: np.ndarray
    regular: np.ndarray
    determinant: np.ndarray
    last_gram: np.ndarray
    last_w: np.ndarray
    one_gram: np.ndarray
    one_rhs: np.ndarray
    one_w: np.ndarray
    error: np.ndarray


def fit_rules(
    p: int,
    minimum: int,
    max_condition: float,
    robust: int = 0,
    want_residuals: bool = True,
    want_condition: bool = True,
) -> FitRules:
    """Rules with the determinant that rules out ``max_condition`` for p coefficients.

    The p eigenvalues of a Gram matrix of unit diagonal add up to p, so the least is at least
    determinant / e, and the greatest at most p.
    """
    safe = p * np.e / max_condition**2
    return FitRules(
        minimum, float(max_condition), float(safe), robust, want_residuals, want_condition
    )


@njit(error_model="numpy")
def fit_shared_times(
    values: np.ndarray,
    weights: np.ndarray,
    n_bands: int,
    columns: np.ndarray,
    products: np.ndarray,
    penalty: np.ndarray,
    rules: FitRules,
    coefficients: np.ndarray,
    statistics: np.ndarray,
    status: np.ndarray,
) -> None:
    """Fit every series of rows that were observed at the same times.

    Parameters
    ----------
    values : ndarray of shape (n, n_times * n_bands), float32 or float64
        Observations, time-major; NaN is missing.
    weights : ndarray of shape (n, n_times * n_bands), (n, n_times) or (0, 0), float64
        Weight of every observation, of every time for all bands, or none given.
    n_bands : int
        Number of bands.
    columns, products : ndarray
        From `harmonic_design`; only the first ``len(penalty)`` columns are used.
    penalty : ndarray of shape (p,)
        Added to the diagonal of the normal equations.
    rules : FitRules
        How to fit.
    coefficients : ndarray of shape (n * n_bands, >= p)
        Overwritten, NaN where there is no fit; columns beyond p get 0.
    statistics : ndarray of shape (n * n_bands, 4)
        Overwritten by number of observations, rmse, r2 and condition number.
    status : ndarray of shape (n * n_bands,), uint8
        Overwritten by the status of each series.
    """
    p = penalty.shape[0]
    space = _workspace(p, columns.shape[1])
    n_series = values.shape[0] * n_bands
    n_times = values.shape[1] // n_bands
    for first in range(0, n_series, LANES):
        lanes = min(LANES, n_series - first)
        load_series(values, n_bands, first, lanes, space.y, space.w)
        if weights.shape[0] > 0:
            apply_weights(weights, n_times, n_bands, first, lanes, space.y, space.w)
        _accumulate(space, lanes, columns, products, p, weights.shape[0] > 0, first > 0)
        part = slice(first, first + lanes)
        _solve(space, lanes, columns, products, penalty, rules, coefficients[part], status[part])
        _describe(space, lanes, columns, products, penalty, rules, statistics[part], status[part])


@njit(error_model="numpy")
def fit_row_times(
    days: np.ndarray,
    period: float,
    trend: bool,
    values: np.ndarray,
    weights: np.ndarray,
    n_bands: int,
    penalty: np.ndarray,
    rules: FitRules,
    coefficients: np.ndarray,
    statistics: np.ndarray,
    status: np.ndarray,
) -> None:
    """Fit every series of rows that have their own times.

    As `fit_shared_times`, but the design is made from ``days``, shape (n, n_times), for each row;
    a NaN day is a missing observation. The trend is zero in the middle of the row's days.
    """
    p = penalty.shape[0]
    n_times = days.shape[1]
    length = -(-n_times // PADDING) * PADDING
    space = _workspace(p, length)
    columns = np.zeros((p, length))
    products = np.zeros((0, length))  # made anew for each row they would cost more than they save
    for row in range(days.shape[0]):
        fill_columns(days[row], _middle(days[row]), period, trend, columns)
        for band in range(0, n_bands, LANES):
            lanes = min(LANES, n_bands - band)
            first = row * n_bands + band
            load_series(values, n_bands, first, lanes, space.y, space.w)
            if weights.shape[0] > 0:
                apply_weights(weights, n_times, n_bands, first, lanes, space.y, space.w)
            forget_undated(columns, lanes, space.y, space.w)
            _accumulate(space, lanes, columns, products, p, weights.shape[0] > 0, band > 0)
            part = slice(first, first + lanes)
            _solve(
                space, lanes, columns, products, penalty, rules, coefficients[part], status[part]
            )
            _describe(
                space, lanes, columns, products, penalty, rules, statistics[part], status[part]
            )


@njit(error_model="numpy")
def _middle(days: np.ndarray) -> float:
    low = np.inf
    high = -np.inf
    for t in range(days.shape[0]):
        if not np.isnan(days[t]):
            low = min(low, days[t])
            high = max(high, days[t])
    return 0.5 * (low + high)


@njit(error_model="numpy")
def _workspace(p: int, length: int) -> _Workspace:
    pairs = p * (p + 1) // 2
    return _Workspace(
        np.zeros((LANES, length)),
        np.zeros((LANES, length)),
        np.zeros(LANES),
        np.zeros((pairs, LANES)),
        np.zeros((p, LANES)),
        np.zeros(LANES),
        np.zeros(LANES),
        np.zeros(LANES),
        np.zeros(LANES),
        np.zeros(pairs),
        np.zeros(length),
        np.zeros((pairs, LANES)),
        np.zeros((p, LANES)),
        np.zeros((1, length)),
        np.zeros((1, length)),
    )


@njit(error_model="numpy")
def _accumulate(
    space: _Workspace,
    lanes: int,
    columns: np.ndarray,
    products: np.ndarray,
    p: int,
    weighted: bool,
    known: bool,
) -> None:
    """Form the normal equations of the lanes, the Gram matrix only where the weights are new."""
    pairs = p * (p + 1) // 2
    gram = space.gram
    last_gram = space.last_gram
    for lane in range(lanes):
        new = replace_if_new(space.w, lane, space.last_w)
        if known and not new:
            for pair in range(pairs):
                gram[pair, lane] = last_gram[pair]
        else:
            gram_matrix(space.w, lane, columns, products, p, gram, lane)
            for pair in range(pairs):
                last_gram[pair] = gram[pair, lane]
            known = True
    if weighted:
        for lane in range(lanes):
            space.observed[lane] = weigh_values(space.y, space.w, lane, space.error)
            inner_products(space.error, 0, columns, p, space.rhs, lane)
    else:
        for lane in range(lanes):
            space.observed[lane] = gram[0, lane]
            inner_products(space.y, lane, columns, p, space.rhs, lane)
    for lane in range(lanes):
        space.total[lane] = gram[0, lane]
        space.level[lane] = space.rhs[0, lane] / gram[0, lane]


@njit(error_model="numpy")
def _solve(
    space: _Workspace,
    lanes: int,
    columns: np.ndarray,
    products: np.ndarray,
    penalty: np.ndarray,
    rules: FitRules,
    coefficients: np.ndarray,
    status: np.ndarray,
) -> None:
    """Solve the lanes together, then look after those that need more care, one by one."""
    p = penalty.shape[0]
    for j in range(p):
        if penalty[j] > 0.0:
            for lane in range(lanes):
                space.gram[j * (j + 1) // 2 + j, lane] += penalty[j]
    factorise(space.gram, p, lanes, space.regular, space.determinant)
    substitute(space.gram, space.rhs, p, lanes)
    for lane in range(lanes):
        sound = (
            space.observed[lane] >= rules.minimum
            and space.regular[lane] > 0.0
            and space.determinant[lane] >= rules.safe_determinant
            and abs(space.level[lane]) < np.inf
        )
        status[lane] = FITTED  # nearly always: the calls below cost as much as a fit
        if not sound:
            status[lane] = _examine(space, lane, columns, products, penalty, rules)
        if rules.robust > 0 and status[lane] == FITTED:
            _distrust_outliers(space, lane, columns, products, penalty, rules.robust)
    for lane in range(lanes):
        fitted = status[lane] == FITTED
        for j in range(p):
            coefficients[lane, j] = space.rhs[j, lane] if fitted else np.nan
        for j in range(p, coefficients.shape[1]):
            coefficients[lane, j] = 0.0 if fitted else np.nan


@njit(error_model="numpy")
def _examine(
    space: _Workspace,
    lane: int,
    columns: np.ndarray,
    products: np.ndarray,
    penalty: np.ndarray,
    rules: FitRules,
) -> int:
    """Return the status of a lane; one that is nearly collinear is solved anew, with care."""
    if space.total[lane] > 0.0 and not abs(space.level[lane]) < np.inf:
        return INFINITE
    if space.observed[lane] < rules.minimum:
        return TOO_SHORT
    if not space.regular[lane] > 0.0:
        return RANK_DEFICIENT
    if space.determinant[lane] >= rules.safe_determinant:
        return FITTED
    return _solve_with_care(space, lane, columns, products, penalty, rules.max_condition)


@njit(error_model="numpy")
def _solve_with_care(
    space: _Workspace,
    lane: int,
    columns: np.ndarray,
    products: np.ndarray,
    penalty: np.ndarray,
    max_condition: float,
) -> int:
    """Status of a nearly collinear series; its coefficients are refined with their residuals."""
    p = penalty.shape[0]
    _one_gram(space, space.w, lane, columns, products, penalty)
    if condition_number(space.one_gram, 0, p) > max_condition:
        return ILL_CONDITIONED
    factorise(space.one_gram, p, 1, space.regular[lane:], space.determinant[lane:])
    for _ in range(2):
        residuals(space.y, lane, columns, space.rhs, p, space.error)
        for t in range(space.w.shape[1]):
            space.error[0, t] *= space.w[lane, t]
        inner_products(space.error, 0, columns, p, space.one_rhs, 0)
        for j in range(p):
            space.one_rhs[j, 0] -= penalty[j] * space.rhs[j, lane]
        substitute(space.one_gram, space.one_rhs, p, 1)
        for j in range(p):
            space.rhs[j, lane] += space.one_rhs[j, 0]
    return FITTED


@njit(error_model="numpy")
def _one_gram(
    space: _Workspace,
    weights: np.ndarray,
    source: int,
    columns: np.ndarray,
    products: np.ndarray,
    penalty: np.ndarray,
) -> None:
    """Gram matrix of one vector of weights, penalty included, in the scratch space."""
    p = penalty.shape[0]
    gram_matrix(weights, source, columns, products, p, space.one_gram, 0)
    for j in range(p):
        space.one_gram[j * (j + 1) // 2 + j, 0] += penalty[j]


@njit(error_model="numpy")
def _distrust_outliers(
    space: _Workspace,
    lane: int,
    columns: np.ndarray,
    products: np.ndarray,
    penalty: np.ndarray,
    robust: int,
) -> None:
    """Refit with robust weights, starting from least squares.

    Ends early once most residuals vanish, and before a round whose weights leave a deficient
    rank: the last well-posed fit stays.
    """
    p = penalty.shape[0]
    length = columns.shape[1]
    size = 0.0
    for t in range(length):
        size = max(size, abs(space.y[lane, t]))
    for _ in range(ROBUST_ROUNDS):
        residuals(space.y, lane, columns, space.rhs, p, space.error)
        scale = weighted_median_magnitude(space.error, space.w, lane) / NORMAL_MAD
        if not scale > 1e-14 * size:
            return
        robust_weights(space.error, space.w, lane, scale, robust, space.one_w)
        _one_gram(space, space.one_w, 0, columns, products, penalty)
        factorise(space.one_gram, p, 1, space.regular[lane:], space.determinant[lane:])
        if not space.regular[lane] > 0.0:
            return
        for t in range(length):
            space.error[0, t] = space.one_w[0, t] * space.y[lane, t]
        inner_products(space.error, 0, columns, p, space.one_rhs, 0)
        substitute(space.one_gram, space.one_rhs, p, 1)
        for j in range(p):
            space.rhs[j, lane] = space.one_rhs[j, 0]


@njit(error_model="numpy")
def _describe(
    space: _Workspace,
    lanes: int,
    columns: np.ndarray,
    products: np.ndarray,
    penalty: np.ndarray,
    rules: FitRules,
    statistics: np.ndarray,
    status: np.ndarray,
) -> None:
    """Write the statistics of the lanes: those of the given weights, robust or not."""
    p = penalty.shape[0]
    for lane in range(lanes):
        statistics[lane, N_OBS] = space.observed[lane]
        statistics[lane, RMSE] = np.nan
        statistics[lane, R2] = np.nan
        statistics[lane, CONDITION] = np.nan
        if rules.want_residuals and status[lane] == FITTED:
            residuals(space.y, lane, columns, space.rhs, p, space.error)
            _judge(
                space.y,
                space.w,
                lane,
                space.error,
                space.level[lane],
                space.total[lane],
                statistics,
            )
        if rules.want_condition and status[lane] in (FITTED, ILL_CONDITIONED):
            _one_gram(space, space.w, lane, columns, products, penalty)
            statistics[lane, CONDITION] = condition_number(space.one_gram, 0, p)


@njit(fastmath=FASTMATH, error_model="numpy")
def _judge(
    y: np.ndarray,
    w: np.ndarray,
    lane: int,
    error: np.ndarray,
    level: float,
    total: float,
    statistics: np.ndarray,
) -> None:
    """Root mean square of the residuals and the share of variance explained."""
    around_model = 0.0
    around_mean = 0.0
    size = 0.0
    for t in range(y.shape[1]):
        departure = y[lane, t] - level
        around_model += w[lane, t] * error[0, t] * error[0, t]
        around_mean += w[lane, t] * departure * departure
        size += w[lane, t] * y[lane, t] * y[lane, t]
    statistics[lane, RMSE] = np.sqrt(around_model / total)
    if around_mean > 1e-28 * size:  # else constant to rounding
        statistics[lane, R2] = 1.0 - around_model / around_mean
