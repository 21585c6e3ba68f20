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


AXES = {"y": 5_200_005.0 + 10 * np.arange(30), "x": 500_005.0 + 10 * np.arange(40)}
GRID = Affine(10, 0, 500_000, 0, 10, 5_200_000)


def bands_of(values, **attributes):
    """A dataset with one variable a band."""
    return xr.Dataset(
        {f"v{i}": (("y", "x"), plane) for i, plane in enumerate(values)},
        coords=AXES,
        attrs={"crs": "EPSG:32632", **attributes},
    )


@pytest.mark.parametrize("chunks", [None, {"y": (4, 11, 15), "x": (9, 31)}])
def test_a_dataset_with_one_variable_a_band(chunks):
    values = np.random.default_rng(0).normal(size=(3, 30, 40)).astype(np.float32)
    dataset = bands_of(values)
    dataset["note"] = "no band"
    dataset.v1.attrs["_FillValue"] = values[1, 2, 3]
    values[1, 2, 3] = np.nan
    if chunks:
        pytest.importorskip("dask")
        dataset = dataset.chunk(chunks)
    points, row, col = random_pixels(200, 30, 40, GRID)
    points[0], row[0], col[0] = random_pixels(1, 1, 1, GRID @ Affine.translation(3, 2))[0], 2, 3
    source = ArraySource(dataset)
    assert source.band_names == ("v0", "v1", "v2")
    assert source.years is None
    found = sampler(dataset, bands=["v2", 1]).transform(points)
    expected = values[[2, 1]][:, row, col].T
    expected[np.isnan(expected).any(axis=1)] = np.nan
    assert np.isnan(expected[0]).all()
    assert_array_equal(found, expected)


@pytest.mark.parametrize("chunks", [None, {"y": 7, "x": 16}])
def test_a_dataset_of_bytes_and_scales(chunks):
    """As TESSERA's Zarr opened by xarray: NaN says water, infinite that nothing was written."""
    rng = np.random.default_rng(1)
    stored = rng.integers(-127, 128, (2, 5, 30, 40), dtype=np.int8)
    scales = rng.uniform(0.1, 2, (2, 30, 40)).astype(np.float32)
    scales[:, :6], scales[:, 6:9], scales[0, 9] = np.nan, np.inf, 0
    dataset = xr.Dataset(
        {
            "embeddings": (("time", "band", "y", "x"), stored),
            "scales": (("time", "y", "x"), scales),
        },
        coords={**AXES, "time": [2022, 2023]},
        attrs={"proj:code": "EPSG:32632"},
    )
    if chunks:
        pytest.importorskip("dask")
        dataset = dataset.chunk(chunks)
    points, row, col = random_pixels(300, 30, 40, GRID)
    year = np.where(np.arange(300) % 2, 2022, 2023)
    found, info = sampler(dataset, year=year, bands=[4, 0]).sample(points, return_info=True)
    scale = scales[year - 2022, row, col]
    usable = np.where(np.isfinite(scale) & (scale > 0), scale, np.float32(np.nan))
    pixels = stored[year - 2022, :, row, col][:, [4, 0]]
    assert_array_equal(found, pixels.astype(np.float32) * usable[:, None])
    assert_array_equal(info.reason == "water", np.isnan(scale))
    assert_array_equal(info.reason == "nodata", np.isinf(scale) | (scale == 0))
    assert info.reason.nunique() == 3


def test_each_chunk_of_dask_is_computed_once_whatever_its_size():
    """Chunks of uneven sizes, of several years; also of two variables that are cut otherwise."""
    da = pytest.importorskip("dask.array")
    values = np.random.default_rng(2).normal(size=(4, 3, 30, 40)).astype(np.float32)
    computed = []

    def counting(name, chunks):
        def block(part, block_info=None):
            computed.append((name, tuple(block_info[0]["chunk-location"])))
            return part

        return da.from_array(values, chunks=chunks).map_blocks(block, dtype=np.float32)

    chunks = ((1, 3), (2, 1), (4, 11, 15), (9, 31))
    array = xr.DataArray(
        counting("a", chunks),
        dims=("time", "band", "y", "x"),
        coords={**AXES, "time": [2019, 2020, 2021, 2022]},
        attrs={"crs": 32632},
    )
    points, row, col = random_pixels(400, 30, 40, GRID)
    year = np.random.default_rng(3).integers(2019, 2023, 400)
    computed.clear()
    found = sampler(array, year=year).transform(points)
    assert_array_equal(found, values[year - 2019, :, row, col])
    assert len(set(computed)) == len(computed) == 2 * 2 * 3 * 2
    # The second variable is cut elsewhere: only edges of both bound what is read at once.
    other = ((1, 3), (2, 1), (15, 15), (9, 31))
    both = xr.Dataset(
        {
            "a": (("time", "y", "x"), counting("a", chunks)[:, 0]),
            "b": (("time", "y", "x"), counting("b", other)[:, 0]),
        },
        coords=array.coords,
        attrs={"crs": 32632},
    )
    computed.clear()
    found = sampler(both, year=year).transform(points)
    assert_array_equal(found, np.repeat(values[year - 2019, 0, row, col][:, None], 2, axis=1))
    assert len(set(computed)) == len(computed) == 2 * 3 * 2 + 2 * 2 * 2


def test_only_chunks_with_points_are_computed():
    da = pytest.importorskip("dask.array")
    computed = []

    def block(part, block_info=None):
        computed.append(tuple(block_info[0]["chunk-location"]))
        return part

    values = np.arange(1200.0).reshape(1, 30, 40)
    lazy = da.from_array(values, chunks=(1, 10, 10)).map_blocks(block, dtype=float)
    array = xr.DataArray(lazy, dims=("band", "y", "x"), coords=AXES, attrs={"crs": 32632})
    points, row, col = random_pixels(3, 30, 40, GRID, seed=4)
    computed.clear()
    found = sampler(array).transform(points)
    assert_array_equal(found[:, 0], values[0, row, col])
    assert set(computed) == {(0, r // 10, c // 10) for r, c in zip(row, col, strict=True)}


def test_a_geotransform_where_axes_have_one_pixel_or_no_coordinates():
    values = np.random.default_rng(5).normal(size=(30, 40)).astype(np.float32)
    said = xr.DataArray(values, dims=("y", "x"), coords={"spatial_ref": 0})
    said.spatial_ref.attrs["crs_wkt"] = "EPSG:32632"
    said.spatial_ref.attrs["GeoTransform"] = "500000 10 0 5200000 0 10"
    points, row, col = random_pixels(100, 30, 40, GRID)
    assert_array_equal(sampler(said).transform(points)[:, 0], values[row, col])
    line = said.assign_coords(AXES).isel(y=[7])
    found, info = sampler(line).sample(points, return_info=True)
    assert_array_equal(info.reason == "ok", row == 7)
    assert_array_equal(found[row == 7, 0], values[7, col[row == 7]])
    with pytest.raises(ValueError, match=r"the axis y has 1 pixel\(s\), its spacing is unknown"):
        sampler(ArraySource(line.drop_vars("spatial_ref"), crs=32632)).transform(points)
    with pytest.raises(ValueError, match="the axis x of the array has no coordinates"):
        sampler(ArraySource(said.drop_vars("spatial_ref"), crs=32632)).transform(points)
    turned = said.copy()
    turned.spatial_ref.attrs["GeoTransform"] = "500000 8 -6 5200000 6 8"
    grid = Affine(8, -6, 500_000, 6, 8, 5_200_000)
    points, row, col = random_pixels(100, 30, 40, grid)
    assert_array_equal(sampler(turned).transform(points)[:, 0], values[row, col])
    equator = said.copy()  # a first edge at 0 is a number like any other
    equator.spatial_ref.attrs["GeoTransform"] = "500000 10 0 0 0 -10"
    points, row, col = random_pixels(100, 30, 40, Affine(10, 0, 500_000, 0, -10, 0))
    assert_array_equal(sampler(equator).transform(points)[:, 0], values[row, col])
    for wrong in ("500000 10 0 5200000 0", "500000 10 0 5200000 0 0", "500000 nan 0 5200000 0 10"):
        turned.spatial_ref.attrs["GeoTransform"] = wrong
        with pytest.raises(ValueError, match="six numbers of a grid"):
            sampler(turned).transform(points)


def test_datasets_that_are_no_embeddings_say_so():
    points = [[9, 47]]
    values = np.zeros((2, 30, 40), np.float32)
    mixed = bands_of(values)
    mixed["v1"] = mixed.v1.astype(np.float64)
    with pytest.raises(ValueError, match=r"v1 \('y', 'x'\) float64: pass the one"):
        sampler(mixed).transform(points)
    cubes = xr.Dataset(
        dict.fromkeys("ab", (("band", "y", "x"), values)), coords=AXES, attrs={"crs": 32632}
    )
    with pytest.raises(ValueError, match=r"dataset\['name'\]"):
        sampler(cubes).transform(points)
    with pytest.raises(ValueError, match="no variable of numbers"):
        sampler(xr.Dataset({"a": ("x", [1.0])})).transform(points)


def test_points_just_beyond_the_edge_take_the_outermost_pixel_on_request():
    array = xr.DataArray(
        np.arange(6.0).reshape(1, 2, 3),
        coords={"band": ["a"], "lat": [1.0, 0.0], "lon": [10.0, 11.0, 12.0]},
        dims=("band", "lat", "lon"),
    )
    points = [[9.4, 1.0], [12.9, -0.9], [12.0, 2.01], [11.0, 0.0]]
    for tolerance, expected in (
        (0.0, [np.nan, np.nan, np.nan, 4]),
        (0.2, [0, np.nan, np.nan, 4]),
        (0.5, [0, 5, np.nan, 4]),
    ):
        source = ArraySource(array, edge_tolerance=tolerance)
        found = EmbeddingRasterSampler(source, on_missing="nan").transform(points)
        assert_array_equal(found[:, 0], expected)
    with pytest.raises(ValueError, match="edge_tolerance"):
        ArraySource(array, edge_tolerance=-1)
