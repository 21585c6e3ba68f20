"""Grouping by block and decoding in one pass, against plain NumPy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from geofeat.kernels._gather import (
    counting_sort,
    gather_scaled,
    scale_to_unit_length,
    scatter_table,
    scatter_values,
)

RNG = np.random.default_rng(8)


def test_counting_sort_is_stable_and_tells_where_keys_start():
    keys = RNG.integers(0, 50, 1000)
    keys[keys == 17] = 18  # a key that does not occur
    order, starts = counting_sort(keys, 60)
    assert_array_equal(order, np.argsort(keys, kind="stable"))
    assert_array_equal(starts, np.searchsorted(np.sort(keys), np.arange(61)))


@pytest.mark.parametrize("any_missing", [True, False])
def test_rows_are_decoded_into_place_and_missing_ones_are_nan(any_missing):
    raw = RNG.integers(0, 256, (5, 200)).astype(np.uint8)
    raw[:, 7] = 3
    raw[2, 9] = 3
    tables = RNG.normal(size=(5, 256)).astype(np.float32)
    tables[:, 3] = np.nan
    rows = RNG.permutation(200)
    rows[:20] = -1 - np.arange(20)
    out, spare = (np.full((n, 5), 99, np.float32) for n in (200, 20))
    valid = scatter_table(raw, tables, rows, out, spare, any_missing)
    values = np.take_along_axis(tables, raw.astype(int), axis=1).T
    holes = np.isnan(values)
    expected_valid = ~holes.any(axis=1) if any_missing else ~holes.all(axis=1)
    values[~expected_valid] = np.nan
    assert_array_equal(valid, expected_valid)
    assert not valid[7]
    assert_array_equal(spare, values[:20])
    assert_array_equal(out[rows[20:]], values[20:])
    untouched = np.setdiff1d(np.arange(200), rows[20:])
    assert_array_equal(out[untouched], 99)
    again, spare_again = (np.full((n, 5), 99, np.float32) for n in (200, 20))
    decoded = np.take_along_axis(tables, raw.astype(int), axis=1)
    assert_array_equal(
        scatter_values(decoded, rows, again, spare_again, any_missing), expected_valid
    )
    assert_array_equal(again, out)
    assert_array_equal(spare_again, spare)


@pytest.mark.parametrize("n_scales", [1, 6])
def test_scaled_pixels_equal_the_product(n_scales):
    stored = RNG.integers(-127, 128, (300, 6), dtype=np.int8)
    scales = RNG.uniform(0.1, 2, (300, n_scales)).astype(np.float32)
    scales[:4, 0] = [0, np.nan, np.inf, -1]
    scales[4] = 1e6
    pixels = np.concatenate([np.arange(6), RNG.integers(6, 300, 94)])
    bands = np.array([0, 5, 1])
    out = np.zeros((100, 3), np.float32)
    state = gather_scaled(
        stored, scales, pixels, bands, 1e4, np.arange(100), out, np.empty((0, 3), np.float32), True
    )
    chosen = scales[pixels] if n_scales == 1 else scales[pixels][:, bands]
    expected = stored[pixels][:, bands].astype(np.float32) * chosen
    expected[:5] = np.nan
    assert_array_equal(state[:6], [1, 1, 1, 1, 2, 0])
    assert_array_equal(out, expected)


@pytest.mark.parametrize("any_missing", [True, False])
def test_what_is_not_finite_leaves_as_nan(any_missing):
    """Infinite entries of tables, infinite values and products beyond float32."""
    values = np.array([[np.inf, 1, 2], [3, 4, -np.inf]], np.float32)
    tables = np.zeros((2, 256), np.float32)
    tables[:, :3] = values
    raw = np.tile(np.arange(3, dtype=np.uint8), (2, 1))
    stored = np.array([[100, 3], [1, 4], [2, -100]], np.int8)
    scales = np.full((3, 1), 3e37, np.float32)
    spare, rows = np.empty((0, 2), np.float32), np.arange(3)
    for call, products in (
        (lambda out: scatter_table(raw, tables, rows, out, spare, any_missing), values.T),
        (lambda out: scatter_values(values, rows, out, spare, any_missing), values.T),
        (
            lambda out: (
                gather_scaled(
                    stored, scales, rows, np.arange(2), np.inf, rows, out, spare, any_missing
                )
                == 0
            ),
            np.array([[np.nan, 9e37], [3e37, 1.2e38], [6e37, np.nan]]),
        ),
    ):
        expected = np.where(np.isfinite(products), products, np.nan).astype(np.float32)
        if any_missing:
            expected[[0, 2]] = np.nan
        out = np.full((3, 2), 99, np.float32)
        assert_array_equal(call(out), [not any_missing, True, not any_missing])
        assert_allclose(out, expected, rtol=1e-6)


def test_rows_become_unit_vectors_and_zeros_and_nan_stay():
    rows = RNG.normal(size=(50, 7)).astype(np.float32)
    rows[3], rows[4] = 0, np.nan
    before = rows.copy()
    scale_to_unit_length(rows)
    kept = [i for i in range(50) if i not in (3, 4)]
    assert_allclose(rows[kept], before[kept] / np.linalg.norm(before[kept], axis=1)[:, None], 1e-6)
    assert_array_equal(rows[3:5], before[3:5])
