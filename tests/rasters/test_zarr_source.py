"""Zarr: the published layouts, years, zones, what is missing, and each chunk read once."""

import asyncio
import copy
import json
import pickle
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from affine import Affine
from numpy.testing import assert_array_equal

from geofeat import EmbeddingRasterSampler, RasterSource, TesseraSource, ZarrSource
from geofeat.exceptions import (
    CorruptFileError,
    CoverageWarning,
    LimitError,
    OfflineError,
    RasterMismatchError,
    SourceError,
)
from geofeat.rasters import _cube_reader
from geofeat.rasters._sources import open_source
from tests.rasters.http_server import serving
from tests.rasters.writers import (
    alphaearth_values,
    from_lonlat,
    place_of,
    random_bytes,
    to_lonlat,
    write_raster,
)

zarr = pytest.importorskip("zarr")
from tests.rasters.zarr_writers import (  # noqa: E402
    MOSAIC_GRID,
    serve_folder,
    write_mosaic,
    write_zone,
)

HEIGHT, WIDTH = 120, 150


def sampler(source, **parameters):
    return EmbeddingRasterSampler(source, **{"on_missing": "nan", "progress": False, **parameters})


def in_mosaic(n, seed=0, height=HEIGHT, width=WIDTH):
    """Points clear of the edges of pixels: lon, lat, row, col."""
    rng = np.random.default_rng(seed)
    row, col = rng.integers(0, height, n), rng.integers(0, width, n)
    within = rng.uniform(0.1, 0.9, (2, n))
    lon, lat = place_of(MOSAIC_GRID, col + within[0], row + within[1])
    return np.column_stack([lon, lat]), row, col


@pytest.fixture(scope="module")
def mosaic(tmp_path_factory):
    """A corner of the mosaic at the antimeridian, two years, with a hole and unwritten shards."""
    folder = tmp_path_factory.mktemp("zarr") / "aef-mosaic.zarr"
    stored = random_bytes(0, (2, 64, HEIGHT, WIDTH))
    stored[1, :, 10:20, :] = -128
    stored[:, :, 64:, 128:] = -128  # a shard that zarr does not write
    write_mosaic(str(folder), stored)
    return SimpleNamespace(folder=folder, stored=stored)


@pytest.fixture
def chunk_reads(monkeypatch):
    """Bytes ranges of every chunk read, by key of its shard; reads of indices apart."""
    from zarr.storage import LocalStore

    reads, get = [], LocalStore.get

    async def counting(self, key, prototype=None, byte_range=None):
        if "/c/" in key:
            reads.append((key, byte_range))
        return await get(self, key, prototype, byte_range)

    monkeypatch.setattr(LocalStore, "get", counting)
    return reads


def test_the_mosaic_equals_its_numbers_and_a_geotiff(mosaic, tmp_path):
    points, row, col = in_mosaic(400)
    source = ZarrSource(mosaic.folder)
    assert source.years == (2022, 2023)
    assert source.band_names == tuple(f"A{band:02d}" for band in range(64))
    assert "Google DeepMind" in source.attribution
    values, info = sampler(source, year=[2022, 2023]).sample(points, return_info=True)
    expected = [alphaearth_values(mosaic.stored[year][:, row, col].T) for year in (0, 1)]
    assert_array_equal(values, np.hstack(expected))
    assert set(info.reason_2023[np.isnan(expected[1][:, 0])]) == {"nodata"}
    assert_array_equal(info.row_2022, row)
    for year, raster in zip((2022, 2023), mosaic.stored, strict=True):
        write_raster(
            tmp_path / f"{year}.tif", raster, crs="EPSG:4326", transform=MOSAIC_GRID, nodata=-128
        )
    files = {year: tmp_path / f"{year}.tif" for year in (2022, 2023)}
    twin = sampler(RasterSource(files, decode="aef"), year=[2022, 2023]).transform(points)
    assert_array_equal(values, twin)


def test_years_of_rows_bands_and_places_beyond_the_mosaic(mosaic):
    points, row, col = in_mosaic(200, seed=1)
    year = np.where(np.arange(200) % 3 == 0, 2022, 2023)
    year[5] = 2019
    points = np.vstack([points, [[179.9, 0.0], [0, 89], [np.nan, 3], [180.0, 0.01]]])
    year = np.append(year, [2022] * 4)
    found = sampler(ZarrSource(mosaic.folder), year=year, bands=["A63", 3])
    values, info = found.sample(points, return_info=True)
    expected = alphaearth_values(mosaic.stored[(year[:200] == 2023) * 1, :, row, col][:, [63, 3]])
    # A pixel with nothing in one band has nothing in any.
    expected[5] = np.nan
    assert_array_equal(values[:200], expected)
    assert info.reason[5] == "no_year"
    assert info.reason[200:203].tolist() == ["no_coverage", "no_coverage", "bad_coordinate"]
    first = sampler(ZarrSource(mosaic.folder), year=2022).transform([[180, 0.01], [-180, 0.01]])
    assert_array_equal(first[0], first[1])
    assert not np.isnan(first).any()


def test_a_mosaic_padded_beyond_a_whole_turn_begins_at_its_first_column(tmp_path):
    """The published one has 4,009,984 columns, 0.2 degrees of which are filled up to a chunk."""
    stored = random_bytes(5, (1, 64, 16, 736))
    stored[..., 720:] = -128
    grid = Affine(0.5, 0, -180, 0, -0.5, 4)
    write_mosaic(str(tmp_path / "m.zarr"), stored, transform=grid, years=(2022,))
    lon = np.array([-180, -179.9, -178.1, -176.2, 179.9, 180.0, 179.3, 0.1])
    found = sampler(ZarrSource(tmp_path / "m.zarr")).transform(
        np.column_stack([lon, 0 * lon + 1.2])
    )
    col = ((lon + 180) % 360 / 0.5).astype(int)
    assert_array_equal(found, alphaearth_values(stored[0][:, 5, col].T))


def test_only_chunks_with_points_are_read_and_each_once(mosaic, chunk_reads):
    points, row, col = in_mosaic(60, seed=2)
    source = ZarrSource(mosaic.folder)
    report = sampler(source, year=2022).coverage(points)
    chunk_reads.clear()
    sampler(source, year=2022).transform(np.vstack([points, points]))
    bodies = [(key, part.start) for key, part in chunk_reads if hasattr(part, "start")]
    assert len(set(bodies)) == len(bodies)
    touched = {(r // 16, c // 16) for r, c in zip(row, col, strict=True)}
    written = {(r, c) for r, c in touched if not (r >= 4 and c >= 8)}
    assert len(bodies) == len(written) < 60
    assert report.blocks.tolist() == [len(touched)]
    assert {part for _, part in chunk_reads if part is None} == set()


def test_chunks_along_time_are_read_once_for_all_years_in_them(tmp_path, chunk_reads):
    stored = np.random.default_rng(3).normal(size=(3, 2, 16, 16)).astype(np.float32)
    group = zarr.create_group(str(tmp_path / "a.zarr"))
    array = group.create_array(
        "values",
        shape=stored.shape,
        chunks=(3, 2, 8, 8),
        dtype="float32",
        attributes={"proj:code": 32632, "spatial:transform": [10, 0, 5e5, 0, 10, 5.2e6]},
        dimension_names=("time", "band", "y", "x"),
    )
    array[:] = stored
    array.attrs["years"] = [2019, 2020, 2021]
    rng = np.random.default_rng(4)
    row, col, step = rng.integers(0, 16, 80), rng.integers(0, 16, 80), rng.integers(0, 3, 80)
    points = to_lonlat(5e5 + 10 * (col + 0.5), 5.2e6 + 10 * (row + 0.5), 32632)
    source = ZarrSource(tmp_path / "a.zarr")
    assert source.band_names == ("band_001", "band_002")
    values = sampler(source, year=2019 + step).transform(points)
    assert_array_equal(values, stored[step, :, row, col])
    assert sorted(key for key, _ in chunk_reads) == [
        f"values/c/0/0/{i}/{j}" for i in (0, 1) for j in (0, 1)
    ]


def tessera_zone(root, zone, epsg, west, north, *, seed, bands=128, size=48, years=(2022, 2023)):
    """Write one zone with water, nothing and bad scales in known pixels; give the arrays."""
    rng = np.random.default_rng(seed)
    stored = rng.integers(-127, 128, (len(years), bands, size, size), dtype=np.int8)
    scales = rng.uniform(0.01, 0.3, (len(years), size, size)).astype(np.float32)
    scales[:, :4] = np.nan
    scales[:, 4:8] = np.inf
    scales[0, 8] = 0
    write_zone(root, zone, stored, scales, epsg=epsg, west=west, north=north, years=years)
    return SimpleNamespace(
        zone=zone, epsg=epsg, west=west, north=north, size=size, stored=stored, scales=scales
    )


def zone_points(zone, n, seed):
    rng = np.random.default_rng(seed)
    row, col = rng.integers(0, zone.size, (2, n))
    within = rng.uniform(0.1, 0.9, (2, n))
    x, y = zone.west + 10 * (col + within[0]), zone.north - 10 * (row + within[1])
    return to_lonlat(x, y, zone.epsg), row, col


def zone_truth(zone, step, row, col):
    scale = zone.scales[step, row, col]
    usable = np.where(np.isfinite(scale) & (scale > 0), scale, np.float32(np.nan))
    values = zone.stored[step][:, row, col].T.astype(np.float32) * usable[:, None]
    reason = np.where(np.isnan(scale), "water", "ok").astype(object)
    reason[np.isinf(scale) | (scale == 0)] = "nodata"
    return values, reason


@pytest.fixture(scope="module")
def tessera(tmp_path_factory):
    """Zones 31 in the north, 23 in the south (in a northern CRS), 60 and 1 at the antimeridian."""
    folder = tmp_path_factory.mktemp("zarr") / "tessera"
    root = zarr.create_group(str(folder))
    x60, y60 = from_lonlat(179.999, 10.0, 32660)
    x1, y1 = from_lonlat(-179.999, 10.0, 32601)
    zones = [
        tessera_zone(root, 31, 32631, 500_000.0, 5_700_000.0, seed=1),
        tessera_zone(root, 23, 32623, 600_003.7, -2_000_001.2, seed=2),
        tessera_zone(root, 60, 32660, 10 * round(x60 / 10) - 240.0, round(y60) + 240.0, seed=3),
        tessera_zone(root, 1, 32701, 10 * round(x1 / 10) - 240.0, round(y1) + 1e7 + 340.0, seed=4),
    ]
    zarr.consolidate_metadata(str(folder))
    return SimpleNamespace(folder=folder, zones=zones)


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_tessera_zones_in_both_hemispheres(tessera):
    source = ZarrSource(tessera.folder)
    assert source.years == (2022, 2023)
    assert source.band_names[::127] == ("tessera_000", "tessera_127")
    for zone in tessera.zones[:2]:
        points, row, col = zone_points(zone, 300, seed=zone.zone)
        for step, year in enumerate((2022, 2023)):
            values, info = sampler(source, year=year).sample(points, return_info=True)
            expected, reason = zone_truth(zone, step, row, col)
            assert_array_equal(values, expected)
            assert_array_equal(info.reason, reason)
            assert {"water", "nodata", "ok"} == set(reason)
    bands = sampler(source, year=2023, bands=[5, 0]).transform(points)
    assert_array_equal(bands, expected[:, [5, 0]])
    _, info = sampler(source, year=2023).sample([[100.0, 5.0], [3.0, 0.0]], return_info=True)
    assert info.reason.tolist() == ["no_coverage", "no_coverage"]


def test_the_own_zone_comes_first_and_the_neighbour_where_it_has_nothing(tessera):
    """At the antimeridian, where zones 60 and 1 meet."""
    west, east = tessera.zones[2:]
    rng = np.random.default_rng(8)
    east_of_180 = rng.uniform(-0.0035, 0.0035, 500)
    lon = np.where(east_of_180 < 0, 180.0, -180.0) + east_of_180
    points = np.column_stack([lon, rng.uniform(9.9975, 10.0025, 500)])
    values, info = sampler(ZarrSource(tessera.folder), year=2023).sample(points, return_info=True)
    used = {"own": 0, "other": 0, "none": 0}
    for i, (lon, lat) in enumerate(points):
        order = [west, east] if lon > 0 else [east, west]
        expected, reason, who = np.full(128, np.nan), "no_coverage", "none"
        for zone, name in zip(order, ("own", "other"), strict=True):
            x, y = from_lonlat(lon, lat, zone.epsg)
            col, row = int((x - zone.west) // 10), int((zone.north - y) // 10)
            if not (0 <= col < zone.size and 0 <= row < zone.size):
                continue
            found, why = zone_truth(zone, 1, np.array([row]), np.array([col]))
            reason = why[0] if reason == "no_coverage" or why[0] == "ok" else reason
            if why[0] == "ok":
                expected, who = found[0], name
                break
        used[who] += 1
        assert info.reason[i] == reason
        assert_array_equal(values[i], expected)
    assert min(used.values()) > 5
    ends = sampler(ZarrSource(tessera.folder), year=2023).transform([[180, 10], [-180, 10]])
    assert_array_equal(ends[0], ends[1])


def test_a_zone_serves_no_point_far_from_its_seam(tmp_path):
    root = zarr.create_group(str(tmp_path / "t"))
    x, y = from_lonlat(5.85, 50.0, 32632)  # 0.15 degrees west of zone 32
    tessera_zone(root, 32, 32632, x - 240, y + 240, seed=0, bands=4, years=(2023,))
    values, info = sampler(ZarrSource(tmp_path / "t")).sample([[5.85, 50.0]], return_info=True)
    assert info.reason.tolist() == ["no_coverage"]
    assert np.isnan(values).all()


def test_zarr_and_files_of_tessera_agree(tmp_path):
    """The same tile as files and, placed on the lattice it has, in a zone."""
    from tests.rasters.writers import tessera_geometry, write_tessera

    lon, lat = 6.15, 51.05
    epsg, transform, height, width = tessera_geometry(lon, lat)
    rng = np.random.default_rng(0)
    stored = np.zeros((height, width, 128), np.int8)
    scales = np.zeros((height, width), np.float32)
    area = slice(300, 364), slice(200, 264)
    stored[area] = rng.integers(-127, 128, (64, 64, 128))
    scales[area] = rng.uniform(0.01, 0.3, (64, 64))
    write_tessera(tmp_path / "npy" / "2023", lon, lat, stored, scales)
    root = zarr.create_group(str(tmp_path / "z"))
    corner = place_of(transform, 200, 300)
    write_zone(
        root,
        32,
        np.moveaxis(stored[area], -1, 0)[None],
        scales[area][None],
        epsg=epsg,
        west=corner[0],
        north=corner[1],
    )
    col, row = rng.uniform(200.1, 263.9, 200), rng.uniform(300.1, 363.9, 200)
    points = to_lonlat(*place_of(transform, col, row), epsg)
    mapped = sampler(TesseraSource(tmp_path / "npy"), year=2023).transform(points)
    assert not np.isnan(mapped).any()
    assert_array_equal(sampler(ZarrSource(tmp_path / "z"), year=2023).transform(points), mapped)


def test_vectors_beyond_the_limit_are_missing(tmp_path):
    root = zarr.create_group(str(tmp_path / "t"))
    zone = tessera_zone(root, 31, 32631, 5e5, 5.7e6, seed=0, bands=4, years=(2023,))
    points, row, col = zone_points(zone, 200, seed=1)
    expected, _ = zone_truth(zone, 0, row, col)
    beyond = np.abs(expected).max(axis=1) > 20
    expected[beyond] = np.nan
    hit = len({*zip(row[beyond].tolist(), col[beyond].tolist(), strict=True)})
    assert hit < beyond.sum()  # a pixel that several points lie in counts once
    with pytest.warns(CoverageWarning, match=rf" {hit} pixel\(s\) beyond max_abs in .*utm31"):
        values = sampler(ZarrSource(tmp_path / "t", max_abs=20.0)).transform(points)
    assert_array_equal(values, expected)


def plain_array(group, name, values, dims, **options):
    array = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        **{"chunks": (8,) * values.ndim, "dimension_names": dims, **options},
    )
    array[:] = values
    return array


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.filterwarnings("ignore:The data type .* does not have a Zarr V3 specification")
@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_a_group_with_coordinates_and_dates_in_any_order_of_axes(tmp_path, zarr_format):
    """As xarray and rioxarray write them, read without either."""
    import pandas as pd
    import xarray as xr

    rng = np.random.default_rng(0)
    values = rng.normal(size=(30, 2, 20, 3)).astype(np.float32)
    array = xr.DataArray(
        values,
        dims=("x", "time", "y", "band"),
        coords={
            "time": pd.to_datetime(["2021-06-30", "2022-06-30"]),
            "band": ["u", "v", "w"],
            "x": 500_005.0 + 10 * np.arange(30),
            "y": 5_200_005.0 + 10 * np.arange(20),
        },
        name="emb",
    )
    dataset = array.to_dataset().assign_coords(spatial_ref=0)
    dataset.spatial_ref.attrs["crs_wkt"] = "EPSG:32632"
    dataset.emb.attrs["grid_mapping"] = "spatial_ref"
    values[4, 1, 5, 0] = np.nan
    nothing = {"emb": {"_FillValue": -9999.0}}
    dataset.to_zarr(tmp_path / "a.zarr", zarr_format=zarr_format, encoding=nothing)
    row, col = rng.integers(0, 20, 100), rng.integers(0, 30, 100)
    row[0], col[0] = 5, 4
    points = to_lonlat(5e5 + 10 * (col + 0.4), 5.2e6 + 10 * (row + 0.6), 32632)
    source = open_source(tmp_path / "a.zarr")
    assert isinstance(source, ZarrSource)
    assert source.years == (2021, 2022)
    assert source.band_names == ("u", "v", "w")
    found = sampler(source, year=2022, bands=["w", "u"]).transform(points)
    expected = values[col, 1, row][:, [2, 0]]
    expected[0] = np.nan
    assert_array_equal(found, expected)


def test_one_array_without_a_group_and_its_nodata(tmp_path):
    values = np.arange(60, dtype=np.int16).reshape(6, 10)
    array = zarr.create_array(
        str(tmp_path / "one.zarr"),
        shape=(6, 10),
        chunks=(4, 4),
        dtype="int16",
        fill_value=-1,
        attributes={"scale_factor": 0.5, "add_offset": 3},
    )
    array[:] = values
    array[2, 3] = -1
    points = [[13.4, 37.6], [12.1, 38.2], [0.5, 39.5]]
    with pytest.raises(ValueError, match=r"ZarrSource\(array, crs='EPSG:...'\)"):
        sampler(ZarrSource(tmp_path / "one.zarr")).transform(points)
    array.attrs["spatial:transform"] = [1.0, 0.0, 10.0, 0.0, -1.0, 40.0]
    raw = ZarrSource(tmp_path / "one.zarr", crs="EPSG:4326", decode="none")
    assert_array_equal(sampler(raw).transform(points), [[np.nan], [12.0], [np.nan]])
    scaled = ZarrSource(tmp_path / "one.zarr", crs=4326)
    assert_array_equal(sampler(scaled).transform(points), [[np.nan], [9.0], [np.nan]])
    other = ZarrSource(tmp_path / "one.zarr", crs=4326, nodata=12)
    assert_array_equal(sampler(other).transform(points), [[2.5], [np.nan], [np.nan]])


def test_zeros_that_nobody_declared_are_numbers_until_told(tmp_path):
    values = np.zeros((2, 8, 8), np.float32)
    values[:, 0, 0] = 1, 0
    group = zarr.create_group(str(tmp_path / "a.zarr"))
    attributes = {"proj:code": "EPSG:4326", "spatial:transform": [1, 0, 0, 0, -1, 8]}
    plain_array(group, "e", values, ("band", "y", "x"), attributes=attributes)
    points = [[0.5, 7.5], [3.5, 3.5]]
    assert_array_equal(sampler(ZarrSource(tmp_path / "a.zarr")).transform(points), [[1, 0], [0, 0]])
    told = sampler(ZarrSource(tmp_path / "a.zarr", nodata="zeros")).transform(points)
    assert_array_equal(told, [[1, 0], [np.nan, np.nan]])


def test_what_cannot_be_read_says_so(tmp_path, mosaic):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        sampler(ZarrSource(tmp_path / "none.zarr")).transform([[0, 0]])
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no group or array"):
        sampler(ZarrSource(tmp_path / "empty.zarr")).transform([[0, 0]])
    (tmp_path / "empty.zarr" / "zarr.json").write_text("{")
    with pytest.raises(CorruptFileError, match="cannot be opened as Zarr"):
        sampler(ZarrSource(tmp_path / "empty.zarr")).transform([[0, 0]])
    with pytest.raises(LimitError, match="max_block_bytes=16384"):
        sampler(ZarrSource(mosaic.folder, max_block_bytes=2**13), year=2022).transform([[0, 0]])
    with pytest.raises(SourceError, match="has no array scales"):
        sampler(ZarrSource(mosaic.folder, decode="tessera"), year=2022).transform([[0, 0]])
    with pytest.raises(SourceError, match="no array 'other'"):
        sampler(ZarrSource(mosaic.folder, array="other"), year=2022).transform([[0, 0]])
    with pytest.raises(ValueError, match="decode must be one of"):
        ZarrSource(mosaic.folder, decode="linear")
    with pytest.raises(ValueError, match="goes with a public store"):
        ZarrSource(mosaic.folder, base_url="https://example.org")
    group = write_mosaic(
        str(tmp_path / "m.zarr"), np.zeros((1, 64, 16, 16), np.int8), years=(2022,)
    )
    del group["embeddings"].attrs["embedding_dimensions"]
    with pytest.raises(SourceError, match="64 int8 bands without AlphaEarth's names"):
        sampler(ZarrSource(tmp_path / "m.zarr")).transform([[0, 0]])
    raw = sampler(ZarrSource(tmp_path / "m.zarr", decode="none")).transform([[-179.9999, 0.0299]])
    assert_array_equal(raw, np.zeros((1, 64)))
    root = zarr.create_group(str(tmp_path / "t"))
    tessera_zone(root, 31, 32631, 5e5, 5.7e6, seed=0, bands=4, years=(2023,))
    tessera_zone(root, 32, 32632, 5e5, 5.7e6, seed=0, bands=8, years=(2023,))
    with pytest.raises(RasterMismatchError, match=r"utm32: has 8 int8 bands, .*utm31 has 4"):
        sampler(ZarrSource(tmp_path / "t")).transform([[3, 51.4]])


def test_without_zarr_the_error_names_the_extra(mosaic, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ImportError, match=r"pip install 'geofeat\[zarr\]'"):
        sampler(ZarrSource(mosaic.folder), year=2022).transform([[0, 0]])


def test_damaged_chunks_and_indices_are_errors(tmp_path):
    stored = random_bytes(1, (1, 64, 64, 64))
    write_mosaic(str(tmp_path / "m.zarr"), stored, years=(2022,))
    shard = tmp_path / "m.zarr" / "embeddings" / "c" / "0" / "0" / "0" / "0"
    whole = shard.read_bytes()
    points, _, _ = in_mosaic(50, height=64, width=64)
    for damage in (whole[:-1] + bytes([whole[-1] ^ 1]), bytes(40) + whole[40:], whole[:-300]):
        shard.write_bytes(damage)
        with pytest.raises(CorruptFileError, match=r"m\.zarr: cannot read \["):
            sampler(ZarrSource(tmp_path / "m.zarr")).transform(points)


def test_sources_are_copied_and_pickled_without_what_they_read(mosaic):
    source = ZarrSource(mosaic.folder, max_abs=3.0)
    points, _, _ = in_mosaic(20)
    before = sampler(source, year=2022).transform(points)
    assert copy.deepcopy(source) is source
    assert len(pickle.dumps(source)) < 1000
    again = pickle.loads(pickle.dumps(source))
    assert_array_equal(sampler(again, year=2022).transform(points), before)


def test_inside_a_running_event_loop(mosaic):
    points, row, col = in_mosaic(50)

    async def notebook():
        return sampler(ZarrSource(mosaic.folder), year=2022).transform(points)

    values = asyncio.run(notebook())
    assert_array_equal(values, alphaearth_values(mosaic.stored[0][:, row, col].T))


def test_eight_threads_on_one_source_agree(mosaic):
    from concurrent.futures import ThreadPoolExecutor

    points, row, col = in_mosaic(300, seed=7)
    shared = sampler(ZarrSource(mosaic.folder), year=2022)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: shared.transform(points), range(16)))
    for values in found:
        assert_array_equal(values, alphaearth_values(mosaic.stored[0][:, row, col].T))


def test_a_store_of_zarr_python(mosaic):
    stored = mosaic.stored[:, :, :64, :64]
    store = zarr.storage.MemoryStore()
    write_mosaic(store, stored)
    points, row, col = in_mosaic(30, height=64, width=64)
    found = sampler(ZarrSource(store), year=2022).transform(points)
    assert_array_equal(found, alphaearth_values(stored[0][:, row, col].T))


def test_chunks_in_flight_are_bounded_by_their_bytes(mosaic, server, monkeypatch):
    address = serve_folder(server, mosaic.folder, "/m")
    source = ZarrSource(address)
    points, _, _ = in_mosaic(3)
    found = source.locate(*points.T, np.full(3, 2022))
    assert source.reader(found, np.arange(2)).in_flight == 32
    monkeypatch.setattr(_cube_reader, "_BYTES_IN_FLIGHT", 3 * 64 * 16 * 16)
    assert source.reader(found, np.arange(2)).in_flight == 3
    assert ZarrSource(mosaic.folder).reader(found, np.arange(2)).in_flight == 1


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOFEAT_CACHE", str(tmp_path / "cache"))
    with serving() as files:
        yield files


def test_stored_chunks_of_a_server_are_bounded_before_they_are_fetched(mosaic, server, monkeypatch):
    serve_folder(server, mosaic.folder, "/tge-labs/aef-mosaic")
    source = ZarrSource("aef-mosaic", base_url=server.address)
    assert source.years == (2022, 2023)
    points, _, _ = in_mosaic(5, seed=5)
    monkeypatch.setattr("geofeat.rasters._zarr_store._MAX_PART_BYTES", 1000)
    with pytest.raises(LimitError, match="the bound is 1000"):
        sampler(source, year=2023).transform(points)


def test_a_server_gives_the_same_and_only_what_is_needed(mosaic, server, monkeypatch):
    serve_folder(server, mosaic.folder, "/tge-labs/aef-mosaic")
    points, row, col = in_mosaic(40, seed=5)
    local = sampler(ZarrSource(mosaic.folder), year=2023).transform(points)
    source = ZarrSource("aef-mosaic", base_url=server.address)
    assert source.years == (2022, 2023)
    server.forget()
    server.delay = 0.03

    async def notebook():
        return sampler(source, year=2023).transform(points)

    assert_array_equal(asyncio.run(notebook()), local)
    shards = {(r // 64, c // 64) for r, c in zip(row, col, strict=True)}
    chunks = {(r // 16, c // 16) for r, c in zip(row, col, strict=True) if r < 64 or c < 128}
    spans = [(request.path, request.range) for request in server.requests]
    assert len(set(spans)) == len(spans)
    # Of each shard its head, its index and its chunks; one 404 for the shard that is empty.
    assert server.count <= 2 * len(shards) + len(chunks)
    assert server.most_at_once >= 6
    server.delay = 0
    first = server.count
    assert_array_equal(sampler(source, year=2023).transform(points), local)
    monkeypatch.setenv("GEOFEAT_OFFLINE", "1")
    assert_array_equal(sampler(source, year=2023).transform(points), local)
    assert server.count == first
    with pytest.raises(OfflineError):
        sampler(ZarrSource("aef-mosaic", base_url=server.address), year=2022).transform(points)


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
def test_zones_on_a_server(tessera, server):
    serve_folder(server, tessera.folder, "/tessera/tessera/zarr/v1")
    points = np.vstack([zone_points(zone, 30, seed=9)[0] for zone in tessera.zones])
    local, info = sampler(ZarrSource(tessera.folder), year=2023).sample(points, return_info=True)
    public = ZarrSource("tessera-v1", base_url=server.address)
    remote, there = sampler(public, year=2023).sample(points, return_info=True)
    assert_array_equal(remote, local)
    assert_array_equal(there.reason, info.reason)
    assert not any(request.path.endswith("/x/c/0") for request in server.requests)
    # Without the list of what it holds, a store on a server is asked for every zone.
    address = serve_folder(server, tessera.folder, "/plain")
    server.put("/plain/zarr.json", b'{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    assert_array_equal(sampler(ZarrSource(address), year=2023).transform(points), local)


def described(**changes):
    """Metadata of an array without chunks, with some entries changed."""
    told = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [2, 100, 100],
        "data_type": "int8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 10, 10]}},
        "chunk_key_encoding": {"name": "default"},
        "fill_value": 0,
        "codecs": [{"name": "bytes"}],
        "attributes": {"proj:code": "EPSG:4326"},
        "dimension_names": ["band", "y", "x"],
    }
    return json.dumps(told | changes).encode()


GRID = {"proj:code": "EPSG:4326", "spatial:transform": [0.1, 0, 0, 0, -0.1, 10]}
LONG_AXIS = described(
    shape=[2 * 10**9],
    chunk_grid={"name": "regular", "configuration": {"chunk_shape": [2 * 10**9]}},
    dimension_names=["x"],
)


@pytest.mark.parametrize(
    ("embeddings", "x", "error", "words"),
    [
        (b"{", None, CorruptFileError, "read as Zarr"),
        (described(codecs=[{"name": "of nobody"}]), None, CorruptFileError, "of nobody"),
        (described(shape=[2, -5, 100]), None, CorruptFileError, "read as Zarr"),
        (described(shape=[2, 0, 100]), None, CorruptFileError, r"shape \(2, 0, 100\)"),
        (described(), b"{", CorruptFileError, "read as Zarr"),
        (described(shape=[2, 100, 2 * 10**9]), LONG_AXIS, LimitError, "coordinates along x"),
        (described(shape=[2, 2**62, 9], attributes=GRID), None, LimitError, "chunks along y"),
        (described() + b" " * 2**24, None, LimitError, "metadata"),
    ],
)
def test_hostile_metadata_are_refused_by_name(server, embeddings, x, error, words):
    root = b'{"zarr_format": 3, "node_type": "group", "attributes": {}}'
    server.put("/a.zarr/zarr.json", root)
    server.put("/a.zarr/embeddings/zarr.json", embeddings)
    if x is not None:
        server.put("/a.zarr/x/zarr.json", x)
    source = ZarrSource(server.url("/a.zarr"), decode="none")
    with pytest.raises(error, match=words) as caught:
        EmbeddingRasterSampler(source).transform(np.array([[0.05, 9.95]]))
    assert "a.zarr" in str(caught.value)
