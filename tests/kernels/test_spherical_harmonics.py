"""The harmonics against SciPy, mpmath, the published numbers and their own laws."""

import math
import warnings

import array_api_strict
import mpmath
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import roots_legendre, sph_harm_y_all
from sklearn.externals.array_api_compat import torch as torch_xp

from geofeat.kernels._spherical_harmonics import MAX_DEGREE, spherical_harmonics

CONVENTIONS = ["locationencoder", "satclip", "geodesy"]


def harmonics(points, degree, **options):
    lon, lat = (np.ascontiguousarray(axis) for axis in np.asarray(points).T)
    return spherical_harmonics(lon, lat, degree, np, **options)


def orders_and_degrees(degree):
    """Degree l and order m of every column."""
    l = np.repeat(np.arange(degree + 1), 2 * np.arange(degree + 1) + 1)
    return l, np.arange((degree + 1) ** 2) - l * l - l


def from_scipy(points, degree):
    """Geodesists' harmonics, composed from SciPy's complex ones."""
    lon, lat = np.radians(points).T
    everything = sph_harm_y_all(degree, degree, np.pi / 2 - lat, lon)
    l, m = orders_and_degrees(degree)
    values = everything[l, np.abs(m)].T * np.where(m == 0, 1.0, math.sqrt(2) * (-1.0) ** m)
    return np.where(m < 0, values.imag, values.real)


def from_mpmath(lon, lat, l, m):
    """One geodesists' harmonic by its definition as a power series, in exact steps."""
    order = abs(m)
    with mpmath.workdps(2 * l + 60):
        colatitude = mpmath.pi * (90 - mpmath.mpf(lat)) / 180
        x, s = mpmath.cos(colatitude), mpmath.sin(colatitude)
        if abs(lat) == 90:
            s = mpmath.mpf(0)
        series = mpmath.mpf(0)
        for k in range((l - order) // 2 + 1):
            power = l - 2 * k - order
            whole = math.comb(l, k) * math.comb(2 * l - 2 * k, l) * math.perm(l - 2 * k, order)
            series += (-1) ** k * whole * x**power
        norm = mpmath.sqrt(
            mpmath.mpf(2 * l + 1)
            / (4 * mpmath.pi)
            * math.factorial(l - order)
            / math.factorial(l + order)
            * (2 if m else 1)
        )
        angle = mpmath.pi * order * mpmath.mpf(lon) / 180
        wave = mpmath.sin(angle) if m < 0 else mpmath.cos(angle)
        return float(norm * series / mpmath.mpf(2) ** l * s**order * wave)


def convention_factor(degree, convention):
    l, m = orders_and_degrees(degree)
    sign = np.ones(l.size) if convention == "geodesy" else (-1.0) ** l
    return sign * np.where((m == 0) & (convention == "satclip"), np.pi, 1.0)


@pytest.mark.parametrize(("key", "degree", "atol"), [("L10", 9, 2e-14), ("L40", 39, 1e-13)])
def test_default_convention_equals_the_exact_golden_numbers(golden, key, degree, atol):
    expected = golden[f"sh_exact_{key}"]
    points = golden["lonlat"][: len(expected)]
    assert_allclose(harmonics(points, degree), expected, rtol=0, atol=atol)
    single = harmonics(points.astype(np.float32), degree)
    from_rounded = harmonics(points.astype(np.float32).astype(np.float64), degree)
    assert single.dtype == np.float32
    assert_array_equal(single, from_rounded.astype(np.float32))


@pytest.mark.parametrize(
    ("key", "convention"), [("satclip", "satclip"), ("fixed", "locationencoder")]
)
def test_published_polynomials_of_low_degree_are_met(golden, key, convention):
    # Their own error at degree 9 is 5e-12.
    ours = harmonics(golden["lonlat"], 9, convention=convention)
    assert_allclose(ours, golden[f"sh_{key}_L10"], rtol=0, atol=1e-11)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize(
    ("degree", "atol"), [(0, 1e-15), (1, 1e-15), (2, 1e-14), (39, 1e-12), (199, 5e-12)]
)
def test_scipy_agrees_poles_and_antimeridian_included(points, convention, degree, atol):
    points = points[:60] if degree > 100 else points
    expected = from_scipy(points, degree) * convention_factor(degree, convention)
    if convention == "satclip":
        atol *= np.pi
    assert_allclose(harmonics(points, degree, convention=convention), expected, rtol=0, atol=atol)


@pytest.mark.parametrize(("degree", "atol"), [(39, 1e-12), (199, 5e-12), (500, 2e-11)])
def test_definition_in_many_digits_agrees(degree, atol):
    rng = np.random.default_rng(degree)
    places = [(0.0, 90.0), (33.0, -90.0), (180.0, 12.5), (-180.0, -1e-9), (70.0, 89.9999)]
    places += [(-120.5, 88.0), (5.666, 51.985), (137.0, -63.25)]
    ours = harmonics(places, degree, convention="geodesy")
    worst = 0.0
    for place, row in zip(places, ours, strict=True):
        middling = round(degree * math.cos(math.radians(place[1])))
        orders = {0, 1, -1, 2, degree, -degree, middling, -middling, int(rng.integers(degree))}
        for m in orders:
            error = abs(row[degree * degree + degree + m] - from_mpmath(*place, degree, m))
            worst = max(worst, error)
    assert worst <= atol


@pytest.mark.parametrize(("degree", "atol"), [(39, 2e-14), (199, 1e-13), (500, 2e-13)])
@pytest.mark.parametrize("version", ["compiled", "torch"])
def test_zonal_columns_stay_exact_where_they_are_steepest(version, degree, atol):
    rng = np.random.default_rng(1)
    lat = 90 - 10 ** rng.uniform(-5, 1, 60)
    lat[::2] *= -1
    lon = np.full(lat.size, 10.0)
    if version == "torch":
        tensors = (torch.from_numpy(axis) for axis in (lon, lat))
        values = spherical_harmonics(*tensors, degree, torch_xp, convention="geodesy").numpy()
    else:
        values = spherical_harmonics(lon, lat, degree, np, convention="geodesy")
    with mpmath.workdps(40):
        norm = mpmath.sqrt((2 * degree + 1) / (4 * mpmath.pi))
        expected = []
        for place in lat:
            x = mpmath.sin(mpmath.mpf(place) * mpmath.pi / 180)
            before, last = mpmath.mpf(1), x  # Bonnet's recursion for Legendre polynomials
            for k in range(2, degree + 1):
                before, last = last, ((2 * k - 1) * x * last - (k - 1) * before) / k
            expected.append(float(norm * last))
    assert_allclose(values[:, degree * degree + degree], expected, rtol=0, atol=atol)


@pytest.mark.parametrize("degree", [9, 39, 199, 400])
def test_float32_is_exact_to_float32_at_any_degree(degree):
    # Half a unit in the last place of the largest value, which stays below 8 up to degree 401.
    rng = np.random.default_rng(degree)
    lon = rng.uniform(-180, 180, 40).astype(np.float32)
    lat = np.r_[90, -90, 89.999, rng.uniform(-90, 90, 37)].astype(np.float32)
    single = spherical_harmonics(lon, lat, degree, np)
    assert single.dtype == np.float32
    expected = from_scipy(np.column_stack([lon, lat]).astype(float), degree)
    assert_allclose(
        single, expected * convention_factor(degree, "locationencoder"), rtol=0, atol=3e-7
    )


@pytest.mark.parametrize("degree", [9, 63, 500])
def test_addition_theorem_holds_degree_by_degree(points, degree):
    points = points[:24] if degree > 100 else points
    squares = harmonics(points, degree) ** 2
    sums = np.add.reduceat(squares, np.arange(degree + 1) ** 2, axis=1)
    expected = (2 * np.arange(degree + 1) + 1) / (4 * np.pi)
    assert_allclose(sums, np.broadcast_to(expected, sums.shape), rtol=1e-11)


def test_addition_theorem_holds_between_points(points):
    degree = 20
    values = harmonics(points, degree, convention="geodesy")
    lon, lat = np.radians(points).T
    xyz = np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    cosines = np.clip(xyz @ xyz.T, -1, 1)
    l, _ = orders_and_degrees(degree)
    for k in range(degree + 1):
        legendre = np.polynomial.legendre.Legendre.basis(k)(cosines)
        block = values[:, l == k]
        assert_allclose(block @ block.T, legendre * (2 * k + 1) / (4 * np.pi), atol=1e-12)


def test_columns_are_orthonormal_on_the_sphere():
    degree = 15
    z, weights = roots_legendre(degree + 1)
    lon = np.arange(2 * degree + 2) * 360 / (2 * degree + 2)
    grid = np.stack(np.meshgrid(lon, np.degrees(np.arcsin(z))), axis=-1).reshape(-1, 2)
    area = np.repeat(weights, lon.size) * 2 * np.pi / lon.size
    values = harmonics(grid, degree)
    assert_allclose(values.T @ (area[:, None] * values), np.eye(values.shape[1]), atol=1e-13)


def test_sphericart_agrees_where_it_is_right(points):
    sphericart = pytest.importorskip("sphericart")
    lon, lat = np.radians(points).T
    xyz = np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    theirs = sphericart.SphericalHarmonics(15).compute(xyz)
    assert_allclose(harmonics(points, 15, convention="geodesy"), theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_factors_scale_each_degree(points, convention):
    plain = harmonics(points, 30, convention=convention)
    factors = np.random.default_rng(3).uniform(0.1, 4, 31)
    scaled = harmonics(points, 30, convention=convention, degree_factors=tuple(factors))
    l, _ = orders_and_degrees(30)
    assert_allclose(scaled, plain * factors[l], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("namespace", ["numpy", "torch", "array_api_strict"])
def test_factors_that_vanish_leave_zeros_and_missing_rows(points, namespace):
    points = points.copy()
    points[40, 0] = points[41, 1] = np.nan
    factors = (2.0, 1.0, 1e-160, 5e-324, *[0.0] * 9)
    xp = {"numpy": np, "torch": torch_xp, "array_api_strict": array_api_strict}[namespace]
    lon, lat = (xp.asarray(axis.copy()) for axis in points.T)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = np.asarray(spherical_harmonics(lon, lat, 12, xp, degree_factors=factors))
    missing = np.isnan(points).any(axis=1)
    assert np.isnan(values[missing]).all()
    assert not values[~missing, 16:].any()
    l, _ = orders_and_degrees(12)
    expected = harmonics(points[~missing], 12) * np.array(factors)[l]
    assert_allclose(values[~missing], expected, rtol=1e-12, atol=1e-14)
    second = slice(4, 9)
    assert_allclose(values[~missing, second], expected[:, second], rtol=1e-11, atol=1e-173)


def test_highest_degree_is_finite_with_the_largest_factors_that_may_come():
    lat = np.r_[np.linspace(-90, 90, 19), 89.9999999, 1e-300, 75, 80, 85, 88]
    lon = np.linspace(-180, 180, lat.size)
    factors = tuple(4 / (1 + np.arange(MAX_DEGREE + 1)) ** 0.5)
    values = spherical_harmonics(lon, lat, MAX_DEGREE, np, degree_factors=factors)
    assert np.isfinite(values).all()


def test_poles_do_not_depend_on_longitude():
    lon = np.linspace(-180, 180, 37)
    for lat in (-90.0, 90.0):
        values = harmonics(np.column_stack([lon, np.full(37, lat)]), 50)
        assert_array_equal(values, np.broadcast_to(values[0], values.shape))
        _, m = orders_and_degrees(50)
        assert not values[:, m != 0].any()


def test_both_sides_of_the_antimeridian_are_one_place():
    east, west = harmonics([[180.0, 30.0], [-180.0, 30.0]], 60)
    assert_array_equal(east, west)
    turns = harmonics([[10.0, 30.0], [370.0, 30.0], [-350.0, 30.0]], 60)
    assert_array_equal(turns[1:], turns[[0, 0]])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_highest_degree_is_finite_everywhere(dtype):
    lat = np.r_[np.linspace(-90, 90, 19), 89.9999999, 1e-300, 75, 80, 85, 88]
    lon = np.linspace(-180, 180, lat.size)
    values = spherical_harmonics(lon.astype(dtype), lat.astype(dtype), MAX_DEGREE, np)
    assert np.isfinite(values).all()
    total = (values.astype(float) ** 2).sum(axis=1)
    assert_allclose(total, (MAX_DEGREE + 1) ** 2 / (4 * np.pi), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("degree", [0, 1, 7, 40])
def test_missing_rows_are_nan_and_touch_no_other(points, dtype, degree):
    points = points.astype(dtype)
    holed = points.copy()
    holed[[3, 70], 0] = np.nan
    holed[[4, 91], 1] = np.nan
    holed[-1] = np.nan
    whole, values = harmonics(points, degree), harmonics(holed, degree)
    missing = np.isnan(holed).any(axis=1)
    assert np.isnan(values[missing]).all()
    assert_array_equal(values[~missing], whole[~missing])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("degree", [0, 1, 2, 3, 8, 9, 10, 41])
def test_a_row_is_the_same_alone_and_in_any_batch(points, dtype, degree):
    points = points.astype(dtype)
    values = harmonics(points, degree)
    for size in (1, 5, 7, 8, 9, 16, 23):
        assert_array_equal(harmonics(points[:size], degree), values[:size])
        assert_array_equal(harmonics(points[-size:], degree), values[-size:])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("degree", [0, 1, 2, 3, 9, 10, 33])
def test_out_is_filled_and_nothing_beside_it(points, dtype, degree):
    n, width = len(points), (degree + 1) ** 2
    memory = np.full((n + 2, width), 7.0, dtype=dtype)
    out = memory[1:-1]
    lon, lat = (np.ascontiguousarray(axis) for axis in points.astype(dtype).T)
    assert spherical_harmonics(lon, lat, degree, np, out=out) is out
    assert_array_equal(out, spherical_harmonics(lon, lat, degree, np))
    assert (memory[[0, -1]] == 7).all()


def test_no_point_gives_no_row():
    assert harmonics(np.empty((0, 2)), 3).shape == (0, 16)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize(("degree", "atol"), [(0, 1e-15), (1, 1e-15), (39, 1e-12), (150, 5e-12)])
@pytest.mark.parametrize("namespace", ["torch", "array_api_strict"])
def test_array_api_version_equals_the_compiled_one(points, namespace, degree, convention, atol):
    xp = torch_xp if namespace == "torch" else array_api_strict
    points = points[:40].copy()
    points[17, 0] = points[23, 1] = np.nan
    lon, lat = (xp.asarray(axis.copy()) for axis in points.T)
    factors = tuple((1.0 + np.arange(degree + 1)) ** -0.3)
    options = {"convention": convention, "degree_factors": factors}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = spherical_harmonics(lon, lat, degree, xp, **options)
    expected = harmonics(points, degree, **options)
    assert values.dtype == xp.float64
    assert_allclose(np.asarray(values), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("namespace", ["torch", "array_api_strict"])
def test_array_api_float32_is_computed_in_float64(points, namespace):
    xp = torch_xp if namespace == "torch" else array_api_strict
    points = points.astype(np.float32)
    lon, lat = (xp.asarray(axis.copy()) for axis in points.T)
    values = spherical_harmonics(lon, lat, 39, xp)
    assert values.dtype == xp.float32
    assert_allclose(np.asarray(values), harmonics(points.astype(float), 39), rtol=0, atol=3e-7)


def test_array_api_blocks_join_without_a_seam(points, monkeypatch):
    lon, lat = (torch.from_numpy(axis.copy()) for axis in points.T)
    whole = spherical_harmonics(lon, lat, 12, torch_xp)
    monkeypatch.setattr("geofeat.kernels._spherical_harmonics._ARRAY_ELEMENTS", 25 * 17)
    parts = spherical_harmonics(lon, lat, 12, torch_xp)
    assert_allclose(parts.numpy(), whole.numpy(), rtol=0, atol=1e-14)
