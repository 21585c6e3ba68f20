"""SphericalHarmonicsEncoder as a transformer."""

import pickle

import array_api_strict
import geopandas
import numba
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from geofeat import SphericalHarmonicsEncoder
from geofeat.exceptions import CoordinateWarning
from geofeat.kernels._spherical_harmonics import spherical_harmonics


@pytest.mark.parametrize(("key", "degree"), [("L10", 9), ("L40", 39)])
@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-13), (np.float32, 5e-6)])
def test_golden_numbers_are_met(golden, key, degree, dtype, atol):
    # float32 coordinates are themselves off by 4e-6 degrees; degree 39 makes 4e-6 of it.
    expected = golden[f"sh_exact_{key}"]
    X = golden["lonlat"][: len(expected)].astype(dtype)
    features = SphericalHarmonicsEncoder(degree).fit_transform(X)
    assert features.dtype == dtype
    assert features.flags.c_contiguous
    assert_allclose(features, expected, rtol=0, atol=atol)


def test_parameters_reach_the_kernel(points):
    encoder = SphericalHarmonicsEncoder(7, convention="satclip", degree_decay=0.5)
    lon, lat = (np.ascontiguousarray(axis) for axis in points.T)
    factors = tuple((1.0 + np.arange(8)) ** -0.5)
    expected = spherical_harmonics(lon, lat, 7, np, convention="satclip", degree_factors=factors)
    assert_allclose(encoder.transform(points), expected, rtol=0, atol=1e-13)
    assert not np.allclose(expected, SphericalHarmonicsEncoder(7).transform(points))


def test_column_names_tell_degree_and_order():
    encoder = SphericalHarmonicsEncoder(degree=3)
    names = encoder.get_feature_names_out()
    assert names[3 * 3 + 3 - 2] == "sh_l3_m-2"
    assert names.tolist() == [f"sh_l{l}_m{m}" for l in range(4) for m in range(-l, l + 1)]
    assert encoder.transform([[5.0, 50.0]]).shape == (1, names.size)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("degree", "n"), [(0, 3), (9, 30_001), (39, 1_003)])
def test_one_and_two_threads_and_any_slab_agree_bit_for_bit(degree, n, dtype, monkeypatch):
    rng = np.random.default_rng(degree)
    X = np.column_stack([rng.uniform(-180, 180, n), rng.uniform(-90, 90, n)]).astype(dtype)
    encoder = SphericalHarmonicsEncoder(degree)
    try:
        numba.set_num_threads(1)
        alone = encoder.transform(X)
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    assert_array_equal(encoder.transform(X), alone)
    monkeypatch.setattr(SphericalHarmonicsEncoder, "_rows_per_slab", lambda self, dtype: 37)
    assert_array_equal(encoder.transform(X[:999]), alone[:999])
    for row in (0, n // 2, n - 1):
        assert_array_equal(encoder.transform(X[row : row + 1])[0], alone[row])


@pytest.mark.parametrize("chunk_rows", [None, 1, 100, 10_000])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_chunks_equal_the_whole(points, chunk_rows, dtype):
    X = points.astype(dtype)
    encoder = SphericalHarmonicsEncoder(12)
    whole = encoder.transform(X)
    covered = 0
    for rows, block in encoder.transform_chunks(X, chunk_rows=chunk_rows):
        assert rows.start == covered
        assert block.dtype == dtype
        assert_array_equal(block, whole[rows])
        covered = rows.stop
    assert covered == len(X)


@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-12), (np.float32, 3e-7)])
def test_device_cpu_gives_the_same_numbers_in_the_kind_of_x(points, dtype, atol):
    X = points.astype(dtype)
    expected = SphericalHarmonicsEncoder(20).transform(X)
    features = SphericalHarmonicsEncoder(20, device="cpu").transform(X)
    assert isinstance(features, np.ndarray)
    assert features.dtype == dtype
    assert_allclose(features, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("device", [None, "cpu"])
def test_tensors_give_tensors(points, device):
    expected = SphericalHarmonicsEncoder(20).transform(points)
    with config_context(array_api_dispatch=True):
        encoder = SphericalHarmonicsEncoder(20, device=device)
        for X in (torch.from_numpy(points), array_api_strict.asarray(points)):
            features = encoder.fit_transform(X)
            assert type(features) is type(X)
            assert features.dtype == X.dtype
            assert_allclose(np.asarray(features), expected, rtol=0, atol=1e-12)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_the_same_numbers(points):
    expected = SphericalHarmonicsEncoder(39).transform(points)
    features = SphericalHarmonicsEncoder(39, device="cuda").transform(points)
    assert isinstance(features, np.ndarray)
    assert_allclose(features, expected, rtol=0, atol=1e-12)


def test_frames_and_projected_geometries_give_the_same_features(points):
    inside = points[np.abs(points[:, 1]) < 80]
    encoder = SphericalHarmonicsEncoder(6)
    expected = encoder.transform(inside)
    frame = pd.DataFrame({"lon": inside[:, 0], "lat": inside[:, 1], "species": "oak"})
    assert_array_equal(encoder.transform(frame), expected)
    places = geopandas.GeoSeries.from_xy(*inside.T, crs="EPSG:4326")
    assert_allclose(encoder.transform(places.to_crs("EPSG:6933")), expected, atol=1e-9)


def test_missing_and_impossible_rows_are_nan_and_touch_no_other(points):
    encoder = SphericalHarmonicsEncoder(11)
    whole = encoder.transform(points)
    holed = points.copy()
    holed[5, 0], holed[6, 1], holed[20, 1] = np.nan, np.nan, 91.0
    with pytest.warns(CoordinateWarning, match=r"1 of 211 rows \(20\)"):
        features = encoder.transform(holed)
    touched = [5, 6, 20]
    assert np.isnan(features[touched]).all()
    assert_array_equal(np.delete(features, touched, 0), np.delete(whole, touched, 0))


@given(lon=st.floats(-180, 180), lat=st.floats(-90, 90), turns=st.integers(-3, 3))
@settings(max_examples=60, deadline=None)
def test_a_full_turn_changes_nothing(lon, lat, turns):
    encoder = SphericalHarmonicsEncoder(8)
    here, there = encoder.transform([[lon, lat], [lon + 360.0 * turns, lat]])
    assert_allclose(there, here, rtol=0, atol=1e-12)


def test_a_smooth_field_is_a_linear_function_of_the_features(points):
    lon, lat = np.radians(points).T
    field = np.sin(lat) ** 3 + np.cos(lat) ** 2 * np.cos(2 * lon)  # degree 3 exactly
    model = make_pipeline(SphericalHarmonicsEncoder(3), Ridge(1e-12)).fit(points, field)
    assert_allclose(model.predict(points), field, atol=1e-9)


def test_pickles_and_clones_are_small_and_equal(points):
    encoder = SphericalHarmonicsEncoder(60, convention="geodesy").fit(points)
    encoder.transform(points)
    pickled = pickle.dumps(encoder)
    assert len(pickled) < 1000
    assert_array_equal(pickle.loads(pickled).transform(points), encoder.transform(points))
    assert clone(encoder).get_params() == encoder.get_params()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"degree": -1}, "degree"),
        ({"degree": 701}, "degree"),
        ({"degree": 2.5}, "degree"),
        ({"convention": "quantum"}, "convention"),
        ({"degree_decay": -0.1}, "degree_decay"),
        ({"device": 3}, "device"),
    ],
)
def test_invalid_parameters_are_refused_by_name(points, parameters, words):
    with pytest.raises(ValueError, match=f"'{words}' parameter of SphericalHarmonicsEncoder"):
        SphericalHarmonicsEncoder(**parameters).transform(points)


def test_an_absent_device_is_named(points):
    with pytest.raises(ValueError, match=r"device='cuda:99'.*no such device"):
        SphericalHarmonicsEncoder(3, device="cuda:99").transform(points)
