"""Sums of weighted pixels against sums taken pixel by pixel."""

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from numpy.testing import assert_allclose, assert_array_equal

from geofeat import AlphaEarthSource, ArraySource, TesseraSource
from geofeat.rasters import _weighted_reading
from geofeat.rasters._weighted_reading import PixelGroups, read_weighted
from tests.rasters.conftest import block_planes
from tests.rasters.writers import (
    alphaearth_values,
    random_bytes,
    random_pixels,
    tessera_geometry,
    write_alphaearth,
    write_tessera,
)

BANDS = np.array([2, 0, 63])


def draw_groups(n, n_groups, height, width, n_files, seed=0):
    rng = np.random.default_rng(seed)
    draws = (n_groups, n_files, height, width)
    return PixelGroups(*(rng.integers(0, high, n) for high in draws), rng.uniform(0, 2, n))


def brute_force(groups, values_of, n_groups, n_bands, missing):
    """Sums one pixel after the other."""
    total, square, weight = (np.zeros((n_groups, n_bands)) for _ in range(3))
    asked = np.zeros(n_groups)
    for g, file, row, col, w in zip(*groups, strict=True):
        value = np.asarray(values_of(file, row, col), dtype=np.float64)
        asked[g] += w
        known = ~np.isnan(value)
        if missing == "any" and not known.all():
            continue
        total[g, known] += w * value[known]
        square[g, known] += w * value[known] ** 2
        weight[g, known] += w
    return total, square, weight, asked


def assert_moments(moments, expected):
    total, square, weight, asked = expected
    for ours, truth in zip(moments[:4], (total, square, weight, asked), strict=True):
        assert_allclose(ours, truth, rtol=1e-12, atol=1e-12)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A source of two AlphaEarth files with holes, and their values."""
    folder, values = tmp_path_factory.mktemp("pair"), []
    for i in range(2):
        stored = random_bytes(i, (64, 64, 64))
        stored[:, 5:9, 7 + i : 30] = -128
        stored[2, 40:50] = -128  # one band only
        write_alphaearth(folder / f"{i}.tiff", stored, epsg=32632, west=5e5 + 640 * i, south=53e5)
        values.append(alphaearth_values(stored))
    source = AlphaEarthSource([folder / "0.tiff", folder / "1.tiff"], year=2024)
    point, _, _ = random_pixels(1, 64, 64, Affine(10, 0, 5e5, 0, 10, 53e5))
    other, _, _ = random_pixels(1, 64, 64, Affine(10, 0, 5e5 + 640, 0, 10, 53e5))
    lon, lat = np.concatenate([point, other]).T
    return source, source.locate(lon, lat, np.array([2024, 2024])).files, values


@pytest.mark.parametrize("missing", ["any", "all"])
def test_groups_over_two_files_equal_brute_force(pair, reads, missing, monkeypatch):
    monkeypatch.setattr(_weighted_reading, "_ROWS_AT_ONCE", 37)  # several parts a window
    source, files, values = pair
    groups = draw_groups(5000, 40, 64, 64, 2)
    moments = read_weighted(source, groups, files, 41, BANDS, missing, squares=True)
    expected = brute_force(groups, lambda f, r, c: values[f][BANDS, r, c], 41, 3, missing)
    assert_moments(moments, expected)
    assert moments.asked[40] == 0
    planes = block_planes(reads, 16)
    assert len(planes) == len(set(planes)) == 2 * 16 * 3


def test_any_number_of_threads_gives_the_same_bits(pair, monkeypatch):
    source, files, _ = pair
    groups = draw_groups(20_000, 7, 64, 64, 2, seed=1)
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setattr("geofeat._threads.usable_threads", lambda n=threads: n)
        results.append(read_weighted(source, groups, files, 7, np.arange(64), "any", squares=True))
    for other in results[1:]:
        for ours, theirs in zip(results[0][:5], other[:5], strict=True):
            assert_array_equal(ours, theirs)


def test_tiles_with_scales_limits_and_water(tmp_path):
    lon, lat = 10.05, 87.05
    _, _, height, width = tessera_geometry(lon, lat)
    rng = np.random.default_rng(0)
    stored = rng.integers(-127, 128, (height, width, 128), dtype=np.int8)
    scales = rng.uniform(0.01, 0.3, (height, width)).astype(np.float32)
    scales[100:300, :20] = 0
    scales[500:600] = 1e3
    land = np.ones((height, width), np.uint8)
    land[100:300, :10] = 0
    write_tessera(
        tmp_path / "v" / "2024", lon, lat, stored, scales, landmask_folder=tmp_path / "x", land=land
    )
    (tmp_path / "x").rename(tmp_path / "global_0.1_degree_tiff_all")
    (tmp_path / "v").rename(tmp_path / "global_0.1_degree_representation")
    source = TesseraSource(tmp_path, max_abs=1e3)
    files = source.locate(np.array([lon]), np.array([lat]), np.array([2024])).files
    groups = draw_groups(3000, 25, height, width, 1, seed=2)
    values = stored[:, :, BANDS].astype(np.float32) * scales[:, :, None]
    values[scales == 0] = np.nan
    values[np.abs(values).max(axis=2) > 1e3] = np.nan
    moments = read_weighted(source, groups, files, 25, BANDS, "any", squares=True)
    assert_moments(moments, brute_force(groups, lambda f, r, c: values[r, c], 25, 3, "any"))
    water = (scales[groups.row, groups.col] == 0) & (land[groups.row, groups.col] == 0)
    assert_array_equal(moments.status == 2, water)
    assert sum(count for _, count in moments.beyond_limit) > 0


def test_arrays_of_float_numbers():
    values = np.random.default_rng(3).normal(size=(4, 30, 20)).astype(np.float32)
    values[:, 3:9, 4:9] = np.nan
    array = xr.DataArray(
        values,
        coords={"band": list("abcd"), "lat": np.arange(30.0), "lon": np.arange(20.0)},
        dims=("band", "lat", "lon"),
    )
    source = ArraySource(array)
    files = source.locate(np.array([3.0]), np.array([3.0]), np.array([-1])).files
    groups = draw_groups(800, 9, 30, 20, 1, seed=4)
    moments = read_weighted(source, groups, files, 9, np.arange(4), "any")
    expected = brute_force(groups, lambda f, r, c: values[:, r, c], 9, 4, "any")
    assert moments.square is None
    assert_allclose(moments.total, expected[0], rtol=1e-12, atol=1e-12)
    assert_allclose(moments.weight, expected[2], rtol=1e-12, atol=1e-12)
