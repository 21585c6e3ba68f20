"""SphericalHarmonicsEncoder as a random field: covariances by other means, kriging, refusals."""

import warnings

import array_api_strict
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.spatial.distance import cdist
from scipy.special import eval_legendre
from sklearn import config_context
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Kernel
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from geofeat import SphericalHarmonicsEncoder
from geofeat.exceptions import SpectrumWarning

RADIUS_KM = 6371.0088
SETTINGS = [
    {"spectrum": "matern", "nu": 0.5, "length_scale": 3000.0},
    {"spectrum": "matern", "nu": 1.5, "length_scale": 600.0},
    {"spectrum": "matern", "nu": 40.0, "length_scale": 1500.0},
    {"spectrum": "heat", "length_scale": 700.0},
    {"spectrum": "heat", "length_scale": 50_000.0},
    {"spectrum": "power", "degree_decay": 1.5},
    {"spectrum": "power"},
]


def angles_between(points, others):
    """Angles from the chords of unit vectors."""

    def unit(lonlat):
        lon, lat = np.radians(lonlat).T
        return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])

    return 2 * np.arcsin(np.minimum(cdist(unit(points), unit(others)) / 2, 1))


def legendre_covariance(angle, degree, *, spectrum, nu=1.5, length_scale=1000.0, degree_decay=0.0):
    """Sum of s(l) (2l + 1) P(l), over its value at angle 0, straight from the definitions."""
    kappa = length_scale / RADIUS_KM
    total, at_zero = np.zeros_like(angle), 0.0
    for l in range(degree + 1):
        s = {
            "matern": (1 + l * (l + 1) * kappa**2 / (2 * nu)) ** (-nu - 1),
            "heat": np.exp(-(kappa**2) * l * (l + 1) / 2),
            "power": (1.0 + l) ** (-2 * degree_decay),
        }[spectrum]
        total += s * (2 * l + 1) * eval_legendre(l, np.cos(angle))
        at_zero += s * (2 * l + 1)
    return total / at_zero


@pytest.mark.parametrize("options", SETTINGS, ids=str)
@pytest.mark.parametrize("degree", [0, 1, 30, 199])
@pytest.mark.parametrize("convention", ["locationencoder", "geodesy"])
def test_columns_multiply_to_the_covariance(points, degree, convention, options):
    points = points[:60]
    columns = SphericalHarmonicsEncoder(degree, convention=convention, **options).transform(points)
    expected = legendre_covariance(angles_between(points, points), degree, **options)
    assert_allclose(columns @ columns.T, expected, rtol=0, atol=1e-10)
    assert_allclose(np.square(columns).sum(axis=1), 1, rtol=0, atol=1e-11)


@pytest.mark.parametrize("options", SETTINGS, ids=str)
@pytest.mark.parametrize("degree", [0, 30, 199])
def test_covariance_by_distance(degree, options):
    distance = np.array([[0.0, 1.0, 250.0], [3000.0, 12_000.0, np.pi * RADIUS_KM]])
    ours = SphericalHarmonicsEncoder(degree, **options).covariance(distance)
    expected = legendre_covariance(distance / RADIUS_KM, degree, **options)
    assert_allclose(ours, expected, rtol=0, atol=1e-12)


def test_covariance_of_decayed_columns_is_not_scaled(points):
    encoder = SphericalHarmonicsEncoder(25, degree_decay=1.2)
    columns = encoder.transform(points)
    distance = RADIUS_KM * angles_between(points, points)
    assert_allclose(encoder.covariance(distance), columns @ columns.T, atol=1e-11)
    plain = SphericalHarmonicsEncoder(25).transform(points)
    l = np.repeat(np.arange(26), 2 * np.arange(26) + 1)
    assert_allclose(columns, plain * (1.0 + l) ** -1.2, rtol=1e-12, atol=1e-14)


def test_power_is_decay_at_variance_one(points):
    decayed = SphericalHarmonicsEncoder(20, degree_decay=1.5).transform(points)
    power = SphericalHarmonicsEncoder(20, degree_decay=1.5, spectrum="power").transform(points)
    ratio = power[0, 0] / decayed[0, 0]
    assert_allclose(power, ratio * decayed, rtol=1e-12, atol=1e-15)


@pytest.fixture
def observations():
    rng = np.random.default_rng(8)
    lon, lat = rng.uniform(-180, 180, 180), np.degrees(np.arcsin(rng.uniform(-1, 1, 180)))
    y = 10 * np.sin(np.radians(lat)) + np.cos(np.radians(2 * lon)) + rng.normal(0, 0.5, 180)
    return np.column_stack([lon, lat]), y


@pytest.mark.filterwarnings("ignore::geofeat.exceptions.SpectrumWarning")
@pytest.mark.parametrize("degree", [8, 25])  # fewer and more columns than observations
@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_ridge_is_simple_kriging(observations, degree, options):
    X, y = observations
    train, test, noise = X[:120], X[120:], 0.05
    encoder = SphericalHarmonicsEncoder(degree, **options)
    ridge = make_pipeline(encoder, Ridge(noise, fit_intercept=False)).fit(train, y[:120])
    among = legendre_covariance(angles_between(train, train), degree, **options)
    across = legendre_covariance(angles_between(test, train), degree, **options)
    weights = np.linalg.solve(among + noise * np.eye(120), y[:120])
    assert_allclose(ridge.predict(test), across @ weights, rtol=0, atol=1e-8)


def test_ridge_with_an_intercept_is_ordinary_kriging(observations):
    X, y = observations
    train, test, noise = X[:120], X[120:], 0.05
    options = SETTINGS[1]
    ridge = make_pipeline(SphericalHarmonicsEncoder(25, **options), Ridge(noise))
    predicted = ridge.fit(train, y[:120]).predict(test)
    # The system of ordinary kriging: weights that sum to one, by a Lagrange multiplier.
    system = np.ones((121, 121))
    system[:120, :120] = legendre_covariance(angles_between(train, train), 25, **options)
    system[:120, :120] += noise * np.eye(120)
    system[120, 120] = 0
    right = np.vstack(
        [legendre_covariance(angles_between(train, test), 25, **options), np.ones((1, 60))]
    )
    weights = np.linalg.solve(system, right)[:120]
    assert_allclose(predicted, weights.T @ y[:120], rtol=0, atol=1e-8)


class FieldKernel(Kernel):
    """Covariance of an encoder for scikit-learn's regressor; X is lon, lat."""

    def __init__(self, encoder):
        self.encoder = encoder

    def __call__(self, X, Y=None, eval_gradient=False):
        return self.encoder.covariance(RADIUS_KM * angles_between(X, X if Y is None else Y))

    def diag(self, X):
        return np.ones(len(X))

    def is_stationary(self):
        return True


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_ridge_is_the_gaussian_process_of_scikit_learn(observations, options):
    X, y = observations
    encoder = SphericalHarmonicsEncoder(15, **options)
    process = GaussianProcessRegressor(FieldKernel(encoder), alpha=0.05, optimizer=None)
    ridge = make_pipeline(encoder, Ridge(0.05, fit_intercept=False))
    expected = process.fit(X[:120], y[:120]).predict(X[120:])
    assert_allclose(ridge.fit(X[:120], y[:120]).predict(X[120:]), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_tensors_and_devices_give_the_same_numbers(points, options):
    expected = SphericalHarmonicsEncoder(25, **options).transform(points)
    on_device = SphericalHarmonicsEncoder(25, device="cpu", **options).transform(points)
    assert_allclose(on_device, expected, rtol=0, atol=1e-12)
    with config_context(array_api_dispatch=True):
        for X in (torch.from_numpy(points), array_api_strict.asarray(points)):
            features = SphericalHarmonicsEncoder(25, **options).fit_transform(X)
            assert_allclose(np.asarray(features), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("nu", [1e-9, 1.5, 1e12])
@pytest.mark.parametrize("length_scale", [1e-9, 1e-3, 1e9, 1e200])
@pytest.mark.parametrize("spectrum", ["matern", "heat"])
def test_extreme_fields_have_finite_columns_of_variance_one(points, spectrum, nu, length_scale):
    for degree in (0, 60):
        encoder = SphericalHarmonicsEncoder(
            degree, spectrum=spectrum, nu=nu, length_scale=length_scale
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            columns = encoder.transform(points)
        assert_allclose(np.square(columns).sum(axis=1), 1, rtol=0, atol=1e-11)


@pytest.mark.parametrize("use", ["fit", "transform", "covariance"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"spectrum": "matern", "degree_decay": 1.0}, "Leave degree_decay at 0, or take spectrum"),
        ({"spectrum": "heat", "degree_decay": 1.0}, "Leave degree_decay at 0, or take spectrum"),
        ({"spectrum": "matern", "convention": "satclip"}, "Take convention='geodesy'"),
        ({"spectrum": "power", "convention": "satclip"}, "Take convention='geodesy'"),
    ],
)
def test_contradictions_are_refused_at_first_use(points, use, options, words):
    with pytest.raises(ValueError, match=words):
        getattr(SphericalHarmonicsEncoder(5, **options), use)(points)


def test_satclip_columns_have_no_covariance_by_distance():
    with pytest.raises(ValueError, match="not a function of distance"):
        SphericalHarmonicsEncoder(5, convention="satclip").covariance(100.0)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"spectrum": "rbf"}, "spectrum"),
        ({"nu": 0}, "nu"),
        ({"length_scale": -1.0}, "length_scale"),
    ],
)
def test_invalid_parameters_are_refused_by_name(points, parameters, words):
    with pytest.raises(ValueError, match=f"'{words}' parameter of SphericalHarmonicsEncoder"):
        SphericalHarmonicsEncoder(**parameters).fit(points)


def test_a_degree_too_low_for_the_field_is_told_once_and_measured(points):
    encoder = SphericalHarmonicsEncoder(10, spectrum="matern", length_scale=200.0)
    with pytest.warns(SpectrumWarning, match=r"degree=10\) leaves out 94% .*length_scale=200 km"):
        encoder.fit(points)
    l = np.arange(1_000_000)
    terms = (2 * l + 1) * (1 + l * (l + 1) * (200 / RADIUS_KM) ** 2 / 3) ** -2.5
    assert_allclose(encoder.variance_left_out_, terms[11:].sum() / terms.sum(), rtol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.set_params(degree=200).fit(points)
        assert encoder.variance_left_out_ < 0.02
        assert SphericalHarmonicsEncoder(10, spectrum="power").fit(points).variance_left_out_ == 0
        encoder.set_params(degree=10).transform(points)


@pytest.mark.parametrize(
    ("nu", "degree_of_circumference", "degree_of_half"),
    [(0.5, 0.16, 0.30), (1.5, 0.02, 0.11), (2.5, 0.004, 0.06), (1e9, 0.0, 0.01)],
)
def test_rule_of_thumb_for_the_degree(nu, degree_of_circumference, degree_of_half):
    # The figures of the docstring.
    for kilometres, expected in ((40_000, degree_of_circumference), (20_000, degree_of_half)):
        encoder = SphericalHarmonicsEncoder(
            kilometres // 500, spectrum="matern", nu=nu, length_scale=500.0
        )
        left_out = encoder.fit([[0.0, 0.0]]).variance_left_out_
        assert_allclose(left_out, expected, atol=0.005 if expected > 0.005 else 0.0005)
