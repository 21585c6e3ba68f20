"""Amplitude, phase and peak day of harmonics, from their cosine and sine coefficients."""

from __future__ import annotations

import numpy as np

from geofeat.kernels._jit import njit

# What an output column holds: a coefficient or statistic by number, or a property of an order.
COEFFICIENT, STATISTIC, AMPLITUDE, PHASE, PHASE_COS, PHASE_SIN, PEAK_DAY = 0, 1, 2, 3, 4, 5, 6
_TWO_PI = 2.0 * np.pi


@njit(error_model="numpy")
def write_descriptors(
    coefficients: np.ndarray,
    statistics: np.ndarray,
    kinds: np.ndarray,
    places: np.ndarray,
    period: float,
    out: np.ndarray,
) -> None:
    """Fill the output columns of a batch of fitted series.

    Parameters
    ----------
    coefficients : ndarray of shape (n, p)
        Coefficients of the harmonic model.
    statistics : ndarray of shape (n, n_statistics)
        Statistics of the fits.
    kinds, places : ndarray of shape (n_columns,), int64
        What each column holds, and the number of the coefficient or statistic; for properties of
        an order the number of its cosine coefficient.
    period : float
        Length of the season in days; peak days lie in [0, period).
    out : ndarray of shape (n, n_columns), float32 or float64
        Overwritten. A harmonic of amplitude 0 has no phase: NaN.
    """
    for column in range(kinds.shape[0]):
        kind = kinds[column]
        place = places[column]
        if kind == COEFFICIENT:
            for row in range(out.shape[0]):
                out[row, column] = coefficients[row, place]
        elif kind == STATISTIC:
            for row in range(out.shape[0]):
                out[row, column] = statistics[row, place]
        else:
            for row in range(out.shape[0]):
                value = _describe(kind, coefficients[row, place], coefficients[row, place + 1])
                if kind == PEAK_DAY:
                    turn = value / _TWO_PI
                    value = (turn - np.floor(turn)) * period
                    # a tiny negative turn rounds up to a whole one
                    value = 0.0 if value >= period else value
                out[row, column] = value


@njit(error_model="numpy")
def _describe(kind: int, cosine: float, sine: float) -> float:
    amplitude = np.sqrt(cosine * cosine + sine * sine)
    if kind == AMPLITUDE:
        return amplitude
    if not amplitude > 0.0:
        return np.nan
    if kind == PHASE_COS:
        return cosine / amplitude
    if kind == PHASE_SIN:
        return sine / amplitude
    return np.arctan2(sine, cosine)
