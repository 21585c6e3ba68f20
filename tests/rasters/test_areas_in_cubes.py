"""Polygons over arrays and Zarr: as over the same raster in a file; over the seam of two zones."""

import numpy as np
import pytest
import shapely
import xarray as xr
from numpy.testing import assert_allclose

from geofeat import ArraySource, RasterSource, ZarrSource
from geofeat.rasters._candidates import REASONS
from geofeat.rasters._zonal_reading import Zonal, sample_zones
from tests.rasters.writers import from_lonlat, random_bytes, write_raster

zarr = pytest.importorskip("zarr")
pytest.importorskip("exactextract")
from tests.rasters.zarr_writers import MOSAIC_GRID, write_mosaic, write_zone  # noqa: E402


def means(source, polygons, year=-1):
    """Means of the 64 or 4 bands, and reasons."""
    shapes = np.array(polygons, dtype=object)
    bands = np.arange(len(source.band_names))
    out = np.empty((shapes.size, bands.size), np.float32)
    found = sample_zones(source, shapes, np.full(shapes.size, year), bands, out, Zonal("mean"))
    return out, [REASONS[code] for code in found.reason]


def test_polygons_over_the_mosaic_and_an_array_equal_those_over_a_file(tmp_path):
    stored = random_bytes(0, (2, 64, 60, 80))
    write_mosaic(str(tmp_path / "m.zarr"), stored)
    path = write_raster(
        tmp_path / "a.tif", stored[1], crs="EPSG:4326", transform=MOSAIC_GRID, nodata=-128
    )
    lon = MOSAIC_GRID.c + MOSAIC_GRID.a * (np.arange(80) + 0.5)
    lat = MOSAIC_GRID.f + MOSAIC_GRID.e * (np.arange(60) + 0.5)
    array = xr.DataArray(stored[1], dims=("band", "lat", "lon"), coords={"lat": lat, "lon": lon})
    rng = np.random.default_rng(1)
    polygons = [
        shapely.Point(x, y).buffer(r, 5)
        for x, y, r in zip(
            rng.uniform(-179.985, -179.975, 6),
            rng.uniform(0.01, 0.02, 6),
            rng.uniform(0.0002, 0.008, 6),
            strict=True,
        )
    ]
    polygons += [None, shapely.box(10, 10, 11, 11)]
    truth, told = means(RasterSource(path, decode="aef"), polygons)
    assert not np.isnan(truth[:6]).any()
    for source, year in (
        (ZarrSource(tmp_path / "m.zarr"), 2023),
        (ArraySource(array, decode="aef"), -1),
    ):
        found, info = means(source, polygons, year)
        assert_allclose(found, truth, rtol=1e-5, atol=1e-6)
        assert info == told
    _, info = means(ZarrSource(tmp_path / "m.zarr"), polygons, 2019)
    assert info[0] == "no_year"


def test_ground_goes_to_the_zone_that_it_lies_in(tmp_path):
    """Zones that overhang their seam at 6 degrees east hold other numbers."""
    root = zarr.create_group(str(tmp_path / "t"))
    for zone, value in ((31, 1), (32, 3)):
        x, y = from_lonlat(6.0, 50.0, 32600 + zone)
        stored = np.full((1, 4, 64, 64), value, np.int8)
        scales = np.ones((1, 64, 64), np.float32)
        write_zone(root, zone, stored, scales, epsg=32600 + zone, west=x - 320, north=y + 320)
    half = 0.002
    polygons = [
        shapely.box(6 - half, 50 - half, 6 + half, 50 + half),
        shapely.box(6 - half, 50 - half, 6, 50 + half),
        shapely.box(6, 50 - half, 6 + half, 50 + half),
        shapely.box(8, 50, 9, 51),
    ]
    found, info = means(ZarrSource(tmp_path / "t"), polygons, 2023)
    assert_allclose(found[:, 0], [2, 1, 3, np.nan], rtol=2e-3)
    assert info == ["ok", "ok", "ok", "no_coverage"]
