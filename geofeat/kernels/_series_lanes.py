"""Series put side by side in lanes: values without gaps, and weights that are 0 in the gaps."""

from __future__ import annotations

import numpy as np

from geofeat.kernels._jit import FASTMATH, njit


@njit(fastmath=FASTMATH, error_model="numpy")
def load_series(
    values: np.ndarray, n_bands: int, first: int, lanes: int, y: np.ndarray, w: np.ndarray
) -> None:
    """Copy series into lanes: observations with weight 1, gaps as 0 with weight 0."""
    n_times = values.shape[1] // n_bands
    for lane in range(lanes):
        row = (first + lane) // n_bands
        band = (first + lane) % n_bands
        if n_bands == 1:
            for t in range(n_times):
                v = values[row, t]
                seen = not np.isnan(v)
                y[lane, t] = v if seen else 0.0
                w[lane, t] = 1.0 if seen else 0.0
        else:  # a plain copy first: only unit strides are compiled without branches
            for t in range(n_times):
                y[lane, t] = values[row, t * n_bands + band]
            for t in range(n_times):
                v = y[lane, t]
                seen = not np.isnan(v)
                y[lane, t] = v if seen else 0.0
                w[lane, t] = 1.0 if seen else 0.0


@njit(fastmath=FASTMATH, error_model="numpy")
def apply_weights(
    weights: np.ndarray,
    n_times: int,
    n_bands: int,
    first: int,
    lanes: int,
    y: np.ndarray,
    w: np.ndarray,
) -> None:
    """Multiply in the given weights; an observation of weight 0 is missing, whatever its value."""
    step = weights.shape[1] // n_times  # one weight for all bands, or one each
    for lane in range(lanes):
        row = (first + lane) // n_bands
        band = (first + lane) % n_bands if step > 1 else 0
        for t in range(n_times):
            given = weights[row, t * step + band]
            w[lane, t] *= given
            y[lane, t] = y[lane, t] if given > 0.0 else 0.0


@njit(fastmath=FASTMATH, error_model="numpy")
def forget_undated(columns: np.ndarray, lanes: int, y: np.ndarray, w: np.ndarray) -> None:
    """Drop observations without a day: there the intercept's column is 0."""
    for lane in range(lanes):
        for t in range(columns.shape[1]):
            w[lane, t] *= columns[0, t]
            y[lane, t] = y[lane, t] if columns[0, t] > 0.0 else 0.0


@njit(fastmath=FASTMATH, error_model="numpy")
def replace_if_new(w: np.ndarray, lane: int, last: np.ndarray) -> bool:
    """Put a lane's weights into ``last``; return whether they were not there before."""
    differing = 0.0
    for t in range(last.shape[0]):
        differing += abs(w[lane, t] - last[t])
        last[t] = w[lane, t]
    return differing > 0.0


@njit(fastmath=FASTMATH, error_model="numpy")
def weigh_values(y: np.ndarray, w: np.ndarray, lane: int, out: np.ndarray) -> float:
    """Write weight times value to ``out[0]`` and return the number of observations."""
    count = 0.0
    for t in range(y.shape[1]):
        count += 1.0 if w[lane, t] > 0.0 else 0.0
        out[0, t] = w[lane, t] * y[lane, t]
    return count
