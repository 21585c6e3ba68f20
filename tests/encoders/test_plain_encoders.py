"""CartesianEncoder, WrapEncoder, DirectEncoder against the published encodings and geometry."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pyproj import Geod

from geofeat import CartesianEncoder, DirectEncoder, WrapEncoder

PUBLISHED = {
    "pe_cartesian3d": CartesianEncoder(),
    "pe_wrap": WrapEncoder(),
    "pe_direct": DirectEncoder(convention="locationencoder"),
}


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_columns_equal_the_published_ones(golden, name):
    """All points but those at +180, which are read as -180 and where "direct" jumps."""
    features = PUBLISHED[name].transform(golden["lonlat"])
    kept = golden["lonlat"][:, 0] < 180 if name == "pe_direct" else slice(None)
    assert_allclose(features[kept], golden[name][kept], rtol=0, atol=1e-12)
    single = PUBLISHED[name].transform(golden["lonlat"].astype(np.float32))
    assert single.dtype == np.float32
    assert_allclose(single[kept], golden[name][kept], rtol=0, atol=2e-6)


def test_vectors_have_the_length_asked_for(points):
    xyz = CartesianEncoder(radius=6371.0).transform(points)
    assert_allclose(np.linalg.norm(xyz, axis=1), 6371.0, rtol=1e-15)


def test_angles_between_vectors_are_those_of_a_geodesic_library(points):
    sphere = Geod(a=1.0, b=1.0)
    here, there = points[:-1], points[1:]
    distance = sphere.inv(*here.T, *there.T)[2]
    xyz = CartesianEncoder().transform(points)
    chord = np.linalg.norm(xyz[1:] - xyz[:-1], axis=1)
    assert_allclose(2 * np.arcsin(np.minimum(chord / 2, 1)), distance, rtol=0, atol=1e-7)


def test_quarter_turns_are_exact():
    X = np.array([[0, 0], [90, 0], [-180, 0], [-90, 0], [45, 90], [10, -90]], dtype=float)
    xyz = CartesianEncoder().transform(X)
    expected = [[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]
    assert_array_equal(xyz, np.array(expected, dtype=float))
    assert_array_equal(WrapEncoder().transform(X)[:4, :2], xyz[:4, :2])


def test_direct_is_radians():
    X = np.array([[180.0, 90.0], [-90.0, 0.0]])
    assert_allclose(DirectEncoder().transform(X), [[-np.pi, np.pi / 2], [-np.pi / 2, 0]])


def test_names():
    assert CartesianEncoder().get_feature_names_out().tolist() == ["x", "y", "z"]
    assert DirectEncoder().get_feature_names_out().tolist() == ["lon", "lat"]
    names = ["cos_lon", "sin_lon", "cos_lat", "sin_lat"]
    assert WrapEncoder().get_feature_names_out().tolist() == names
