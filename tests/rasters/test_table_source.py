"""Tables of patches: nearest centres and footprints by brute force, dates, files and row groups."""

import pickle

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from numpy.testing import assert_allclose, assert_array_equal
from pyproj import Geod

from geofeat import EmbeddingRasterSampler, EmbeddingTableSource
from geofeat.exceptions import CorruptFileError, RasterMismatchError, SourceError
from geofeat.rasters import _table_reader
from geofeat.rasters._nearest import earth_centred, metres_of_chord
from geofeat.rasters._sources import open_source

GEOD = Geod(ellps="WGS84")
WIDTH = 12


def sampler(source, **parameters):
    return EmbeddingRasterSampler(source, **{"on_missing": "nan", "progress": False, **parameters})


def vectors(n, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=(n, WIDTH)).astype(dtype)


def lists(values, kind="list"):
    """An Arrow column of lists: of any length, of one length, or of 64-bit offsets."""
    flat = pa.array(values.ravel())
    if kind == "fixed":
        return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    offsets = np.arange(0, values.size + 1, values.shape[1])
    if kind == "large":
        return pa.LargeListArray.from_arrays(pa.array(offsets), flat)
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), flat)


def write_major_tom(path, lon, lat, values, stamps, *, side=0.02, kind="list", rows=50):
    """Columns as published: WKB footprints, centres, times as strings, no metadata of geometry."""
    squares = shapely.box(lon - side / 2, lat - side / 2, lon + side / 2, lat + side / 2)
    table = pa.table(
        {
            "unique_id": [f"id{i}" for i in range(len(lon))],
            "embedding": lists(values, kind),
            "timestamp": stamps,
            "grid_cell": ["471U_587L"] * len(lon),
            "geometry": pa.array(list(shapely.to_wkb(squares)), pa.binary()),
            "centre_lat": lat,
            "centre_lon": lon,
        }
    )
    pq.write_table(table, path, row_group_size=rows)
    return path


def metres(lon, lat, lons, lats):
    """Geodesic distances of one point to many."""
    ones = np.ones(len(lons))
    return GEOD.inv(lon * ones, lat * ones, lons, lats)[2]


@pytest.mark.parametrize("kind", ["list", "fixed", "large"])
def test_the_nearest_centre_within_a_distance(tmp_path, kind):
    """All over the Earth, at the poles and across the antimeridian, against geodesics."""
    rng = np.random.default_rng(0)
    lon = np.concatenate([rng.uniform(-180, 180, 400), 179.9 + rng.uniform(0, 0.2, 40)])
    lat = np.concatenate([np.degrees(np.arcsin(rng.uniform(-1, 1, 400))), rng.uniform(-9, 9, 40)])
    lon[lon >= 180] -= 360
    lat[:3] = 90, -90, 89.9
    values = vectors(440)
    path = write_major_tom(
        tmp_path / "a.parquet", lon, lat, values, ["20230405T101112"] * 440, kind=kind
    )
    points = np.column_stack([rng.uniform(-180, 180, 300), rng.uniform(-90, 90, 300)])
    points[:40] = np.column_stack([lon[400:], lat[400:]]) + rng.uniform(-0.05, 0.05, (40, 2))
    points[:40, 0] = (points[:40, 0] + 180) % 360 - 180
    points[40:42] = [[12.0, 89.99], [-100.0, -89.99]]
    limit = 400_000.0
    found, info = sampler(EmbeddingTableSource(path, max_distance=limit)).sample(
        points, return_info=True
    )
    reached = 0
    for i, (x, y) in enumerate(points):
        distance = metres(x, y, lon, lat)
        best = int(distance.argmin())
        if distance[best] <= limit:
            reached += 1
            assert info.row[i] == best
            assert info.distance[i] == pytest.approx(distance[best], rel=1e-4)
            assert_array_equal(found[i], values[best])
            assert info.reason[i] == "ok"
        else:
            assert np.isnan(found[i]).all()
            assert np.isnan(info.distance[i])
            assert info.reason[i] == "no_coverage"
    assert 50 < reached < 290
    assert set(info.file.dropna()) == {str(path)}


def test_distances_are_geodesic_to_a_thousandth():
    rng = np.random.default_rng(1)
    lon, lat = rng.uniform(-180, 180, 2000), rng.uniform(-89, 89, 2000)
    length = 10 ** rng.uniform(0, 6, 2000)
    there = GEOD.fwd(lon, lat, rng.uniform(0, 360, 2000), length)[:2]
    chord = np.linalg.norm(earth_centred(lon, lat) - earth_centred(*there), axis=1)
    found = metres_of_chord(chord)
    assert_allclose(found, length, rtol=1e-4, atol=1e-5)
    near = length < 1e5
    assert_allclose(found[near], length[near], rtol=1e-6, atol=1e-5)


def test_the_distance_is_a_bound(tmp_path):
    """A metre on either side of it, to north and to east, where latitudes are stretched."""
    path = write_major_tom(
        tmp_path / "a.parquet", np.array([20.0]), np.array([65.0]), vectors(1), ["2020-01-01"]
    )
    for azimuth in (0.0, 90.0):
        for offset, reason in ((-1.0, "ok"), (1.0, "no_coverage")):
            point = GEOD.fwd(20.0, 65.0, azimuth, 3000.0 + offset)[:2]
            source = EmbeddingTableSource(path, max_distance=3000.0)
            _, info = sampler(source).sample([point], return_info=True)
            assert info.reason.tolist() == [reason]


@pytest.fixture
def dated(tmp_path):
    """Five places with rows of several dates and years, shuffled, in two files."""
    place = np.repeat(
        [[10.0, 50.0], [10.1, 50.0], [10.2, 50.0], [10.3, 50.0], [10.4, 50]], 4, axis=0
    )
    dates = np.tile(
        ["2021-05-01", "2022-03-01T00:00:00Z", "2022-08-01T10:00:00+00:00", "2020-01-01"], 5
    )
    order = np.random.default_rng(2).permutation(20)
    place, dates, values = place[order], dates[order], vectors(20, seed=3)
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path, part in zip(paths, (slice(0, 9), slice(9, 20)), strict=True):
        write_major_tom(path, *place[part].T, values[part], dates[part].tolist(), rows=3)
    return paths, place, pd.to_datetime(dates, utc=True, format="ISO8601"), values


@pytest.mark.parametrize("max_distance", [None, 900.0])
def test_years_and_dates_of_a_place(dated, max_distance):
    paths, place, stamps, values = dated
    points = np.array([[10.101, 50.001], [10.299, 49.999], [10.002, 50.002], [11.0, 50.0]])
    centres = [10.1, 10.3, 10.0]
    source = EmbeddingTableSource([str(p) for p in paths], max_distance=max_distance)
    assert source.years == (2020, 2021, 2022)
    for year in (2020, 2021, 2022):
        found, info = sampler(source, year=year).sample(points, return_info=True)
        for i, x in enumerate(centres):
            rows = np.flatnonzero((place[:, 0] == x) & (stamps.year == year))
            best = rows[stamps[rows].argmax()]
            assert_array_equal(found[i], values[best])
            assert info.file[i] == str(paths[int(best >= 9)])
            assert info.row[i] == (best if best < 9 else best - 9)
        assert info.reason.tolist() == ["ok", "ok", "ok", "no_coverage"]
    _, info = sampler(source, year=2019).sample(points, return_info=True)
    assert info.reason.tolist() == ["no_year"] * 3 + ["no_coverage"]
    nearest, info = sampler(source, year=2019, fallback="nearest").sample(points, return_info=True)
    assert_array_equal(nearest, sampler(source, year=2020).transform(points))
    assert info.year.tolist()[:3] == [2020] * 3
    unknown = np.array([2021, np.nan, np.nan, 2021])
    _, info = sampler(source, year=unknown).sample(points, return_info=True)
    assert info.reason.tolist() == ["ok", "no_year", "no_year", "no_coverage"]
    of_rows = sampler(source, year=np.array([2021, 2022, 2021, 2022])).transform(points)
    assert_array_equal(of_rows[1], sampler(source, year=2022).transform(points)[1])
    with pytest.raises(ValueError, match="choose with year="):
        sampler(source).transform(points)
    mean = EmbeddingTableSource(paths, max_distance=max_distance, dates="mean")
    found = sampler(mean, year=2022).transform(points)
    for i, x in enumerate(centres):
        rows = np.flatnonzero((place[:, 0] == x) & (stamps.year == 2022))
        assert rows.size == 2
        assert_allclose(found[i], values[rows].astype(np.float64).mean(axis=0), rtol=1e-6)
    for dates, reduce in (("latest", lambda r: values[r[stamps[r].argmax()]]), ("mean", None)):
        pooled = EmbeddingTableSource(
            paths, max_distance=max_distance, dates=dates, pool_years=True
        )
        assert pooled.years is None
        found = sampler(pooled).transform(points)
        for i, x in enumerate(centres):
            rows = np.flatnonzero(place[:, 0] == x)
            truth = reduce(rows) if reduce else values[rows].mean(axis=0)
            assert_allclose(found[i], truth, rtol=1e-5, atol=1e-6)


def test_footprints_that_overlap_cross_the_antimeridian_or_have_another_crs(tmp_path):
    rng = np.random.default_rng(5)
    x, y = rng.uniform(4e5, 6e5, 80), rng.uniform(-4e4, 4e4, 80)
    squares = shapely.box(x - 15_000, y - 12_000, x + 15_000, y + 12_000)
    values = vectors(80, seed=6)
    frame = gpd.GeoDataFrame({"embeddings": list(values)}, geometry=squares, crs=32601)
    frame.to_parquet(tmp_path / "clay.parquet")
    source = open_source(str(tmp_path / "clay.parquet"))
    assert isinstance(source, EmbeddingTableSource)
    px, py = rng.uniform(4e5, 6e5, 300), rng.uniform(-4e4, 4e4, 300)
    points = gpd.GeoSeries.from_xy(px, py, crs=32601)
    found, info = sampler(source).sample(points, return_info=True)
    lonlat = gpd.GeoSeries(squares, crs=32601).to_crs(4326)
    centre = shapely.get_coordinates(shapely.centroid(lonlat.values))
    place = shapely.get_coordinates(points.to_crs(4326).values)
    assert source.years is None
    for i in range(300):
        inside = np.flatnonzero(shapely.contains_xy(lonlat.values, *place[i]))
        if inside.size == 0:
            assert info.reason[i] == "no_coverage"
            continue
        best = inside[metres(*place[i], *centre[inside].T).argmin()]
        assert_array_equal(found[i], values[best])
    assert (info.reason == "ok").sum() > 100
    west = [(179.9, -1), (-179.9, -1), (-179.9, 1), (179.9, 1)]
    text = pa.table(
        {"vector": lists(values[:2]), "geometry_wkt": [shapely.Polygon(west).wkt, "POINT (3 4)"]}
    )
    pq.write_table(text, tmp_path / "wkt.parquet")
    around = [[179.95, 0.5], [-179.95, -0.5], [180, 0], [0, 0]]
    found, info = sampler(EmbeddingTableSource(tmp_path / "wkt.parquet")).sample(
        around, return_info=True
    )
    assert info.reason.tolist() == ["ok", "ok", "ok", "no_coverage"]
    assert_array_equal(found[:3], values[[0, 0, 0]])
    near = EmbeddingTableSource(tmp_path / "wkt.parquet", max_distance=2e4)
    found = sampler(near).transform([[180.0, 0.01], [3.1, 4.0]])
    assert_array_equal(found, values[[0, 1]])


def test_only_row_groups_with_needed_rows_are_read_and_each_once(tmp_path, monkeypatch):
    rng = np.random.default_rng(7)
    lon, lat = rng.uniform(0, 50, 500), rng.uniform(0, 50, 500)
    values = vectors(500)
    path = write_major_tom(tmp_path / "a.parquet", lon, lat, values, ["2020-01-01"] * 500, rows=20)
    read, columns = [], []
    batches = _table_reader.column_batches

    def counting(file, name, n_rows, group=None):
        if group is not None:
            read.append(group)
        for batch in batches(file, name, n_rows, group):
            columns.append((name, len(batch)))
            yield batch

    monkeypatch.setattr(_table_reader, "column_batches", counting)
    monkeypatch.setattr(_table_reader, "_BATCH_BYTES", 4 * WIDTH * 7)
    rows = np.concatenate([rng.integers(0, 60, 30), rng.integers(300, 340, 30)])
    source = EmbeddingTableSource(path, max_distance=100)
    points = np.column_stack([lon[rows], lat[rows]])
    report = sampler(source).coverage(points)
    assert read == []
    assert_array_equal(
        sampler(source, bands=[3, "emb_0001"]).transform(points), values[rows][:, [3, 1]]
    )
    assert sorted(read) == sorted(set((rows // 20).tolist()))
    assert report.blocks.tolist() == [len(read)]
    assert 0 < report.bytes.iloc[0] < path.stat().st_size
    assert {name for name, _ in columns} == {"embedding"}
    assert max(length for _, length in columns[1:]) == 7


def test_a_row_group_is_read_in_small_parts(tmp_path, monkeypatch):
    n, width = 20_000, 256
    values = np.random.default_rng(0).normal(size=(n, width)).astype(np.float32)
    lon = np.linspace(-170, 170, n)
    table = pa.table({"embedding": lists(values), "lon": lon, "lat": np.zeros(n)})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=n)
    del table
    held = []
    embeddings_of = _table_reader.embeddings_of

    def watching(*arguments):
        held.append(pa.total_allocated_bytes())
        return embeddings_of(*arguments)

    monkeypatch.setattr(_table_reader, "embeddings_of", watching)
    monkeypatch.setattr(_table_reader, "_BATCH_BYTES", 2**19)
    source = EmbeddingTableSource(tmp_path / "a.parquet", max_distance=100)
    before = pa.total_allocated_bytes()
    rows = np.arange(0, n, 400)
    found = sampler(source).transform(np.column_stack([lon[rows], 0 * lon[rows]]))
    assert_array_equal(found, values[rows])
    assert len(held) > 30
    assert max(held) - before < values.nbytes / 4


def test_missing_embeddings_numbers_places_and_dates(tmp_path):
    column = pa.array([[1.0, 2.0], None, [3.0, None], [5.0, 6.0], [7.0, 8.0], [9.0, 9.5]])
    table = pa.table(
        {
            "embedding": column,
            "lon": [0.0, 1.0, 2.0, None, 4.0, 4.0],
            "lat": [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            "date": pa.array([0, 0, 0, 0, 10, 20], pa.date32()),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    source = EmbeddingTableSource(tmp_path / "a.parquet", max_distance=1000.0)
    assert source.band_names == ("emb_0000", "emb_0001")
    points = [[0, 0], [1, 0], [2, 0], [3, 0], [4, 0], [np.nan, 0]]
    found, info = sampler(source).sample(points, return_info=True)
    nan = np.nan
    assert_array_equal(found, [[1, 2], [nan, nan], [nan, nan], [nan, nan], [9, 9.5], [nan, nan]])
    assert info.reason.tolist() == ["ok", "nodata", "nodata", "no_coverage", "ok", "bad_coordinate"]
    some = sampler(source, missing="all").transform(points)
    assert_array_equal(some[2], [3, nan])
    # The last row with an embedding counts.
    later = table.set_column(0, "embedding", pa.array([*column.to_pylist()[:5], None]))
    pq.write_table(later, tmp_path / "b.parquet")
    found = sampler(EmbeddingTableSource(tmp_path / "b.parquet", max_distance=9)).transform(
        [[4, 0]]
    )
    assert_array_equal(found, [[7, 8]])


@pytest.mark.parametrize(
    ("column", "years"),
    [
        (pa.array([2019, 2020, None], pa.int32()), (2019, 2020)),
        (pa.array(["20190102T030405", "2020-01-01", None]), (2019, 2020)),
        (pa.array([1, 10**9, None], pa.timestamp("s")), (1970, 2001)),
        (pa.array([1, 10**12, None], pa.timestamp("ms", tz="Europe/Berlin")), (1970, 2001)),
        (pa.array([1, 20_000, None], pa.date32()), (1970, 2024)),
    ],
)
def test_dates_of_many_types(tmp_path, column, years):
    table = pa.table({"e": lists(vectors(3)), "x": [0.0, 1, 2], "y": [0.0, 0, 0], "when": column})
    pq.write_table(table, tmp_path / "a.parquet")
    source = EmbeddingTableSource(
        tmp_path / "a.parquet", max_distance=10, geometry=("x", "y"), date="when", embedding="e"
    )
    assert source.years == years
    found, info = sampler(source, year=years[1]).sample([[1, 0], [0, 0], [2, 0]], return_info=True)
    assert_array_equal(found[0], vectors(3)[1])
    assert info.reason.tolist() == ["ok", "no_year", "no_year"]


def test_what_is_no_table_says_so(tmp_path):
    def write(name, **columns):
        pq.write_table(pa.table(columns), tmp_path / name)
        return tmp_path / name

    def fails(path, match, error=SourceError, year=None, **parameters):
        parameters = {"max_distance": 10.0, **parameters}
        with pytest.raises(error, match=match):
            sampler(EmbeddingTableSource(path, **parameters), year=year).transform([[0, 0]])

    e, where = lists(vectors(2)), {"lon": [0.0, 1.0], "lat": [0.0, 1.0]}
    fails(write("1.parquet", a=[1, 2], **where), "has 0 columns of lists of numbers")
    fails(write("2.parquet", a=e, b=e, **where), r"\['a', 'b'\]: name the one")
    fails(write("3.parquet", a=e, z=[0, 1]), "tells no places")
    fails(write("4.parquet", a=e, **where), "has no column 'emb'", embedding="emb")
    fails(tmp_path / "4.parquet", "holds double in 'lon', not lists", embedding="lon")
    fails(tmp_path / "4.parquet", "has no column of footprints", max_distance=None)
    fails(write("5.parquet", a=e, lon=[0.0, 500.0], lat=[0.0, 1.0]), "no longitude and latitude")
    fails(write("6.parquet", a=e, lon=["x", "y"], lat=[0.0, 1.0]), "no numbers in 'lon'")
    fails(write("7.parquet", a=e, date=["soon", "late"], **where), "no dates in 'date'")
    fails(
        write("8.parquet", a=e, year=[20200101, 1], **where), "20200101 in 'year', which is no year"
    )
    points = list(shapely.to_wkb(shapely.points([0.0, 1], [0.0, 1])))
    fails(write("9.parquet", a=e, geometry=points), "no footprints, only points", max_distance=None)
    fails(write("10.parquet", a=e, geometry=[b"12", b"3"]), "no geometries in 'geometry'")
    ragged = write("11.parquet", a=[[1.0, 2.0], [3.0]], lon=[5.0, 0.0], lat=[0.0, 0.0])
    fails(ragged, "embedding of 1 numbers in row 1, others have 2", CorruptFileError)
    fails(
        write("12.parquet", a=pa.array([None], pa.list_(pa.float32())), lon=[0.0], lat=[0.0]),
        "holds no embedding",
        CorruptFileError,
    )
    fails([tmp_path / "4.parquet", tmp_path / "7.parquet"], "one has dates", RasterMismatchError)
    fails(tmp_path / "none.parquet", "does not exist", FileNotFoundError)
    fails("https://example.org/a.parquet", "not a local file")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and more PAR1")
    fails(tmp_path / "bad.parquet", "cannot be opened as Parquet", CorruptFileError)
    for wrong in ({"max_distance": 0}, {"dates": "first"}, {"geometry": ("a", "b")}):
        with pytest.raises(ValueError, match=r"max_distance|dates must be"):
            EmbeddingTableSource("a.parquet", **wrong)


def test_a_damaged_row_group_names_the_file(tmp_path):
    path = write_major_tom(
        tmp_path / "a.parquet",
        np.arange(50.0),
        np.zeros(50),
        vectors(50),
        ["2020-01-01"] * 50,
        kind="fixed",
    )
    at = pq.ParquetFile(path).metadata.row_group(0).column(1).data_page_offset
    whole = bytearray(path.read_bytes())
    whole[at : at + 200] = bytes(200)
    path.write_bytes(whole)
    with pytest.raises(CorruptFileError, match=r"a\.parquet: cannot read 'embedding'"):
        sampler(EmbeddingTableSource(path, max_distance=9)).transform([[1, 0]])


def test_a_table_that_changes_is_not_read_with_its_old_footer(tmp_path):
    where = np.arange(50.0), np.zeros(50)
    path = write_major_tom(tmp_path / "a.parquet", *where, vectors(50), ["2020-01-01"] * 50)
    source = EmbeddingTableSource(path, max_distance=9)
    sampler(source).transform([[1, 0]])
    write_major_tom(path, *where, vectors(50, seed=1)[:, ::-1], ["2020-01-01"] * 50, rows=7)
    with pytest.raises(SourceError, match="has changed since"):
        sampler(source).transform([[1, 0]])


def test_folders_patterns_and_pickles(tmp_path):
    (tmp_path / "deep").mkdir()
    values = vectors(4)
    for i, name in enumerate(["b.parquet", "deep/a.parquet"]):
        write_major_tom(
            tmp_path / name,
            np.array([2.0 * i, 2.0 * i + 1]),
            np.zeros(2),
            values[2 * i : 2 * i + 2],
            ["2020-01-01"] * 2,
        )
    points = [[0, 0], [1, 0], [2, 0], [3, 0]]
    for paths in (tmp_path, str(tmp_path / "**" / "*.parquet")):
        source = EmbeddingTableSource(paths, max_distance=10)
        assert_array_equal(sampler(source).transform(points), values)
    again = pickle.loads(pickle.dumps(source))
    assert len(pickle.dumps(source)) < 500
    assert_array_equal(sampler(again).transform(points), values)
