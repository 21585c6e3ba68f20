"""Dask collections through every transformer: lazy, as the eager result, with true meta."""

import subprocess
import sys
import warnings

import dask
import dask.array as da
import dask.dataframe as dd
import dask_geopandas
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from geofeat import (
    CartesianEncoder,
    ClimplicitEmbedder,
    EmbeddingRasterSampler,
    FourierTimeEncoder,
    HarmonicFeatures,
    RandomFourierFeatures,
    SpaceTimeEncoder,
    SphericalHarmonicsEncoder,
    all_transformers,
)
from geofeat._threads import usable_threads
from geofeat.exceptions import CoverageWarning, TimesWarning
from tests.embedders import networks
from tests.examples import examples_of, is_location_transformer, world_raster

TRANSFORMERS = [example for name, kind in all_transformers() for example in examples_of(name, kind)]
every_transformer = pytest.mark.parametrize("transformer", TRANSFORMERS, ids=repr)
every_location_transformer = pytest.mark.parametrize(
    "transformer", [one for one in TRANSFORMERS if is_location_transformer(one)], ids=repr
)
# Columns of numbers are no series with dates; the words about it are tested below.
pytestmark = pytest.mark.filterwarnings("ignore::geofeat.exceptions.TimesWarning")

# Rows of four partitions, one of them empty.
BOUNDS = [0, 9, 9, 22, 40]
SIZES = [9, 0, 13, 18]


@pytest.fixture(autouse=True)
def in_this_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture
def table():
    """Forty rows: longitude, latitude, ten numbers."""
    rng = np.random.default_rng(3)
    lonlat = np.column_stack([rng.uniform(-180, 180, 40), rng.uniform(-80, 80, 40)])
    return np.hstack([lonlat, rng.uniform(0, 9, (40, 10))])


@pytest.fixture
def frame(table):
    """The same with names and an index."""
    names = ["lon", "lat", *(f"n{i}" for i in range(10))]
    return pd.DataFrame(table, columns=names, index=100 + 3 * np.arange(40))


@pytest.fixture
def plots(frame):
    points = gpd.points_from_xy(frame["lon"], frame["lat"], crs="EPSG:4326")
    return gpd.GeoDataFrame(frame[["n0"]], geometry=points).to_crs("EPSG:3857")


class Loads(list):
    """Partitions that have been computed."""

    def part(self, at, X):
        self.append(at)
        return X[BOUNDS[at] : BOUNDS[at + 1]]

    def array(self, X):
        """Of three chunks: concatenation leaves the empty one out."""
        return da.concatenate(
            [
                da.from_delayed(
                    dask.delayed(self.part, pure=False)(at, X), (rows, *X.shape[1:]), dtype=X.dtype
                )
                for at, rows in enumerate(SIZES)
            ]
        )

    def frame(self, X):
        # Not from_delayed: dask 2026.8 cannot turn what that makes into an array.
        return dd.from_map(self.part, range(4), X=X, meta=X.iloc[:0], enforce_metadata=False)


def tolerance(dtype):
    return 2e-6 if dtype == np.float32 else 1e-12


def fitted_state(transformer):
    return {
        name: value
        for name, value in vars(transformer).items()
        if name.endswith("_") and isinstance(value, int | float | np.ndarray | tuple)
    }


@every_transformer
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_arrays_are_encoded_lazily_and_as_if_at_once(transformer, dtype, table):
    X, loads = table.astype(dtype), Loads()
    expected = clone(transformer).fit(X).transform(X)
    fitted = clone(transformer).fit(loads.array(X))
    assert sorted(loads) in ([], [0, 2, 3])  # no partition twice
    loads.clear()
    features = fitted.transform(loads.array(X))
    assert not loads
    assert isinstance(features, da.Array)
    assert features.chunks == ((9, 13, 18), (expected.shape[1],))
    assert features.dtype == features._meta.dtype == expected.dtype
    computed = features.compute()
    assert sorted(loads) == [0, 2, 3]
    assert computed.dtype == expected.dtype
    assert np.isfinite(computed).all()
    assert_allclose(computed, expected, atol=tolerance(dtype), rtol=0)


@every_transformer
def test_fit_learns_of_partitions_what_it_learns_of_all_rows(transformer, table, frame):
    table[3, 1] = np.nan
    for X, lazy in ((table, Loads().array(table)), (frame, Loads().frame(frame))):
        expected = fitted_state(clone(transformer).fit(X))
        learned = fitted_state(clone(transformer).fit(lazy))
        assert learned.keys() == expected.keys()
        for name, value in expected.items():
            assert_array_equal(learned[name], value, err_msg=name)


@every_transformer
def test_frames_become_arrays_or_frames_lazily(transformer, frame):
    loads = Loads()
    fitted = clone(transformer).fit(frame)
    expected = fitted.transform(frame)
    features = fitted.transform(loads.frame(frame))
    assert not loads
    assert isinstance(features, da.Array)
    assert features.shape[1] == expected.shape[1]
    assert features.dtype == expected.dtype
    assert_allclose(features.compute(), expected, atol=tolerance(expected.dtype), rtol=0)
    loads.clear()
    fitted.set_output(transform="pandas")
    expected = fitted.transform(frame)
    features = fitted.transform(loads.frame(frame))
    assert not loads
    assert isinstance(features, dd.DataFrame)
    assert list(features.columns) == list(expected.columns)
    assert features.dtypes.equals(expected.dtypes)
    pd.testing.assert_frame_equal(features.compute(), expected, atol=1e-6)


@every_location_transformer
def test_geometries_are_reprojected_partition_by_partition(transformer, plots):
    for X in (plots, plots.geometry):
        loads = Loads()
        expected = clone(transformer).fit_transform(X)
        lazy = loads.frame(X)
        assert isinstance(lazy, dask_geopandas.GeoDataFrame | dask_geopandas.GeoSeries)
        fitted = clone(transformer).fit(X)
        features = fitted.transform(lazy)
        assert not loads
        assert isinstance(features, da.Array)
        assert_allclose(features.compute(), expected, atol=tolerance(expected.dtype), rtol=0)
        named = clone(transformer).set_output(transform="pandas").fit_transform(lazy)
        assert isinstance(named, dd.DataFrame)
        assert list(named.compute().index) == list(X.index)
        assert list(named.columns) == list(fitted.get_feature_names_out())


def test_divisions_and_names_stay(frame):
    X = dd.from_pandas(frame, npartitions=3)
    features = CartesianEncoder().set_output(transform="pandas").transform(X)
    assert features.divisions == X.divisions
    assert features.known_divisions


@every_transformer
def test_equal_work_has_an_equal_name_and_is_shared(transformer, frame, table):
    fitted = clone(transformer).fit(table)
    X = da.from_array(table, chunks=(10, 12))
    first, again = fitted.transform(X), fitted.transform(X)
    assert first.name == again.name
    assert fitted.transform(X + 1).name != first.name
    (optimized,) = dask.optimize(first)
    assert sum(str(key).startswith("geofeat-") for key in optimized.__dask_graph__()) == 1
    X = dd.from_pandas(frame, npartitions=3)
    fitted = clone(transformer).fit(frame).set_output(transform="pandas")
    named = fitted.transform(X)
    assert named._name == fitted.transform(X)._name
    (optimized,) = dask.optimize(named)
    assert sum("geofeat-" in str(key) for key in optimized.__dask_graph__()) == 1


def test_parameters_are_in_the_name_and_later_changes_are_not_in_the_work(table):
    X = da.from_array(table, chunks=(10, 12))
    encoder = CartesianEncoder(radius=1.0)
    unit = encoder.transform(X)
    encoder.set_params(radius=2.0)
    assert encoder.transform(X).name != unit.name
    assert_allclose(np.linalg.norm(unit.compute(), axis=1), 1.0)


def test_columns_in_several_chunks_and_rows_in_unknown_ones(table, frame):
    encoder = SphericalHarmonicsEncoder(degree=3)
    expected = encoder.transform(table)
    split = da.from_array(table, chunks=(7, 1))
    assert encoder.transform(split).chunks == ((7,) * 5 + (5,), (16,))
    assert_array_equal(encoder.transform(split).compute(), expected)
    unknown = dd.from_pandas(frame, npartitions=3).to_dask_array()
    assert np.isnan(unknown.shape[0])
    features = encoder.fit(unknown).transform(unknown)
    assert np.isnan(features.chunks[0]).all()
    assert_array_equal(features.compute(), expected)
    assert_array_equal(encoder.bounds_, clone(encoder).fit(table).bounds_)


def test_a_chunk_that_a_mask_emptied(table):
    encoder = SphericalHarmonicsEncoder(degree=3)
    kept = (np.arange(40) < 10) | (np.arange(40) >= 30)
    X = da.from_array(table, chunks=(10, 12))[da.from_array(kept, chunks=10)]
    assert_array_equal(encoder.fit_transform(X).compute(), encoder.transform(table[kept]))
    assert_array_equal(encoder.bounds_, clone(encoder).fit(table[kept]).bounds_)


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # dask's word to pandas
@pytest.mark.parametrize("n_files", [1, 2])
def test_files_are_read_and_encoded_in_one_task(n_files, frame, tmp_path):
    for at, rows in enumerate(np.array_split(np.arange(40), n_files)):
        frame.iloc[rows].to_parquet(tmp_path / f"{at}.parquet")
    X = dd.read_parquet(tmp_path)
    assert X.npartitions == n_files
    encoder = CartesianEncoder().fit(X)
    assert_array_equal(encoder.transform(X).compute(), encoder.transform(frame))
    encoder.set_output(transform="pandas")
    pd.testing.assert_frame_equal(encoder.transform(X).compute(), encoder.transform(frame))


def test_arrays_become_frames_where_frames_are_asked_for(table):
    encoder = CartesianEncoder().set_output(transform="pandas")
    features = encoder.transform(da.from_array(table, chunks=(10, 12)))
    assert isinstance(features, dd.DataFrame)
    pd.testing.assert_frame_equal(features.compute(), encoder.transform(table))
    with sklearn.config_context(transform_output="pandas"):
        features = CartesianEncoder().fit_transform(da.from_array(table, chunks=(10, 12)))
    pd.testing.assert_frame_equal(features.compute(scheduler="threads"), encoder.transform(table))


def test_series_of_bands_have_three_dimensions():
    times = np.arange("2020-01-01", "2022-01-01", 30, dtype="datetime64[D]")
    cube = np.random.default_rng(0).uniform(0, 1, (20, times.size, 2))
    harmonics = HarmonicFeatures(order=1, times=times)
    features = harmonics.fit_transform(da.from_array(cube, chunks=(6, 10, 1)))
    assert features.chunks == ((6, 6, 6, 2), (2 * 7,))
    assert_array_equal(features.compute(), harmonics.fit_transform(cube))


def test_series_without_dates_are_told_once_before_anything_is_computed(table):
    X = da.from_array(table, chunks=(10, 12))
    with pytest.warns(TimesWarning, match="neither times nor dates") as told:
        features = HarmonicFeatures(order=1).transform(X)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert features.compute().shape == features.shape == (40, 7)


def test_times_of_any_kind_and_their_span():
    dates = pd.Series(pd.date_range("2020-01-01", periods=40, freq="9D", tz="Asia/Tokyo"))
    frame = pd.DataFrame({"seen": dates, "text": dates.dt.strftime("%Y-%m-%d")})
    trend = FourierTimeEncoder(("year", "span"), kind="legendre")
    expected = trend.fit(frame).transform(frame)
    lazy = clone(trend).fit(dd.from_pandas(frame, npartitions=4))
    assert_array_equal(lazy.span_, trend.span_)
    assert_array_equal(lazy.transform(dd.from_pandas(frame, npartitions=4)).compute(), expected)
    # One time a partition is no span of its own, all of them are.
    column = frame[["seen"]].iloc[:3]
    single = FourierTimeEncoder("span", kind="legendre").fit(dd.from_pandas(column, npartitions=3))
    assert single.span_[1] - single.span_[0] == 18
    series = dd.from_pandas(frame["seen"], npartitions=2)
    assert_array_equal(
        FourierTimeEncoder().transform(series).compute(),
        FourierTimeEncoder().fit_transform(frame["seen"]),
    )


def test_places_with_dates_and_months_by_name(plots):
    plots["seen"] = pd.date_range("2020-01-01", periods=40, freq="11D")
    plots.loc[115, "seen"] = pd.NaT
    lazy = dask_geopandas.from_geopandas(plots, npartitions=3)
    encoder = SpaceTimeEncoder(CartesianEncoder(), combine="product")
    expected = encoder.fit(plots).transform(plots)
    assert np.isnan(expected[5]).all()
    assert_array_equal(clone(encoder).fit_transform(lazy).compute(), expected)
    assert_array_equal(encoder.transform(lazy).compute(), expected)
    monthly = ClimplicitEmbedder(month="seen", weights=networks.climplicit())
    assert_allclose(monthly.transform(lazy).compute(), monthly.transform(plots), atol=1e-12, rtol=0)


def test_the_sampler_takes_years_from_a_column_and_not_from_beside(frame):
    stack = world_raster().expand_dims(time=[2020, 2021]).copy()
    stack[1] += 10
    frame["year"] = np.where(np.arange(40) % 2, 2020, 2021)
    lazy = dd.from_pandas(frame, npartitions=3)
    sampler = EmbeddingRasterSampler(stack, year="year")
    expected = sampler.transform(frame)
    assert_array_equal(sampler.transform(lazy).compute(), expected)
    assert_array_equal(sampler.fit_transform(lazy).compute(), expected)
    several = EmbeddingRasterSampler(stack, year=[2020, 2021]).set_output(transform="pandas")
    assert list(several.transform(lazy).columns) == list(several.transform(frame).columns)
    with pytest.raises(ValueError, match="names no column of X"):
        EmbeddingRasterSampler(stack, year="when").transform(lazy)
    with pytest.raises(ValueError, match="put the years in a column"):
        EmbeddingRasterSampler(stack, year=frame["year"].to_numpy()).transform(lazy)


def test_polygons_are_summed_partition_by_partition(plots):
    within = plots.geometry.x.abs() < 1.9e7  # clear of the antimeridian
    areas = gpd.GeoDataFrame(geometry=plots.geometry[within].buffer(150_000))
    sampler = EmbeddingRasterSampler(world_raster(), zonal="mean", on_missing="nan")
    lazy = dask_geopandas.from_geopandas(areas, npartitions=3)
    assert_array_equal(sampler.transform(lazy).compute(), sampler.transform(areas))
    assert_array_equal(sampler.fit(lazy).bounds_, sampler.fit(areas).bounds_)
    assert_array_equal(sampler.transform(lazy).compute(), sampler.transform(areas))


def test_rows_without_a_value_are_told_where_they_are_computed(frame):
    sampler = EmbeddingRasterSampler(world_raster()[:, :90])  # the northern half
    features = sampler.transform(dd.from_pandas(frame, npartitions=2))
    with pytest.warns(CoverageWarning) as told:
        values = features.compute()
    assert len(told) == 2
    assert_array_equal(np.isnan(values[:, 0]), frame["lat"] < 0)


def test_a_partition_is_computed_by_one_thread(table, monkeypatch):
    used = []
    encode = CartesianEncoder._encode_slabs

    def spy(self, inputs, out):
        used.append(usable_threads())
        encode(self, inputs, out)

    monkeypatch.setattr(CartesianEncoder, "_encode_slabs", spy)
    X = da.from_array(table, chunks=(20, 12))
    for scheduler in ("synchronous", "threads"):
        CartesianEncoder().transform(X).compute(scheduler=scheduler)
    assert used == [1] * 4


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_schedulers_agree(scheduler, table):
    ours = [
        SphericalHarmonicsEncoder(degree=4),
        EmbeddingRasterSampler(world_raster()),
        RandomFourierFeatures(6, random_state=0).fit(table),
    ]
    X = da.from_array(table, chunks=(20, 12))
    computed = dask.compute(*(one.transform(X) for one in ours), scheduler=scheduler, num_workers=2)
    for one, features in zip(ours, computed, strict=True):
        assert_array_equal(features, one.transform(table))


def test_two_worker_processes_give_the_same_and_use_one_thread_each(frame, plots, table):
    from distributed import Client, LocalCluster

    encoder = SphericalHarmonicsEncoder(degree=4).set_output(transform="pandas")
    sampler = EmbeddingRasterSampler(world_raster())
    with (
        dask.config.set(scheduler=None),
        LocalCluster(
            n_workers=2, processes=True, threads_per_worker=1, dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        lazy = dd.from_pandas(frame, npartitions=4)
        features = encoder.fit(lazy).transform(lazy).compute()
        values = sampler.transform(dask_geopandas.from_geopandas(plots, npartitions=4)).compute()
        threads = client.submit(usable_threads, pure=False).result()
    pd.testing.assert_frame_equal(features, encoder.transform(frame))
    assert_array_equal(encoder.bounds_, clone(encoder).fit(frame).bounds_)
    assert_array_equal(values, sampler.transform(table))
    assert threads == 1


def test_a_pipeline_of_our_steps_stays_lazy(table):
    X = da.from_array(table, chunks=(10, 12))
    pipeline = make_pipeline(CartesianEncoder(), RandomFourierFeatures(8, random_state=0))
    features = pipeline.fit(table).transform(X)
    assert isinstance(features, da.Array)
    assert_array_equal(features.compute(), pipeline.transform(table))
    model = Ridge().fit(pipeline.transform(table), table[:, 0])
    predicted = features.map_blocks(model.predict, dtype=float, drop_axis=1)
    assert_allclose(predicted.compute(), model.predict(pipeline.transform(table)), atol=1e-9)


def test_transform_is_a_function_that_dask_can_map(table, plots):
    encoder = SphericalHarmonicsEncoder(degree=2)
    blocks = da.from_array(table, chunks=(15, 12)).map_blocks(
        encoder.transform, chunks=((15, 15, 10), (9,)), dtype=float
    )
    assert_array_equal(blocks.compute(scheduler="threads"), encoder.transform(table))
    named = clone(encoder).set_output(transform="pandas")
    lazy = dask_geopandas.from_geopandas(plots, npartitions=3)
    # Dask would try lines where it is not told what comes out.
    mapped = lazy.map_partitions(named.transform, meta=named.transform(plots).iloc[:0])
    pd.testing.assert_frame_equal(mapped.compute(), named.transform(plots))


def test_what_cannot_work_is_said_before_anything_is_computed(frame, table):
    loads = Loads()
    X = loads.frame(frame)
    encoder = CartesianEncoder().fit(frame)
    with pytest.raises(ValueError, match="feature names"):
        encoder.transform(X.rename(columns={"n3": "other"}))
    with pytest.raises(ValueError, match="swapped"):
        CartesianEncoder().transform(X[["lat", "lon"]])
    with pytest.raises(ValueError, match=r"1 feature\(s\)"):
        CartesianEncoder().transform(X[["lon"]])
    with pytest.raises(ValueError, match="12 features"):
        CartesianEncoder().fit(table).transform(loads.array(table)[:, :3])
    with pytest.raises(ValueError, match="Expected 2D array"):
        CartesianEncoder().fit(loads.array(table)[:, 0])
    with pytest.raises(ValueError, match="radius"):
        CartesianEncoder(radius=-1.0).transform(X)
    with pytest.raises(NotFittedError):
        RandomFourierFeatures().transform(X)
    with pytest.raises(TypeError, match="booleans"):
        CartesianEncoder().transform(loads.array(table > 0))
    with pytest.raises(ValueError, match="set_crs"):
        CartesianEncoder().transform(loads.frame(gpd.GeoSeries.from_xy(*table[:, :2].T)))
    with pytest.raises(ValueError, match="no polars counterpart"):
        CartesianEncoder().set_output(transform="polars").transform(X)
    with pytest.raises(TypeError, match="weights="):
        HarmonicFeatures(times=np.arange(12)).fit_transform(loads.array(table), weights=table)
    with pytest.raises(TypeError, match=r"X\.compute\(\)"):
        next(CartesianEncoder().transform_chunks(X))
    with pytest.raises(TypeError, match="dask arrays, data frames"):
        CartesianEncoder().transform(dask.delayed(table))
    with pytest.raises(ValueError, match="number of columns is unknown"):
        CartesianEncoder().transform(loads.array(table)[:, da.from_array(table[0] > 0)])
    assert not loads


def test_errors_of_values_name_their_rows_when_they_are_met(table):
    table[30, 0] = np.inf
    X = Loads().array(table)
    with pytest.raises(ValueError, match=r"inf as longitude in 1 of 18 rows \(8\)"):
        CartesianEncoder().fit(X)
    features = CartesianEncoder().transform(X)
    with pytest.raises(ValueError, match="inf as longitude"):
        features.compute()


def test_dask_is_not_imported_for_the_question():
    code = (
        "import sys, numpy as np, geofeat\n"
        "geofeat.CartesianEncoder().fit_transform(np.zeros((2, 2)))\n"
        "raise SystemExit('dask' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0
