"""Equal Earth as GeoCLIP scales it, against its published numbers and against PROJ."""

import array_api_strict
import numpy as np
from numpy.testing import assert_allclose
from pyproj import Transformer

from geofeat.kernels._equal_earth import SQRT_3_SINGLE, equal_earth


def test_projection_equals_the_published_one(golden):
    lat, lon = golden["geoclip_latlon"].astype(np.float64).T
    x, y = equal_earth(lon, lat, np, sqrt_3=SQRT_3_SINGLE)
    assert_allclose(np.stack([x, y], axis=1), golden["geoclip_equal_earth"], rtol=0, atol=1e-14)


def test_projection_is_that_of_proj_scaled(points):
    """On the sphere; at +180 PROJ agrees too, since nothing is wrapped here."""
    lon, lat = points.T
    x, y = equal_earth(lon, lat, np)
    project = Transformer.from_crs(
        "+proj=longlat +R=1 +no_defs", "+proj=eqearth +R=1 +no_defs", always_xy=True
    )
    expected = np.stack(project.transform(lon, lat), axis=1) * 66.50336 / 180
    assert_allclose(np.stack([x, y], axis=1), expected, rtol=0, atol=1e-9)


def test_the_equator_runs_from_minus_one_to_one():
    x, _ = equal_earth(np.array([-180.0, 0.0, 180.0]), np.zeros(3), np)
    assert_allclose(x, [-1, 0, 1], rtol=0, atol=1e-6)


def test_array_api_version(points):
    lon, lat = points.T
    strict = equal_earth(
        *(array_api_strict.asarray(a.copy()) for a in (lon, lat)), array_api_strict
    )
    assert_allclose(
        np.stack([np.asarray(a) for a in strict]),
        np.stack(equal_earth(lon, lat, np)),
        rtol=0,
        atol=1e-15,
    )
