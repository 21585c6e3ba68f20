"""Polygons in Zarr stores and chunked arrays against sums taken pixel by pixel."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
import xarray as xr
from affine import Affine
from numpy.testing import assert_allclose, assert_array_equal

from geofeat import ArraySource, EmbeddingRasterSampler, EmbeddingTableSource, ZarrSource
from tests.rasters.polygon_oracle import fractions, in_crs, moments
from tests.rasters.writers import alphaearth_values, from_lonlat, random_bytes

zarr = pytest.importorskip("zarr")
from tests.rasters.zarr_writers import MOSAIC_GRID, write_mosaic, write_zone  # noqa: E402

SHAPES = [
    shapely.Point(179.9995, 10.0005).buffer(0.0017),
    shapely.box(179.9978, 9.9985, 180.0011, 10.0021),
    shapely.Point(180.0012, 9.9999).buffer(0.0004),
]


def sampler(source, **parameters):
    return EmbeddingRasterSampler(
        source, **{"zonal": "mean", "on_missing": "nan", "progress": False, **parameters}
    )


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_each_zone_of_a_store_owns_its_six_degrees(tmp_path):
    root = zarr.create_group(str(tmp_path / "tessera"))
    zones = []
    for zone, side in ((60, shapely.box(170, 0, 180, 80)), (1, shapely.box(180, 0, 190, 80))):
        x, y = from_lonlat(180.0, 10.0, 32600 + zone)
        west, north = 10 * np.floor(x / 10) - 320, 10 * np.floor(y / 10) + 320
        stored = random_bytes(zone, (1, 8, 64, 64))
        scales = np.random.default_rng(zone).uniform(0.01, 0.3, (1, 64, 64)).astype(np.float32)
        scales[0, 20:30, 10:35] = np.nan
        write_zone(root, zone, stored, scales, epsg=32600 + zone, west=west, north=north)
        values = stored[0] * scales
        zones.append((32600 + zone, Affine(10, 0, west, 0, -10, north), side, values))
    zarr.consolidate_metadata(str(tmp_path / "tessera"))
    source = ZarrSource(tmp_path / "tessera")
    found, info = sampler(source).sample(gpd.GeoSeries(SHAPES, crs=4326), return_info=True)
    n_files = []
    for i, shape in enumerate(SHAPES):
        parts = [
            (fractions(in_crs(shapely.intersection(shape, side), epsg), grid, 64, 64), values)
            for epsg, grid, side, values in zones
        ]
        n_files.append(sum(weights.sum() > 0 for weights, _ in parts))
        mean, _, weight = moments(parts)
        assert_allclose(found[i], mean, atol=1e-4)
        assert_allclose(info.weight[i], weight, rtol=1e-3)
    assert n_files == [2, 2, 1]
    x, y = from_lonlat(180.0, 10.0, 32601)
    water = gpd.GeoSeries([shapely.box(x + 5, y + 45, x + 25, y + 100)], crs=32601)
    _, info = sampler(source).sample(water, return_info=True)
    assert info.reason.tolist() == ["water"]


def test_the_mosaic_year_by_year(tmp_path):
    stored = random_bytes(5, (2, 64, 120, 150))
    write_mosaic(str(tmp_path / "m.zarr"), stored)
    shapes = [shapely.Point(-179.97, 0.002).buffer(0.011), shapely.box(-179.99, -0.02, -179.95, 0)]
    series = gpd.GeoSeries(shapes, crs=4326)
    source = ZarrSource(tmp_path / "m.zarr")
    both = sampler(source, year=[2022, 2023], bands=[0, 63]).transform(series)
    for step in range(2):
        values = alphaearth_values(stored[step, [0, 63]])
        for i, shape in enumerate(shapes):
            mean, _, _ = moments([(fractions(shape, MOSAIC_GRID, 120, 150), values)])
            assert_allclose(both[i, 2 * step : 2 * step + 2], mean, atol=1e-5)
    _, info = sampler(source, year=2024).sample(series, return_info=True)
    assert info.reason.tolist() == ["no_year", "no_year"]


def test_chunked_arrays_equal_arrays_in_memory():
    values = np.random.default_rng(6).normal(size=(3, 70, 90)).astype(np.float32)
    array = xr.DataArray(
        values,
        coords={"band": list("abc"), "y": 1000.0 - 10 * np.arange(70), "x": 10.0 * np.arange(90)},
        dims=("band", "y", "x"),
    )
    shapes = gpd.GeoSeries([shapely.Point(400, 600).buffer(r) for r in (5, 90, 300)], crs=32631)
    found = [
        sampler(ArraySource(one, crs=32631)).transform(shapes)
        for one in (array, array.chunk({"y": 23, "x": 40}))
    ]
    assert_array_equal(*found)


def test_tables_have_no_areas(tmp_path):
    with pytest.raises(TypeError, match="EmbeddingTableSource cannot be sampled by polygons"):
        sampler(EmbeddingTableSource(write_table(tmp_path))).transform(
            gpd.GeoSeries(SHAPES, crs=4326)
        )


def write_table(folder):
    frame = gpd.GeoDataFrame(
        {"embedding": [[1.0, 2.0]]}, geometry=[shapely.box(0, 0, 1, 1)], crs=4326
    )
    frame.to_parquet(folder / "t.parquet")
    return folder / "t.parquet"
