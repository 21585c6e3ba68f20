"""Pixels of maps and globes, against pyproj and embed_grid."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.testing import assert_allclose, assert_array_equal
from pyproj import Transformer

from geofeat import DirectEncoder, embed_grid
from geofeat.exceptions import LimitError
from geofeat.plotting._views import GlobeView, MapView, globe_view, map_view, view_of_points

CENTRES = [(0.0, 0.0), (10.0, 50.0), (-170.0, -33.0), (0.0, 90.0), (45.0, -90.0), (190.0, 5.0)]


def ortho(lon, lat):
    return Transformer.from_crs(
        "+proj=longlat +R=1 +no_defs", f"+proj=ortho +lon_0={lon} +lat_0={lat} +R=1", always_xy=True
    )


@pytest.mark.parametrize("center", CENTRES)
def test_the_globe_is_the_orthographic_projection(center, points):
    view = GlobeView(*center)
    lon, lat = points.T
    x, y = view.project(lon, lat)
    x_other, y_other = ortho(*center).transform(lon, lat)
    both = np.isfinite(x) & np.isfinite(x_other)
    assert_allclose(x[both], x_other[both], atol=1e-12)
    assert_allclose(y[both], y_other[both], atol=1e-12)
    height = np.cos(np.radians(lat)) * np.cos(np.radians(center[1])) * np.cos(
        np.radians(lon - center[0])
    ) + np.sin(np.radians(lat)) * np.sin(np.radians(center[1]))
    decided = np.abs(height) > 1e-9  # on the edge rounding decides
    assert_array_equal(np.isfinite(x)[decided], np.isfinite(x_other)[decided])
    assert np.isfinite(x[~decided]).all()


@pytest.mark.parametrize("center", CENTRES)
def test_pixels_of_the_globe_lie_where_they_are_drawn(center):
    view = GlobeView(*center, side=40)
    pixels, places = view.places()
    rows, columns = np.divmod(pixels, 40)
    x, y = (columns + 0.5) / 20 - 1, 1 - (rows + 0.5) / 20
    inside = np.hypot(x, y) < 0.999
    x_drawn, y_drawn = view.project(*places[inside].T)
    assert_allclose(x_drawn, x[inside], atol=1e-12)
    assert_allclose(y_drawn, y[inside], atol=1e-12)
    assert (np.abs(places[:, 1]) <= 90).all()
    assert (np.abs(places[:, 0]) <= 180).all()
    # Every pixel that the disk touches is there.
    corner = np.hypot(*(np.abs(axis) - 1 / 40 for axis in np.meshgrid(*[np.unique(x)] * 2)))
    assert pixels.size >= (corner < 1).sum()


def test_pixels_of_a_map_are_those_of_embed_grid():
    bounds = (170.0, -20.0, -170.0, 0.0)
    view = map_view(bounds, (0.5, 0.25))
    assert view.shape == (80, 40)
    pixels, places = view.places()
    grid = embed_grid(DirectEncoder(), bounds, (0.5, 0.25), dtype="float64")
    assert_array_equal(pixels, np.arange(3200))
    assert_allclose(np.radians(places.T), grid.values.reshape(2, -1), atol=1e-12)


def test_pixels_fill_the_picture_without_a_resolution():
    assert map_view(None, None).shape == (180, 360)
    assert globe_view((0, 0), None).shape == (400, 400)
    small = map_view((5.0, 59.0, 6.0, 61.0), None)
    assert small.aspect == pytest.approx(2.0)
    assert 60_000 < small.width * small.height < 70_000
    assert small.height / small.width == pytest.approx(4.0, rel=0.02)  # square as drawn
    sliver = map_view((0.0, 0.0, 300.0, 1e-4), None)
    assert min(sliver.shape) == 1


def test_a_resolution_is_rounded_until_pixels_fill_the_bounds():
    view = map_view((0.0, 0.0, 10.0, 1.0), 0.3)
    assert view.shape == (3, 33)
    assert view.extent == (0.0, 10.0, 0.0, 1.0)
    assert globe_view((0, 0), 1.0).side == 115  # 360 / pi


@pytest.mark.parametrize(
    ("south", "north", "aspect"),
    [(50, 52, 1 / np.cos(np.radians(51))), (-61, 0, 1.0), (-10, 10, 1.0), (89, 90, 5.76)],
)
def test_maps_are_true_to_shape_in_their_middle(south, north, aspect):
    assert map_view((0, south, 1, north), None).aspect == pytest.approx(aspect, rel=1e-3)


@pytest.mark.parametrize(
    "bounds", [(0, 10, 5, 10), (0, -91, 5, 0), (0, 0, 0, 5), (-181, 0, 180, 5), (0, 5, 1, 0)]
)
def test_bounds_that_are_no_map_are_refused(bounds):
    with pytest.raises(ValueError, match="west, south, east, north"):
        map_view(bounds, None)


@pytest.mark.parametrize("bounds", [(1, 2, 3), "world", 5, (0, 0, 1, None)])
def test_bounds_are_four_numbers(bounds):
    with pytest.raises(ValueError, match="four numbers"):
        map_view(bounds, None)


def test_pictures_have_a_bounded_size():
    for resolution in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="resolution"):
            map_view(None, resolution)
        with pytest.raises(ValueError, match="resolution"):
            globe_view((0, 0), resolution)
    with pytest.raises(LimitError, match="coarser"):
        map_view(None, 0.01)
    with pytest.raises(LimitError, match="coarser"):
        globe_view((0, 0), 1e-3)


@pytest.mark.parametrize("center", [(0, 91), (np.nan, 0), (1,), 5, ("a", "b"), None])
def test_a_centre_is_a_place(center):
    with pytest.raises(ValueError, match="center"):
        globe_view(center, None)


def test_points_are_shown_with_a_margin():
    view = view_of_points(np.array([5.0, 6.0, np.nan]), np.array([50.0, 51.0, np.nan]))
    assert_allclose(view[:4], (4.96, 49.96, 6.04, 51.04))
    lone = view_of_points(np.array([5.0]), np.array([50.0]))
    assert lone.west < 5.0 < lone.east
    assert lone.south < 50.0 < lone.north
    nowhere = view_of_points(np.array([np.nan]), np.array([np.nan]))
    assert nowhere[:4] == (-180, -90, 180, 90)


def test_points_around_the_antimeridian_are_neighbours():
    lon, lat = np.array([178.0, -178.0, 179.0]), np.array([-17.0, -18.0, -16.0])
    view = view_of_points(lon, lat)
    assert (view.west, view.east) == pytest.approx((177.84, 182.16))
    assert_allclose(view.project(lon, lat)[0], [178, 182, 179])
    world = view_of_points(np.array([-170.0, -20.0, 40.0, 175.0]), np.array([-80.0] * 4))
    assert (world.west, world.east) == (-180.0, 180.0)


@pytest.mark.parametrize(
    ("view", "x_labels", "y_labels"),
    [
        (map_view(None, None), ["180°", "120°W", "0°", "60°E"], ["90°S", "0°", "30°N"]),
        (map_view((5.93, 52.02, 6.07, 52.08), None), ["5.95°E", "6.00°E"], ["52.04°N"]),
        (map_view((170, -25, -170, -10), None), ["174°E", "180°", "174°W"], ["18°S"]),
    ],
)
def test_ticks_are_degrees(view, x_labels, y_labels):
    axes = Figure().subplots()
    view.finish(axes)
    axes.figure.canvas.draw()
    for axis, expected in ((axes.xaxis, x_labels), (axes.yaxis, y_labels)):
        labels = [label.get_text() for label in axis.get_ticklabels()]
        assert set(expected) <= set(labels)


def test_cells_contain_their_pixels():
    view = MapView(170.0, -20.0, 190.0, 0.0, 40, 80)
    _, places = view.places()
    assert_array_equal(view.cells_of(*places.T), np.arange(3200))
    outside = view.cells_of(np.array([169.9, 180.0, -169.0]), np.array([-5.0, 1.0, -5.0]))
    assert_array_equal(outside, -1)
    assert view.cells_of(np.array([170.0]), np.array([-20.0])) == 79 * 40
