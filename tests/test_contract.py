"""The input contract of every transformer that reads longitude and latitude."""

import copy
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import geopandas as gpd
import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import shapely
import sklearn
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from geofeat import EmbeddingRasterSampler, all_transformers
from geofeat.embedders._network_embedder import NetworkEmbedder
from geofeat.exceptions import CoordinateWarning, CoverageWarning, VersionWarning
from tests.examples import examples_of, is_location_transformer


def ready(transformer):
    """A clone that can transform; fitted on geometries, it fixes no number of columns."""
    transformer = clone(transformer)
    if sklearn.utils.get_tags(transformer).requires_fit:
        transformer.fit(gpd.GeoSeries.from_xy([0.5, 5.5], [50.5, 51.5], crs="EPSG:4326"))
    return transformer


LOCATION_TRANSFORMERS = [
    ready(example)
    for name, kind in all_transformers()
    for example in examples_of(name, kind)
    if is_location_transformer(example)
]


@pytest.fixture(params=LOCATION_TRANSFORMERS, ids=repr)
def transformer(request):
    return ready(request.param)


@pytest.fixture
def inner_points():
    """Points that lie well inside the cells of the one degree world raster."""
    rng = np.random.default_rng(3)
    lon = rng.integers(-179, 179, 40) + rng.uniform(0.2, 0.8, 40)
    lat = rng.integers(-89, 88, 40) + rng.uniform(0.2, 0.8, 40)
    return np.column_stack([lon, lat])


def frame_of(points):
    return pd.DataFrame(points, columns=["lon", "lat"])


def assert_same_rows(transformer, actual, expected):
    """Compare bit for bit, but what matrix products round by the size of the batch."""
    if not isinstance(transformer, NetworkEmbedder):
        assert_array_equal(actual, expected)
        return
    rounding = 1e-12 if np.asarray(actual).dtype == np.float64 else 1e-5
    assert_allclose(actual, expected, rtol=rounding, atol=rounding)


# Kinds of input ------------------------------------------------------------------------------


def same_points_as(points):
    """The same points in every container that is accepted."""
    frame = frame_of(points)
    padded = np.full((len(points), 5), 7.0)
    padded[:, :2] = points
    read_only = points.copy()
    read_only.flags.writeable = False
    unaligned = np.frombuffer(b"x" + points.tobytes(), dtype=np.uint8)[1:].view(np.float64)
    return {
        "list": points.tolist(),
        "fortran": np.asfortranarray(points),
        "strided": padded[:, :2],
        "extra columns": padded,
        "negative stride": points[::-1].copy()[::-1],
        "read-only": read_only,
        "big-endian": points.astype(">f8"),
        "unaligned": unaligned.reshape(points.shape),
        "longdouble": points.astype(np.longdouble),
        "object": points.astype(object),
        "decimal": np.array([[Decimal(str(v)) for v in row] for row in points], dtype=object),
        "masked": np.ma.masked_array(points),
        "pandas": frame,
        "pandas nullable": frame.astype("Float64"),
        "pandas arrow": frame.astype("float64[pyarrow]"),
        "pandas with text": frame.assign(species="oak"),
        "polars": pl.DataFrame({"lon": points[:, 0], "lat": points[:, 1]}),
        "polars with text": pl.DataFrame(
            {"lon": points[:, 0], "lat": points[:, 1], "species": ["oak"] * len(points)}
        ),
        "xarray": xr.DataArray(points, dims=("sample", "axis")),
        "tensor": torch.from_numpy(points.copy()),
        "GeoDataFrame": gpd.GeoDataFrame(
            {"species": "oak"},
            geometry=gpd.points_from_xy(*points.T),
            crs="EPSG:4326",
            index=range(len(points)),
        ),
        "GeoSeries": gpd.GeoSeries(gpd.points_from_xy(*points.T), crs="EPSG:4326"),
        "points with z": gpd.GeoSeries(
            gpd.points_from_xy(*points.T, z=np.ones(len(points))), crs="EPSG:4326"
        ),
        "other turn": points + np.array([360.0, 0.0]),
    }


KINDS = list(same_points_as(np.zeros((1, 2))))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_input_gives_the_same_features(transformer, inner_points, kind):
    X = same_points_as(inner_points)[kind]
    expected = transformer.transform(inner_points)
    for features in (transformer.transform(X), clone(transformer).fit(X).transform(X)):
        assert_allclose(features, expected, rtol=0, atol=1e-12)
        assert features.flags.c_contiguous
        assert features.dtype == expected.dtype


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.int16])
def test_integers_become_doubles(transformer, dtype):
    X = np.array([[5, 52], [100, 3]], dtype=dtype)
    assert_array_equal(transformer.transform(X), transformer.transform(X.astype(float)))


def test_float16_is_read_as_the_number_it_is(transformer):
    X = np.array([[5.25, 51.5], [100.5, 3.25]], dtype=np.float16)
    assert_array_equal(transformer.transform(X), transformer.transform(X.astype(float)))


def test_memory_map_is_read_and_never_written(transformer, inner_points, tmp_path):
    mapped = np.memmap(tmp_path / "points", dtype=float, mode="w+", shape=inner_points.shape)
    mapped[:] = inner_points
    features = transformer.transform(mapped)
    assert_array_equal(features, transformer.transform(inner_points))
    assert_array_equal(mapped, inner_points)


@pytest.mark.parametrize("epsg", [3857, 32631, 3035, 4258, 6933])
def test_projected_geometry_equals_its_geographic_twin(transformer, epsg):
    rng = np.random.default_rng(1)
    lonlat = np.column_stack([rng.integers(1, 6, 20) + 0.4, rng.integers(45, 60, 20) + 0.4])
    geographic = gpd.GeoSeries(gpd.points_from_xy(*lonlat.T), crs="EPSG:4326")
    features = transformer.transform(geographic.to_crs(epsg))
    assert_allclose(features, transformer.transform(lonlat), rtol=0, atol=1e-8)


def test_geometry_in_latitude_longitude_order_of_its_authority_is_still_lon_lat(transformer):
    """EPSG:4258 declares (lat, lon); geopandas stores x = lon all the same."""
    series = gpd.GeoSeries([shapely.Point(5.4, 52.4)], crs="EPSG:4258")
    assert_allclose(
        transformer.transform(series), transformer.transform([[5.4, 52.4]]), rtol=0, atol=1e-9
    )


# Missing and impossible coordinates ----------------------------------------------------------


def missing_in_row_one():
    """Containers whose row 1 has no coordinates, each in its own way."""
    frame = pd.DataFrame({"lon": [1.5, np.nan, 3.5], "lat": [10.5, 20.5, 30.5]})
    points = [shapely.Point(1.5, 10.5), None, shapely.Point(3.5, 30.5)]
    masked = np.ma.masked_array(
        [[1.5, 10.5], [5.5, 20.5], [3.5, 30.5]], mask=[[0, 0], [1, 0], [0, 0]]
    )
    return {
        "NaN": frame.to_numpy(),
        "latitude NaN": np.array([[1.5, 10.5], [2.5, np.nan], [3.5, 30.5]]),
        "None": np.array([[1.5, 10.5], [None, 20.5], [3.5, 30.5]], dtype=object),
        "pandas NA": np.array([[1.5, 10.5], [pd.NA, 20.5], [3.5, 30.5]], dtype=object),
        "masked": masked,
        "nullable": frame.astype("Float64"),
        "nullable integer": pd.DataFrame(
            {"lon": pd.array([1, None, 3], dtype="Int64"), "lat": [10.5, 20.5, 30.5]}
        ),
        "arrow": frame.convert_dtypes(dtype_backend="pyarrow"),
        "polars": pl.DataFrame({"lon": [1.5, None, 3.5], "lat": [10.5, 20.5, 30.5]}),
        "None geometry": gpd.GeoSeries(points, crs="EPSG:4326"),
        "empty geometry": gpd.GeoSeries([points[0], shapely.Point(), points[2]], crs="EPSG:4326"),
    }


@pytest.mark.parametrize("kind", list(missing_in_row_one()))
def test_a_missing_coordinate_makes_its_row_nan_without_a_word(transformer, kind):
    X = missing_in_row_one()[kind]
    features = transformer.transform(X)
    assert np.isnan(features[1]).all()
    lon = [1, 3] if kind == "nullable integer" else [1.5, 3.5]
    others = transformer.transform(np.column_stack([lon, [10.5, 30.5]]))
    assert_same_rows(transformer, features[[0, 2]], others)


@pytest.mark.parametrize("epsg", [28992, 3857, 32631, 3035, 2056, 27700])
def test_a_missing_geometry_is_nan_in_every_projection(transformer, epsg):
    points = gpd.GeoSeries([shapely.Point(5.4, 52.4)], crs="EPSG:4326").to_crs(epsg)
    X = gpd.GeoSeries([points[0], None, shapely.Point()], crs=points.crs)
    features = transformer.transform(X)
    assert np.isnan(features[1:]).all()
    assert_same_rows(transformer, features[0], transformer.transform(points)[0])


def test_impossible_latitude_is_nan_with_one_warning(transformer):
    X = np.array([[5.5, 52.5], [120.0, 91.0], [6.5, -90.5], [7.5, 90.0]])
    with pytest.warns(CoordinateWarning, match=r"2 of 4 rows \(1, 2\).*91 in row 1") as caught:
        features = transformer.transform(X)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert np.isnan(features[1:3]).all()
    assert_same_rows(transformer, features[0], transformer.transform(X[:1])[0])


@pytest.mark.parametrize(
    ("X", "hint"),
    [([[52.0, 120.0], [48.0, 100.0]], "swapped"), ([[5e5, 5.8e6], [4e5, 5e6]], "projected")],
)
def test_the_warning_guesses_the_cause(transformer, X, hint):
    with pytest.warns(CoordinateWarning, match=hint):
        transformer.transform(X)


@pytest.mark.parametrize("column", ["longitude", "latitude"])
@pytest.mark.parametrize("method", ["fit", "transform"])
def test_infinity_is_an_error_that_names_column_and_rows(transformer, column, method):
    X = np.zeros((10, 2))
    X[[3, 7], ["longitude", "latitude"].index(column)] = -np.inf
    with pytest.raises(ValueError, match=rf"inf as {column} in 2 of 10 rows \(3, 7\)"):
        getattr(transformer, method)(X)


@given(turns=st.integers(-5, 5), lon=st.floats(-180, 180, exclude_max=True), lat=st.floats(-90, 90))
@settings(max_examples=60, deadline=None)
def test_longitude_has_a_period_of_360_degrees(turns, lon, lat):
    for transformer in LOCATION_TRANSFORMERS:
        if np.abs(lon - np.round(lon)) < 1e-6 or np.abs(lat - np.round(lat)) < 1e-6:
            continue  # on the edge of a raster cell rounding decides
        X = np.array([[lon, lat], [lon + 360.0 * turns, lat]])
        here, there = transformer.transform(X)
        assert_allclose(there, here, rtol=0, atol=1e-11)


def test_both_names_of_the_antimeridian_give_one_answer(transformer):
    X = np.array([[180.0, 12.5], [-180.0, 12.5], [540.0, 12.5]])
    features = transformer.transform(X)
    assert_same_rows(transformer, features[0], features[1])
    assert_same_rows(transformer, features[0], features[2])
    assert not np.isnan(features).any()


@given(
    X=npst.arrays(
        st.sampled_from([np.float64, np.float32, np.int32, np.float16]),
        st.tuples(st.integers(1, 6), st.integers(2, 4)),
    )
)
@settings(max_examples=200, deadline=None)
def test_any_numbers_give_features_nan_or_the_error_about_infinity(X):
    lat = X[:, 1].astype(float)
    for transformer in LOCATION_TRANSFORMERS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CoordinateWarning)
            warnings.simplefilter("ignore", CoverageWarning)
            if np.isinf(X[:, :2]).any():
                with pytest.raises(ValueError, match="inf"):
                    transformer.transform(X)
                continue
            features = transformer.transform(X)
        missing = np.isnan(X[:, :2]).any(axis=1) | (np.abs(lat) > 90)
        if isinstance(transformer, EmbeddingRasterSampler):
            missing |= lat == -90  # an edge belongs to the cell below, which a world raster lacks
        assert_array_equal(np.isnan(features).any(axis=1), missing)
        assert np.isfinite(features[~missing]).all()


# Errors that say what came, what was expected, how to mend it -------------------------------


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([[1.0], [2.0]], ValueError, r"1 feature\(s\)"),
        (np.empty((3, 0)), ValueError, r"0 feature\(s\)"),
        (np.empty((0, 2)), ValueError, r"0 sample\(s\)"),
        ([1.0, 2.0], ValueError, "Expected 2D array, got 1D"),
        (np.zeros((2, 2, 2)), ValueError, "Expected 2D array, got 3D"),
        (np.float64(3.0), ValueError, "Expected 2D array, got 0D"),
        (np.zeros((2, 2), dtype=bool), TypeError, "longitude column.*booleans"),
        ([["5.5", "52.5"]], TypeError, "longitude column.*text"),
        (np.array([[b"5", b"52"]]), TypeError, "longitude column.*bytes"),
        (np.zeros((2, 2), dtype="M8[ns]"), TypeError, "longitude column.*dates"),
        (np.zeros((2, 2), dtype="m8[s]"), TypeError, "longitude column.*time spans"),
        (np.zeros((2, 2), dtype=complex), ValueError, "Complex data not supported"),
        (sparse.csr_array(np.eye(3)), TypeError, "sparse.*toarray"),
        (np.array([[5.5, "52.5"]], dtype=object), TypeError, "latitude column.*'52.5'.*row 0"),
        (
            np.array([[5.5, 2.0], [{"a": 1}, 3.0]], dtype=object),
            TypeError,
            "row 1.*argument must be a string or a real number",
        ),
        (pd.DataFrame({"lon": [True], "lat": [2.0]}), TypeError, "longitude column.*booleans"),
        (
            pd.DataFrame({"lon": pd.array([True], dtype="boolean"), "lat": [2.0]}),
            TypeError,
            "longitude column.*booleans",
        ),
        (pd.DataFrame({"lon": ["5"], "lat": [2.0]}), TypeError, "longitude column.*'5'"),
        (
            pd.DataFrame({"lon": pd.to_datetime(["2020-01-01"]), "lat": [2.0]}),
            TypeError,
            "longitude column.*dates",
        ),
        (pl.DataFrame({"lon": ["5"], "lat": [2.0]}), TypeError, "longitude column.*'5'"),
        (pd.DataFrame({"lat": [1.0], "lon": [2.0]}), ValueError, "'lat', 'lon'.*swapped"),
        (pd.DataFrame({"Y": [1.0], "X": [2.0]}), ValueError, "'Y', 'X'.*swapped"),
        (pl.DataFrame({"Latitude": [1.0], "lng": [2.0]}), ValueError, "swapped"),
        (pd.DataFrame([[1.0, 2.0]], columns=["a", "a"]), ValueError, "duplicated.*a"),
        (torch.zeros(2, 2, requires_grad=True), TypeError, r"\.detach\(\)"),
        (torch.zeros(2, 2, dtype=torch.complex64), ValueError, "Complex"),
        (torch.zeros(2, 2, device="meta"), TypeError, "array_api_dispatch.*|SCIPY_ARRAY_API"),
        (xr.Dataset({"lon": ("i", [1.0])}), TypeError, "Dataset"),
        (gpd.GeoSeries([shapely.Point(1, 2)]), ValueError, "set_crs"),
        (
            gpd.GeoSeries([shapely.Point(1, 2), shapely.box(0, 0, 1, 1)], crs=4326),
            ValueError,
            "1 Polygon.*centroid.*representative_point",
        ),
        (
            gpd.GeoSeries([shapely.MultiPoint([(1, 2)])], crs=4326),
            ValueError,
            "1 MultiPoint",
        ),
        (gpd.GeoSeries([], crs=4326), ValueError, r"0 sample\(s\)"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "transform"])
def test_errors_name_the_fault(transformer, X, error, message, method):
    with pytest.raises(error, match=message):
        getattr(transformer, method)(X)


def test_a_failed_fit_keeps_the_old_one(transformer, inner_points):
    transformer.fit(inner_points)
    before = dict(vars(transformer))
    for bad in ([[np.inf, 0.0]], [[1.0]], np.zeros((2, 2), dtype=bool)):
        with pytest.raises((ValueError, TypeError)):
            transformer.fit(bad)
    assert vars(transformer).keys() == before.keys()
    assert_array_equal(transformer.bounds_, before["bounds_"])
    assert transformer.n_features_in_ == before["n_features_in_"]


def test_columns_must_be_those_of_fit(transformer, inner_points):
    transformer.fit(frame_of(inner_points).assign(height=1.0))
    with pytest.raises(ValueError, match=r"(?s)feature names.*unseen.*depth"):
        transformer.transform(frame_of(inner_points).assign(height=1.0, depth=1.0))
    with pytest.raises(ValueError, match="feature names"):
        transformer.transform(frame_of(inner_points).assign(depth=1.0))
    with (
        pytest.warns(UserWarning, match="does not have valid feature names"),
        pytest.raises(ValueError, match=r"X has 2 features, but .* is expecting 3"),
    ):
        transformer.transform(inner_points)


def test_a_fit_on_geometries_asks_for_no_columns_later(transformer, inner_points):
    gdf = gpd.GeoDataFrame(
        {"label": 1}, geometry=gpd.points_from_xy(*inner_points.T), crs=4326, index=range(40)
    )
    transformer.fit(frame_of(inner_points)).fit(gdf)
    assert not hasattr(transformer, "n_features_in_")
    expected = transformer.transform(inner_points)
    assert_array_equal(transformer.transform(gdf.geometry), expected)
    assert_array_equal(transformer.transform(gdf[["geometry"]]), expected)


def test_a_place_where_the_projection_is_undefined_is_nan_with_a_warning(transformer):
    series = gpd.GeoSeries.from_xy([5e5, 1e9], [5.8e6, 5.8e6], crs="EPSG:32631")
    with pytest.warns(CoordinateWarning, match=r"1 of 2 rows \(1\).*EPSG:32631"):
        features = transformer.transform(series)
    assert np.isnan(features[1]).all()
    assert not np.isnan(features[0]).any()


def test_degrees_labelled_as_metres_raise_a_warning(transformer):
    series = gpd.GeoSeries.from_xy([5.5, 6.5], [52.5, 51.5], crs="EPSG:32631")
    with pytest.warns(CoordinateWarning, match="look like degrees"):
        transformer.transform(series)


# Rows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_row_alone_equals_the_row_of_any_batch(transformer, dtype):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.uniform(-180, 180, 3000), rng.uniform(-90, 90, 3000)]).astype(dtype)
    batch = transformer.transform(X)
    for row in (0, 1, 15, 16, 17, 1234, 2999):
        assert_same_rows(transformer, transformer.transform(X[[row]])[0], batch[row])


def test_a_nan_row_leaves_the_others_untouched_bit_for_bit(transformer):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.uniform(-180, 180, 100), rng.uniform(-90, 90, 100)])
    whole = transformer.transform(X)
    X[[4, 50], [0, 1]] = np.nan
    holes = transformer.transform(X)
    kept = np.setdiff1d(np.arange(100), [4, 50])
    assert_array_equal(holes[kept], whole[kept])
    assert np.isnan(holes[[4, 50]]).all()


def test_chunks_hold_the_same_rows_in_one_buffer(transformer, inner_points):
    expected = transformer.transform(inner_points)
    addresses = set()
    seen = 0
    for rows, block in transformer.transform_chunks(inner_points, chunk_rows=7):
        assert_same_rows(transformer, block, expected[rows])
        addresses.add(block.__array_interface__["data"][0])
        seen += len(block)
    assert seen == len(expected)
    assert len(addresses) == 1


# State ---------------------------------------------------------------------------------------


def test_bounds_are_those_of_the_points(transformer):
    transformer.fit([[5.0, 80.0], [-10.0, 20.0], [np.nan, 85.0], [370.0, 10.0]])
    assert_allclose(transformer.bounds_, [-10.0, 10.0, 10.0, 80.0])


@pytest.mark.parametrize("copied", [copy.deepcopy, ready, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_give_equal_output(transformer, inner_points, copied):
    expected = transformer.fit(inner_points).transform(inner_points)
    assert_array_equal(copied(transformer).transform(inner_points), expected)


def test_joblib_dump_gives_equal_output(transformer, inner_points, tmp_path):
    joblib.dump(transformer.fit(inner_points), tmp_path / "t.joblib")
    again = joblib.load(tmp_path / "t.joblib")
    assert_array_equal(again.transform(inner_points), transformer.transform(inner_points))


def test_a_pickle_of_another_version_is_read_with_a_word(transformer):
    state = transformer.__getstate__() | {"_geofeat_version": "0.0.1"}
    with pytest.warns(VersionWarning, match=r"0\.0\.1"):
        clone(transformer).__setstate__(state)
    with pytest.raises(ValueError, match=r"state 99.*Upgrade"):
        clone(transformer).__setstate__(state | {"_geofeat_state": 99})


def test_transform_is_reentrant(transformer, inner_points):
    expected = transformer.fit(inner_points).transform(inner_points)
    before = dict(vars(transformer))
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: transformer.transform(inner_points), range(200)))
    assert all(np.array_equal(result, expected) for result in results)
    assert vars(transformer).keys() == before.keys()


# Array API and devices -----------------------------------------------------------------------


def array_api_transformers():
    return [t for t in LOCATION_TRANSFORMERS if sklearn.utils.get_tags(t).array_api_support]


@pytest.mark.parametrize("transformer", array_api_transformers(), ids=repr)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_tensors_in_tensors_out_and_equal_to_numpy(transformer, points, dtype):
    X = torch.from_numpy(points).to(dtype)
    with sklearn.config_context(array_api_dispatch=True):
        must_be_fitted = sklearn.utils.get_tags(transformer).requires_fit
        features = (clone(transformer).fit(X) if must_be_fitted else transformer).transform(X)
    assert isinstance(features, torch.Tensor)
    assert features.dtype == dtype
    atol = 1e-12 if dtype == torch.float64 else 5e-6
    assert_allclose(features.numpy(), transformer.transform(X.numpy()), rtol=0, atol=atol)


@pytest.mark.parametrize("transformer", array_api_transformers(), ids=repr)
def test_a_device_changes_where_not_what(transformer, inner_points):
    if "device" not in transformer.get_params():
        pytest.skip("follows X")
    on_cpu = clone(transformer).set_params(device="cpu")
    expected = transformer.transform(inner_points)
    for X in (inner_points, frame_of(inner_points), inner_points.tolist()):
        features = on_cpu.fit(X).transform(X)
        assert isinstance(features, np.ndarray)
        assert_allclose(features, expected, rtol=0, atol=1e-12)
    assert on_cpu.transform(inner_points.astype(np.float32)).dtype == np.float32
    with pytest.raises(ValueError, match="has no such device"):
        ready(on_cpu.set_params(device="cuda:77")).transform(inner_points)
