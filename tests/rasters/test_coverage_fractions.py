"""Fractions of pixels against areas that shapely intersects pixel by pixel."""

import sys

import numpy as np
import pytest
import shapely
from affine import Affine
from numpy.testing import assert_allclose

from geofeat.rasters._coverage_fractions import PixelWindow, covered_pixels, require_exactextract
from tests.rasters.polygon_oracle import fractions

SHAPES = {
    "box on the lines of pixels": shapely.box(3, 4, 9, 11),
    "inside one pixel": shapely.box(7.2, 8.1, 7.4, 8.9),
    "with a hole": shapely.Point(10, 9).buffer(7.3).difference(shapely.Point(11, 8).buffer(2.2)),
    "of two parts that share a pixel": shapely.MultiPolygon(
        [shapely.box(4, 4, 4.5, 4.5), shapely.box(4.5, 4.75, 5.25, 6)]
    ),
    "a sliver": shapely.Polygon([(2, 2), (18, 15.3), (18, 15.4)]),
    "reaching out of the window": shapely.Point(20, 2).buffer(9),
    "beyond the window": shapely.box(40, 40, 50, 50),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("window", [PixelWindow(0, 0, 20, 25), PixelWindow(3, 4, 11, 9)])
def test_fractions_are_the_areas_of_intersections(shape, window):
    found = covered_pixels(np.array([shape], dtype=object), window)
    got = np.zeros((20, 25))
    got[found.row, found.col] = found.fraction
    truth = fractions(shape, Affine.identity(), 20, 25)
    inside = np.zeros((20, 25), dtype=bool)
    inside[window.row : window.row + window.height, window.col : window.col + window.width] = True
    assert_allclose(got, np.where(inside, truth, 0), atol=1e-6)
    assert (found.fraction > 0).all()


def test_several_shapes_come_one_after_the_other():
    shapes = np.array(list(SHAPES.values()), dtype=object)
    window = PixelWindow(1, 2, 18, 20)
    found = covered_pixels(shapes, window)
    assert (np.diff(found.shape) >= 0).all()
    for i, shape in enumerate(shapes):
        alone = covered_pixels(np.array([shape], dtype=object), window)
        assert_allclose(found.fraction[found.shape == i], alone.fraction)


def test_without_exactextract_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "exactextract", None)
    with pytest.raises(ImportError, match=r"pip install 'geofeat\[polygons\]'"):
        require_exactextract()
