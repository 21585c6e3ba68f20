"""Arrays: order of axes, time, coordinate reference system, nodata."""

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from affine import Affine
from numpy.testing import assert_allclose, assert_array_equal

from geofeat import ArraySource, EmbeddingRasterSampler
from tests.rasters.writers import random_bytes, random_pixels, write_raster


def sampler(source, **parameters):
    return EmbeddingRasterSampler(source, **{"on_missing": "nan", "progress": False, **parameters})


def world(dtype=np.float32, ascending=False, **names):
    lon = np.arange(-175.0, 180, 10)
    lat = np.arange(-85.0, 90, 10) if ascending else np.arange(85.0, -90, -10)
    values = (lon[None, None] + 1000 * lat[None, :, None] + np.array([0, 5])[:, None, None]).astype(
        dtype
    )
    array = xr.DataArray(
        values,
        coords={"band": ["u", "v"], "y": lat, "x": lon},
        dims=("band", "y", "x"),
        attrs={"crs": "EPSG:4326"},
    )
    return array.rename(names)


@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        lambda a: a,
        lambda a: a.transpose("x", "band", "y"),
        lambda a: a.rename(x="lon", y="lat").drop_attrs(),
        lambda a: a.isel(x=slice(None, None, -1)),
        lambda a: a.chunk({"x": 7, "y": 5}),
    ],
    ids=["plain", "transposed", "degrees", "westward", "dask"],
)
def test_arrays_in_any_order(points, ascending, change):
    array = world(ascending=ascending)
    try:
        source = ArraySource(change(array))
    except (ImportError, ValueError):
        pytest.importorskip("dask")
        raise
    values = sampler(source).transform(points)
    lon = (points[:, 0] + 180) % 360 - 180
    inside = points[:, 1] > -90 if not ascending else points[:, 1] < 90
    centre = np.floor(lon / 10) * 10 + 5, np.floor(points[:, 1] / 10) * 10 + 5
    # On an edge between rows the higher index counts: the southern row where rows run south.
    on_edge = points[:, 1] % 10 == 0
    latitude = np.where(on_edge & (not ascending), centre[1] - 10, centre[1])
    if change(array).sizes.get("x") and change(array).x[0] > 0:
        edge = lon % 10 == 0
        centre = np.where(edge, centre[0] - 10, centre[0]), centre[1]
        inside &= lon > -180
    expected = (centre[0] + 1000 * latitude).astype(np.float32)
    assert_array_equal(values[inside, 0], expected[inside])
    assert_array_equal(values[inside, 1], expected[inside] + 5)
    assert np.isnan(values[~inside]).all()


def test_arrays_with_a_time_axis():
    first = world()
    stack = xr.concat(
        [first, first + 1], dim=pd.Index(pd.to_datetime(["2020-07-01", "2021-01-01"]), name="time")
    )
    stack.attrs["crs"] = "EPSG:4326"
    source = ArraySource(stack)
    assert source.years == (2020, 2021)
    points = [[3.0, 44.0], [3.0, -44.0]]
    base = sampler(first).transform(points)
    assert_array_equal(
        sampler(source, year=[2021, 2020]).transform(points), np.hstack([base + 1, base])
    )
    assert_array_equal(
        sampler(source, year=np.array([2020, 2021])).transform(points), [base[0], base[1] + 1]
    )
    _, info = sampler(source, year=2019).sample(points, return_info=True)
    assert info.reason.tolist() == ["no_year", "no_year"]


def test_array_crs_nodata_and_decoding():
    stored = random_bytes(3, (64, 8, 8), low=-128)
    array = xr.DataArray(
        stored,
        coords={"y": 5_200_005.0 + 10 * np.arange(8), "x": 500_005.0 + 10 * np.arange(8)},
        dims=("band", "y", "x"),
    )
    with pytest.raises(ValueError, match=r"crs='EPSG:\.\.\.'"):
        sampler(array).transform([[9, 47]])
    transform = Affine(10, 0, 500_000, 0, 10, 5_200_000)
    points, row, col = random_pixels(40, 8, 8, transform)
    pixel = stored[:, row, col].T
    ratio = pixel / np.float32(127.5)
    expected = np.where((pixel == -128).any(axis=1)[:, None], np.nan, np.sign(ratio) * ratio**2)
    values = sampler(ArraySource(array, crs=32632, decode="aef")).transform(points)
    assert_allclose(values, expected, rtol=1e-6)
    said = array.assign_coords(spatial_ref=0)
    said.spatial_ref.attrs["crs_wkt"] = rasterio.crs.CRS.from_epsg(32632).to_wkt()
    counted = sampler(ArraySource(said, nodata=-128)).transform(points)
    assert_array_equal(np.isnan(counted).all(axis=1), (pixel == -128).any(axis=1))
    uneven = array.assign_coords(x=np.arange(8.0) ** 2)
    with pytest.raises(ValueError, match="not evenly spaced"):
        sampler(ArraySource(uneven, crs=32632)).transform(points)
    with pytest.raises(ValueError, match="dimensions"):
        sampler(ArraySource(array.rename(x="column"), crs=32632)).transform(points)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of rioxarray
def test_a_raster_opened_by_rioxarray_equals_the_file(tmp_path):
    rioxarray = pytest.importorskip("rioxarray")
    transform = Affine(10, 0, 500_000, 0, 10, 5_200_000)
    values = np.random.default_rng(11).normal(size=(5, 40, 70)).astype(np.float32)
    path = write_raster(tmp_path / "a.tif", values, crs="EPSG:32632", transform=transform)
    points, row, col = random_pixels(100, 40, 70, transform)
    with rioxarray.open_rasterio(path) as array:
        assert_array_equal(sampler(array).transform(points), values[:, row, col].T)
