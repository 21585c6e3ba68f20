"""A map of the simulated sample: `predict_raster` beside the loops that people write.

Run ``python benchmarks/predict_raster.py``. Both sides predict every pixel of the sample's
AlphaEarth files of 2023 (two of 512 x 512 pixels) with one fitted pipeline and write GeoTIFFs, in
one process and on the same number of threads: the loops give theirs to the forest as ``n_jobs``.

The loops, all in float32 (the arithmetic that the sampler documents, so that values can be equal):
"blocks" reads a block of the file with all bands, de-quantises it with NumPy, predicts the pixels
that are not nodata, writes; "whole" does that once for the whole file; "rows" does it row by row.
A ratio is the median of ratios of runs that follow each other; processor time is that of all
threads together, which other programs on the machine disturb less.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from geofeat import AlphaEarthSource, EmbeddingRasterSampler, predict_raster
from geofeat._threads import usable_threads
from geofeat.datasets import load_tree_species


def windows_of(file: Any, kind: str) -> Iterator[Window]:
    """Windows of a file that a loop goes through."""
    if kind == "whole":
        yield Window(0, 0, file.width, file.height)
    elif kind == "rows":
        yield from (Window(0, row, file.width, 1) for row in range(file.height))
    else:
        yield from (window for _, window in file.block_windows(1))


def naive_map(path: Path, model: Any, out: Path, kind: str) -> None:
    """Read, de-quantise, predict, write: window by window."""
    with rasterio.open(path) as file:
        profile = {"driver": "GTiff", "width": file.width, "height": file.height, "count": 1}
        profile |= {"crs": file.crs, "transform": file.transform, "compress": "deflate"}
        with rasterio.open(out, "w", dtype="uint8", nodata=0, **profile) as target:
            for window in windows_of(file, kind):
                stored = file.read(window=window)
                ratio = stored.astype(np.float32) / np.float32(127.5)
                vectors = (np.sign(ratio) * ratio**2).reshape(stored.shape[0], -1).T
                good = (stored[0] != file.nodata).ravel()
                codes = np.zeros(good.size, dtype=np.uint8)
                if good.any():
                    labels = model.predict(vectors[good])
                    codes[good] = np.searchsorted(model.classes_, labels) + 1
                target.write(codes.reshape(stored.shape[1:]), 1, window=window)


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Wall clock and processor time."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def compare(files: list[Path], pipeline: Any, kind: str, folder: Path, repeats: int) -> None:
    """Print the times of both sides and their ratios, after comparing the values."""
    ours, theirs = ([folder / f"{side}{i}.tif" for i in range(len(files))] for side in "ab")

    def map_ours() -> None:
        for path, out in zip(files, ours, strict=True):
            predict_raster(pipeline, AlphaEarthSource(path), None, out, overwrite=True)

    def map_theirs() -> None:
        for path, out in zip(files, theirs, strict=True):
            naive_map(path, pipeline[-1], out, kind)

    map_ours()
    map_theirs()
    for a, b in zip(ours, theirs, strict=True):
        with rasterio.open(a) as one, rasterio.open(b) as two:
            if not np.array_equal(one.read(1), two.read(1)[::-1]):  # the sources are south-up
                raise SystemExit(f"{kind}: the maps differ, no ratio is printed")
    times = np.array([[*timed(map_ours), *timed(map_theirs)] for _ in range(repeats)])
    wall, cpu, their_wall, their_cpu = np.median(times, axis=0)
    ratio, cpu_ratio = np.median(times[:, 2:] / times[:, :2], axis=0)
    print(
        f"  {kind:7} ours {wall:.2f} s ({cpu:.2f} s of processors), loop {their_wall:.2f} s "
        f"({their_cpu:.2f} s): {ratio:.1f} x ({cpu_ratio:.1f} x), equal in every pixel"
    )


def main() -> None:
    """Fit the pipelines and print every comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--trees", type=int, default=100)
    chosen = parser.parse_args()
    sample = load_tree_species()
    files = sorted(Path(sample.alphaearth).parent.glob("2023/*/*.tiff"))
    sampler = EmbeddingRasterSampler(AlphaEarthSource(sample.alphaearth), year=2023)
    threads = usable_threads()
    models = {
        f"forest of {chosen.trees} trees": RandomForestClassifier(
            chosen.trees, random_state=0, n_jobs=threads
        ),
        "logistic regression": LogisticRegression(max_iter=2000),
        "one answer for all, which leaves reading and writing": DummyClassifier(),
    }
    print(f"{threads} threads, {len(files)} files of 512 x 512 pixels x 64 bands")
    with tempfile.TemporaryDirectory() as temporary:
        for name, model in models.items():
            pipeline = make_pipeline(sampler, model).fit(sample.plots, sample.target)
            print(name)
            kinds = ("blocks", "whole", "rows") if "forest" in name else ("blocks", "whole")
            for kind in kinds:
                repeats = 1 if kind == "rows" else chosen.repeats
                compare(files, pipeline, kind, Path(temporary), repeats)


if __name__ == "__main__":
    main()
