"""Median and standard deviation of groups of pixels, band by band, without what is missing."""

from __future__ import annotations

import numpy as np

from geofeat.kernels._jit import njit


def medians(values: np.ndarray, out: np.ndarray, counts: np.ndarray) -> None:
    """Write the median of each group, NaN where it has no value.

    Parameters
    ----------
    values : float32 array of shape (groups, pixels, bands)
        NaN is missing.
    out : float32 array of shape (groups, bands)
        Written in place.
    counts : int64 array of shape (groups, bands)
        How many values there were, written in place.
    """
    ordered = np.sort(values, axis=1)  # NaN goes last; NumPy sorts with vector instructions
    counts[:] = values.shape[1] - np.isnan(values).sum(axis=1)
    ranks = np.maximum(counts - 1, 0) // 2, np.minimum(counts // 2, values.shape[1] - 1)
    low, high = (np.take_along_axis(ordered, rank[:, None], axis=1)[:, 0] for rank in ranks)
    out[:] = (low.astype(np.float64) + high) / 2


@njit()
def standard_deviations(values: np.ndarray, out: np.ndarray, counts: np.ndarray) -> None:
    """Write the root of the mean squared difference from the mean; else as `medians`.

    Two passes in float64: a difference of sums would lose the small deviations of large values.
    """
    for group in range(values.shape[0]):
        for band in range(values.shape[2]):
            n, total = 0, 0.0
            for pixel in range(values.shape[1]):
                value = np.float64(values[group, pixel, band])
                if not np.isnan(value):
                    total += value
                    n += 1
            counts[group, band] = n
            out[group, band] = np.nan
            if n:
                mean, squares = total / n, 0.0
                for pixel in range(values.shape[1]):
                    value = np.float64(values[group, pixel, band])
                    if not np.isnan(value):
                        squares += (value - mean) ** 2
                out[group, band] = np.float32(np.sqrt(squares / n))
