"""How pixels reach the output: window budgets, values that are no numbers, threads left behind."""

import threading

import numpy as np
import pytest
import rasterio
import xarray as xr
from affine import Affine
from numpy.testing import assert_array_equal

from geofeat import ArraySource, EmbeddingRasterSampler, RasterSource
from geofeat.exceptions import CoverageWarning
from geofeat.rasters import _blocks, _raster_reader
from tests.rasters.writers import write_raster

GRID = Affine(1, 0, 10, 0, -1, 60)
INF = np.inf


def sampler(source, **parameters):
    return EmbeddingRasterSampler(source, **{"on_missing": "nan", "progress": False, **parameters})


def centres(width, height):
    """The centre of every pixel of a raster with the geotransform `GRID`, row by row."""
    col, row = np.meshgrid(np.arange(width), np.arange(height))
    return np.column_stack([10.5 + col.ravel(), 59.5 - row.ravel()])


@pytest.fixture
def requests(monkeypatch):
    """Bytes of every request to a file."""
    sizes = []
    read = _raster_reader.read_block

    def read_and_note(*arguments):
        planes = read(*arguments)
        sizes.append(planes.nbytes)
        return planes

    monkeypatch.setattr(_raster_reader, "read_block", read_and_note)
    return sizes


@pytest.mark.parametrize("interleave", ["band", "pixel"])
@pytest.mark.parametrize("blocks", [1, 2, 5])
def test_no_request_exceeds_the_budget_of_a_window(
    tmp_path, monkeypatch, requests, interleave, blocks
):
    """Dense points in every block: bands that lie apart count in full."""
    values = np.random.default_rng(0).integers(-127, 128, (6, 32, 64), dtype=np.int8)
    path = write_raster(
        tmp_path / "a.tif",
        values,
        crs="EPSG:4326",
        transform=GRID,
        interleave=interleave,
        blockxsize=16,
        blockysize=16,
    )
    budget = blocks * 16 * 16 * 6
    monkeypatch.setattr(_blocks, "_WINDOW_BYTES", budget)
    found = sampler(RasterSource(path)).transform(centres(64, 32))
    assert_array_equal(found, values.reshape(6, -1).T)
    assert max(requests) <= budget
    assert sum(requests) == values.nbytes
    assert len(requests) == {1: 8, 2: 4, 5: 2}[blocks]


def test_dense_points_in_large_planes_are_gathered_plane_after_plane(
    tmp_path, monkeypatch, requests
):
    values = np.random.default_rng(1).normal(size=(6, 16, 16)).astype(np.float32)
    path = write_raster(
        tmp_path / "a.tif", values, crs="EPSG:4326", transform=GRID, blockxsize=16, blockysize=16
    )
    monkeypatch.setattr(_raster_reader, "_BYTES_BEFORE_REOPENING", 4 * 16 * 16 * 5)
    monkeypatch.setattr(_raster_reader, "_PLANES_BYTES", 4 * 16 * 16 * 2)
    found = sampler(RasterSource(path)).transform(centres(16, 16))
    assert_array_equal(found, values.reshape(6, -1).T)
    assert requests == [4 * 16 * 16 * 2] * 3


@pytest.mark.parametrize("dtype", [np.int8, np.float32])
@pytest.mark.parametrize("missing", ["any", "all"])
def test_pixels_beyond_max_abs_are_missing_and_the_file_is_named(tmp_path, dtype, missing):
    rng = np.random.default_rng(2)
    values = rng.integers(-100, 101, (3, 16, 16)).astype(dtype)
    values[0, 5] = -128  # nodata
    values[1, 2, 3], values[1, 2, 4], values[2, 2, 5] = 120, -120, 110
    if dtype == np.float32:
        values[1, 7, 7] = INF  # missing, not beyond
    path = write_raster(tmp_path / "a.tif", values, crs="EPSG:4326", transform=GRID, nodata=-128)
    points = np.concatenate([centres(16, 16), centres(16, 16)[30:40]])  # pixels 35 and 36 twice
    with pytest.warns(CoverageWarning, match=r"3 pixel\(s\) beyond max_abs in .*a\.tif"):
        found = sampler(RasterSource(path, max_abs=100), missing=missing).transform(points)
    expected = values.astype(np.float32).reshape(3, -1).T
    expected[(expected == -128) | np.isinf(expected)] = np.nan
    if missing == "any":
        expected[np.isnan(expected).any(axis=1)] = np.nan
    expected[[35, 36, 37]] = np.nan
    assert_array_equal(found, np.concatenate([expected, expected[30:40]]))
    whole = sampler(RasterSource(path, max_abs=200), missing=missing).transform(points)
    assert_array_equal(whole, sampler(RasterSource(path), missing=missing).transform(points))
    with pytest.raises(ValueError, match="max_abs"):
        RasterSource(path, max_abs=0)


@pytest.mark.parametrize("mode", ["plain", "scaled", "array"])
@pytest.mark.parametrize("missing", ["any", "all"])
def test_what_is_not_finite_as_float32_is_missing(tmp_path, mode, missing):
    """Stored infinities, float64 beyond float32, and products that overflow."""
    values = np.arange(2 * 16 * 16, dtype=np.float64).reshape(2, 16, 16)
    values[0, 0, :3] = INF, -INF, 1e300
    values[:, 1, 0] = INF
    points = centres(16, 16)
    expected = values.reshape(2, -1).T.copy()
    if mode == "scaled":
        values[0, 0, :3] = 2e38
        values[:, 1, 0] = -2e38
        expected[:] = 4 * values.reshape(2, -1).T
    with np.errstate(over="ignore"):
        expected = expected.astype(np.float32)
    expected[~np.isfinite(expected)] = np.nan
    if missing == "any":
        expected[np.isnan(expected).any(axis=1)] = np.nan
    if mode == "array":
        axes = {"lat": points[::16, 1], "lon": points[:16, 0]}
        source = ArraySource(xr.DataArray(values, coords=axes, dims=("band", "lat", "lon")))
    else:
        path = write_raster(tmp_path / "a.tif", values, crs="EPSG:4326", transform=GRID)
        with rasterio.open(path, "r+") as file:
            file.scales = (4.0, 4.0)
        source = RasterSource(path, decode="scale_offset" if mode == "scaled" else "none")
    with pytest.warns(CoverageWarning, match=rf"{4 if missing == 'any' else 1} nodata"):
        found = sampler(source, missing=missing, on_missing="warn").transform(points)
    assert_array_equal(found, expected)


def test_the_nodata_value_of_doubles_is_no_overflow(tmp_path):
    values = np.ones((1, 16, 16))
    lowest = values[0, 3, 5] = np.finfo(np.float64).min
    path = write_raster(
        tmp_path / "a.tif", values, crs="EPSG:4326", transform=GRID, nodata=float(lowest)
    )
    found = sampler(RasterSource(path)).transform(centres(16, 16))
    assert_array_equal(np.flatnonzero(np.isnan(found)), [3 * 16 + 5])


def tiny_array(values, **attributes):
    axes = {"lat": [1.0, 0.0], "lon": [10.0, 11.0]}
    return xr.DataArray(values, coords=axes, dims=("lat", "lon"), attrs=attributes)


def test_a_packed_nodata_value_does_not_hide_decoded_numbers(tmp_path):
    """A packed 7 is 0.7; the decoded 7 is a value like any other."""
    packed = np.array([[7, 70], [3, 4]], np.int16)
    dataset = tiny_array(packed, _FillValue=np.int16(7), scale_factor=0.1).to_dataset(name="e")
    decoded = xr.decode_cf(dataset)["e"]
    points = [[10, 1], [11, 1], [10, 0]]
    expected = np.array([[np.nan], [7.0], [0.3]], np.float32)
    found = sampler(ArraySource(decoded)).transform(points)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    raw = sampler(ArraySource(dataset["e"], decode="scale_offset")).transform(points)
    np.testing.assert_allclose(raw, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.complex64, "datetime64[ns]", "timedelta64[ns]", object, str])
def test_arrays_of_other_things_than_numbers_are_refused(dtype):
    with pytest.raises(TypeError, match="real numbers, got"):
        ArraySource(tiny_array(np.zeros((2, 2)).astype(dtype)))


def test_a_progress_bar_leaves_no_thread_behind(capsys):
    before = set(threading.enumerate())
    sampler(ArraySource(tiny_array(np.ones((2, 2)))), progress=True).transform([[10, 1]])
    assert set(threading.enumerate()) <= before
    assert "reading rasters" in capsys.readouterr().err
