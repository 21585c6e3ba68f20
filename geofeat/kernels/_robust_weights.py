"""Weights that distrust large residuals: Huber's and Tukey's bisquare, and their scale."""

from __future__ import annotations

import numpy as np

from geofeat.kernels._jit import njit

# Tuning constants of 95 % efficiency under normal errors, in units of the scale.
HUBER, BISQUARE = 1, 2
HUBER_TUNING = 1.345
BISQUARE_TUNING = 4.685
# Median absolute deviation of the standard normal distribution.
NORMAL_MAD = 0.6745


@njit(error_model="numpy")
def weighted_median_magnitude(values: np.ndarray, weights: np.ndarray, lane: int) -> float:
    r"""Median of \|values[0]\| where each counts ``weights[lane]`` times; 0 without weight.

    For whole weights this is the plain median of the repeated values.
    """
    size = values.shape[1]
    magnitudes = np.empty(size)
    shares = np.empty(size)
    count = 0
    total = 0.0
    for t in range(size):
        if weights[lane, t] > 0.0:
            magnitudes[count] = abs(values[0, t])
            shares[count] = weights[lane, t]
            total += weights[lane, t]
            count += 1
    if count == 0:
        return 0.0
    return _weighted_median(magnitudes, shares, count, 0.5 * total)


@njit(error_model="numpy")
def _weighted_median(values: np.ndarray, shares: np.ndarray, count: int, half: float) -> float:
    """Value at which the shares, in order of value, reach half; the mean of two on a tie.

    Quickselect; the arguments are reordered. Between ``low`` and ``high`` lies what is sought, and
    ``below`` is the share of all smaller values.
    """
    low, high, below = 0, count, 0.0
    while True:
        pivot = values[(low + high) // 2]
        less, at, more = low, low, high
        left, equal = 0.0, 0.0
        while at < more:
            v, share = values[at], shares[at]
            if v < pivot:
                values[at], shares[at] = values[less], shares[less]
                values[less], shares[less] = v, share
                left += share
                less += 1
                at += 1
            elif v > pivot:
                more -= 1
                values[at], shares[at] = values[more], shares[more]
                values[more], shares[more] = v, share
            else:
                equal += share
                at += 1
        if less > low and below + left >= half:
            high = less
        elif more == high or below + left + equal >= half:
            break
        else:
            low, below = more, below + left + equal
    if below + left + equal > half or more == count:
        return pivot
    following = np.inf
    for position in range(more, count):
        following = min(following, values[position])
    return 0.5 * (pivot + following)


@njit(error_model="numpy")
def robust_weights(
    residuals: np.ndarray,
    weights: np.ndarray,
    lane: int,
    scale: float,
    kind: int,
    out: np.ndarray,
) -> None:
    """Write ``weights[lane]`` times Huber's (kind 1) or the bisquare (kind 2) weight to out[0]."""
    for t in range(residuals.shape[1]):
        u = abs(residuals[0, t]) / scale
        if kind == HUBER:
            trust = 1.0 if u <= HUBER_TUNING else HUBER_TUNING / u
        else:
            v = min(u / BISQUARE_TUNING, 1.0)
            trust = (1.0 - v * v) * (1.0 - v * v)
        out[0, t] = weights[lane, t] * trust
