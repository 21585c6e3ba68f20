"""Weighted sums of pixels by group, in float64 and in the order of the pixels."""

from __future__ import annotations

import numpy as np

from geofeat.kernels._jit import njit


@njit()
def add_weighted_rows(
    values: np.ndarray,
    valid: np.ndarray,
    group: np.ndarray,
    weight: np.ndarray,
    total: np.ndarray,
    square: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Add each valid row, times its weight, to the sums of its group; NaN adds nothing.

    Parameters
    ----------
    values : float32 array of shape (k, bands)
        One row a pixel.
    valid : bool array of shape (k,)
        Rows to add.
    group, weight : int64 and float64 arrays of shape (k,)
        Which row of the sums, and how much a pixel counts.
    total, weights : float64 arrays of shape (groups, bands)
        Sums of weight * value and of weight, written in place.
    square : float64 array of shape (groups, bands) or (0, 0)
        Sum of weight * value**2; left alone when empty.
    """
    squares = square.shape[0] > 0
    for i in range(values.shape[0]):
        if not valid[i]:
            continue
        g, w = group[i], weight[i]
        for band in range(values.shape[1]):
            value = np.float64(values[i, band])
            if np.isnan(value):
                continue
            total[g, band] += w * value
            weights[g, band] += w
            if squares:
                square[g, band] += w * value * value
