"""Embedding rasters at points: ours beside rasterio and geotessera, in one process.

Run ``python benchmarks/raster_sampling.py``. It writes an AlphaEarth-format file of 3072 x 3072 x
64 bytes (planar, ZSTD, blocks of 1024, noise-like numbers, about 530 MB) and a TESSERA tile of true
size to a temporary folder and removes both at the end; ``--folder`` keeps them for the next run.

Each ratio is the median of ratios of runs that follow each other, A B A B, on fresh points. Before
a ratio is printed the peer's values are compared with ours.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from pyproj import Transformer
from rasterio.windows import Window

from geofeat import AlphaEarthSource, EmbeddingRasterSampler, TesseraSource
from geofeat._tessera_grid import tessera_grid
from geofeat._threads import usable_threads

SIDE, BLOCK, BANDS = 3072, 1024, 64
WEST, SOUTH, EPSG = 500_000.0, 5_300_000.0, 32632
TILE = (0.05, 52.05)  # 1140 x 730 pixels
N_POINTS = 20_000


def alphaearth_profile(width: int, height: int, west: float, south: float) -> dict[str, Any]:
    """Describe a file in the published format to rasterio."""
    return {
        "driver": "GTiff",
        "width": width,
        "height": height,
        "count": BANDS,
        "dtype": "int8",
        "crs": f"EPSG:{EPSG}",
        "transform": Affine(10, 0, west, 0, 10, south),
        "nodata": -128,
        "interleave": "band",
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "compress": "zstd",
        "predictor": 1,
        "BIGTIFF": "YES",
    }


def write_alphaearth(path: Path) -> None:
    """Write the file in the published format: south-up, planar, ZSTD, int8."""
    rng = np.random.default_rng(0)
    profile = alphaearth_profile(SIDE, SIDE, WEST, SOUTH)
    with rasterio.open(path, "w", **profile) as file:
        for band in range(BANDS):
            noise = rng.standard_normal((SIDE, SIDE), dtype=np.float32) * 30
            file.write(np.clip(np.rint(noise), -127, 127).astype(np.int8), band + 1)
            file.set_band_description(band + 1, f"A{band:02d}")


def write_tessera(root: Path) -> None:
    """Write one tile, its landmask and the registries that geotessera asks for."""
    import geopandas
    import pandas as pd

    lon, lat = TILE
    grid = tessera_grid(lon, lat)
    rng = np.random.default_rng(1)
    name = f"grid_{lon:.2f}_{lat:.2f}"
    folder = root / "global_0.1_degree_representation" / "2024" / name
    folder.mkdir(parents=True)
    stored = rng.integers(-127, 128, (grid.height, grid.width, 128), dtype=np.int8)
    np.save(folder / f"{name}.npy", stored)
    scales = rng.uniform(0.01, 0.3, (grid.height, grid.width)).astype(np.float32)
    np.save(folder / f"{name}_scales.npy", scales)
    masks = root / "global_0.1_degree_tiff_all"
    masks.mkdir()
    with rasterio.open(
        masks / f"{name}.tiff",
        "w",
        driver="GTiff",
        width=grid.width,
        height=grid.height,
        count=1,
        dtype="uint8",
        crs=f"EPSG:{grid.epsg}",
        transform=grid.transform,
        compress="lzw",
    ) as file:
        file.write(np.ones((1, grid.height, grid.width), np.uint8))
    npy, tile_scales, mask = (
        folder / f"{name}.npy",
        folder / f"{name}_scales.npy",
        masks / f"{name}.tiff",
    )
    row = {"lat": [lat], "lon": [lon], "hash": sha256(mask), "file_size": mask.stat().st_size}
    row |= {"lon_i": np.array([round(lon * 100)], np.int32)}
    row |= {"lat_i": np.array([round(lat * 100)], np.int32)}
    place = geopandas.points_from_xy([lon], [lat])
    masks_frame = geopandas.GeoDataFrame(pd.DataFrame(row), geometry=place, crs="EPSG:4326")
    masks_frame.to_parquet(root / "landmasks.parquet")
    tiles = masks_frame.assign(year=2024, mtime=0, hash=sha256(npy), file_size=npy.stat().st_size)
    tiles = tiles.assign(scales_hash=sha256(tile_scales), scales_size=tile_scales.stat().st_size)
    tiles.to_parquet(root / "registry.parquet")


def sha256(path: Path) -> str:
    """SHA-256 sum of a file, as the registries list it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def alphaearth_points(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random points of the file, clear of the edges of pixels: lon, lat and x, y."""
    rng = np.random.default_rng(seed)
    pixel = rng.integers(0, SIDE, (n, 2)) + rng.uniform(0.05, 0.95, (n, 2))
    xy = np.array([WEST, SOUTH]) + 10 * pixel
    to_lonlat = Transformer.from_crs(EPSG, 4326, always_xy=True)
    return np.column_stack(to_lonlat.transform(*xy.T)), xy


def decode_touched_blocks(path: Path, xy: np.ndarray) -> None:
    """Decode each block with a point once, on the threads that we use; keep nothing."""
    blocks = np.unique((xy - [WEST, SOUTH]).astype(int) // (10 * BLOCK), axis=0)
    own = threading.local()

    def work(block: np.ndarray) -> None:
        if not hasattr(own, "file"):
            own.file = rasterio.open(path, driver="GTiff", sharing=False)
            own.buffer = np.empty((BANDS, BLOCK, BLOCK), np.int8)
        own.file.read(window=Window(*(block * BLOCK).tolist(), BLOCK, BLOCK), out=own.buffer)

    with ThreadPoolExecutor(usable_threads()) as pool:
        list(pool.map(work, blocks))


def sample_with_rasterio(path: Path, xy: np.ndarray) -> np.ndarray:
    """Values by rasterio's own point sampling, decoded by the published formula."""
    with rasterio.open(path) as file:
        stored = np.array(list(file.sample(xy)))
    ratio = stored.astype(np.float32) / np.float32(127.5)
    return np.sign(ratio) * ratio**2


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(
    ours: Callable[[int], object], peer: Callable[[int], object], repeats: int
) -> tuple[float, float, float]:
    """Median seconds of ours and the peer's, and the median ratio peer / ours; warmed up apart."""
    ours(0)
    peer(0)
    times = np.array(
        [
            (seconds(lambda s=seed: ours(s)), seconds(lambda s=seed: peer(s)))
            for seed in range(1, repeats + 1)
        ]
    )
    return (*np.median(times, axis=0), float(np.median(times[:, 1] / times[:, 0])))


def bench_alphaearth(path: Path, repeats: int) -> None:
    """Ours against decoding alone and against rasterio.sample."""
    sampler = EmbeddingRasterSampler(AlphaEarthSource(path), progress=False, on_missing="raise")
    lonlat, xy = alphaearth_points(500, 99)
    if not np.array_equal(sampler.transform(lonlat), sample_with_rasterio(path, xy)):
        raise SystemExit("rasterio.sample and ours differ: no ratio is printed")
    size = path.stat().st_size / 1e6
    print(f"AlphaEarth format, {SIDE} x {SIDE} x {BANDS}, {size:.0f} MB, {N_POINTS} points")
    ours, decode, ratio = compare(
        lambda seed: sampler.transform(alphaearth_points(N_POINTS, seed)[0]),
        lambda seed: decode_touched_blocks(path, alphaearth_points(N_POINTS, seed)[1]),
        repeats,
    )
    print(f"  ours {ours:.3f} s, decoding each touched block once {decode:.3f} s")
    print(f"  ours / decoding = {1 / ratio:.2f} (to be at most 1.15)")
    ours, peer, ratio = compare(
        lambda seed: sampler.transform(alphaearth_points(N_POINTS, seed)[0]),
        lambda seed: sample_with_rasterio(path, alphaearth_points(N_POINTS, seed)[1]),
        max(1, repeats // 3),
    )
    print(f"  ours {ours:.3f} s, rasterio.sample {peer:.3f} s: {ratio:.1f} x (to be at least 8)")


def bench_tessera(root: Path, repeats: int) -> None:
    """Ours against geotessera on one tile of true size."""
    try:
        import geotessera
    except ImportError:
        print("TESSERA: geotessera is not installed, no comparison")
        return
    grid = tessera_grid(*TILE)
    source = TesseraSource(root)
    sampler = EmbeddingRasterSampler(source, year=2024, progress=False, on_missing="nan")
    reader = geotessera.GeoTessera(
        embeddings_dir=root, registry_dir=root, cache_dir=root / "cache", verify_hashes=False
    )

    def points(n: int, seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return np.array(TILE) + rng.uniform(-0.0499, 0.0499, (n, 2))

    def theirs(X: np.ndarray) -> np.ndarray:
        values: np.ndarray = reader.sample_embeddings_at_points(
            [tuple(point) for point in X.tolist()], year=2024, auto_download=False
        )
        return values

    print(f"TESSERA tile, {grid.height} x {grid.width} x 128, geotessera {geotessera.__version__}")
    for n in (1_000, 20_000):
        X = points(n, 7)
        if not np.array_equal(sampler.transform(X), theirs(X), equal_nan=True):
            raise SystemExit("geotessera and ours differ: no ratio is printed")
        ours, peer, ratio = compare(
            lambda seed, n=n: sampler.transform(points(n, seed)),
            lambda seed, n=n: theirs(points(n, seed)),
            repeats,
        )
        print(
            f"  {n} points: ours {1e3 * ours:.1f} ms, geotessera {1e3 * peer:.0f} ms: "
            f"{ratio:.0f} x (to be at least 20), values equal bit for bit"
        )


def main() -> None:
    """Write the files where they are missing, then print every comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--folder", type=Path, help="keep the files here and use them again")
    parser.add_argument("--repeats", type=int, default=7)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")  # of the peers
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        path, tiles = folder / "alphaearth.tiff", folder / "tessera"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".part")
            write_alphaearth(partial)
            partial.replace(path)
        if not tiles.exists():
            write_tessera(tiles)
        print(
            f"{usable_threads()} threads, {os.cpu_count()} cores, rasterio {rasterio.__version__}"
        )
        bench_alphaearth(path, chosen.repeats)
        bench_tessera(tiles, chosen.repeats)


if __name__ == "__main__":
    main()
