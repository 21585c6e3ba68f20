"""Footprints of rasters and of indexes against a search through all points."""

import numpy as np
import pytest
from pyproj import CRS
from shapely.geometry import box

from geofeat.rasters._footprints import Footprints, grid_box, own_zone_boxes
from geofeat.rasters._projection import PixelGrid, containing_pixels, pixel_positions

TRANSFORMS = {
    "pole within": (3413, (1e4, 0, -3e6, 0, -1e4, 3e6), 600, 600),
    "south pole within": (3031, (1e4, 0, -3e6, 0, -1e4, 3e6), 600, 600),
    "beside the pole": (3413, (1e4, 0, 2e5, 0, -1e4, 3e6), 300, 270),
    "equal area world": (6933, (1e4, 0, -17367530, 0, -1e4, 7314540), 3473, 1462),
    "corners outside the domain": ("ESRI:54009", (2e4, 0, -18e6, 0, -2e4, 9e6), 1800, 900),
    "half a world outside": ("ESRI:54009", (2e4, 0, -18e6, 0, -2e4, 9e6), 900, 900),
    "seen from space": ("+proj=geos +h=35785831", (1e4, 0, -55e5, 0, -1e4, 55e5), 1100, 1100),
    "longitudes to 360": ("EPSG:4269", (1, 0, 0, 0, -1, 90), 360, 180),
    "across the antimeridian": (4326, (0.1, 0, 170, 0, -0.1, 10), 200, 100),
    "zone 1 from the other side": (32601, (1e3, 0, 1e5, 0, -1e3, 7.4e6), 300, 300),
    "mercator world": (3857, (1e4, 0, -20037508, 0, -1e4, 20037508), 4007, 4007),
    "rotated": (2193, (6e3, 4e3, 1e6, 4e3, -6e3, 5.6e6), 150, 150),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_box_of_a_raster_holds_every_point_of_it(name):
    crs, transform, width, height = TRANSFORMS[name]
    grid = PixelGrid(CRS.from_user_input(crs).to_wkt(), transform, width, height)
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, 50_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 50_000)))
    position = pixel_positions(lon, lat, np.zeros(lon.size, dtype=int), [grid])
    _, _, inside = containing_pixels(*position, np.array(width), np.array(height), 0.0)
    assert inside.sum() > 5
    covered, _ = Footprints(np.array([grid_box(grid)])).covering(lon, lat)
    assert np.isin(np.flatnonzero(inside), covered).all()


def test_boxes_of_small_rasters_are_narrow():
    grid = PixelGrid("EPSG:32601", (10, 0, 4e5, 0, 10, 5e6), 100, 100)
    west, south, east, north = grid_box(grid)
    assert 0 < east - west < 0.02
    assert 0 < north - south < 0.01


def test_own_zone_boxes_end_at_the_zone_and_at_the_equator():
    boxes = np.array([[11.5, 46, 12.5, 47], [179.5, -1, -179.5, 1], [2, 49, 3, 61], [1, 2, 3, 4]])
    pieces, owners = own_zone_boxes(boxes, ["32N", "1S", "32N", ""])
    assert owners.tolist() == [0, 1, 2, 3]
    assert pieces.tolist() == [
        [11.5, 46, 12, 47],
        [-180, -1, -179.5, 0],
        [2, 56, 3, 61],
        [1, 2, 3, 4],
    ]
    points, files = Footprints(pieces, owners=owners).covering(
        np.array([12.1, 12.0, -179.9, 179.9, 2.5]), np.array([46.5, 46.5, -0.5, -0.5, 50.0])
    )
    assert list(zip(points, files, strict=True)) == [(1, 0), (2, 1)]


def test_many_boxes_answer_as_few_do():
    rng = np.random.default_rng(1)
    corner = np.column_stack([rng.uniform(-180, 170, 200), rng.uniform(-80, 70, 200)])
    boxes = np.hstack([corner, corner + rng.uniform(1, 30, (200, 2))])
    lon, lat = rng.uniform(-180, 180, 2000), rng.uniform(-90, 90, 2000)
    inside = np.zeros((2000, 200), dtype=bool)
    for turn in (-360, 0, 360):
        x = (lon + turn)[:, None]
        inside |= (x >= boxes[:, 0]) & (x <= boxes[:, 2])
    inside &= (lat[:, None] >= boxes[:, 1]) & (lat[:, None] <= boxes[:, 3])
    for shapes in (None, np.array([box(*b) for b in boxes], dtype=object)):
        points, files = Footprints(boxes, shapes).covering(lon, lat)
        np.testing.assert_array_equal(np.column_stack([points, files]), np.argwhere(inside))
