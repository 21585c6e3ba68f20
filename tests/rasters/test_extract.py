"""`extract`: every kind of points, layout and number, against `transform` on the same rows."""

import errno
import json
import shutil
import subprocess
import sys
from collections import namedtuple

import geopandas as gpd
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr
from numpy.testing import assert_array_equal
from shapely import LineString, Point
from sklearn.exceptions import NotFittedError

from geofeat import (
    AlphaEarthSource,
    ArraySource,
    CartesianEncoder,
    EmbeddingRasterSampler,
    FourierTimeEncoder,
    RandomFourierFeatures,
    SpaceTimeEncoder,
    SphericalHarmonicsEncoder,
    TesseraSource,
    dequantize,
    extract,
)
from geofeat.exceptions import (
    CoordinateWarning,
    CorruptFileError,
    CoverageWarning,
    LimitError,
    SourceError,
)
from geofeat.rasters import _extract_chunks, _extract_plan, _extract_runs, _extract_store
from tests.rasters.conftest import block_planes
from tests.rasters.writers import (
    random_bytes,
    random_pixels,
    tessera_geometry,
    write_tessera,
)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Many slices, runs, groups, buckets and checkpoints from a few hundred points."""
    monkeypatch.setattr(_extract_plan, "_SLICE_ROWS", 70)
    monkeypatch.setattr(_extract_plan, "_GROUP_ITEMS", 60)
    monkeypatch.setattr(_extract_runs, "_RUN_ITEMS", 150)
    monkeypatch.setattr(_extract_store, "_BUCKET_BYTES", 2**15)
    monkeypatch.setattr(_extract_store, "_STAGED_BYTES", 2**16)


@pytest.fixture
def source(seam):
    return AlphaEarthSource(seam.root)


@pytest.fixture
def frame(seam_points):
    """400 places with duplicates, missing and empty ones, and columns of every kind."""
    points = seam_points[np.random.default_rng(3).integers(0, 400, 400)]
    shapes = gpd.points_from_xy(*points.T).tolist()
    shapes[5], shapes[17], shapes[300] = None, Point(), Point(40.0, -20.0)
    return gpd.GeoDataFrame(
        {
            "tree": np.arange(400, dtype=np.int32),
            "species": pd.Series(["fagus", None, "quercus", "picea"] * 100, dtype="str"),
            "when": pd.date_range("2022-01-01", periods=400, freq="D"),
            "survey": np.where(np.arange(400) % 3, 2022.0, 2023.0),
        },
        geometry=shapes,
        crs="EPSG:4326",
    )


def sampler(source, **parameters):
    return EmbeddingRasterSampler(
        source, **{"on_missing": "nan", "progress": False, "year": 2022, **parameters}
    )


def features(path, task):
    return pq.read_table(path, columns=task.get_feature_names_out().tolist()).to_pandas().to_numpy()


def assert_same_rows(out, frame, task):
    written = gpd.read_parquet(out)
    assert_array_equal(features(out, task), task.transform(frame))
    assert written.crs == frame.crs
    assert_array_equal(written.tree, frame.tree)
    return written


def test_a_frame_in_a_file_or_in_memory_comes_out_with_its_columns_in_its_order(
    source, frame, tmp_path
):
    task = sampler(source)
    for kind, given in {"memory": frame, "file": tmp_path / "in.parquet"}.items():
        frame.to_parquet(tmp_path / "in.parquet", row_group_size=90)
        report = extract(given, task, tmp_path / f"{kind}.parquet", progress=False)
        assert report.rows == 400
        assert report.groups > 5
        written = assert_same_rows(tmp_path / f"{kind}.parquet", frame, task)
        pd.testing.assert_frame_equal(
            pd.DataFrame(written[["tree", "species", "when", "survey"]]),
            pd.DataFrame(frame[["tree", "species", "when", "survey"]]),
        )
        lost = frame.geometry.isna() | frame.geometry.is_empty
        assert (written.geometry.isna() | written.geometry.is_empty).equals(lost)
        assert written.geometry[~lost].geom_equals(frame.geometry[~lost]).all()
        assert not (tmp_path / f"{kind}.parquet.partial").exists()


def test_reasons_and_files_are_those_of_sample(source, frame, tmp_path):
    task = sampler(source, year=[2022, 2023])
    out = tmp_path / "out.parquet"
    report = extract(frame, task, out, file=True, progress=False)
    _, info = task.sample(frame, return_info=True)
    written = gpd.read_parquet(out)
    for year in (2022, 2023):
        assert_array_equal(
            written[f"reason_{year}"].astype(str), info[f"reason_{year}"].astype(str)
        )
        assert_array_equal(
            written[f"file_{year}"].astype(object).fillna("-"),
            info[f"file_{year}"].astype(object).fillna("-"),
        )
    reasons = pd.concat([info["reason_2022"], info["reason_2023"]]).astype(str)
    assert {name: n for name, n in report.counts.items() if n} == reasons.value_counts().to_dict()
    assert report.counts["bad_coordinate"] == 4
    assert report.counts["nodata"] > 0
    assert_same_rows(out, frame, task)


@pytest.mark.parametrize(
    "parameters",
    [
        {"year": "survey"},
        {"year": "when"},
        {"year": [2023, 2022], "bands": ["A07", "A03"]},
        {"year": 2023, "normalize": "l2", "on_missing": -7.0},
        {"year": "survey", "fallback": "nearest", "lag": -1},
        {"year": 2023, "lag": -1, "missing": "all"},
    ],
    ids=str,
)
def test_any_configuration_of_the_sampler(source, frame, tmp_path, parameters):
    task = sampler(source, **parameters)
    extract(frame, task, tmp_path / "out.parquet", progress=False)
    assert_same_rows(tmp_path / "out.parquet", frame, task)


def test_more_points_without_coverage_than_a_group_holds(source, seam_points, tmp_path):
    points = np.concatenate([np.full((150, 2), np.nan), seam_points, seam_points + 30.0])
    points = points[np.random.default_rng(2).permutation(len(points))]
    task = sampler(source).fit(points)
    report = extract(points, task, tmp_path / "out.parquet", progress=False)
    assert_array_equal(features(tmp_path / "out.parquet", task), task.transform(points))
    assert report.counts["bad_coordinate"] == 150
    assert report.counts["no_coverage"] >= 400


def test_years_row_by_row_as_an_array(source, frame, tmp_path):
    years = frame["survey"].to_numpy()
    task = sampler(source, year=years)
    extract(frame, task, tmp_path / "out.parquet", progress=False)
    assert_same_rows(tmp_path / "out.parquet", frame, task)
    with pytest.raises(ValueError, match="399 values, there are 400"):
        extract(frame, sampler(source, year=years[1:]), tmp_path / "a.parquet")
    shuffled = frame["survey"].sample(frac=1, random_state=0)
    with pytest.raises(ValueError, match="index is not that of the points"):
        extract(frame, sampler(source, year=shuffled), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="names no column of the points"):
        extract(frame, sampler(source, year="Survey"), tmp_path / "a.parquet")


def test_plain_coordinates_in_all_kinds_of_tables(source, seam_points, tmp_path):
    task = sampler(source)
    truth = task.transform(seam_points)
    plain = pd.DataFrame(seam_points, columns=["lon", "lat"])
    swapped = plain.assign(n=range(400))[["n", "lat", "lon"]]
    swapped.to_parquet(tmp_path / "in.parquet", row_group_size=77)
    kinds = {
        "array": seam_points,
        "frame": plain,
        "polars": pl.from_pandas(plain),
        "arrow": pa.Table.from_pandas(plain),
        "named": swapped,
        "nullable": plain.convert_dtypes(),
        "file": tmp_path / "in.parquet",
        "text": str(tmp_path / "in.parquet"),
        "positions": plain.rename(columns={"lon": "a", "lat": "b"}),
    }
    for kind, points in kinds.items():
        out = tmp_path / f"{kind}.parquet"
        extract(points, task, out, progress=False)
        assert_array_equal(features(out, task), truth, err_msg=kind)
        written = gpd.read_parquet(out)
        assert written.crs == "EPSG:4326"
        assert_array_equal(np.column_stack([written.geometry.x, written.geometry.y]), seam_points)
    assert pq.read_schema(tmp_path / "file.parquet").names[:4] == ["n", "lat", "lon", "geometry"]


@pytest.mark.parametrize("epsg", [3035, 32632])
def test_points_in_any_reference_system(source, frame, tmp_path, epsg):
    projected = frame.to_crs(epsg)
    task = sampler(source)
    truth = task.transform(projected)
    projected.to_parquet(tmp_path / "in.parquet")
    extract(tmp_path / "in.parquet", task, tmp_path / "a.parquet", progress=False)
    assert_same_rows(tmp_path / "a.parquet", projected, task)
    x, y = projected.geometry.x, projected.geometry.y
    plain = pd.DataFrame({"id": np.arange(400), "x": x, "y": y})
    plain.to_parquet(tmp_path / "plain.parquet")
    with pytest.raises(ValueError, match="tells no CRS: pass crs="):
        extract(tmp_path / "plain.parquet", task, tmp_path / "b.parquet")
    extract(tmp_path / "plain.parquet", task, tmp_path / "b.parquet", crs=epsg, progress=False)
    assert_array_equal(features(tmp_path / "b.parquet", task), truth)
    written = gpd.read_parquet(tmp_path / "b.parquet")
    assert written.crs == f"EPSG:{epsg}"
    assert written.geometry.isna().sum() == 2
    for given in (projected, tmp_path / "in.parquet"):
        with pytest.raises(ValueError, match="leave crs=None"):
            extract(given, task, tmp_path / "c.parquet", crs=epsg)


def test_geometries_stored_as_pairs_of_numbers(source, frame, tmp_path):
    whole = frame[~frame.geometry.isna() & ~frame.geometry.is_empty]
    whole.to_parquet(tmp_path / "in.parquet", geometry_encoding="geoarrow", index=False)
    task = sampler(source)
    extract(tmp_path / "in.parquet", task, tmp_path / "out.parquet", progress=False)
    assert_same_rows(tmp_path / "out.parquet", whole.reset_index(drop=True), task)


def test_an_index_of_labels_stays(source, frame, tmp_path):
    labelled = frame.set_index(pd.Index([f"p{i}" for i in range(400)], name="label"))
    labelled.to_parquet(tmp_path / "in.parquet")
    for given, name in ((labelled, "memory"), (tmp_path / "in.parquet", "file")):
        extract(given, sampler(source), tmp_path / f"{name}.parquet", progress=False)
        written = assert_same_rows(tmp_path / f"{name}.parquet", labelled, sampler(source))
        assert_array_equal(written.index, labelled.index)


def test_some_or_no_columns_of_the_points(source, frame, tmp_path):
    task = sampler(source)
    extract(frame, task, tmp_path / "a.parquet", columns=["species", "geometry"], progress=False)
    names = pq.read_schema(tmp_path / "a.parquet").names
    assert names == ["species", "geometry", *task.get_feature_names_out(), "reason"]
    assert gpd.read_parquet(tmp_path / "a.parquet").crs == "EPSG:4326"
    extract(frame, task, tmp_path / "b.parquet", columns=[], progress=False)
    assert pq.read_schema(tmp_path / "b.parquet").names == names[2:]
    assert_array_equal(features(tmp_path / "b.parquet", task), task.transform(frame))
    with pytest.raises(ValueError, match="no column 'genus'"):
        extract(frame, task, tmp_path / "c.parquet", columns=["genus"])
    with pytest.raises(TypeError, match="list of names"):
        extract(frame, task, tmp_path / "c.parquet", columns="tree")
    with pytest.raises(ValueError, match="two columns called 'A03'"):
        extract(frame.rename(columns={"tree": "A03"}), task, tmp_path / "c.parquet")


def test_features_as_lists_of_fixed_size(source, frame, tmp_path):
    task = sampler(source, year=[2022, 2023])
    extract(frame, task, tmp_path / "out.parquet", layout="list", progress=False)
    table = pq.read_table(tmp_path / "out.parquet")
    truth = task.transform(frame)
    for i, year in enumerate((2022, 2023)):
        column = table[f"embedding_{year}"]
        assert column.type.list_size == 64
        values = np.stack(column.to_pandas())
        assert_array_equal(values, truth[:, 64 * i : 64 * (i + 1)])
    assert json.loads(table.schema.field("embedding_2022").metadata[b"features"])[:1] == ["A00"]


def test_each_block_is_decoded_once_whatever_the_order_of_the_points(
    seam, source, seam_points, tmp_path, reads
):
    shuffled = np.repeat(seam_points, 3, axis=0)[np.random.default_rng(0).permutation(1200)]
    task = sampler(source, year=2022)
    extract(shuffled, task, tmp_path / "out.parquet", progress=False)
    planes = block_planes(reads, 16)
    assert len(planes) == len(set(planes)) > 64
    reads.clear()
    assert_array_equal(features(tmp_path / "out.parquet", task), task.transform(shuffled))
    assert sorted(planes) == sorted(block_planes(reads, 16))


def test_alphaearth_bytes_are_stored_exactly(seam, source, frame, tmp_path):
    task = sampler(source, year=2023)
    extract(frame, task, tmp_path / "out.parquet", dtype="int8", progress=False)
    stored = features(tmp_path / "out.parquet", task)
    assert stored.dtype == np.int8
    values, info = task.sample(frame, return_info=True)
    assert_array_equal(dequantize(stored), values)
    by_path = {file.path: file.stored for file in seam.files}
    for i in np.flatnonzero(info.reason == "ok"):
        pixel = by_path[info.file[i]][:, info.row[i], info.col[i]]
        assert_array_equal(stored[i], pixel)
    field = pq.read_schema(tmp_path / "out.parquet").field("A00")
    assert field.metadata == {b"formula": b"sign(q) * (q / 127.5)**2", b"nodata": b"q = -128"}
    notes = json.loads(pq.read_schema(tmp_path / "out.parquet").metadata[b"geofeat"])
    assert notes["stored"]["form"] == "aef"
    assert "DeepMind" in notes["attribution"]


def test_every_alphaearth_byte_survives_the_way_through_floats(tmp_path):
    codes = np.arange(256, dtype=np.uint8).view(np.int8).reshape(1, 16, 16)
    raster = xr.DataArray(
        codes,
        coords={"band": ["b"], "y": np.arange(16.0), "x": np.arange(16.0)},
        dims=("band", "y", "x"),
        attrs={"crs": "EPSG:4326"},
    )
    places = np.stack(np.meshgrid(np.arange(16.0), np.arange(16.0)), axis=-1).reshape(-1, 2)
    task = EmbeddingRasterSampler(ArraySource(raster, decode="aef"), on_missing="nan")
    extract(places, task, tmp_path / "out.parquet", dtype="int8", progress=False)
    assert_array_equal(features(tmp_path / "out.parquet", task)[:, 0], codes.reshape(-1))


def test_bytes_lie_in_a_dictionary_as_parquet_has_no_integers_of_one_byte(source, frame, tmp_path):
    extract(frame, sampler(source), tmp_path / "out.parquet", dtype="int8", progress=False)
    file = pq.ParquetFile(tmp_path / "out.parquet")
    column = file.metadata.row_group(0).column(file.schema_arrow.names.index("A00"))
    assert column.physical_type == "INT32"
    assert column.has_dictionary_page


def test_tessera_bytes_and_scales(tmp_path):
    lon, lat = 10.05, 0.05
    epsg, transform, height, width = tessera_geometry(lon, lat)
    stored = random_bytes(1, (height, width, 128))
    stored[..., 5] = 127
    scales = np.random.default_rng(2).uniform(0.01, 0.2, (height, width)).astype(np.float32)
    scales[:, : width // 10] = 0
    folder = tmp_path / "global_0.1_degree_representation" / "2024"
    write_tessera(folder, lon, lat, stored, scales)
    places, row, col = random_pixels(300, height, width, transform, epsg)
    task = EmbeddingRasterSampler(TesseraSource(tmp_path), year=2024, on_missing="nan")
    extract(places, task, tmp_path / "out.parquet", dtype="int8", progress=False)
    table = pq.read_table(tmp_path / "out.parquet")
    got = features(tmp_path / "out.parquet", task)
    scale = table["scale"].to_numpy()
    truth = task.transform(places)
    lost = np.isnan(truth).all(axis=1)
    assert 0 < lost.sum() < 100
    inside = ~np.isin(table["reason"].to_pandas(), ["ok"]) == lost
    assert inside.all()
    assert_array_equal(got[~lost], stored[row, col][~lost])
    assert (scale[lost] == 0).all()
    np.testing.assert_allclose(scale[~lost], scales[row, col][~lost], rtol=3e-7)
    np.testing.assert_allclose(dequantize(got, scale), truth, rtol=3e-7)


def test_int8_where_no_form_is_known_is_refused(source, frame, tmp_path):
    out = tmp_path / "out.parquet"
    encoder = CartesianEncoder()
    for task in (encoder, sampler(source, normalize="l2")):
        with pytest.raises(ValueError, match="say how with form="):
            extract(frame, task, out, dtype="int8")
    with pytest.raises(ValueError, match="on_missing must be text"):
        extract(frame, sampler(source, on_missing=0.0), out, dtype="int8")
    with pytest.raises(ValueError, match="goes with dtype='int8'"):
        extract(frame, encoder, out, form="aef")
    with pytest.raises(ValueError, match="form must be one of"):
        extract(frame, encoder, out, dtype="int8", form="linear")
    extract(frame, encoder, out, dtype="int8", form="aef", progress=False)
    stored = features(out, encoder)
    truth = encoder.transform(frame)
    bound = np.sqrt(np.abs(truth)) / 127.5 + 1.6e-5
    lost = np.isnan(truth)
    assert (np.abs(dequantize(stored) - truth)[~lost] <= bound[~lost]).all()
    assert (stored[lost] == -128).all()


def test_half_precision(source, frame, tmp_path):
    task = sampler(source)
    extract(frame, task, tmp_path / "out.parquet", dtype="float16", progress=False)
    got = features(tmp_path / "out.parquet", task)
    assert got.dtype == np.float16
    assert_array_equal(got, task.transform(frame).astype(np.float16))
    large = xr.DataArray(
        [[65519.0, 65519.0], [65519.0, 65520.0]],
        coords={"lat": [1.0, 0.0], "lon": [0.0, 1.0]},
        dims=("lat", "lon"),
    )
    fits = EmbeddingRasterSampler(large)
    extract([[0.0, 1.0]], fits, tmp_path / "a.parquet", dtype="float16")
    assert pq.read_table(tmp_path / "a.parquet")["band_001"].to_pylist() == [65504.0]
    with pytest.raises(LimitError, match=r"float16 holds numbers up to 65504.*reach 65520"):
        extract([[0.0, 1.0], [1.0, 0.0]], fits, tmp_path / "b.parquet", dtype="float16")
    with pytest.raises(ValueError, match="dtype must be one of"):
        extract([[0.0, 1.0]], fits, tmp_path / "c.parquet", dtype="float64")


@pytest.mark.parametrize(
    "encoder",
    [
        SphericalHarmonicsEncoder(degree=4),
        CartesianEncoder(),
        RandomFourierFeatures(n_components=6, random_state=1),
        SpaceTimeEncoder(SphericalHarmonicsEncoder(degree=2), time_columns="when"),
    ],
    ids=lambda encoder: type(encoder).__name__,
)
def test_other_transformers_give_what_transform_gives(frame, tmp_path, encoder, monkeypatch):
    monkeypatch.setattr(_extract_chunks, "_CHUNK_ROWS", 90)
    frame.to_parquet(tmp_path / "in.parquet", row_group_size=130)
    if isinstance(encoder, RandomFourierFeatures):
        places = pd.DataFrame({"x": frame.geometry.x, "y": frame.geometry.y}).fillna(0.0)
        frame = places
        places.to_parquet(tmp_path / "in.parquet")
        with pytest.raises(NotFittedError):
            extract(frame, encoder, tmp_path / "none.parquet")
        shutil.rmtree(tmp_path / "none.parquet.partial", ignore_errors=True)
    encoder.fit(frame)
    truth = encoder.transform(frame).astype(np.float32)
    for given, name in ((frame, "memory"), (tmp_path / "in.parquet", "file")):
        out = tmp_path / f"{name}.parquet"
        crs = 4326 if isinstance(encoder, RandomFourierFeatures) else None
        report = extract(given, encoder, out, crs=crs, progress=False)
        assert report.groups == 5
        assert_array_equal(features(out, encoder), truth)
        reason = pq.read_table(out)["reason"].to_pandas()
        assert_array_equal(reason == "bad_input", np.isnan(truth).all(axis=1))


def test_columns_of_fit_are_found_among_those_of_the_file(frame, tmp_path):
    frame.to_parquet(tmp_path / "in.parquet")
    encoder = FourierTimeEncoder().fit(pd.DataFrame(frame[["when"]]))
    extract(tmp_path / "in.parquet", encoder, tmp_path / "out.parquet", progress=False)
    truth = encoder.transform(pd.DataFrame(frame[["when"]]))
    assert_array_equal(features(tmp_path / "out.parquet", encoder), truth.astype(np.float32))
    with pytest.raises(ValueError, match=r"lack \['when'\]"):
        extract(frame[["geometry"]], encoder, tmp_path / "b.parquet", progress=False)
    on_arrays = CartesianEncoder().fit(np.zeros((1, 3)))
    places = np.random.default_rng(0).uniform(-80, 80, (50, 3))
    extract(places, on_arrays, tmp_path / "c.parquet", progress=False)
    truth = on_arrays.transform(places).astype(np.float32)
    assert_array_equal(features(tmp_path / "c.parquet", on_arrays), truth)


def test_what_is_missing_is_told_once_at_the_end(source, frame, tmp_path):
    task = sampler(source, year=2023, on_missing="warn")
    _, info = sampler(source, year=2023).sample(frame, return_info=True)
    counts = info.reason.value_counts()
    lost = np.flatnonzero(info.reason.isin(["nodata", "no_coverage"]))
    with pytest.warns(CoverageWarning) as caught:
        extract(frame, task, tmp_path / "out.parquet", progress=False)
    assert len(caught) == 1
    text = str(caught[0].message)
    assert f"no value for {lost.size} of 400 rows" in text
    assert f"(first rows: {', '.join(map(str, lost[:5]))})" in text
    assert f"{counts['nodata']} nodata, {counts['no_coverage']} no_coverage" in text
    assert caught[0].filename == __file__
    with pytest.raises(SourceError, match="no value for"):
        extract(frame, sampler(source, on_missing="raise"), tmp_path / "b.parquet", progress=False)
    good = frame[(info.reason == "ok").to_numpy()]
    strict = sampler(source, year=2023, on_missing="raise")
    extract(good, strict, tmp_path / "c.parquet", progress=False)
    assert_array_equal(features(tmp_path / "c.parquet", strict), strict.transform(good))


def test_impossible_coordinates_are_told_with_the_rows_of_the_file(source, seam_points, tmp_path):
    points = seam_points.copy()
    points[[100, 350], 1] = 95.0
    with pytest.warns(CoordinateWarning, match=r"^Of rows 70 to 139: .*row 30") as caught:
        extract(points, sampler(source), tmp_path / "out.parquet", progress=False)
    assert len(caught) == 1
    assert "1 further part" in str(caught[0].message)
    reason = pq.read_table(tmp_path / "out.parquet")["reason"].to_pandas()
    assert np.flatnonzero(reason == "bad_coordinate").tolist() == [100, 350]
    points[3, 0] = np.inf
    with pytest.raises(ValueError, match="inf"):
        extract(points, sampler(source), tmp_path / "b.parquet", progress=False)


def test_absent_files_are_named(seam, tmp_path, seam_points):
    root = tmp_path / "annual"
    kept = [file for file in seam.files if file.year == 2022]
    for file in kept:
        target = root / "2022" / file.zone / file.path.split("/")[-1]
        target.parent.mkdir(parents=True)
        shutil.copy(file.path, target)
    index = seam.index[seam.index.year == 2022]
    index.to_parquet(root / "aef_index.parquet")
    gone = root / "2022" / "33N" / kept[1].path.split("/")[-1]
    gone.unlink()
    task = sampler(AlphaEarthSource(root))
    with pytest.warns(CoverageWarning, match=rf"1 file\(s\) that should be there.*{gone.name}"):
        extract(seam_points, task, tmp_path / "out.parquet", file=True, progress=False)
    written = pq.read_table(tmp_path / "out.parquet").to_pandas()
    assert (written["reason"][written["file"] == str(gone)] == "no_coverage").all()
    assert (written["file"] == str(gone)).sum() > 50


def test_wrong_inputs_are_refused_before_any_work(source, frame, tmp_path):
    task, out = sampler(source), tmp_path / "out.parquet"
    frame.to_parquet(tmp_path / "in.parquet")
    with pytest.raises(ValueError, match="out is the file of the points"):
        extract(tmp_path / "in.parquet", task, tmp_path / "in.parquet")
    with pytest.raises(FileNotFoundError):
        extract(tmp_path / "none.parquet", task, out)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        extract(tmp_path, task, out)
    (tmp_path / "text.parquet").write_text("lon,lat\n1,2\n")
    with pytest.raises(CorruptFileError, match="no readable parquet"):
        extract(tmp_path / "text.parquet", task, out)
    with pytest.raises(ValueError, match="0 sample"):
        extract(frame.iloc[:0], task, out)
    with pytest.raises(TypeError, match="transform and get_feature_names_out"):
        extract(frame, source, out)
    with pytest.raises(ValueError, match="layout must be"):
        extract(frame, task, out, layout="wide")
    pd.DataFrame({"a": [1.0], "b": [2.0]}).to_parquet(tmp_path / "ab.parquet")
    with pytest.raises(ValueError, match="neither a GeoParquet geometry nor columns lon and lat"):
        extract(tmp_path / "ab.parquet", task, out)
    with pytest.raises(ValueError, match="set_crs"):
        extract(frame.set_crs(None, allow_override=True), task, out)
    lines = gpd.GeoSeries([LineString([(0, 0), (1, 1)])], crs=4326)
    with pytest.raises(ValueError, match="centroid"):
        extract(lines, task, tmp_path / "lines.parquet")
    assert not out.exists()


def test_a_damaged_file_of_points_is_named(source, frame, tmp_path):
    frame[["geometry"]].to_parquet(tmp_path / "in.parquet", compression="none")
    content = bytearray((tmp_path / "in.parquet").read_bytes())
    content[4:4000] = b"\xff" * 3996
    (tmp_path / "in.parquet").write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"in\.parquet"):
        extract(tmp_path / "in.parquet", sampler(source), tmp_path / "out.parquet")


def test_room_on_the_disk_is_asked_for_first(source, frame, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**6, 10**6 - 1000, 1000))
    with pytest.raises(OSError, match=r"needs up to \d+ bytes, 1000 are free") as caught:
        extract(frame, sampler(source), tmp_path / "out.parquet", progress=False)
    assert caught.value.errno == errno.ENOSPC
    needed = int(str(caught.value).split("needs up to ")[1].split()[0])
    assert needed == 400 * (36 + 2 * (64 * 4 + 5))


def test_progress_shows_rate_and_time_left(source, seam_points, tmp_path, capsys):
    extract(seam_points, sampler(source), tmp_path / "out.parquet", progress=True)
    shown = capsys.readouterr().err
    for step in ("locating points", "extracting", "writing"):
        assert f"{step}: 100%" in shown
    assert "point/s" in shown
    assert "<00:00" in shown
    extract(seam_points, sampler(source), tmp_path / "quiet.parquet", progress=False)
    assert capsys.readouterr().err == ""


_MEMORY_SCRIPT = """
import resource, sys
import numpy as np, xarray as xr
import pyarrow as pa, pyarrow.parquet as pq
from geofeat import ArraySource, EmbeddingRasterSampler, extract
from geofeat.rasters import _extract_plan, _extract_runs, _extract_store
_extract_plan._GROUP_BYTES = _extract_store._BUCKET_BYTES = 2**22
_extract_store._STAGED_BYTES = 2**23
_extract_runs._RUN_ITEMS = 2**16
_extract_plan._SLICE_ROWS = 2**14
stored = np.random.default_rng(0).integers(-127, 128, (64, 100, 100), dtype=np.int8)
raster = xr.DataArray(stored, coords={"y": np.arange(100.0), "x": np.arange(100.0)},
                      dims=("band", "y", "x"), attrs={"crs": "EPSG:4326"})
task = EmbeddingRasterSampler(ArraySource(raster, decode="aef"))
def run(n, name):
    rng = np.random.default_rng(1)
    places = rng.uniform(0, 80, (n, 2))
    pq.write_table(pa.table({"lon": places[:, 0], "lat": places[:, 1]}), f"{sys.argv[1]}/{name}")
    extract(f"{sys.argv[1]}/{name}", task, f"{sys.argv[1]}/out-{name}", progress=False)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(run(30_000, "few"), run(300_000, "many"))
"""


def test_memory_does_not_grow_with_the_number_of_points(tmp_path):
    command = [sys.executable, "-c", _MEMORY_SCRIPT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    few, many = (int(kib) / 1024 for kib in done.stdout.split())
    assert many - few < 40  # MiB, where the features alone take 73
    assert pq.read_metadata(tmp_path / "out-many").num_rows == 300_000
