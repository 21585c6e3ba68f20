"""RandomFourierFeatures: exact kernels, unbiased features, laws of their error, the contract."""

import pickle

import array_api_strict
import geopandas as gpd
import mpmath
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import settings as tried
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import eval_legendre
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.gaussian_process.kernels import Matern
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import laplacian_kernel, rbf_kernel
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from geofeat import CartesianEncoder, RandomFourierFeatures
from geofeat.exceptions import SpectrumWarning

RADIUS_KM = 6371.0088
PLANE_KERNELS = ["rbf", "laplace", "matern", "cauchy"]
SPHERE_KERNELS = ["sphere-matern", "sphere-heat"]
SCHEMES = ["iid", "orthogonal", "qmc"]
MAPPINGS = ["cos", "cos-sin", "tancik"]


@pytest.fixture
def plane():
    return np.random.default_rng(11).uniform(0, 4, (60, 2))


@pytest.fixture
def globe():
    rng = np.random.default_rng(12)
    lat = np.degrees(np.arcsin(rng.uniform(-1, 1, 60)))
    return np.column_stack([rng.uniform(-180, 180, 60), lat])


def mean_error(X, repetitions=12, **settings):
    """Mean absolute error of the kernel matrix off its diagonal, over draws."""
    errors = []
    for seed in range(repetitions):
        waves = RandomFourierFeatures(random_state=seed, **settings).fit(X)
        features = waves.transform(X)
        off = ~np.eye(len(X), dtype=bool)
        errors.append(np.abs(features @ features.T - waves.kernel_(X))[off].mean())
    return np.mean(errors)


# Exact kernels -------------------------------------------------------------------------------


def test_kernels_of_the_plane_are_those_of_scikit_learn(plane):
    Y = plane[:7] + 0.3
    for kernel, nu, expected in (
        ("rbf", 1.5, rbf_kernel(plane, Y, gamma=1 / (2 * 0.8**2))),
        ("laplace", 1.5, laplacian_kernel(plane, Y, gamma=1 / 0.8)),
        ("matern", 0.5, Matern(0.8, nu=0.5)(plane, Y)),
        ("matern", 2.5, Matern(0.8, nu=2.5)(plane, Y)),
    ):
        waves = RandomFourierFeatures(8, kernel=kernel, nu=nu, length_scale=0.8).fit(plane)
        assert_allclose(waves.kernel_(plane, Y), expected, rtol=0, atol=1e-13)
        assert_array_equal(np.diag(waves.kernel_(plane)), 1.0)


def test_matern_in_the_plane_is_isotropic_not_a_product():
    X = [[0.0, 0.0], [0.7, 0.7]]
    waves = RandomFourierFeatures(8192, kernel="matern", scheme="qmc", random_state=0).fit(X)
    assert waves.kernel_(X)[0, 1] == pytest.approx(0.489, abs=5e-4)
    features = waves.transform(X)
    assert features[0] @ features[1] == pytest.approx(0.489, abs=0.003)  # the product is 0.433


def test_kernels_on_the_sphere_know_straight_distances(globe):
    xyz = CartesianEncoder().transform(globe) * RADIUS_KM
    for kernel, expected in (
        ("rbf", rbf_kernel(xyz, gamma=1 / (2 * 3000.0**2))),
        ("laplace", laplacian_kernel(xyz, gamma=1 / 3000.0)),
        ("matern", Matern(3000.0, nu=1.5)(xyz)),
    ):
        waves = RandomFourierFeatures(8, kernel=kernel, space="sphere", length_scale=3000.0)
        assert_allclose(waves.fit(globe).kernel_(globe), expected, rtol=0, atol=1e-12)


def sphere_series(kernel, angle, kappa, nu):
    """The kernel of the sphere by its series, in many digits, normalised."""
    with mpmath.workdps(30):
        above = below = mpmath.mpf(0)
        for n in range(400):
            edge = mpmath.mpf(n) * (n + 1)
            if kernel == "sphere-heat":
                s = mpmath.exp(-(mpmath.mpf(kappa) ** 2) * edge / 2)
            else:
                s = (2 * nu / mpmath.mpf(kappa) ** 2 + edge) ** (-nu - 1)
            above += (2 * n + 1) * s * mpmath.legendre(n, mpmath.cos(angle))
            below += (2 * n + 1) * s
        return float(above / below)


@pytest.mark.parametrize("angle", [0.01, 0.5, 3.0])
@pytest.mark.parametrize(("kernel", "nu"), [("sphere-heat", 1.5), ("sphere-matern", 3.5)])
def test_kernels_of_the_sphere_are_their_series(kernel, nu, angle):
    X = [[0.0, 0.0], [np.degrees(angle), 0.0]]
    waves = RandomFourierFeatures(
        8, kernel=kernel, nu=nu, space="sphere", length_scale=0.4 * RADIUS_KM
    ).fit(X)
    expected = sphere_series(kernel, angle, 0.4, nu)
    assert waves.kernel_(X)[0, 1] == pytest.approx(expected, abs=1e-8)
    assert waves.kernel_(X)[0, 0] == pytest.approx(1.0, abs=1e-13)


def test_matern_of_the_sphere_counts_the_orders_of_a_degree():
    """0.70 is what leaving out the factor 2n + 1 gives."""
    X = [[0.0, 0.0], [0.0, np.degrees(0.5)]]
    waves = RandomFourierFeatures(
        8192,
        kernel="sphere-matern",
        space="sphere",
        length_scale=0.4 * RADIUS_KM,
        scheme="qmc",
        random_state=0,
    ).fit(X)
    assert waves.kernel_(X)[0, 1] == pytest.approx(0.376, abs=5e-4)  # 0.378 up to degree 23
    features = waves.transform(X)
    assert features[0] @ features[1] == pytest.approx(0.376, abs=0.01)


def test_the_kernel_of_tancik_is_narrower_and_not_scaled(plane):
    waves = RandomFourierFeatures(40, mapping="tancik", length_scale=5.0).fit(plane)
    expected = 20 * rbf_kernel(plane, gamma=(2 * np.pi) ** 2 / (2 * 25))
    assert_allclose(waves.kernel_(plane), expected, rtol=0, atol=1e-12)


# Features ------------------------------------------------------------------------------------


def test_golden_numbers_of_a_published_encoder(golden):
    waves = RandomFourierFeatures(22, mapping="tancik").fit(golden["rff_X"])
    waves.weights_ = golden["rff_B"]
    assert_allclose(waves.transform(golden["rff_X"]), golden["rff_gaussian"], rtol=0, atol=1e-12)


def test_columns_are_their_formulas(plane, globe):
    for space, X, points in (
        ("plane", plane, plane),
        ("sphere", globe, CartesianEncoder().transform(globe)),
    ):
        for mapping in MAPPINGS:
            waves = RandomFourierFeatures(
                12, space=space, length_scale=2000.0 if space == "sphere" else 1.0, mapping=mapping
            ).fit(X)
            angles = points @ waves.weights_.T
            if mapping == "cos":
                expected = np.sqrt(2 / 12) * np.cos(angles + waves.phases_)
            else:
                angles = angles * (2 * np.pi if mapping == "tancik" else 1)
                expected = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
                expected *= 1 if mapping == "tancik" else np.sqrt(1 / 6)
            assert_allclose(waves.transform(X), expected, rtol=0, atol=1e-12)


def test_zonal_columns_are_their_formula(globe):
    waves = RandomFourierFeatures(
        20, kernel="sphere-heat", space="sphere", length_scale=1000.0, random_state=3
    ).fit(globe)
    heights = CartesianEncoder().transform(globe) @ waves.weights_.T
    expected = np.sqrt((2 * waves.degrees_ + 1) / 20) * eval_legendre(waves.degrees_, heights)
    assert waves.degrees_.max() > 5
    assert_allclose(waves.transform(globe), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    ("kernel", "mapping"),
    [(kernel, mapping) for kernel in PLANE_KERNELS for mapping in MAPPINGS]
    + [(kernel, "cos") for kernel in SPHERE_KERNELS],
)
def test_dot_products_are_the_kernel_on_average(plane, globe, kernel, mapping, scheme):
    if kernel == "laplace" and scheme == "orthogonal":
        return  # refused, see below
    sphere = kernel in SPHERE_KERNELS
    X, scale = (globe[:20], 4000.0) if sphere else (plane[:20], 5.0 if mapping == "tancik" else 1.0)
    products = []
    for seed in range(40):
        waves = RandomFourierFeatures(
            32,
            kernel=kernel,
            mapping=mapping,
            scheme=scheme,
            length_scale=scale,
            space="sphere" if sphere else "plane",
            random_state=seed,
        ).fit(X)
        features = waves.transform(X)
        products.append(features @ features.T)
    exact = waves.kernel_(X)
    deviation = np.std(products, axis=0) / np.sqrt(40)
    # 190 pairs, each within 5 deviations of the mean of 40 draws; 1e-9 where there are none.
    assert np.all(np.abs(np.mean(products, axis=0) - exact) < 5 * deviation + 1e-9 * exact.max())


@pytest.mark.parametrize(("kernel", "mapping"), [("rbf", "cos"), ("matern", "cos-sin")])
def test_the_error_falls_as_the_root_of_the_number_of_columns(plane, kernel, mapping):
    few, many = (
        mean_error(plane, n_components=n, kernel=kernel, mapping=mapping) for n in (64, 1024)
    )
    assert few / many == pytest.approx(4.0, rel=0.2)
    # A product of two features has variance of at most 2 / n for cosines with phases.
    assert many < np.sqrt(2 / 1024)


def test_the_error_of_zonal_functions_falls_likewise(globe):
    settings = {"kernel": "sphere-matern", "space": "sphere", "length_scale": 3000.0}
    few, many = (mean_error(globe, n_components=n, **settings) for n in (64, 1024))
    assert few / many == pytest.approx(4.0, rel=0.2)


@pytest.mark.parametrize(
    ("settings", "scheme", "gain"),
    [
        ({"kernel": "rbf"}, "orthogonal", 6),
        ({"kernel": "rbf"}, "qmc", 6),
        ({"kernel": "rbf", "mapping": "cos-sin"}, "orthogonal", 6),
        ({"kernel": "rbf", "mapping": "cos-sin"}, "qmc", 6),
        ({"kernel": "matern", "nu": 0.5, "mapping": "cos-sin"}, "orthogonal", 2),
        ({"kernel": "laplace"}, "qmc", 2),
        ({"kernel": "cauchy"}, "qmc", 4),
    ],
)
def test_even_draws_beat_independent_ones_in_the_plane(plane, settings, scheme, gain):
    independent = mean_error(plane, n_components=512, **settings)
    assert mean_error(plane, n_components=512, scheme=scheme, **settings) < independent / gain


@pytest.mark.parametrize("kernel", ["rbf", "sphere-heat"])
def test_even_draws_beat_independent_ones_on_the_sphere(globe, kernel):
    settings = {"kernel": kernel, "space": "sphere", "length_scale": 3000.0, "n_components": 512}
    independent = mean_error(globe, **settings)
    assert mean_error(globe, scheme="qmc", **settings) < independent / 3
    assert mean_error(globe, scheme="orthogonal", **settings) < independent / 1.5


@given(
    n=st.integers(1, 40),
    scheme=st.sampled_from(SCHEMES),
    kernel=st.sampled_from(["rbf", "matern", "cauchy"]),
    dimensions=st.integers(1, 5),
    paired=st.booleans(),
    seed=st.integers(0, 2**31),
)
@tried(max_examples=60, deadline=None)
def test_points_have_unit_length_where_waves_come_in_pairs(
    n, scheme, kernel, dimensions, paired, seed
):
    X = np.random.default_rng(seed).normal(size=(5, dimensions))
    waves = RandomFourierFeatures(
        2 * n,
        kernel=kernel,
        scheme=scheme,
        mapping="cos-sin" if paired else "cos",
        random_state=seed,
    )
    features = waves.fit_transform(X)
    assert features.shape == (5, 2 * n)
    if paired or scheme != "iid":
        assert_allclose(np.square(features).sum(axis=1), 1, rtol=0, atol=1e-9)


def test_an_odd_number_of_cosines_is_one_frequency_without_partner(plane):
    waves = RandomFourierFeatures(7, scheme="qmc", random_state=0).fit(plane)
    assert waves.transform(plane).shape == (60, 7)
    assert_array_equal(waves.weights_[0], waves.weights_[1])
    assert not np.array_equal(waves.weights_[5], waves.weights_[6])


# Draws and state -----------------------------------------------------------------------------


def test_a_seed_fixes_the_draws_whatever_the_dtype_and_the_values(plane):
    waves = RandomFourierFeatures(16, random_state=5)
    first, second = clone(waves).fit(plane), clone(waves).fit((plane + 3).astype(np.float32))
    assert_array_equal(first.weights_, second.weights_)
    assert_array_equal(first.phases_, second.phases_)
    other = RandomFourierFeatures(16, random_state=6).fit(plane)
    assert not np.allclose(first.weights_, other.weights_)
    shared = np.random.RandomState(5)
    draws = [RandomFourierFeatures(16, random_state=shared).fit(plane).weights_ for _ in range(2)]
    assert not np.allclose(*draws)
    assert not np.array_equal(*(RandomFourierFeatures(16).fit(plane).weights_ for _ in range(2)))


def test_unfitted_raises(plane):
    waves = RandomFourierFeatures()
    for call in (waves.transform, waves.kernel_, waves.get_feature_names_out):
        with pytest.raises(NotFittedError):
            call(plane) if call != waves.get_feature_names_out else call()


def test_float32_is_the_rounded_double(plane, globe):
    for space, X in (("plane", plane), ("sphere", globe)):
        X = X.astype(np.float32)
        waves = RandomFourierFeatures(
            16, space=space, length_scale=100.0 if space == "sphere" else 0.1, random_state=0
        ).fit(X)
        features = waves.transform(X)
        assert features.dtype == np.float32
        assert_allclose(features, waves.transform(X.astype(np.float64)), rtol=0, atol=4e-8)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_huge_coordinates_keep_the_kernel(mapping):
    """Metres of a projection with a length scale of one metre: phases of millions of radians."""
    rng = np.random.default_rng(2)
    X = rng.uniform(0, 3, (30, 2))
    settings = {"mapping": mapping, "scheme": "qmc", "random_state": 0, "n_components": 512}
    scale = 6.0 if mapping == "tancik" else 1.0
    waves = RandomFourierFeatures(length_scale=scale, **settings).fit(X)
    products = [f @ f.T for f in (waves.transform(X), waves.transform(X + 5e6))]
    # A coordinate of 5e6 is known to 5e-10, which the sum of 512 products averages.
    assert_allclose(products[1], products[0], rtol=0, atol=3e-7 if mapping == "tancik" else 2e-9)


def test_missing_and_infinite_values_in_the_plane(plane):
    waves = RandomFourierFeatures(6, random_state=0).fit(plane)
    expected = waves.transform(plane)
    plane[4, 1] = np.nan
    features = waves.transform(plane)
    assert np.isnan(features[4]).all()
    assert_array_equal(np.delete(features, 4, axis=0), np.delete(expected, 4, axis=0))
    assert np.isnan(waves.kernel_(plane)[4]).all()
    plane[4, 1] = np.inf
    for method in (waves.transform, waves.fit):
        with pytest.raises(ValueError, match="infinity"):
            method(plane)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_row_alone_equals_the_row_of_any_batch(dtype):
    X = np.random.default_rng(0).normal(size=(3000, 3)).astype(dtype)
    X[[1, 1234]] *= 1e9
    for settings in ({}, {"mapping": "cos-sin"}):
        waves = RandomFourierFeatures(62, random_state=0, **settings).fit(X)
        batch = waves.transform(X)
        for row in (0, 1, 7, 8, 1234, 2999):
            assert_array_equal(waves.transform(X[[row]])[0], batch[row])


@pytest.mark.parametrize("xp", [torch, array_api_strict], ids=lambda xp: xp.__name__)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"mapping": "tancik", "scheme": "qmc"},
        {"space": "sphere", "length_scale": 500.0},
        {"space": "sphere", "length_scale": 2000.0, "kernel": "sphere-matern"},
    ],
    ids=str,
)
def test_other_namespaces_give_numpys_numbers(globe, xp, settings):
    waves = RandomFourierFeatures(20, random_state=0, **settings)
    X = globe / 10
    expected = waves.fit(X).transform(X)
    exact = waves.kernel_(X)
    with config_context(array_api_dispatch=True):
        tensors = xp.asarray(X)
        features = clone(waves).fit(tensors).transform(tensors)
        assert_allclose(waves.fit(tensors).kernel_(tensors), exact, rtol=0, atol=1e-12)
        assert isinstance(waves.weights_, type(tensors))
        for rows, block in waves.transform_chunks(tensors, chunk_rows=16):
            assert_allclose(block, expected[rows], rtol=0, atol=1e-12)
        with pytest.raises(ValueError, match="same namespace"):
            waves.transform(X)
    assert isinstance(features, type(tensors))
    assert_allclose(np.asarray(features), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kernel", ["rbf", "sphere-heat"])
def test_tensors_of_many_slabs_give_numpys_numbers(kernel):
    """Slabs run on threads, which do not see scikit-learn's setting."""
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.uniform(-180, 180, 30_000), rng.uniform(-90, 90, 30_000)])
    waves = RandomFourierFeatures(
        200, kernel=kernel, space="sphere", length_scale=3000.0, random_state=0
    )
    expected = waves.fit(X).transform(X)
    with config_context(array_api_dispatch=True):
        features = waves.fit(torch.from_numpy(X)).transform(torch.from_numpy(X))
    assert_allclose(features.numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("space", ["plane", "sphere"])
def test_a_device_changes_where_not_what(globe, space):
    waves = RandomFourierFeatures(20, space=space, length_scale=1000.0, random_state=0).fit(globe)
    on_cpu = clone(waves).set_params(device="cpu").fit(globe)
    assert_allclose(on_cpu.transform(globe), waves.transform(globe), rtol=0, atol=1e-12)


def test_copies_and_pickles_give_equal_output_and_are_small(plane):
    waves = RandomFourierFeatures(32, random_state=0).fit(plane)
    expected = waves.transform(plane)
    pickled = pickle.dumps(waves)
    assert len(pickled) < 2 * 32 * 3 * 8 + 1000
    assert_array_equal(pickle.loads(pickled).transform(plane), expected)
    assert_array_equal(clone(waves).fit(plane).transform(plane), expected)


def test_columns_of_the_plane_are_counted_and_named(plane):
    frame = pd.DataFrame(plane, columns=["easting", "northing"])
    waves = RandomFourierFeatures(4, mapping="cos-sin", random_state=0).fit(frame)
    assert waves.get_feature_names_out().tolist() == [
        "rff_cos0",
        "rff_cos1",
        "rff_sin0",
        "rff_sin1",
    ]
    assert waves.feature_names_in_.tolist() == ["easting", "northing"]
    named = waves.set_output(transform="pandas").transform(frame)
    assert named.columns.tolist() == waves.get_feature_names_out().tolist()
    with (
        pytest.warns(UserWarning, match="valid feature names"),
        pytest.raises(ValueError, match="3 features"),
    ):
        waves.transform(np.zeros((2, 3)))
    assert RandomFourierFeatures(2).fit(plane).get_feature_names_out().tolist() == ["rff0", "rff1"]


def test_read_only_and_reordered_columns_are_read_and_not_written(plane):
    expected = RandomFourierFeatures(8, random_state=0).fit_transform(plane)
    read_only = plane.copy()
    read_only.flags.writeable = False
    for X in (read_only, np.asfortranarray(plane), plane.astype(">f8"), plane.tolist()):
        assert_array_equal(RandomFourierFeatures(8, random_state=0).fit_transform(X), expected)
    assert_array_equal(read_only, plane)


# Wrong parameters ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_components": 7, "mapping": "cos-sin"}, "n_components=7 must be even"),
        ({"n_components": 7, "mapping": "tancik"}, "n_components=7 must be even"),
        ({"kernel": "sphere-matern"}, "needs space='sphere'"),
        (
            {"kernel": "sphere-heat", "space": "sphere", "mapping": "cos-sin"},
            "no mapping='cos-sin'",
        ),
        ({"kernel": "laplace", "scheme": "orthogonal"}, "matern.*nu=0.5"),
        ({"nu": 101.0}, "'nu' parameter"),
        ({"kernel": "gauss"}, "'kernel' parameter"),
    ],
)
def test_parameters_that_exclude_each_other_say_so(plane, settings, message):
    with pytest.raises(ValueError, match=message):
        RandomFourierFeatures(**settings).fit(plane)


def test_laplace_in_one_dimension_may_be_orthogonal():
    waves = RandomFourierFeatures(8, kernel="laplace", scheme="orthogonal", random_state=0)
    assert waves.fit_transform([[0.0], [1.0]]).shape == (2, 8)


def test_geometries_in_the_plane_are_told_the_two_ways():
    series = gpd.GeoSeries.from_xy([1.0, 2.0], [3.0, 4.0], crs="EPSG:3035")
    with pytest.raises(TypeError, match=r"get_coordinates.*space='sphere'"):
        RandomFourierFeatures().fit(series)


def test_a_length_scale_too_short_for_zonal_functions_warns(globe):
    waves = RandomFourierFeatures(4, kernel="sphere-matern", space="sphere", random_state=0)
    with pytest.warns(SpectrumWarning, match="degree 1000.*40 km"):
        waves.fit(globe)
    assert waves.variance_left_out_ > 0.9
    waves.set_params(length_scale=1000.0).fit(globe)
    assert waves.variance_left_out_ < 1e-4


# In scikit-learn -----------------------------------------------------------------------------


def test_ridge_on_the_columns_is_gaussian_process_regression(plane):
    from sklearn.gaussian_process import GaussianProcessRegressor

    y = np.sin(plane[:, 0]) * np.cos(plane[:, 1])
    grid = np.random.default_rng(0).uniform(0.5, 3.5, (50, 2))
    process = GaussianProcessRegressor(Matern(2.0, nu=2.5), optimizer=None, alpha=0.01).fit(
        plane, y
    )
    model = make_pipeline(
        RandomFourierFeatures(
            2048, kernel="matern", nu=2.5, length_scale=2.0, scheme="qmc", random_state=0
        ),
        Ridge(0.01, fit_intercept=False),
    ).fit(plane, y)
    assert_allclose(model.predict(grid), process.predict(grid), rtol=0, atol=0.03)


def test_grid_search_finds_the_length_scale_of_places(globe):
    y = CartesianEncoder().transform(globe)[:, 2] ** 2
    search = GridSearchCV(
        make_pipeline(RandomFourierFeatures(200, space="sphere", random_state=0), Ridge(1e-3)),
        {"randomfourierfeatures__length_scale": [50.0, 5000.0]},
        cv=3,
    ).fit(gpd.GeoSeries.from_xy(*globe.T, crs="EPSG:4326"), y)
    assert search.best_params_ == {"randomfourierfeatures__length_scale": 5000.0}
    assert search.best_score_ > 0.95
