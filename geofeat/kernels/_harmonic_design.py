"""Columns of the harmonic model: intercept, trend, cosines and sines of the seasonal phase."""

from __future__ import annotations

import numpy as np

from geofeat.kernels._jit import FASTMATH, njit

DAYS_PER_YEAR = 365.25
# Vectors are padded with zeros to a multiple of this, so that no loop has a scalar remainder.
PADDING = 16
_TWO_PI = 2.0 * np.pi


def n_parameters(order: int, trend: bool) -> int:
    """Count the coefficients: intercept, slope if there is a trend, two an order."""
    return 1 + int(trend) + 2 * order


def padded_length(n_times: int) -> int:
    """Length of the vectors that hold one series."""
    return -(-n_times // PADDING) * PADDING


def harmonic_design(
    days: np.ndarray, mid: float, period: float, order: int, trend: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Design of one calendar.

    Parameters
    ----------
    days : ndarray of shape (n_times,), float64
        Days since 1970-01-01. NaN gives a column of zeros.
    mid : float
        Day at which the trend is zero.
    period : float
        Length of the season in days.
    order : int
        Number of harmonics.
    trend : bool
        Whether the model has a slope, in units per year of 365.25 days.

    Returns
    -------
    columns : ndarray of shape (p, padded_length(n_times)), float64
        Rows 1, years since mid, cos_1, sin_1, cos_2, ...; zeros beyond n_times.
    products : ndarray of shape (p * (p + 1) / 2, padded_length(n_times)), float64
        Products of two columns i <= j at row j * (j + 1) / 2 + i.
    """
    p = n_parameters(order, trend)
    columns = np.zeros((p, padded_length(days.size)))
    products = np.zeros((p * (p + 1) // 2, columns.shape[1]))
    fill_columns(days, mid, period, trend, columns)
    fill_products(columns, products)
    return columns, products


@njit(fastmath={"contract"}, error_model="numpy")
def fill_columns(
    days: np.ndarray, mid: float, period: float, trend: bool, columns: np.ndarray
) -> None:
    """Write the model's columns for one calendar; a missing day gives zeros.

    The day is reduced to an eighth of a turn before the polynomials, whose truncation lies below
    5e-17; higher orders follow by angle addition. No reassociation here: it would undo the
    reduction.
    """
    first = 2 if trend else 1
    cosine, sine = columns[first], columns[first + 1]
    frequency = 1.0 / period
    for t in range(days.shape[0]):
        day = days[t]
        known = not np.isnan(day)
        turn = (day - period * np.rint(day * frequency)) * frequency
        quarter = np.rint(4.0 * turn)
        x = _TWO_PI * (turn - 0.25 * quarter)
        s = _sine_polynomial(x)
        c = _cosine_polynomial(x)
        odd = np.abs(quarter) == 1.0
        turned_c = s if odd else c
        turned_s = c if odd else s
        c_sign = -1.0 if (quarter == 1.0 or np.abs(quarter) == 2.0) else 1.0
        s_sign = -1.0 if (quarter == -1.0 or np.abs(quarter) == 2.0) else 1.0
        cosine[t] = c_sign * turned_c if known else 0.0
        sine[t] = s_sign * turned_s if known else 0.0
        columns[0, t] = 1.0 if known else 0.0
    if trend:
        for t in range(days.shape[0]):
            day = days[t]
            columns[1, t] = (day - mid) / DAYS_PER_YEAR if not np.isnan(day) else 0.0
    for j in range(first + 2, columns.shape[0], 2):
        for t in range(days.shape[0]):
            columns[j, t] = columns[j - 2, t] * cosine[t] - columns[j - 1, t] * sine[t]
            columns[j + 1, t] = columns[j - 1, t] * cosine[t] + columns[j - 2, t] * sine[t]


@njit(fastmath=FASTMATH, error_model="numpy")
def fill_products(columns: np.ndarray, products: np.ndarray) -> None:
    """Write the products of all pairs of columns i <= j at row j * (j + 1) / 2 + i."""
    row = 0
    for j in range(columns.shape[0]):
        for i in range(j + 1):
            for t in range(columns.shape[1]):
                products[row, t] = columns[i, t] * columns[j, t]
            row += 1


@njit(fastmath={"contract"})
def _sine_polynomial(x: float) -> float:
    """Taylor series of the sine on [-pi/4, pi/4]."""
    z = x * x
    s = -7.647163731819816e-13
    s = s * z + 1.605904383682161e-10
    s = s * z - 2.505210838544172e-08
    s = s * z + 2.755731922398589e-06
    s = s * z - 1.984126984126984e-04
    s = s * z + 8.333333333333333e-03
    s = s * z - 1.666666666666667e-01
    return x + x * z * s


@njit(fastmath={"contract"})
def _cosine_polynomial(x: float) -> float:
    """Taylor series of the cosine on [-pi/4, pi/4]."""
    z = x * x
    c = 4.779477332387385e-14
    c = c * z - 1.147074559772972e-11
    c = c * z + 2.087675698786810e-09
    c = c * z - 2.755731922398589e-07
    c = c * z + 2.480158730158730e-05
    c = c * z - 1.388888888888889e-03
    c = c * z + 4.166666666666667e-02
    return 1.0 - 0.5 * z + z * z * c
