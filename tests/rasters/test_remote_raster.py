"""GeoTIFFs on a server: the numbers of the same file on disk, by few requests and bytes."""

import asyncio
import os
import signal
import struct
import subprocess
import sys
import textwrap
import time
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.testing import assert_array_equal
from rasterio.errors import NotGeoreferencedWarning
from rasterio.shutil import copy as gdal_copy

from geofeat import AlphaEarthSource, EmbeddingRasterSampler, RasterSource
from geofeat.exceptions import (
    CorruptFileError,
    CoverageWarning,
    DownloadError,
    LimitError,
    OfflineError,
    RasterMismatchError,
    SourceError,
)
from geofeat.rasters import _remote
from geofeat.rasters._header import read_header
from geofeat.rasters._raster_reader import read_mask_band
from geofeat.rasters._remote_raster import Area, open_in_memory, remote_raster
from geofeat.rasters._tiff_directory import TiffDirectory
from tests.rasters.http_server import Fault
from tests.rasters.writers import (
    alphaearth_values,
    random_bytes,
    random_pixels,
    to_lonlat,
    write_alphaearth,
    write_raster,
)

UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)
SOUTH_UP = Affine(10, 0, 500_000, 0, 10, 5_000_000)
HEIGHT, WIDTH = 150, 203


def smooth(seed, bands=5, dtype=np.int16):
    """Numbers that compress, so that no block is as long as another."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(-3, 4, (bands, HEIGHT, WIDTH)) * (rng.random((bands, HEIGHT, WIDTH)) < 0.3)
    return steps.cumsum(axis=2).astype(dtype)


def written(path, layout):
    """A file of a layout, and the numbers in it, NaN where it says that there is none."""
    values = smooth(1)
    options = {"crs": "EPSG:32632", "transform": UTM, "blockxsize": 48, "blockysize": 48}
    missing = np.zeros((HEIGHT, WIDTH), dtype=bool)
    if layout == "planar":
        write_raster(path, values, **options)
    elif layout == "pixel":
        write_raster(path, values, interleave="pixel", compress="deflate", predictor=2, **options)
    elif layout == "strips":
        options |= {"tiled": False, "blockxsize": None, "blockysize": None}
        write_raster(path, values, compress="none", **options)
    elif layout == "one strip":
        options |= {"tiled": False, "blockxsize": None, "blockysize": HEIGHT}
        write_raster(path, values, interleave="pixel", compress="none", **options)
    elif layout == "big endian":
        write_raster(path, values, ENDIANNESS="BIG", compress="lzw", **options)
    elif layout == "big":
        values = values.astype(np.float32) / 7
        write_raster(path, values, BIGTIFF="YES", predictor=3, **options)
    elif layout == "one block":
        write_raster(path, values[:1], **{**options, "blockxsize": 256, "blockysize": 256})
        values = values[:1]
    elif layout == "cog":
        write_raster(path.with_name("plain.tif"), values, nodata=-5, **options)
        gdal_copy(path.with_name("plain.tif"), path, driver="COG", compress="zstd", blocksize=128)
    elif layout == "sparse":
        missing[48:96, 48:] = True
        values[:, missing] = -7
        write_raster(path, values, nodata=-7, SPARSE_OK=True, **options)
    elif layout == "masked":
        missing[10:90, 20:130] = True
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            write_raster(path, values, interleave="pixel", **options)
            with rasterio.open(path, "r+") as file:
                file.write_mask(~missing)
    values = values.astype(np.float32)
    for nodata in {"cog": [-5], "sparse": [-7]}.get(layout, []):
        values[values == nodata] = np.nan
    values[:, missing] = np.nan
    return values


@pytest.fixture(scope="module")
def raster(tmp_path_factory):
    """Callable that gives path and numbers of the file of a layout, written once."""
    folder = tmp_path_factory.mktemp("layouts")

    @cache
    def of_layout(layout):
        path = folder / layout.replace(" ", "_") / "a.tif"
        path.parent.mkdir()
        return path, written(path, layout)

    return of_layout


LAYOUTS = ["planar", "pixel", "strips", "one strip", "big endian", "big", "one block", "cog"]
LAYOUTS += ["sparse", "masked"]


def sampled(paths, points, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CoverageWarning)
        sampler = EmbeddingRasterSampler(RasterSource(paths), on_missing="nan", **options)
        return sampler.transform(points)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read_as_it_lies(server, raster, transport, layout):
    path, values = raster(layout)
    address = server.put("/a.tif", path)
    points, row, col = random_pixels(400, HEIGHT, WIDTH, UTM)
    found = sampled(address, points)
    truth = values[:, row, col].T
    truth[np.isnan(truth).any(axis=1)] = np.nan  # a row misses a band, so it misses all
    assert_array_equal(found, truth)
    assert_array_equal(sampled(str(path), points), truth)
    one = sampled(address, points[:1], bands=[0])
    assert_array_equal(one, truth[:1, :1])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_headers_are_those_of_the_file_on_disk(server, raster, layout):
    path, _ = raster(layout)
    address = server.put("/a.tif", path)
    there, here = read_header(address), read_header(str(path))
    unlike = {"path": "", "stamp": (0, 0)}
    assert there._replace(**unlike) == here._replace(**unlike)
    assert there.path == address
    assert there.masked == (layout == "masked")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Path of a file as AlphaEarth publishes them, in small, and what it holds."""
    tmp_path = tmp_path_factory.mktemp("published")
    stored = random_bytes(3, (64, 192, 192))
    path = write_alphaearth(
        tmp_path / "plain.tiff",
        stored,
        epsg=32632,
        west=500_000,
        south=5_000_000,
        blockxsize=64,
        blockysize=64,
    )
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2])
    # Rewritten with the header in front, as the published files have it.
    gdal_copy(
        path,
        tmp_path / "a.tiff",
        driver="GTiff",
        COPY_SRC_OVERVIEWS="YES",
        compress="zstd",
        interleave="band",
        tiled="yes",
        blockxsize=64,
        blockysize=64,
        BIGTIFF="YES",
    )
    return tmp_path / "a.tiff", stored


@pytest.fixture
def alphaearth(server, published):
    """Address of that file, its path, and what it holds."""
    return server.put("/2023/32N/a.tiff", published[0]), *published


def in_blocks(blocks, n, seed=0):
    """Points inside blocks of 64 pixels; lon, lat, row, col."""
    rng = np.random.default_rng(seed)
    which = rng.integers(0, len(blocks), n)
    row, col = (np.array(blocks)[which].T * 64 + rng.integers(0, 64, (2, n))).astype(int)
    lonlat = to_lonlat(500_000 + 10 * (col + 0.5), 5_000_000 + 10 * (row + 0.5), 32632)
    return lonlat, row, col


def test_requests_and_bytes_are_those_of_the_touched_blocks(
    server, alphaearth, transport, monkeypatch
):
    """One request for the header and 64 for each block, whatever the number of points."""
    for module in ("_header", "_remote_raster"):
        monkeypatch.setattr(f"geofeat.rasters.{module}.HEAD_BYTES", 2**14)
    address, path, stored = alphaearth
    with rasterio.open(path) as file:
        size = sum(
            int(file.get_tag_item(f"BLOCK_SIZE_{j}_{i}", "TIFF", bidx=band))
            for i, j in [(0, 1), (2, 2)]
            for band in range(1, 65)
        )
    points, row, col = in_blocks([(0, 1), (2, 2)], 200)
    sampler = EmbeddingRasterSampler(AlphaEarthSource(address), year=2023)
    for _ in range(2):  # the second time from the cache on disk
        assert_array_equal(sampler.transform(points), alphaearth_values(stored[:, row, col]).T)
        assert 100 < server.count <= 1 + 2 * 64
        assert server.asked_bytes() <= 1.05 * size + 2**14
        _remote.forget()
    cost = sampler.coverage(points)
    assert cost["bytes"].tolist() == [size]


def test_bands_that_are_not_asked_for_are_not_fetched(server, alphaearth):
    address, _, stored = alphaearth
    points, row, col = in_blocks([(1, 1)], 20)
    sampler = EmbeddingRasterSampler(AlphaEarthSource(address), year=2023, bands=[40, 63])
    assert_array_equal(
        sampler.transform(points), alphaearth_values(stored[[40, 63]][:, row, col]).T
    )
    assert server.count == 3


def test_reopening_in_another_session_costs_no_request(server, alphaearth):
    address, _, _ = alphaearth
    points, _, _ = in_blocks([(1, 1)], 20)
    first = EmbeddingRasterSampler(AlphaEarthSource(address), year=2023).transform(points)
    server.forget()
    _remote.forget()
    again = EmbeddingRasterSampler(AlphaEarthSource(address), year=2023).transform(points)
    assert_array_equal(first, again)
    assert server.count == 0


def test_small_blocks_are_fetched_ahead(server, tmp_path, monkeypatch):
    """Two threads decode, but the requests of the next windows are on their way already."""
    monkeypatch.setattr("geofeat.rasters._blocks._WINDOW_BYTES", 1)
    values = np.random.default_rng(0).integers(0, 2**15, (5, HEIGHT, WIDTH), dtype=np.int16)
    path = tmp_path / "a.tif"
    write_raster(path, values, crs="EPSG:32632", transform=UTM, interleave="pixel")
    address = server.put("/a.tif", path)
    monkeypatch.setattr("geofeat.rasters._remote_raster.HEAD_BYTES", 2**10)
    remote_raster(address)
    server.delay = 0.05
    points, row, col = random_pixels(60, HEIGHT, WIDTH, UTM)
    assert_array_equal(sampled(address, points), values[:, row, col].T)
    assert server.most_at_once >= 8


def test_several_files_are_looked_at_side_by_side(server, tmp_path):
    addresses = []
    for i in range(12):
        transform = Affine(10, 0, 500_000 + 2030 * i, 0, -10, 5_000_000)
        write_raster(tmp_path / f"{i}.tif", smooth(i), crs="EPSG:32632", transform=transform)
        addresses.append(server.put(f"/{i}.tif", tmp_path / f"{i}.tif"))
    server.delay = 0.05
    source = RasterSource(addresses)
    assert source.band_names[0] == "band_001"
    points = [[9.0 + 0.001, 45.15]]
    sampled(addresses, points)
    assert server.most_at_once >= 8


def test_transform_works_inside_a_running_event_loop(alphaearth, transport):
    address, _, stored = alphaearth
    points, row, col = in_blocks([(0, 0), (1, 2)], 30)

    async def cell():
        return EmbeddingRasterSampler(AlphaEarthSource(address), year=2023).transform(points)

    assert_array_equal(asyncio.run(cell()), alphaearth_values(stored[:, row, col]).T)


def test_remote_paths_alone_find_their_source(server, alphaearth, raster):
    address, _, stored = alphaearth
    points, row, col = in_blocks([(0, 0)], 10)
    sampler = EmbeddingRasterSampler(address, year=2023)
    assert_array_equal(sampler.transform(points), alphaearth_values(stored[:, row, col]).T)
    assert isinstance(sampler.fit(points).source, str)
    path, _ = raster("pixel")
    both = [server.put("/b.tif", path), str(path)]
    assert EmbeddingRasterSampler(both).fit(points).get_feature_names_out().tolist() == [
        f"band_{i:03d}" for i in range(1, 6)
    ]
    other = server.put("/c.tif", alphaearth[1])
    with pytest.raises(RasterMismatchError, match=r"b\.tif"):
        RasterSource([other, both[0]]).locate(np.zeros(1), np.zeros(1), np.array([-1]))


def test_faults_on_the_way_do_not_change_a_number(server, alphaearth, transport, waits):
    address, _, stored = alphaearth
    points, row, col = in_blocks([(0, 0), (2, 1)], 30)
    source = AlphaEarthSource(address)
    source.locate(*points[:1].T, np.array([2023]))
    server.faults = [
        Fault(kind, after=3 * i, status=503 if kind == "status" else None)
        for i, kind in enumerate(["cut", "status", "short", "shifted", "garbage", "status", "long"])
    ]
    found = EmbeddingRasterSampler(source, year=2023).transform(points)
    assert_array_equal(found, alphaearth_values(stored[:, row, col]).T)
    assert all(fault.times == 0 for fault in server.faults)


def test_lasting_faults_are_errors_that_name_the_file(server, alphaearth, waits):
    address, _, _ = alphaearth
    points, _, _ = in_blocks([(0, 0), (2, 1)], 30)
    source = AlphaEarthSource(address)
    source.locate(*points[:1].T, np.array([2023]))
    server.faults = [Fault("status", times=None, status=403)]
    with pytest.raises(DownloadError, match=r"a\.tiff cannot be read.*403"):
        EmbeddingRasterSampler(source, year=2023).transform(points)
    server.faults = []
    assert np.isfinite(EmbeddingRasterSampler(source, year=2023).transform(points)).all()


def test_a_file_replaced_after_the_look_is_an_error(server, alphaearth, tmp_path, transport):
    address, _, _ = alphaearth
    points, _, _ = in_blocks([(0, 0), (2, 1)], 30)
    source = AlphaEarthSource(address)
    source.locate(*points[:1].T, np.array([2023]))
    other = write_alphaearth(
        tmp_path / "other.tiff", random_bytes(9, (64, 192, 192)), epsg=32632, west=5e5, south=5e6
    )
    server.put("/2023/32N/a.tiff", (tmp_path / "other.tiff").read_bytes())
    with pytest.raises(SourceError, match="has changed since"):
        EmbeddingRasterSampler(source, year=2023).transform(points)
    anew = EmbeddingRasterSampler(AlphaEarthSource(address), year=2023).transform(points)
    here = EmbeddingRasterSampler(AlphaEarthSource(other, year=2023), year=2023).transform(points)
    assert_array_equal(anew, here)


def test_absent_files_count_like_local_ones(server, raster):
    address = server.put("/a.tif", raster("planar")[0])
    with pytest.raises(FileNotFoundError, match=r"b\.tif does not exist"):
        sampled([address, server.url("/b.tif")], [[9.0, 45.15]])
    source = RasterSource(address)
    points, _, _ = random_pixels(5, HEIGHT, WIDTH, UTM)
    source.locate(*points.T, np.full(5, -1))
    del server.files["/a.tif"]
    _remote.forget()
    os.environ["GEOFEAT_CACHE"] += "2"
    with pytest.raises(SourceError, match="is gone"):
        source.locate(*points.T, np.full(5, -1))


def test_offline_reads_what_was_read_before(server, alphaearth, monkeypatch):
    address, _, _ = alphaearth
    points, _, _ = in_blocks([(0, 0)], 10)
    first = EmbeddingRasterSampler(AlphaEarthSource(address), year=2023).transform(points)
    monkeypatch.setenv("GEOFEAT_OFFLINE", "1")
    _remote.forget()
    server.forget()
    again = EmbeddingRasterSampler(AlphaEarthSource(address), year=2023).transform(points)
    assert_array_equal(first, again)
    elsewhere, _, _ = in_blocks([(2, 2)], 10)
    with pytest.raises(OfflineError, match="cache folder"):
        EmbeddingRasterSampler(AlphaEarthSource(address), year=2023).transform(elsewhere)
    assert server.count == 0


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("https://example.org/*.tif", "one file"),
        ("https://example.org/folder/", "one file"),
        ("gs://bucket/a.vrt", r"\.vrt"),
        ("http://example.org/a.tif", "use https"),
    ],
)
def test_only_rasters_named_by_https_are_remote_rasters(path, words):
    with pytest.raises(SourceError, match=words):
        RasterSource(path).band_names  # noqa: B018


def test_a_virtual_raster_disguised_as_a_tiff_is_not_followed(server, raster, tmp_path):
    gdal_copy(raster("planar")[0], tmp_path / "a.vrt", driver="VRT")
    address = server.put("/disguised.tif", tmp_path / "a.vrt")
    with pytest.raises(CorruptFileError, match="GTiff"):
        RasterSource(address).band_names  # noqa: B018


def test_blocks_that_were_not_fetched_are_errors_not_zeros(server, raster):
    """In a file that is not compressed, any bytes would do for numbers."""
    there = remote_raster(server.put("/a.tif", raster("strips")[0]))
    fetched = there.fetch(Area(0, 0, 10, WIDTH), np.array([1]), masked=False)
    with fetched.opened(np.array([1]), masked=False) as dataset:
        assert dataset.read(2, window=((0, 10), (0, WIDTH))).shape == (10, WIDTH)
        for band, rows in [(2, (100, 110)), (1, (0, 10))]:
            with pytest.raises(rasterio.errors.RasterioIOError):
                dataset.read(band, window=(rows, (0, WIDTH)))


def test_small_masks_are_read_whole(server, tmp_path):
    land = (np.arange(40 * 30).reshape(40, 30) % 7 < 3).astype(np.uint8)
    write_raster(
        tmp_path / "land.tiff",
        land[None],
        crs="EPSG:32632",
        transform=UTM,
        compress="lzw",
        tiled=False,
        blockxsize=None,
        blockysize=None,
    )
    assert_array_equal(read_mask_band(server.put("/land.tiff", tmp_path / "land.tiff")), land)


def test_errors_of_rasters_tell_no_secret(server, raster):
    path, _ = raster("planar")
    content = path.read_bytes()
    points, _, _ = random_pixels(100, HEIGHT, WIDTH, UTM)
    whole, cut = (server.put(f"/{i}.tif", c) for i, c in enumerate((content, content[:300])))
    for address, options in [
        (cut, {}),
        (whole, {"max_block_bytes": 10}),
        (whole, {"decode": "aef"}),
    ]:
        secret = address.replace("//", "//me:key@") + "?token=x1y2"
        with pytest.raises(ValueError, match=r"\.tif") as caught:
            EmbeddingRasterSampler(RasterSource(secret, **options)).transform(points)
        assert "x1y2" not in str(caught.value)
        assert "key" not in str(caught.value)


@pytest.mark.parametrize("layout", ["planar", "cog", "strips"])
def test_truncated_files_are_errors(server, raster, layout):
    content = raster(layout)[0].read_bytes()
    points, _, _ = random_pixels(100, HEIGHT, WIDTH, UTM)
    for i, length in enumerate((0, 5, 16, 300, len(content) // 2, len(content) - 200)):
        address = server.put(f"/{i}.tif", content[:length])
        with pytest.raises((CorruptFileError, SourceError), match=rf"/{i}\.tif"):
            sampled(address, points)


def test_damaged_headers_are_read_or_refused(raster):
    """Two hundred damaged copies; GDAL sees only headers that were taken apart before."""
    rng = np.random.default_rng(0)
    outcomes = set()
    for layout in ("planar", "cog"):
        content = raster(layout)[0].read_bytes()
        header = TiffDirectory("a", len(content), reader(content))
        tags = np.flatnonzero(np.frombuffer(content, "u1") != 0)
        for _ in range(100):
            damaged = bytearray(content)
            for place in rng.choice(tags[tags < 2000] if layout == "cog" else tags[-900:], 3):
                damaged[place] = rng.integers(0, 256)
            try:
                directory = TiffDirectory("a", len(damaged), reader(bytes(damaged)))
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", NotGeoreferencedWarning)
                    with open_in_memory("a", directory.header()) as dataset:
                        outcomes.add("opened")
                        assert dataset.count >= 0
            except (CorruptFileError, LimitError) as error:
                outcomes.add(type(error).__name__)
        assert header.shape == (HEIGHT, WIDTH)
    assert {"opened", "CorruptFileError"} <= outcomes


def reader(content):
    def read(ranges):
        for offset, length in ranges:
            if offset < 0 or offset + length > len(content):
                raise CorruptFileError("a", "is truncated")
        return [content[offset : offset + length] for offset, length in ranges]

    return read


def directory_of(fields):
    """A BigTIFF without pixels: fields by tag are (kind, number, value or offset)."""
    body = struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, len(fields))
    body += b"".join(struct.pack("<HHQQ", tag, *fields[tag]) for tag in sorted(fields))
    return body + bytes(2**16)


def test_headers_that_claim_more_than_they_hold_are_refused():
    sizes = {256: (4, 1, 2**32 - 1), 257: (4, 1, 2**32 - 1), 322: (4, 1, 1), 323: (4, 1, 1)}
    blocks = {324: (16, 0, 0), 325: (16, 0, 0)}
    # So many blocks that their number does not fit in 64 bits.
    wide = directory_of(sizes | blocks | {256: (16, 1, 2**32), 257: (16, 1, 2**32)})
    with pytest.raises(CorruptFileError, match="where its 18446744073709551616 blocks lie"):
        TiffDirectory("a", len(wide), reader(wide))
    # Fields that all share the bytes of a small file.
    shared = dict.fromkeys(range(45000, 49000), (1, 2**17, 0))
    small = directory_of(sizes | blocks | shared)

    def refuse(ranges):
        assert sum(length for _, length in ranges) < 2**18
        return reader(small)(ranges)

    with pytest.raises(LimitError, match="take 524288000 bytes, the bound is 268435456"):
        TiffDirectory("a", len(small), refuse)


def test_ctrl_c_ends_a_call_that_waits_for_a_silent_server(server, alphaearth):
    """In a process of its own: it is interrupted, tells so, and ends, all within seconds."""
    address, _, _ = alphaearth
    points, _, _ = in_blocks([(i, j) for i in range(3) for j in range(3)], 30)
    code = """
        import sys, time
        import numpy as np
        from geofeat import AlphaEarthSource, EmbeddingRasterSampler
        source = AlphaEarthSource(sys.argv[1])
        points = np.array(sys.argv[2].split(), dtype=float).reshape(-1, 2)
        source.locate(*points.T, np.full(len(points), 2023))
        print("looked", flush=True)
        sys.stdin.readline()
        print("reading", flush=True)
        try:
            EmbeddingRasterSampler(source, year=2023).transform(points)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), address, " ".join(map(str, points.ravel()))],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "NUMBA_NUM_THREADS": "2"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "looked\n"
    server.faults = [Fault("stall", times=None)]
    before = server.count
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "reading\n"
    started = time.monotonic()
    while server.count < before + 64 and time.monotonic() - started < 30:
        time.sleep(0.01)
    assert server.count >= before + 64
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "interrupted\n"
    assert time.monotonic() - started < 20  # far less than the 30 s of a silent connection
    process.kill()
    process.communicate()
