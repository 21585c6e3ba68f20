"""Grids of maps and the pieces they are worked off in."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from numpy.testing import assert_allclose
from pyproj import Transformer

from geofeat.rasters._map_grid import MapGrid, map_area


@pytest.mark.parametrize("max_pixels", [1, 7, 64, 100, 300, 10_000])
@pytest.mark.parametrize("phase", [(0, 0), (3, 5), (7, 1)])
@pytest.mark.parametrize("size", [(1, 1), (8, 9), (50, 33)])
def test_pieces_cover_every_pixel_once_and_cut_at_blocks(max_pixels, phase, size):
    height, width = size
    grid = MapGrid("EPSG:4326", 0, 0, 1, 1, width, height, (8, 8), phase)
    covered = np.zeros(size, dtype=int)
    for row, col, tall, wide in grid.tiles(max_pixels):
        covered[row : row + tall, col : col + wide] += 1
        if max_pixels >= 64:  # a block fits: none is cut
            assert tall * wide <= max_pixels
            assert row == 0 or (row - phase[0]) % 8 == 0
            assert col == 0 or (col - phase[1]) % 8 == 0
    assert (covered == 1).all()


def test_centres_of_pixels_in_degrees():
    grid = MapGrid("EPSG:32632", 500000.0, 5200000.0, 10.0, 20.0, 50, 50, (8, 8), (0, 0))
    lon, lat = grid.lonlat(np.array([0, 3]), np.array([0, 49]))
    expected = Transformer.from_crs(32632, 4326, always_xy=True).transform(
        [500005.0, 500495.0], [5199990.0, 5199930.0]
    )
    assert_allclose([lon, lat], expected, atol=1e-12)
    degrees = MapGrid("EPSG:4326", 179.0, 95.0, 1.0, 10.0, 3, 2, (8, 8), (0, 0))
    lon, lat = degrees.lonlat(np.array([0, 0, 1]), np.array([0, 2, 1]))
    assert_allclose(lon, [179.5, -178.5, -179.5])
    assert_allclose(lat, [90.0, 90.0, 80.0])
    beyond = degrees._replace(north=100.0).lonlat(np.zeros(1), np.zeros(1))
    assert np.isnan(beyond).all()


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ((0, 1, 2), "must be"),
        ((0, 2, 1, 1), "south below north"),
        ((0, -91, 1, 1), "south below north"),
        ((3, 0, 3, 1), "south below north"),
        ((np.nan, 0, 3, 1), "south below north"),
        (shapely.Point(1, 2), "no polygon"),
        (shapely.Polygon(), "no polygon"),
        (gpd.GeoSeries([shapely.box(0, 0, 1, 1)]), "set_crs"),
    ],
)
def test_bounds_that_are_no_area_are_refused(bounds, said):
    with pytest.raises(ValueError, match=said):
        map_area(bounds)


def test_bounds_bend_with_the_projection():
    area = map_area((0.0, 60.0, 12.0, 61.0))
    _, south, _, north = area.in_crs(32632).bounds
    edge = np.linspace(0, 12, 1001)
    to_utm = Transformer.from_crs(4326, 32632, always_xy=True)
    lower = to_utm.transform(edge, np.full(1001, 60.0))[1]
    upper = to_utm.transform(edge, np.full(1001, 61.0))[1]
    assert_allclose([south, north], [lower.min(), upper.max()], atol=30)
    assert map_area((170, 0, -170, 1)).geometry.bounds == (170, 0, 190, 1)
    assert map_area(None) is None
