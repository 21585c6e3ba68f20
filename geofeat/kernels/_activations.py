"""Bias and activation of a dense layer, in one pass over a block that stays in cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from geofeat.kernels._jit import njit
from geofeat.kernels._lanes import LANES, load, splat, store
from geofeat.kernels._sine import sine_and_cosine


@njit()
def sine_of_sum(values: Any, bias: Any, factor: Any) -> None:
    """Replace ``values`` by ``sin(factor * (values + bias))``.

    ``values`` is C-contiguous of shape (n, width), float64 or float32, and changed in place;
    ``bias`` float64 of shape (width,). The arithmetic is float64.
    """
    width = values.shape[1]
    whole = width // LANES * LANES
    single = values.itemsize == 4
    flat = values.reshape(values.size)
    for row in range(values.shape[0]):
        start = row * width
        for column in range(0, whole, LANES):
            phase = splat(factor) * (load(flat, start + column) + load(bias, column))
            sine, _ = sine_and_cosine(phase, single)
            store(flat, start + column, sine)
        for column in range(whole, width):
            flat[start + column] = np.sin(factor * (flat[start + column] + bias[column]))


@njit()
def positive_part_of_sum(values: Any, bias: Any) -> None:
    """Replace ``values`` by ``max(values + bias, 0)``, the rectified linear unit; NaN stays NaN."""
    zero = values.dtype.type(0)
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            value = values[row, column] + bias[column]
            values[row, column] = zero if value < zero else value


@njit()
def sine_of_mean(values: Any, bias: Any, state: Any, out: Any) -> None:
    """Replace ``state`` by the mean of ``values + bias`` and ``state``, and ``out`` by its sine.

    The three are C-contiguous of one shape (n, width) and dtype, float64 or float32; ``bias`` is
    float64 of shape (width,).
    """
    width = values.shape[1]
    whole = width // LANES * LANES
    single = values.itemsize == 4
    flat = values.reshape(values.size)
    flat_state = state.reshape(state.size)
    flat_out = out.reshape(out.size)
    half = splat(0.5)
    for row in range(values.shape[0]):
        start = row * width
        for column in range(0, whole, LANES):
            place = start + column
            mean = half * (load(flat, place) + load(bias, column) + load(flat_state, place))
            store(flat_state, place, mean)
            sine, _ = sine_and_cosine(mean, single)
            store(flat_out, place, sine)
        for column in range(whole, width):
            place = start + column
            flat_state[place] = 0.5 * (flat[place] + bias[column] + flat_state[place])
            flat_out[place] = np.sin(flat_state[place])
