"""TESSERA over a network: what travels, what stays on disk, and what servers do wrong."""

import asyncio
import hashlib
import io
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from geofeat import EmbeddingRasterSampler, TesseraSource
from geofeat.exceptions import (
    ChecksumError,
    CorruptFileError,
    CoverageWarning,
    OfflineError,
    SourceError,
    UnsafeFileError,
)
from geofeat.rasters._npy_ranges import REQUEST_BYTES
from geofeat.rasters._remote import forget
from tests.rasters.http_server import Fault, serving
from tests.rasters.writers import place_of, tessera_geometry, to_lonlat, write_tessera

TILES = "global_0.1_degree_representation"
LANDMASKS = "global_0.1_degree_tiff_all"
# High up a cell is narrow, so that tiles stay small: 1120 rows, about 60 columns, 8 MB.
LAT = 87.05
LONS = (10.05, 10.15, 10.25)


def sampler(source, **parameters):
    return EmbeddingRasterSampler(source, **{"on_missing": "nan", "progress": False, **parameters})


def points_in_tile(n, seed, lon=LONS[0]):
    """Points of the cell that lie clear of the edges of pixels."""
    epsg, transform, height, width = tessera_geometry(lon, LAT)
    rng = np.random.default_rng(seed)
    col, row = rng.integers(0, width, 20 * n), rng.integers(0, height, 20 * n)
    a, b = col + rng.uniform(0.05, 0.95, col.size), row + rng.uniform(0.05, 0.95, row.size)
    points = to_lonlat(*place_of(transform, a, b), epsg)
    inside = (np.floor(points * 10) == [math.floor(lon * 10), math.floor(LAT * 10)]).all(axis=1)
    assert inside.sum() >= n
    return points[inside][:n]


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def parquet(frame, **options):
    buffer = io.BytesIO()
    frame.to_parquet(buffer, **options)
    return buffer.getvalue()


def place_row(lon, lat, year):
    return {
        "lat": lat,
        "lon": lon,
        "year": year,
        "lon_i": np.int32(round(lon * 100)),
        "lat_i": np.int32(round(lat * 100)),
    }


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A tree of release v1 on disk: two tiles of 2024, two of 2023; the second has 3-d scales."""
    root = tmp_path_factory.mktemp("tessera")
    rows = []
    for seed, (lon, year) in enumerate([(LONS[0], 2024), (LONS[1], 2024), (LONS[0], 2023)]):
        _, _, height, width = tessera_geometry(lon, LAT)
        rng = np.random.default_rng(seed)
        stored = rng.integers(-127, 128, (height, width, 128), dtype=np.int8)
        shape = stored.shape if seed == 1 else stored.shape[:2]
        scales = rng.uniform(0.01, 0.3, shape).astype(np.float32)
        scales[rng.random(shape[:2]) < 0.2] = 0
        land = np.where(rng.random(shape[:2]) < 0.5, 0, 1).astype(np.uint8)
        path = write_tessera(
            root / TILES / str(year),
            lon,
            LAT,
            stored,
            scales,
            landmask_folder=root / LANDMASKS,
            land=land,
        )
        scales_path = path.with_name(f"{path.stem}_scales.npy")
        rows.append(
            {
                **place_row(lon, LAT, year),
                "hash": sha256(path),
                "scales_hash": sha256(scales_path),
                "file_size": path.stat().st_size,
                "scales_size": scales_path.stat().st_size,
            }
        )
    registry = pd.DataFrame(rows)
    registry.to_parquet(root / "registry.parquet")
    landmasks = pd.DataFrame([place_row(lon, LAT, 0) for lon in LONS[:2]]).drop(columns="year")
    return SimpleNamespace(root=root, registry=registry, landmasks=landmasks)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A file server, and an empty cache."""
    monkeypatch.setenv("GEOFEAT_CACHE", str(tmp_path / "cache"))
    for name in ("GEOFEAT_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    forget()
    with serving() as files:
        yield files
    forget()


@pytest.fixture
def tree(server, local):
    """The tree of release v1 on the server; its address."""
    put_tree(server, local)
    return server.url("/v1")


def put_tree(server, local, tiles=f"/v1/{TILES}", landmasks=f"/v1/{LANDMASKS}"):
    for path in (local.root / TILES).rglob("*.npy"):
        server.put(f"{tiles}/{path.relative_to(local.root / TILES).as_posix()}", path)
    for path in (local.root / LANDMASKS).glob("*.tiff"):
        server.put(f"{landmasks}/{path.name}", path)
    server.put("/v1/registry.parquet", parquet(local.registry))
    server.put("/v1/landmasks.parquet", parquet(local.landmasks))


def index_requests(server):
    return [request for request in server.requests if request.path.endswith(".parquet")]


def tile_requests(server):
    return [request for request in server.requests if request.path.endswith(".npy")]


@pytest.fixture(scope="module")
def points():
    return np.concatenate([points_in_tile(60, i, lon) for i, lon in enumerate(LONS)] + [[[5, 5]]])


@pytest.mark.parametrize("year", [2023, 2024])
def test_values_and_reasons_equal_those_of_the_files_on_disk(tree, local, points, year):
    ours, info = sampler(TesseraSource(tree), year=year).sample(points, return_info=True)
    theirs, expected = sampler(TesseraSource(local.root), year=year).sample(
        points, return_info=True
    )
    assert_array_equal(ours, theirs)
    for column in ("reason", "row", "col", "year"):
        assert info[column].tolist() == expected[column].tolist()
    assert set(info.reason) == {"ok", "water", "nodata", "no_coverage"} | (
        {"no_year"} if year == 2023 else set()
    )
    names = [path.removeprefix(tree) for path in info.file.dropna()]
    assert names == [path.removeprefix(str(local.root)) for path in expected.file.dropna()]


def test_one_point_costs_its_pixel_and_the_heads_of_three_files(server, tree):
    point = points_in_tile(1, 3)
    sampler(TesseraSource(tree), year=2024).transform(point)
    inside = tile_requests(server)
    assert len(server.requests) == 7  # two registries, two heads, a landmask, two pixels
    assert sorted(last + 1 - first for _, _, (first, last), _ in inside) == [4, 128, 2**14, 2**14]
    assert server.sent < 100_000 < len(server.files[inside[0].path]) / 50


def test_a_later_process_asks_for_nothing_it_has_seen(server, tree, points):
    values = sampler(TesseraSource(tree), year=2024).transform(points)
    server.forget()
    forget()
    assert_array_equal(sampler(TesseraSource(tree), year=2024).transform(points), values)
    assert server.requests == []
    sampler(TesseraSource(tree), year=2024).transform(points_in_tile(1, 77))
    sizes = [last + 1 - first for _, _, (first, last), _ in server.requests]
    assert sorted(sizes) == [4, 128]
    server.forget()
    sampler(TesseraSource(tree), year=2023).transform(points)
    assert index_requests(server) == []  # one row group holds both years


def test_many_points_in_a_tile_fetch_it_whole_and_once(server, tree, local):
    many = points_in_tile(4000, 5)
    values = sampler(TesseraSource(tree), year=2024).transform(many)
    assert_array_equal(values, sampler(TesseraSource(local.root), year=2024).transform(many))
    whole = [request for request in tile_requests(server) if request.range is None]
    assert len(whole) == len({request.path for request in whole}) == 2
    assert len(tile_requests(server)) == 4  # and the heads
    server.forget()
    forget()
    others = points_in_tile(300, 6)
    again = sampler(TesseraSource(tree), year=2024).transform(others)
    assert_array_equal(again, sampler(TesseraSource(local.root), year=2024).transform(others))
    assert server.requests == []


def test_few_points_leave_a_tile_where_it_is(server, tree, local):
    """Each of 40 points far apart costs less than a share of the tile; so the rule says."""
    few = points_in_tile(40, 8)
    report = sampler(TesseraSource(tree), year=2024).coverage(few)
    server.forget()
    values = sampler(TesseraSource(tree), year=2024).transform(few)
    assert_array_equal(values, sampler(TesseraSource(local.root), year=2024).transform(few))
    assert all(request.range is not None for request in tile_requests(server))
    assert report.bytes.tolist() == [server.sent]
    tile = max(len(server.files[request.path]) for request in tile_requests(server))
    assert server.sent + REQUEST_BYTES * server.count < tile / 2


def test_hashes_are_read_where_the_tiles_of_a_call_are_worth_them(server, tree, local):
    """Here the row group of hashes is larger than a tile, and smaller than two."""
    rng = np.random.default_rng(0)
    other = pd.DataFrame(
        {
            "lon_i": np.arange(-17_995, 17_995, 10).repeat(30)[:90_000].astype(np.int32),
            "lat_i": np.int32(5),
            "year": 2024,
            "hash": [rng.bytes(32).hex() for _ in range(90_000)],
        }
    )
    other["scales_hash"] = other.hash[::-1].to_numpy()
    registry = pd.concat([local.registry, other.assign(file_size=1, scales_size=1)])
    server.put("/v1/registry.parquet", parquet(registry))
    tile = max(len(body) for path, body in server.files.items() if path.endswith(f"_{LAT}.npy"))
    assert tile < len(server.files["/v1/registry.parquet"]) < 2 * tile
    one, two = points_in_tile(4000, 5, LONS[0]), points_in_tile(4000, 5, LONS[1])
    for points, n_whole in ((one, 0), (np.concatenate([one, two]), 4), (one, 0)):
        server.forget()
        values = sampler(TesseraSource(tree), year=2024).transform(points)
        assert_array_equal(values, sampler(TesseraSource(local.root), year=2024).transform(points))
        assert sum(request.range is None for request in tile_requests(server)) == n_whole
    assert server.requests == []


@pytest.mark.parametrize(
    ("column", "value", "error", "words"),
    [
        ("hash", "0" * 64, ChecksumError, "registry and server disagree"),
        ("scales_hash", None, CorruptFileError, "has no SHA-256 sums of tile grid_10.05_87.05"),
        ("hash", "abc", CorruptFileError, "has no SHA-256 sums"),
        ("file_size", -1, CorruptFileError, "bytes"),
        ("file_size", 7, ChecksumError, "its registry says 7"),
    ],
)
def test_whole_tiles_are_verified(server, tree, local, column, value, error, words):
    registry = local.registry.copy()
    registry.loc[0, column] = value
    server.put("/v1/registry.parquet", parquet(registry))
    with pytest.raises(error, match=words):
        sampler(TesseraSource(tree), year=2024).transform(points_in_tile(4000, 5))


def test_a_tile_with_two_hashes_is_refused(server, tree, local):
    other = local.registry.iloc[:1].assign(hash="1" * 64)
    server.put("/v1/registry.parquet", parquet(pd.concat([local.registry, other])))
    with pytest.raises(CorruptFileError, match="with different hashes"):
        sampler(TesseraSource(tree), year=2024).transform(points_in_tile(4000, 5))


def test_without_hashes_tiles_are_read_by_ranges_unless_the_user_says_otherwise(
    server, tree, local
):
    bare = local.registry.drop(columns=["hash", "scales_hash"])
    server.put("/v1/registry.parquet", parquet(bare))
    many = points_in_tile(4000, 5)
    expected = sampler(TesseraSource(local.root), year=2024).transform(many)
    assert_array_equal(sampler(TesseraSource(tree), year=2024).transform(many), expected)
    assert all(request.range is not None for request in tile_requests(server))
    source = TesseraSource(tree, allow_unverified=True)
    assert_array_equal(sampler(source, year=2024).transform(many), expected)
    assert sum(request.range is None for request in tile_requests(server)) == 2


@pytest.mark.parametrize("gone", ["", "_scales"])
def test_registered_files_that_are_not_there_are_told(server, tree, local, points, gone):
    name = f"grid_{LONS[0]}_{LAT}"
    path = f"/v1/{TILES}/2024/{name}/{name}{gone}.npy"
    del server.files[path]
    with pytest.warns(CoverageWarning, match=r"1 file\(s\) that should be there are not") as caught:
        values, info = sampler(TesseraSource(tree), year=2024).sample(points, return_info=True)
    assert server.url(path) in str(caught[0].message)
    here = np.floor(points[:, 0] * 10) == np.floor(LONS[0] * 10)
    assert (info.reason[here] == "no_coverage").all()
    assert (info.file[here] == server.url(path)).all()
    expected = sampler(TesseraSource(local.root), year=2024).transform(points)
    assert_array_equal(values[~here], expected[~here])
    with pytest.raises(SourceError, match="should be there"):
        sampler(TesseraSource(tree), year=2024, on_missing="raise").transform(points)


def test_a_landmask_that_is_not_there_is_not_missed(server, tree, local, points):
    for path in [path for path in server.files if path.endswith(".tiff")]:
        del server.files[path]
    values, info = sampler(TesseraSource(tree), year=2024).sample(points, return_info=True)
    assert_array_equal(values, sampler(TesseraSource(local.root), year=2024).transform(points))
    assert set(info.reason) == {"ok", "nodata", "no_coverage"}


def test_offline_what_is_kept_is_enough_and_nothing_else_is_asked(
    server, tree, points, monkeypatch, tmp_path
):
    values = sampler(TesseraSource(tree), year=2024).transform(points)
    server.forget()
    forget()
    monkeypatch.setenv("GEOFEAT_OFFLINE", "1")
    assert_array_equal(sampler(TesseraSource(tree), year=2024).transform(points), values)
    with pytest.raises(OfflineError, match=r"grid_10\.05_87\.05"):
        sampler(TesseraSource(tree), year=2023).transform(points)
    monkeypatch.setenv("GEOFEAT_CACHE", str(tmp_path / "empty"))
    forget()
    with pytest.raises(OfflineError, match=r"registry\.parquet"):
        sampler(TesseraSource(tree), year=2024).transform(points)
    assert server.requests == []


def manifest(local, version="1.1", variant="cambridge"):
    keys = ["lon", "lat", "year"]
    return local.registry[keys].assign(version=version, variant=variant, grid_path="../../x.npy")


@pytest.mark.parametrize("opened", ["/x/npy", "/x/npy/v1.1-cam"])
@pytest.mark.parametrize("masks", ["v1.1", "v1", None])
def test_datasets_of_source_cooperative(server, local, points, opened, masks):
    """Their manifests tell no hashes; landmasks lie by version, the nearest one counts."""
    put_tree(server, local, "/x/npy/v1.1-cam", f"/x/landmasks/{masks}")
    server.put("/x/npy/v1.1-cam/manifest.parquet", parquet(manifest(local)))
    if masks:
        server.put(f"/x/landmasks/{masks}/landmasks.parquet", parquet(local.landmasks))
    source = TesseraSource(server.url(opened), release="v1.1-cam")
    values, info = sampler(source, year=2024).sample(points, return_info=True)
    assert_array_equal(values, sampler(TesseraSource(local.root), year=2024).transform(points))
    assert source.years == (2023, 2024)
    assert source.found_release == "v1.1-cam"
    assert ("water" in set(info.reason)) == (masks is not None)


def test_releases_are_chosen_and_checked(server, local, points):
    put_tree(server, local, "/x/npy/v1")
    server.put("/x/npy/v1/manifest.parquet", parquet(manifest(local)))
    with pytest.raises(SourceError, match=r"choose one with release="):
        _ = TesseraSource(server.url("/x/npy")).years
    with pytest.raises(SourceError, match=r"named as release v1, its registry lists v1\.1-cam"):
        sampler(TesseraSource(server.url("/x/npy/v1")), year=2024).transform(points)
    with pytest.raises(SourceError, match="has no release 'v2', only v1"):
        _ = TesseraSource(server.url("/v1"), release="v2").years
    for release in ("../v1", "v1?x=1", "http://127.0.0.1/"):
        with pytest.raises(UnsafeFileError, match="no plain name"):
            _ = TesseraSource(server.url("/x/npy"), release=release).years
    assert {request.path for request in server.requests} == {"/x/npy/v1/manifest.parquet"}


def test_an_address_without_a_registry_says_what_would_do(server):
    with pytest.raises(SourceError, match=r"has no registry\.parquet or manifest\.parquet"):
        _ = TesseraSource(server.url("/v1")).years
    assert [request.path for request in server.requests] == [
        "/v1/registry.parquet",
        "/v1/manifest.parquet",
    ]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 200.0])
def test_registry_rows_without_a_place_on_earth_are_refused(server, tree, local, bad):
    registry = local.registry.drop(columns=["lon_i", "lat_i"])
    registry.loc[2, "lon"] = bad
    server.put("/v1/registry.parquet", parquet(registry))
    with pytest.raises(CorruptFileError, match="without a place on Earth"):
        sampler(TesseraSource(tree), year=2023).transform([[LONS[0], LAT]])


def test_the_public_tree_is_built_in(server, tree, local, points, monkeypatch):
    assert TesseraSource.geotessera == "https://dl2.geotessera.org/v1"
    assert TesseraSource.source_cooperative == "https://data.source.coop/tessera/tessera/npy"
    monkeypatch.setattr("geofeat.rasters._tessera.GEOTESSERA", tree)
    source = TesseraSource()
    assert repr(source) == "TesseraSource()"
    assert server.requests == []
    values = sampler(source, year=2024).transform(points)
    assert_array_equal(values, sampler(TesseraSource(local.root), year=2024).transform(points))


def test_tiles_are_asked_for_side_by_side(server, tree, points):
    server.delay = 0.02
    sampler(TesseraSource(tree), year=2024).transform(points)
    assert server.most_at_once >= 2


def test_it_works_inside_a_running_event_loop(tree, local, points):
    async def sample():
        return sampler(TesseraSource(tree), year=2024).transform(points)

    expected = sampler(TesseraSource(local.root), year=2024).transform(points)
    assert_array_equal(asyncio.run(sample()), expected)


def test_eight_threads_read_the_same_and_the_registry_once(server, tree, local, points):
    task = sampler(TesseraSource(tree), year=2024)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: task.transform(points), range(8)))
    expected = sampler(TesseraSource(local.root), year=2024).transform(points)
    for values in found:
        assert_array_equal(values, expected)
    assert len(index_requests(server)) == 2  # of tiles and of landmasks


def test_another_process_asks_for_nothing(server, tree, points, tmp_path):
    values = sampler(TesseraSource(tree), year=2024).transform(points)
    server.forget()
    np.save(tmp_path / "points.npy", points)
    program = (
        "import numpy as np, geofeat\n"
        f"source = geofeat.TesseraSource({tree!r})\n"
        "task = geofeat.EmbeddingRasterSampler(source, year=2024, on_missing='nan')\n"
        f"points = np.load({str(tmp_path / 'points.npy')!r})\n"
        f"np.save({str(tmp_path / 'values.npy')!r}, task.transform(points))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert_array_equal(np.load(tmp_path / "values.npy"), values)
    assert server.requests == []


def test_messages_keep_tokens_and_passwords_to_themselves(server, tree, points):
    secret = tree.replace("http://", "http://me:word@")
    name = f"grid_{LONS[0]}_{LAT}"
    del server.files[f"/v1/{TILES}/2024/{name}/{name}.npy"]
    with pytest.warns(CoverageWarning, match="should be there") as told:
        sampler(TesseraSource(secret), year=2024).transform(points)
    server.put("/v1/registry.parquet", b"PAR1 is not enough")
    with pytest.raises(CorruptFileError, match="is no parquet file") as caught:
        _ = TesseraSource(f"{secret}?token=abc").years
    for message in (str(told[0].message), str(caught.value)):
        assert "127.0.0.1" in message
        assert "word" not in message
        assert "abc" not in message


def test_a_tile_that_was_replaced_is_an_error(server, tree):
    task = sampler(TesseraSource(tree), year=2024)
    task.transform(points_in_tile(1, 1))
    path = tile_requests(server)[0].path
    server.tags[path] = '"another"'
    with pytest.raises(SourceError, match="has changed"):
        task.transform(points_in_tile(1, 2))


def test_damaged_tiles_are_named(server, tree):
    name = f"grid_{LONS[0]}_{LAT}"
    path = f"/v1/{TILES}/2024/{name}/{name}.npy"
    server.files[path] = server.files[path][:-1]
    with pytest.raises(CorruptFileError, match="truncated") as caught:
        sampler(TesseraSource(tree), year=2024).transform(points_in_tile(1, 1))
    assert caught.value.path == server.url(path)


def test_faults_of_the_server_are_put_up_with(server, tree, local, points, monkeypatch):
    monkeypatch.setattr("geofeat.rasters._transport.pause_after", lambda attempt: 0.0)
    server.faults = [
        Fault("status", status=503),
        Fault("cut", after=3),
        Fault("short", after=5),
    ]
    values = sampler(TesseraSource(tree), year=2024).transform(points)
    assert_array_equal(values, sampler(TesseraSource(local.root), year=2024).transform(points))
    assert [fault.times for fault in server.faults] == [0, 0, 0]
