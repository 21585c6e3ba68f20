"""Many AlphaEarth-format files at once: ours beside rasterio, xvec, rioxarray and the bound.

Run ``python benchmarks/raster_collection.py``. It writes 16 files of 2048 x 1024 x 64 bytes in the
published form (south-up, planar, ZSTD, blocks of 1024, noise-like numbers; 2 GiB decoded, more
than GDAL keeps by default, 1.8 GB on disk) to a temporary folder; ``--folder`` keeps them.

20 000 points fall at random over all files. The bound decodes each touched block once, on as many
threads as ours, and does nothing else. `rasterio.sample` reads the points in the given order with
all files open; it would take many minutes, so it is timed on ``--peer-points`` of them, after as
many others have filled its cache, and scaled by the number of points. xvec and rioxarray read file
by file: their points are sorted by file for them, outside the clock. All values are compared first.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import rasterio
from pyproj import Transformer
from raster_sampling import BANDS, BLOCK, EPSG, alphaearth_profile, compare, seconds
from rasterio.windows import Window

from geofeat import AlphaEarthSource, EmbeddingRasterSampler
from geofeat._threads import usable_threads

N_FILES, HEIGHT, WIDTH = 16, 2048, 1024
WEST, SOUTH = 400_000.0, 5_300_000.0
N_POINTS = 20_000


def corner(file: int) -> tuple[float, float]:
    """West and south of a file: four by four of them side by side."""
    return WEST + 10 * WIDTH * (file % 4), SOUTH + 10 * HEIGHT * (file // 4)


def write_file(path: Path, file: int) -> None:
    """Write one file; the noise of a band is a shifted copy of one field of the file."""
    rng = np.random.default_rng(file)
    noise = rng.standard_normal((HEIGHT + BANDS, WIDTH), dtype=np.float32) * 30
    stored = np.clip(np.rint(noise), -127, 127).astype(np.int8)
    profile = alphaearth_profile(WIDTH, HEIGHT, *corner(file))
    with rasterio.open(path, "w", **profile) as out:
        for band in range(BANDS):
            out.write(stored[band : band + HEIGHT], band + 1)
            out.set_band_description(band + 1, f"A{band:02d}")


def draw_points(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points clear of the edges of pixels: lon and lat, x and y, and the file of each."""
    rng = np.random.default_rng(seed)
    file = rng.integers(0, N_FILES, n)
    corners = np.array([corner(i) for i in range(N_FILES)])
    pixel = rng.integers(0, [WIDTH, HEIGHT], (n, 2)) + rng.uniform(0.05, 0.95, (n, 2))
    xy = corners[file] + 10 * pixel
    to_lonlat = Transformer.from_crs(EPSG, 4326, always_xy=True)
    return np.column_stack(to_lonlat.transform(*xy.T)), xy, file


def decoded(stored: np.ndarray) -> np.ndarray:
    """Values of stored numbers by the published formula."""
    ratio = stored.astype(np.float32) / np.float32(127.5)
    return np.sign(ratio) * ratio**2


def decode_touched_blocks(paths: list[Path], xy: np.ndarray, file: np.ndarray) -> None:
    """Decode each block with a point once, on the threads that we use; keep nothing."""
    corners = np.array([corner(i) for i in range(N_FILES)])
    cell = (xy - corners[file]).astype(int) // (10 * BLOCK)
    blocks = np.unique(np.column_stack([file, cell]), axis=0)
    own = threading.local()

    def work(block: np.ndarray) -> None:
        i, col, row = block.tolist()
        if getattr(own, "file", None) != i:
            own.dataset = rasterio.open(paths[i], driver="GTiff", sharing=False)
            own.file = i
        if not hasattr(own, "buffer"):
            own.buffer = np.empty((BANDS, BLOCK, BLOCK), np.int8)
        own.dataset.read(window=Window(col * BLOCK, row * BLOCK, BLOCK, BLOCK), out=own.buffer)

    with ThreadPoolExecutor(usable_threads()) as pool:
        list(pool.map(work, blocks))


def by_rasterio(datasets: list[rasterio.DatasetReader], xy: np.ndarray, file: np.ndarray):
    """Values in the given order, one point after the other, all files open."""
    stored = [next(datasets[i].sample([point])) for i, point in zip(file, xy, strict=True)]
    return decoded(np.array(stored))


def by_rioxarray(paths: list[Path], xy: np.ndarray, file: np.ndarray) -> np.ndarray:
    """Values of points sorted by file, by label in each file's array."""
    import rioxarray
    import xarray as xr

    values = []
    for i in np.unique(file):
        x, y = (xr.DataArray(axis, dims="point") for axis in xy[file == i].T)
        with rioxarray.open_rasterio(paths[i]) as array:
            values.append(array.sel(x=x, y=y, method="nearest").values.T)
    return decoded(np.concatenate(values))


def by_xvec(paths: list[Path], xy: np.ndarray, file: np.ndarray) -> np.ndarray:
    """Values of points sorted by file, by xvec's extraction from each file's array."""
    import rioxarray
    import shapely
    import xvec  # noqa: F401 - registers the accessor

    values = []
    for i in np.unique(file):
        points = shapely.points(xy[file == i])
        with rioxarray.open_rasterio(paths[i]) as array:
            found = array.xvec.extract_points(points, x_coords="x", y_coords="y", crs=EPSG)
            values.append(found.transpose("geometry", "band").values)
    return decoded(np.concatenate(values))


def bench_peers(paths: list[Path], sampler: EmbeddingRasterSampler, repeats: int) -> None:
    """Ours against the peers that read whole files, each where it is installed."""
    for name, package, peer in (
        ("rioxarray sel", "rioxarray", by_rioxarray),
        ("xvec extract_points", "xvec", by_xvec),
    ):
        try:
            __import__(package)
        except ImportError:
            print(f"  {name}: {package} is not installed, no comparison")
            continue

        def sorted_points(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            lonlat, xy, file = draw_points(N_POINTS, seed)
            order = np.argsort(file, kind="stable")
            return lonlat[order], xy[order], file[order]

        lonlat, xy, file = sorted_points(98)
        if not np.array_equal(sampler.transform(lonlat), peer(paths, xy, file)):
            raise SystemExit(f"{name} and ours differ: no ratio is printed")
        drawn = {seed: sorted_points(seed) for seed in range(repeats + 1)}
        ours, theirs, ratio = compare(
            lambda seed, drawn=drawn: sampler.transform(drawn[seed][0]),
            lambda seed, drawn=drawn, peer=peer: peer(paths, *drawn[seed][1:]),
            repeats,
        )
        print(f"  ours {ours:.2f} s, {name} {theirs:.2f} s: {ratio:.1f} x")


def bench(paths: list[Path], repeats: int, peer_points: int) -> None:
    """Ours against the bound and against every peer."""
    source = AlphaEarthSource([str(path) for path in paths], year=2024)
    sampler = EmbeddingRasterSampler(source, progress=False, on_missing="raise")
    lonlat, xy, file = draw_points(peer_points, 99)
    datasets = [rasterio.open(path) for path in paths]
    if not np.array_equal(sampler.transform(lonlat), by_rasterio(datasets, xy, file)):
        raise SystemExit("rasterio.sample and ours differ: no ratio is printed")
    ours, bound, ratio = compare(
        lambda seed: sampler.transform(draw_points(N_POINTS, seed)[0]),
        lambda seed: decode_touched_blocks(paths, *draw_points(N_POINTS, seed)[1:]),
        repeats,
    )
    print(f"  ours {ours:.2f} s, decoding each touched block once {bound:.2f} s")
    print(f"  ours / decoding = {1 / ratio:.2f} (to be at most 1.15)")
    _, xy, file = draw_points(peer_points, 97)
    theirs = seconds(lambda: by_rasterio(datasets, xy, file)) * N_POINTS / peer_points
    print(
        f"  ours {ours:.2f} s, rasterio.sample in the given order {theirs:.0f} s (scaled from "
        f"{peer_points} points): {theirs / ours:.0f} x (to be at least 50)"
    )
    for dataset in datasets:
        dataset.close()
    bench_peers(paths, sampler, max(1, repeats // 2))


def main() -> None:
    """Write the files where they are missing, then print every comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--folder", type=Path, help="keep the files here and use them again")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peer-points", type=int, default=500)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")  # of the peers
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"collection-{file:02d}.tiff" for file in range(N_FILES)]
        for file, path in enumerate(paths):
            if not path.exists():
                write_file(path.with_suffix(".part"), file)
                path.with_suffix(".part").replace(path)
        size = sum(path.stat().st_size for path in paths) / 1e9
        print(
            f"{N_FILES} AlphaEarth-format files of {HEIGHT} x {WIDTH} x {BANDS}, {size:.1f} GB, "
            f"{N_POINTS} points; {usable_threads()} threads, {os.cpu_count()} cores, "
            f"rasterio {rasterio.__version__}, GDAL {rasterio.__gdal_version__}"
        )
        bench(paths, chosen.repeats, chosen.peer_points)


if __name__ == "__main__":
    main()
