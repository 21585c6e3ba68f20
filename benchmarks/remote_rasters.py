"""Requests and bytes of remote rasters: ours beside GDAL's own reading, from a local server.

Run ``python benchmarks/remote_rasters.py``. A server on 127.0.0.1 counts what it is asked for. It
serves a file in AlphaEarth's published form and size, 8192 x 8192 x 64 (planar, ZSTD, 4096 chunks
of 1024 x 1024; only four block sets hold noise-like numbers, the rest is left out of the sparse
file, which changes no header), and a TESSERA tile of true size. Every row starts with empty
caches, ours and GDAL's, unless it says otherwise; values are compared with the local files.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
from pyproj import Transformer
from raster_sampling import (
    BANDS,
    BLOCK,
    EPSG,
    SOUTH,
    TILE,
    WEST,
    alphaearth_profile,
    write_tessera,
)
from rasterio.windows import Window

from geofeat import AlphaEarthSource, EmbeddingRasterSampler, TesseraSource
from geofeat._tessera_grid import tessera_grid
from geofeat.rasters._block_cache import clear_cache

SIDE = 8192
FILLED = ((0, 0), (0, 5), (3, 2), (7, 7))  # block rows and columns that hold numbers
GDAL = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_INGESTED_BYTES_AT_OPEN": 131072,
}


class Counter:
    """What the server was asked for and what it sent."""

    def __init__(self) -> None:
        self.requests = self.bytes = 0
        self._lock = threading.Lock()

    def add(self, n_bytes: int) -> None:
        """Count one request and its answer."""
        with self._lock:
            self.requests += 1
            self.bytes += n_bytes

    def reset(self) -> None:
        """Start again from zero."""
        self.requests = self.bytes = 0


@contextmanager
def serving(root: Path, counter: Counter) -> Iterator[str]:
    """Serve the files below ``root`` by ranges; yield the address.

    A leading folder ``row1``, ``row2``, ... means nothing: it makes an address nobody knows yet.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Keep silent."""

        def do_HEAD(self) -> None:
            """Answer with the headers alone."""
            self.answer(body=False)

        def do_GET(self) -> None:
            """Answer with a range or the whole file."""
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            """Send headers and, if asked for, bytes."""
            path = root / re.sub(r"^/row\d+/", "", self.path.split("?")[0]).lstrip("/")
            if not path.is_file():
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                counter.add(0)
                return
            size = path.stat().st_size
            asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            first, last = (int(asked[1]), min(int(asked[2]), size - 1)) if asked else (0, size - 1)
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(last - first + 1))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", f'"{size}"')
            if asked:
                self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
            self.end_headers()
            if body:
                with path.open("rb") as file:
                    file.seek(first)
                    self.wfile.write(file.read(last - first + 1))
            counter.add(last - first + 1 if body else 0)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write_alphaearth(path: Path) -> None:
    """Write the file of true size with four filled block sets."""
    rng = np.random.default_rng(0)
    profile = alphaearth_profile(SIDE, SIDE, WEST, SOUTH) | {"SPARSE_OK": "TRUE"}
    path.parent.mkdir(parents=True)
    with rasterio.open(path, "w", **profile) as file:
        for band in range(BANDS):
            file.set_band_description(band + 1, f"A{band:02d}")
        for band in range(BANDS):  # plane after plane, as GDAL writes such files
            for i, j in FILLED:
                noise = rng.standard_normal((BLOCK, BLOCK), dtype=np.float32) * 30
                stored = np.clip(np.rint(noise), -127, 127).astype(np.int8)
                window = Window(j * BLOCK, i * BLOCK, BLOCK, BLOCK)
                file.write(stored, band + 1, window=window)


def points_in(blocks: list[tuple[int, int]], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """One point in each of the blocks listed: lon and lat, x and y."""
    rng = np.random.default_rng(seed)
    corners = BLOCK * np.array([(j, i) for i, j in blocks])
    pixel = corners + rng.integers(0, BLOCK, (len(blocks), 2)) + 0.5
    xy = np.array([WEST, SOUTH]) + 10 * pixel
    to_lonlat = Transformer.from_crs(EPSG, 4326, always_xy=True)
    return np.column_stack(to_lonlat.transform(*xy.T)), xy


def block_bytes(path: Path, blocks: set[tuple[int, int]], bands: int) -> int:
    """Compressed bytes of the chunks of some blocks, as the file tells."""
    with rasterio.open(path) as file:
        return sum(
            int(file.get_tag_item(f"BLOCK_SIZE_{j}_{i}", "TIFF", bidx=band + 1))
            for i, j in blocks
            for band in range(bands)
        )


def by_gdal(url: str, xy: np.ndarray, bands: list[int] | None) -> np.ndarray:
    """Return stored numbers by rasterio's sampling through GDAL's own reading of URLs."""
    with rasterio.Env(**GDAL), rasterio.open(url) as file:
        return np.array(list(file.sample(xy, indexes=bands)))


class Row(NamedTuple):
    """What one row of the table returned, asked for and was sent."""

    values: np.ndarray
    requests: int
    sent: int


def report(name: str, counter: Counter, work: Callable[[], np.ndarray]) -> Row:
    """Run one row of the table and print what it asked for."""
    counter.reset()
    start = time.perf_counter()
    values = work()
    took = time.perf_counter() - start
    print(f"  {name:62} {counter.requests:5} requests {counter.bytes / 1e6:9.2f} MB {took:6.2f} s")
    return Row(values, counter.requests, counter.bytes)


def sample_afresh(url: str, bands: list[str] | None, lonlat: np.ndarray) -> np.ndarray:
    """Sample with a new source, which remembers nothing but what lies on disk."""
    source = AlphaEarthSource([url], year=2024)
    return EmbeddingRasterSampler(source, bands=bands, progress=False).transform(lonlat)


def bench_alphaearth(root: Path, url: str, counter: Counter) -> None:
    """Print the cost table of one AlphaEarth file, ours and GDAL's."""
    path = root / "aef" / "2024" / "32N" / "file.tiff"
    here, there = FILLED[0], FILLED[3]
    rows = {
        "one point, one band": ([here], ["A00"]),
        "one point, 64 bands": ([here], None),
        "10 points in one block, 64 bands": ([here] * 10, None),
        "20 points alternating between 2 blocks, 64 bands": ([here, there] * 10, None),
        "100 points in 4 blocks, 64 bands": (list(FILLED) * 25, None),
    }
    print(f"AlphaEarth form, {SIDE} x {SIDE} x {BANDS}, chunks of {BLOCK} x {BLOCK}")
    for number, (name, (blocks, bands)) in enumerate(rows.items()):
        remote = f"{url}/row{number}/aef/2024/32N/file.tiff"
        lonlat, xy = points_in(blocks, 99)
        truth = EmbeddingRasterSampler(AlphaEarthSource(path), bands=bands).transform(lonlat)
        clear_cache()
        ours = partial(sample_afresh, remote, bands, lonlat)
        cold = report(f"{name}: ours", counter, ours)
        width = BANDS if bands is None else len(bands)
        needed = width * len(set(blocks))
        chunks = block_bytes(path, set(blocks), width)
        print(
            f"    {cold.requests - needed} requests beside {needed} for chunks (to be at most 1 "
            f"for the header), {cold.sent / chunks:.3f} of the chunks' bytes (to be at most 1.05 "
            "for all bands)"
        )
        warm = report(f"{name}: ours again, from the cache on disk", counter, ours)
        if not (np.array_equal(cold.values, truth) and np.array_equal(warm.values, truth)):
            raise SystemExit("remote and local values differ")
        if len(blocks) <= 20:
            theirs = partial(by_gdal, remote, xy, bands and [1])
            report(f"{name}: rasterio.sample by GDAL", counter, theirs)


def bench_tessera(root: Path, url: str, counter: Counter) -> None:
    """Print the cost of points of a TESSERA tile, by ranges or as a whole."""
    grid = tessera_grid(*TILE)
    print(f"TESSERA tile, {grid.height} x {grid.width} x 128")
    rng = np.random.default_rng(5)
    for number, n in enumerate((1, 10, 1_000, 20_000), start=100):
        X = np.array(TILE) + rng.uniform(-0.0499, 0.0499, (n, 2))
        truth = EmbeddingRasterSampler(TesseraSource(root / "tessera"), year=2024).transform(X)
        clear_cache()
        source = TesseraSource(f"{url}/row{number}/tessera")
        sampler = EmbeddingRasterSampler(source, year=2024, progress=False)
        row = report(f"{n} point(s): ours", counter, partial(sampler.transform, X))
        if not np.array_equal(row.values, truth, equal_nan=True):
            raise SystemExit("remote and local values differ")


def main() -> None:
    """Write the files, serve them, print the table."""
    warnings.simplefilter("ignore")  # of the peers
    with tempfile.TemporaryDirectory() as temporary:
        root, counter = Path(temporary) / "served", Counter()
        os.environ["GEOFEAT_CACHE"] = str(Path(temporary) / "cache")
        write_alphaearth(root / "aef" / "2024" / "32N" / "file.tiff")
        write_tessera(root / "tessera")
        with serving(root, counter) as url:
            bench_alphaearth(root, url, counter)
            bench_tessera(root, url, counter)


if __name__ == "__main__":
    main()
