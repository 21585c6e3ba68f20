"""Points grouped by block, and gathered pixels decoded into rows of the output in one pass.

A decoded value that is not finite is missing, whichever way it came about: it leaves as NaN, so no
infinity ever reaches the output. Whether the row counts as missing is up to ``any_missing``.
"""

from __future__ import annotations

import numpy as np

from geofeat.kernels._jit import njit


@njit()
def counting_sort(keys: np.ndarray, n_keys: int) -> tuple[np.ndarray, np.ndarray]:
    """Order that sorts ``keys`` in [0, n_keys), stably, and where each key starts in it.

    Returns int64 arrays of shape (n,) and (n_keys + 1,).
    """
    starts = np.zeros(n_keys + 1, dtype=np.int64)
    for i in range(keys.shape[0]):
        starts[keys[i] + 1] += 1
    for key in range(n_keys):
        starts[key + 1] += starts[key]
    fill = starts[:-1].copy()
    order = np.empty(keys.shape[0], dtype=np.int64)
    for i in range(keys.shape[0]):
        order[fill[keys[i]]] = i
        fill[keys[i]] += 1
    return order, starts


@njit()
def scatter_table(
    raw: np.ndarray,
    tables: np.ndarray,
    rows: np.ndarray,
    out: np.ndarray,
    spare: np.ndarray,
    any_missing: bool,
) -> np.ndarray:
    """Look bytes up and write whole rows; return which are valid, shape (k,).

    Parameters
    ----------
    raw : uint8 array of shape (bands, k)
        Stored bytes of k pixels.
    tables : float32 array of shape (bands, 256)
        Value of each byte, NaN for a missing one.
    rows : int64 array of shape (k,)
        Row of ``out``; a row r below zero stands for row ``-1 - r`` of ``spare``.
    out, spare : float32 arrays of shape (n, bands)
        Written in place; a missing row is NaN throughout.
    any_missing : bool
        Whether one missing band makes the row missing; otherwise all must be.
    """
    bands, k = raw.shape
    valid = np.empty(k, dtype=np.bool_)
    for i in range(k):
        row = rows[i]
        target = out[row] if row >= 0 else spare[-1 - row]
        holes = 0
        for band in range(bands):
            value = tables[band, raw[band, i]]
            if not np.isfinite(value):
                value = np.float32(np.nan)
                holes += 1
            target[band] = value
        valid[i] = holes == 0 or (not any_missing and holes < bands)
        if not valid[i]:
            target[:] = np.nan
    return valid


@njit()
def scatter_values(
    values: np.ndarray, rows: np.ndarray, out: np.ndarray, spare: np.ndarray, any_missing: bool
) -> np.ndarray:
    """Write decoded float32 values of shape (bands, k) into rows, as `scatter_table` does."""
    bands, k = values.shape
    valid = np.empty(k, dtype=np.bool_)
    for i in range(k):
        row = rows[i]
        target = out[row] if row >= 0 else spare[-1 - row]
        holes = 0
        for band in range(bands):
            value = values[band, i]
            if not np.isfinite(value):
                value = np.float32(np.nan)
                holes += 1
            target[band] = value
        valid[i] = holes == 0 or (not any_missing and holes < bands)
        if not valid[i]:
            target[:] = np.nan
    return valid


@njit()
def gather_scaled(
    stored: np.ndarray,
    scales: np.ndarray,
    pixels: np.ndarray,
    bands: np.ndarray,
    limit: float,
    rows: np.ndarray,
    out: np.ndarray,
    spare: np.ndarray,
    any_missing: bool,
) -> np.ndarray:
    """Read pixels of a (pixels, bands) int8 array, multiply by their scales, write rows.

    Parameters
    ----------
    stored : int8 array of shape (n_pixels, n_stored)
        Usually a memory map: only the pixels asked for are touched.
    scales : float32 array of shape (n_pixels, 1) or (n_pixels, n_stored)
        A scale that is not finite or not positive marks a missing value; so does one whose product
        overflows.
    pixels, rows : int64 arrays of shape (k,)
        Where to read; where to write, as in `scatter_table`.
    bands : int64 array of shape (bands,)
        Which stored bands to take.
    limit : float
        Rows with a larger magnitude are missing; infinity switches the test off.

    Returns
    -------
    state : uint8 array of shape (k,)
        0 valid, 1 missing, 2 beyond the limit.
    """
    k = pixels.shape[0]
    state = np.empty(k, dtype=np.uint8)
    shared = scales.shape[1] == 1
    for i in range(k):
        row = rows[i]
        target = out[row] if row >= 0 else spare[-1 - row]
        holes = 0
        largest = np.float32(0.0)
        for j in range(bands.shape[0]):
            band = bands[j]
            scale = scales[pixels[i], 0 if shared else band]
            value = np.float32(stored[pixels[i], band]) * scale
            if scale > 0 and np.isfinite(scale) and np.isfinite(value):
                largest = max(largest, abs(value))
                target[j] = value
            else:
                holes += 1
                target[j] = np.nan
        state[i] = 0 if holes == 0 or (not any_missing and holes < bands.shape[0]) else 1
        if state[i] == 0 and largest > limit:
            state[i] = 2
        if state[i] != 0:
            target[:] = np.nan
    return state


@njit()
def scale_to_unit_length(rows: np.ndarray) -> None:
    """Divide each row of a float32 array by its length; NaN and zero rows stay."""
    for i in range(rows.shape[0]):
        total = 0.0
        for j in range(rows.shape[1]):
            if not np.isnan(rows[i, j]):
                total += np.float64(rows[i, j]) ** 2
        if total > 0:
            length = np.sqrt(total)
            for j in range(rows.shape[1]):
                rows[i, j] = np.float32(rows[i, j] / length)
