"""The sampler: what goes in, what comes out, what is said about missing values."""

import copy
import datetime as dt
import io
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import geopandas as gpd
import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import rasterio
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from geofeat import AlphaEarthSource, EmbeddingRasterSampler, RasterSource
from geofeat.exceptions import CoordinateWarning, CoverageWarning, SourceError
from geofeat.rasters import _raster_reader
from tests.rasters.conftest import seam_truth
from tests.rasters.writers import to_lonlat, write_alphaearth


@pytest.fixture
def source(seam):
    return AlphaEarthSource(seam.root)


def sampler(source, **parameters):
    return EmbeddingRasterSampler(
        source, **{"on_missing": "nan", "progress": False, "year": 2022, **parameters}
    )


@pytest.fixture
def inside(seam, seam_points):
    """Points with a value in 2022, and the values."""
    truth, reasons = seam_truth(seam, seam_points, [2022] * 400, by_footprint=True)
    return seam_points[reasons == "ok"], truth[reasons == "ok"]


def test_all_kinds_of_tables_give_the_same_rows(source, inside):
    points, truth = inside
    frame = pd.DataFrame(points, columns=["lon", "lat"])
    for X in (
        points,
        points.tolist(),
        np.asfortranarray(points),
        np.column_stack([points, np.zeros(len(points))]),
        frame,
        frame.assign(note="text"),
        pl.from_pandas(frame),
        frame.convert_dtypes(),
    ):
        assert_array_equal(sampler(source).transform(X), truth)


@pytest.mark.parametrize("epsg", [4326, 32632, 32633, 3035, 3857])
def test_geometries_in_any_reference_system_equal_their_longitude_and_latitude(
    source, inside, epsg
):
    points, truth = inside
    frame = gpd.GeoDataFrame(
        {"n": range(len(points))}, geometry=gpd.points_from_xy(*points.T), crs="EPSG:4326"
    ).to_crs(epsg)
    values = sampler(source).transform(frame)
    # A point within a millionth of a pixel of an edge may fall on either side.
    assert (values == truth).all(axis=1).mean() > 0.99
    assert_array_equal(sampler(source).transform(frame.geometry), values)


def test_missing_and_impossible_coordinates_are_nan_and_nothing_is_read_for_them(
    source, inside, reads
):
    points, truth = inside
    X = points.copy()
    X[1] = np.nan
    X[2, 1] = np.nan
    X[3, 1] = 95.0
    with pytest.warns(CoordinateWarning, match="1 of"):
        values, info = sampler(source).sample(X, return_info=True)
    assert np.isnan(values[1:4]).all()
    assert (info.reason[1:4] == "bad_coordinate").all()
    assert_array_equal(values[4:], truth[4:])
    reads.clear()
    assert np.isnan(sampler(source).transform([[np.nan, np.nan]])).all()
    assert reads == []
    with pytest.raises(ValueError, match="0 sample"):
        sampler(source).transform(np.empty((0, 2)))
    with pytest.raises(ValueError, match="inf"):
        sampler(source).transform([[np.inf, 0.0]])


def test_rows_stand_alone_and_keep_their_order(source, inside):
    points, truth = inside
    order = np.random.default_rng(1).integers(0, len(points), 500)
    assert_array_equal(sampler(source).transform(points[order]), truth[order])
    for i in (0, 7, 31):
        assert_array_equal(sampler(source).transform(points[i : i + 1]), truth[i : i + 1])


def test_output_is_float32_contiguous_and_framed_on_request(source, inside):
    points, truth = inside
    for dtype in (np.float32, np.float64):
        values = sampler(source).fit_transform(points.astype(dtype))
        assert values.dtype == np.float32
        assert values.flags.c_contiguous
    frame = pd.DataFrame(points, columns=["lon", "lat"], index=np.arange(len(points)) + 100)
    task = sampler(source, bands=["A07", "A03"]).set_output(transform="pandas")
    framed = task.fit_transform(frame)
    assert framed.columns.tolist() == ["A07", "A03"]
    assert_array_equal(framed.index, frame.index)
    assert_array_equal(framed.to_numpy(), truth[:, [7, 3]])
    assert task.n_features_out_ == 2
    _, info = sampler(source).sample(frame, return_info=True)
    assert_array_equal(info.index, frame.index)
    assert info.columns.tolist() == ["file", "row", "col", "reason", "year"]
    _, wide = sampler(source, year=[2022, 2023]).sample(frame, return_info=True)
    assert wide.columns[[0, -1]].tolist() == ["file_2022", "year_2023"]


def test_unit_length_on_request(source, inside):
    points, truth = inside
    values = sampler(source, normalize="l2").transform(points)
    assert_allclose(np.linalg.norm(values, axis=1), 1.0, atol=1e-6)
    assert_allclose(values, truth / np.linalg.norm(truth, axis=1, keepdims=True), atol=1e-6)


def test_what_is_said_about_missing_rows(seam, seam_points):
    west = SimpleNamespace(files=[file for file in seam.files if file.zone == "32N"])
    source = AlphaEarthSource([file.path for file in west.files])
    _, reasons = seam_truth(west, seam_points, [2023] * 400, by_footprint=True)
    lost = reasons != "ok"
    X = np.concatenate([seam_points, [[np.nan, 47.0]]])
    with pytest.warns(CoverageWarning, match=rf"no value for {lost.sum()} of 401 rows") as caught:
        values = sampler(source, year=2023, on_missing="warn").transform(X)
    assert len(caught) == 1
    text = str(caught[0].message)
    assert f"{(reasons == 'nodata').sum()} nodata" in text
    assert f"{(reasons == 'no_coverage').sum()} no_coverage" in text
    assert caught[0].filename == __file__
    assert_array_equal(np.isnan(values).all(axis=1), [*lost, True])
    assert_array_equal(sampler(source, year=2023).transform(X), values)
    filled = sampler(source, year=2023, on_missing=-5.0).transform(X)
    assert_array_equal(filled, np.where(np.isnan(values), -5.0, values))
    with pytest.raises(SourceError, match="no value for"):
        sampler(source, year=2023, on_missing="raise").transform(X)
    kept = np.append(~lost, True)
    whole = sampler(source, year=2023, on_missing="raise").transform(X[kept])
    assert_array_equal(whole, values[kept])


def test_coverage_tells_files_blocks_and_bytes_before_reading(seam, source, seam_points, reads):
    report = sampler(source, year=[2022, 2023]).coverage(seam_points)
    assert reads == []
    assert report.index.tolist() == [2022, 2023]
    assert (report.points == 400).all()
    for year in (2022, 2023):
        reads.clear()
        _, info = sampler(source, year=year).sample(seam_points, return_info=True)
        assert report.located[year] == info.reason.isin(["ok", "nodata"]).sum()
        assert report.no_coverage[year] == (info.reason == "no_coverage").sum()
        assert report.files[year] == 2
        if year == 2022:  # no hole, so that no second file is asked
            touched = {
                (info.file[i], info.row[i] // 16, info.col[i] // 16)
                for i in np.flatnonzero(info.reason == "ok")
            }
            assert report.blocks[year] == len(touched)
            size = 0
            for path, i, j in touched:
                with rasterio.open(path) as file:
                    size += sum(
                        int(file.get_tag_item(f"BLOCK_SIZE_{j}_{i}", "TIFF", bidx=b))
                        for b in range(1, 65)
                    )
            assert report["bytes"][year] == size
    few = sampler(source, bands=["A00"]).coverage(seam_points)
    assert few["bytes"].iloc[0] < report["bytes"][2022] / 30
    by_row = sampler(source, year=np.repeat([2022, 2023], 200)).coverage(seam_points)
    assert by_row.points.tolist() == [200, 200]


def test_chunks_and_a_progress_bar_change_nothing(source, inside, capsys):
    points, truth = inside
    chunks = [
        (rows, block.copy())
        for rows, block in sampler(source).transform_chunks(points, chunk_rows=60)
    ]
    assert_array_equal(np.concatenate([block for _, block in chunks]), truth)
    assert chunks[-1][0].stop == len(points)
    assert_array_equal(sampler(source, progress=True).transform(points), truth)
    assert "reading rasters: 100%" in capsys.readouterr().err
    assert_array_equal(sampler(source, progress=None).transform(points), truth)
    assert capsys.readouterr().err == ""


def test_copies_and_pickles_answer_the_same_and_hold_no_file(source, inside, tmp_path):
    points, truth = inside
    fitted = sampler(source).fit(points)
    fitted.transform(points)
    stored = pickle.dumps(fitted)
    assert len(stored) < 3000
    dumped = io.BytesIO()
    joblib.dump(fitted, dumped)
    dumped.seek(0)
    for other in (pickle.loads(stored), joblib.load(dumped), copy.deepcopy(fitted), clone(fitted)):
        assert_array_equal(other.transform(points), truth)
    assert clone(fitted).source is source


def test_another_source_set_after_fit_is_used(seam, inside):
    points, truth = inside
    task = sampler(str(seam.root), year=2022).fit(points)
    assert_array_equal(task.transform(points), truth)
    task.set_params(source=seam.files[0].path)
    assert np.isnan(task.transform(points)).any()


def test_threads_share_one_sampler(source, seam_points):
    task = sampler(source, year=2023).fit(seam_points)
    expected = task.transform(seam_points)
    before = threading.active_count()
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: task.transform(seam_points), range(24)))
    for values in results:
        assert_array_equal(values, expected)
    assert threading.active_count() == before


def test_one_thread_equals_two(source, seam_points, monkeypatch):
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setattr("geofeat._threads.usable_threads", lambda threads=threads: threads)
        results.append(sampler(source, year=2023).transform(seam_points))
    assert_array_equal(results[0], results[1])
    assert_array_equal(results[0], results[2])


def test_no_dataset_stays_open(source, seam_points, monkeypatch):
    opened = []
    open_raster = _raster_reader.open_raster

    def watching(path):
        opened.append(open_raster(path))
        return opened[-1]

    monkeypatch.setattr(_raster_reader, "open_raster", watching)
    sampler(source, year=[2022, 2023]).transform(seam_points)
    assert len(opened) >= 4
    assert all(dataset.closed for dataset in opened)


def test_memory_is_bounded_by_the_blocks_in_flight(tmp_path, monkeypatch):
    """Of a file of many blocks no more is held open than a few megabytes decoded by GDAL."""
    stored = np.random.default_rng(0).integers(-127, 128, (64, 256, 256), dtype=np.int8)
    path = write_alphaearth(tmp_path / "a.tif", stored, epsg=32632, west=5e5, south=5e6)
    decoded = []
    monkeypatch.setattr(_raster_reader, "_BYTES_BEFORE_REOPENING", 2**16)
    close = _raster_reader.RasterReader._count

    def counting(self, n_bytes):
        close(self, n_bytes)
        decoded.append(self._own.decoded)

    monkeypatch.setattr(_raster_reader.RasterReader, "_count", counting)
    monkeypatch.setattr("geofeat.rasters._blocks._WINDOW_BYTES", 2**8)
    x, y = np.random.default_rng(1).uniform(0, 2560, (2, 300))
    values = sampler(path, year=None).transform(to_lonlat(5e5 + x, 5e6 + y, 32632))
    assert np.isfinite(values).all()
    assert len(decoded) > 150
    assert max(decoded) <= 2**16 + 64 * 16 * 16


def test_many_points_in_few_blocks_equal_few_points(tmp_path):
    """Windows with more points than a quarter of their pixels are read whole."""
    stored = np.random.default_rng(0).integers(-127, 128, (64, 32, 32), dtype=np.int8)
    path = write_alphaearth(tmp_path / "a.tif", stored, epsg=32632, west=5e5, south=5e6)
    col, row = np.random.default_rng(1).integers(0, 32, (2, 5000))
    points = to_lonlat(5e5 + 10 * col + 5, 5e6 + 10 * row + 5, 32632)
    many = sampler(path, year=None).transform(points)
    few = np.concatenate([sampler(path, year=None).transform(part) for part in points[:50, None]])
    assert_array_equal(many[:50], few)
    ratio = stored[:, row, col].T.astype(np.float32) / np.float32(127.5)
    assert_array_equal(many, np.sign(ratio) * ratio**2)


def test_pipelines_search_and_cross_validate_in_two_processes(source, inside):
    points, truth = inside
    labels = (truth[:, 0] > np.median(truth[:, 0])).astype(int)
    forest = RandomForestClassifier(n_estimators=10, random_state=0)
    model = make_pipeline(sampler(source), forest)
    one = cross_val_score(model, points, labels, cv=3)
    two = cross_val_score(model, points, labels, cv=3, n_jobs=2)
    assert_array_equal(one, two)
    assert one.mean() > 0.7
    search = GridSearchCV(
        model, {"embeddingrastersampler__bands": [["A01"], ["A00"]]}, cv=2, refit=False
    ).fit(points, labels)
    assert search.best_params_ == {"embeddingrastersampler__bands": ["A00"]}


def test_a_geodataframe_with_a_year_column_passes_cross_validation(source, inside):
    points, truth = inside
    frame = gpd.GeoDataFrame(
        {"survey": 2022},
        geometry=gpd.points_from_xy(*points.T),
        crs="EPSG:4326",
        index=range(len(points)),
    )
    labels = (truth[:, 0] > 0).astype(int)
    model = make_pipeline(
        sampler(source, year="survey"), RandomForestClassifier(n_estimators=5, random_state=0)
    )
    assert cross_val_score(model, frame, labels, cv=2).mean() > 0.7


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"bands": ["B1"]}, "no band 'B1'"),
        ({"bands": [64]}, "from 0 to 63"),
        ({"bands": ["A00", 0]}, "none twice"),
        ({"year": None}, "2022, 2023"),
        ({"year": "survey"}, "names no column of X, a list has none"),
        ({"year": [2022, 2022]}, "different years"),
        ({"year": np.array([2022, 2023])}, "holds 2 values, X has 1 rows"),
        ({"year": np.array([20220615])}, "no years"),
        ({"year": 12}, "no year"),
        ({"year": 2022.5}, "2022.5 is no year"),
        ({"year": [2022, None]}, "integers or dates, got None"),
        ({"year": [2022, pd.NaT]}, "NaT is no year"),
        ({"year": [2022] * 60}, "60 beginning with .* the year of every row goes in an array"),
        ({"year": None, "lag": -1}, "lag=-1 needs year="),
        ({"method": "cubic"}, "method"),
        ({"on_missing": "ignore"}, "on_missing"),
        ({"missing": "some"}, "missing"),
        ({"normalize": "l1"}, "normalize"),
        ({"fallback": "any"}, "fallback"),
        ({"lag": 0.5}, "lag"),
    ],
)
def test_bad_parameters_are_named(source, parameters, words):
    with pytest.raises(ValueError, match=words):
        sampler(source, **parameters).transform([[12.0, 47.0]])


@pytest.mark.parametrize(
    "years",
    [
        [2022, 2023.0, None],
        pd.Series(pd.to_datetime(["2022-03-01", "2023-12-31", None])),
        pd.Series([2022, 2023, None], dtype="Int64"),
        pd.Series(pd.PeriodIndex(["2022-03", "2023-12", None], freq="M")),
        pl.Series(["2022-03-01", "2023-12-31", None]).str.to_date(),
        np.array(["2022-03-01", "2023-12-31", "NaT"], dtype="datetime64[D]"),
        pd.Series(pd.Categorical([2022, 2023, None])),
    ],
    ids=lambda years: str(getattr(years, "dtype", "list")),
)
def test_years_of_rows_in_any_form(seam, source, years):
    years = np.array(years, dtype=object) if isinstance(years, list) else years
    file = seam.files[0]
    point = to_lonlat([file.west + 300.0], [file.south + 20.0], file.epsg)
    X = np.repeat(point, 3, axis=0)
    values, info = sampler(source, year=years).sample(X, return_info=True)
    expected = sampler(source, year=[2022, 2023]).transform(point).reshape(2, 64)
    assert_array_equal(values[:2], expected)
    assert info.reason.tolist() == ["ok", "ok", "no_year"]
    assert info.year.isna().tolist() == [False, False, True]
    for wrong in (np.array(["2022", "x", "y"]), np.array([True, False, True])):
        with pytest.raises(TypeError, match="year"):
            sampler(source, year=wrong).transform(X)


def test_fit_reads_no_pixel(source, inside, reads):
    task = sampler(source).fit(inside[0])
    assert reads == []
    task.transform(inside[0][:1])  # the counter counts
    assert len(reads) == 1
    assert task.get_feature_names_out().tolist() == [f"A{band:02d}" for band in range(64)]
    assert task.n_features_out_ == 64
    assert isinstance(task.source_, AlphaEarthSource)
    with pytest.raises(FileNotFoundError):
        sampler(RasterSource("nowhere.tif")).fit(inside[0])


def test_years_of_a_series_are_paired_by_position_only_where_its_index_is_that_of_x(
    seam, source, inside
):
    points, _ = inside
    frame = pd.DataFrame(points, columns=["lon", "lat"])
    years = pd.Series(np.where(np.arange(len(points)) % 2, 2022, 2023))
    expected = sampler(source, year=years.to_numpy()).transform(points)
    assert_array_equal(sampler(source, year=years).transform(frame), expected)
    order = np.random.default_rng(0).permutation(len(points))
    shuffled = frame.iloc[order]
    assert_array_equal(sampler(source, year=years[order]).transform(shuffled), expected[order])
    assert_array_equal(
        sampler(source, year=years.to_numpy()[order]).transform(shuffled), expected[order]
    )
    geometries = gpd.GeoSeries(gpd.points_from_xy(*points[order].T), crs=4326, index=order)
    for X in (shuffled, geometries, geometries.to_frame("geometry"), frame[:10]):
        with pytest.raises(ValueError, match=r"index is not that of X.* in a column of X"):
            sampler(source, year=years).transform(X)


def test_a_year_that_would_be_read_as_a_coordinate_is_refused(source, inside):
    points, truth = inside
    frame = pd.DataFrame({"survey": 2022, "lon": points[:, 0], "lat": points[:, 1]})
    with pytest.raises(ValueError, match=r"its columns are \['survey', 'lon', 'lat'\]"):
        sampler(source, year="Survey").transform(frame)
    with pytest.raises(ValueError, match="'survey' is one of the first two columns"):
        sampler(source, year="survey").transform(frame)
    geometries = gpd.GeoDataFrame(
        frame[["survey"]], geometry=gpd.points_from_xy(*points.T), crs=4326
    )
    assert_array_equal(sampler(source, year="survey").transform(geometries), truth)


@pytest.mark.parametrize(
    "year",
    [
        2022.0,
        np.int16(2022),
        pd.Timestamp("2022-12-31 23:59"),
        np.datetime64("2022-01-01"),
        dt.date(2022, 6, 1),
        dt.datetime(2022, 6, 1, tzinfo=dt.UTC),
        [pd.Timestamp("2022-03-01")],
    ],
    ids=repr,
)
def test_one_year_of_all_rows_in_any_form(source, inside, year):
    points, truth = inside
    task = sampler(source, year=year).fit(points)
    assert_array_equal(task.transform(points), truth)
    assert task.get_feature_names_out()[0] == "A00"
    listed = year if isinstance(year, list) else [year]
    both = sampler(source, year=[pd.Timestamp("2023-03-01"), *listed]).fit(points)
    assert_array_equal(both.transform(points)[:, 64:], truth)
    assert both.get_feature_names_out()[[0, 64]].tolist() == ["A00_2023", "A00_2022"]


def test_columns_are_named_by_the_layer_they_hold_when_years_lag(source, inside):
    points, truth = inside
    frame = pd.DataFrame(points, columns=["lon", "lat"])
    late = sampler(source, year=[2023, 2024], lag=-1).set_output(transform="pandas")
    lagged = late.fit_transform(frame)
    plain = sampler(source, year=[2022, 2023]).set_output(transform="pandas").fit_transform(frame)
    pd.testing.assert_frame_equal(lagged, plain)
    assert_array_equal(lagged.filter(like="_2022"), truth)
    _, info = late.sample(frame, return_info=True)
    assert (info.year_2022 == 2022).all()
    with pytest.raises(ValueError, match="lag=-1 needs year="):
        late.set_params(year=None).coverage(frame)


def test_coverage_reports_every_year_where_none_is_asked_for(source, seam_points):
    every = sampler(source, year=None).coverage(seam_points)
    pd.testing.assert_frame_equal(every, sampler(source, year=[2022, 2023]).coverage(seam_points))
    assert every.index.tolist() == [2022, 2023]
    with pytest.raises(ValueError, match="2022, 2023: choose"):
        sampler(source, year=None).transform(seam_points)


def test_chunks_tell_missing_rows_once_with_totals(seam, seam_points):
    source = AlphaEarthSource([file.path for file in seam.files if file.zone == "32N"])
    task = sampler(source, year=2023, on_missing="warn")
    with pytest.warns(CoverageWarning) as whole:
        task.transform(seam_points)
    with pytest.warns(CoverageWarning) as caught:
        assert len(list(task.transform_chunks(seam_points, chunk_rows=30))) == 14
    assert [str(warning.message) for warning in caught] == [str(whole[0].message)]
    assert caught[0].filename == __file__
    chunks = task.set_params(on_missing="raise").transform_chunks(seam_points, chunk_rows=30)
    with pytest.raises(SourceError, match="of 30 rows"):
        list(chunks)
