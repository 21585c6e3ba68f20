"""What becomes of geometries on their way to polygons in degrees."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from numpy.testing import assert_allclose

from geofeat.exceptions import CoordinateWarning
from geofeat.rasters._areas import ground_area
from geofeat.rasters._polygons import read_polygons
from tests.rasters.polygon_oracle import in_crs

BOX = shapely.box(8.0, 47.0, 8.1, 47.05)


def read(*shapes, crs=4326):
    return read_polygons(gpd.GeoSeries(list(shapes), crs=crs), "Sampler")


def test_polygons_in_degrees_stay_as_they_are():
    with_hole = BOX.difference(shapely.box(8.02, 47.01, 8.04, 47.02))
    found = read(BOX, shapely.MultiPolygon([with_hole, shapely.box(9, 47, 9.5, 48)]))
    assert found[0].equals_exact(BOX)
    assert found[1].geoms[0].equals_exact(with_hole)


def test_edges_stay_straight_in_the_crs_they_come_in():
    square = shapely.box(300_000, 5_200_000, 400_000, 5_260_000)
    (found,) = read(square, crs=32632)
    back = in_crs(found, 32632, step=1.0)
    assert back.symmetric_difference(square).area < 1e-6 * square.area
    # The corners alone would miss a strip of this much:
    corners = in_crs(in_crs(square, 4326, of=32632, step=1e9), 32632)
    assert corners.symmetric_difference(square).area > 1e-4 * square.area


def test_heights_are_left_out():
    assert not read(shapely.force_3d(BOX, 5.0))[0].has_z


def test_missing_empty_and_impossible_places_are_none():
    with np.errstate(invalid="ignore"):
        nowhere = shapely.Polygon([(0, 0), (1, np.nan), (1, 1), (0, 0)])
    found = read(None, shapely.Polygon(), nowhere, BOX)
    assert [shape is None for shape in found] == [True, True, True, False]


def test_latitudes_beyond_the_poles_warn_and_become_none():
    with pytest.warns(CoordinateWarning, match=r"1 of 2 rows \(0\).*not defined"):
        found = read(shapely.box(0, 80, 1, 91), BOX)
    assert found[0] is None
    assert found[1] is not None


def test_places_beyond_the_domain_of_a_crs_become_none():
    with pytest.warns(CoordinateWarning, match="not defined"):
        found = read(shapely.box(5e7, 5e7, 6e7, 6e7), crs=32632)
    assert found[0] is None


def test_infinite_coordinates_are_an_error():
    with pytest.raises(ValueError, match=r"inf coordinates in 1 of 1"):
        read(shapely.Polygon([(0, 0), (1, np.inf), (1, 1), (0, 0)]))


def test_invalid_polygons_are_repaired_with_one_warning():
    bow = shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1), (0, 0)])
    with pytest.warns(CoordinateWarning, match=r"2 of 3 rows \(0, 2\).*Self-intersection") as told:
        found = read(bow, BOX, bow)
    assert len(told) == 1
    assert_allclose([shape.area for shape in found], [0.5, BOX.area, 0.5])


def test_parts_that_overlap_are_joined():
    both = shapely.MultiPolygon([shapely.box(0, 0, 2, 2), shapely.box(1, 1, 3, 3)])
    with pytest.warns(CoordinateWarning, match="invalid"):
        assert_allclose(read(both)[0].area, 7)


def test_polygons_without_area_are_no_reason_to_warn():
    found = read(shapely.Polygon([(1, 1), (2, 2), (1, 1)]), shapely.Polygon([(3, 3)] * 4))
    assert [shape.area for shape in found] == [0, 0]
    assert shapely.intersects(found[0], shapely.Point(1.5, 1.5))
    assert shapely.intersects(found[1], shapely.Point(3, 3))


ACROSS = {
    "beyond 180": (shapely.box(179.5, 10, 180.25, 11), 4326),
    "beyond -180": (shapely.box(-180.5, 10, -179.75, 11), 4326),
    "jumping": (shapely.Polygon([(179.5, 10), (-179.75, 10), (-179.75, 11), (179.5, 11)]), 4326),
    "another turn": (shapely.box(539.5, 10, 540.25, 11), 4326),
    "in two parts": (
        shapely.MultiPolygon([shapely.box(179.5, 10, 180, 11), shapely.box(-180, 10, -179.75, 11)]),
        4326,
    ),
    "projected": (in_crs(shapely.box(-0.5, 10, 0.25, 11), "+proj=merc", step=1e9), "+lon_0=180"),
}


@pytest.mark.parametrize(("shape", "crs"), ACROSS.values(), ids=ACROSS)
def test_polygons_are_cut_at_the_antimeridian(shape, crs):
    crs = f"+proj=merc {crs}" if isinstance(crs, str) else crs
    (found,) = read(shape, crs=crs)
    parts = sorted(found.geoms, key=lambda part: part.bounds)
    assert_allclose(parts[0].bounds, (-180, 10, -179.75, 11), atol=1e-9)
    assert_allclose(parts[1].bounds, (179.5, 10, 180, 11), atol=1e-9)


def test_holes_are_cut_with_their_polygon():
    jumping = shapely.Polygon(
        [(179, 10), (-179, 10), (-179, 12), (179, 12)],
        [[(179.5, 11), (-179.5, 11), (-179.5, 11.5), (179.5, 11.5)]],
    )
    assert_allclose(read(jumping)[0].area, 4 - 0.5)


def test_a_polygon_around_a_pole_holds_the_pole():
    cap = shapely.Point(0, 0).buffer(1_000_000, quad_segs=200)
    (found,) = read(cap, crs="+proj=laea +lat_0=90 +datum=WGS84")
    sphere = np.pi * 1000**2 / 6371.0**2  # in steradians; equal-area, the ellipsoid's poles flatter
    degrees = ground_area(np.array([found], dtype=object))[0] * np.pi / 180
    assert_allclose(degrees, sphere, rtol=0.02)
    assert found.bounds[3] == 90
    assert found.covers(shapely.Point(-180, 85))
    assert found.covers(shapely.Point(180, 85))


def test_the_whole_world_stays_whole():
    assert read(shapely.box(-180, -90, 180, 90))[0].area == 360 * 180


def test_points_and_lines_are_refused_by_name():
    with pytest.raises(ValueError, match=r"1 Point, .*Leave zonal=None"):
        read(shapely.Point(1, 1), shapely.LineString([(0, 0), (1, 1)]))


def test_arrays_and_frames_without_crs_are_refused():
    with pytest.raises(TypeError, match="GeoDataFrame"):
        read_polygons(np.zeros((2, 2)), "Sampler")
    with pytest.raises(ValueError, match="set_crs"):
        read(BOX, crs=None)
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        read()
