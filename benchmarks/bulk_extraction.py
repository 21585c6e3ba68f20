"""Ten million points from file to file: rows a second and the memory of the process.

Run ``python benchmarks/bulk_extraction.py``; ``--points`` takes fewer. Random points in a parquet
file get 64 float32 features each from a small raster in memory, in AlphaEarth's form, so that the
reading of rasters costs little and what remains is `extract` itself: location, the sort by tile,
the records and the journal on disk, and the final file in the order of the points. There is no
peer: the bound of the peak of memory is 1 GiB. A sample of rows is compared with `transform`.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xarray as xr

from geofeat import ArraySource, EmbeddingRasterSampler, extract

BANDS, SIDE, PART = 64, 400, 10**6


def peak_mib() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_points(path: Path, n_points: int) -> None:
    """Write random points over the raster, a million at a time."""
    rng = np.random.default_rng(1)
    schema = pa.schema([("lon", pa.float64()), ("lat", pa.float64())])
    with pq.ParquetWriter(path, schema) as file:
        for first in range(0, n_points, PART):
            n = min(PART, n_points - first)
            lon, lat = rng.uniform(0, 79, n), rng.uniform(0, 79, n)
            file.write_table(pa.table({"lon": lon, "lat": lat}, schema=schema))


def main() -> None:
    """Extract, compare, and print rate and memory."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--points", type=int, default=10**7)
    chosen = parser.parse_args()
    stored = np.random.default_rng(0).integers(-127, 128, (BANDS, SIDE, SIDE), dtype=np.int8)
    axis = np.arange(float(SIDE)) / 5
    raster = xr.DataArray(
        stored,
        coords={"band": [f"A{i:02d}" for i in range(BANDS)], "lat": axis, "lon": axis},
        dims=("band", "lat", "lon"),
    )
    sampler = EmbeddingRasterSampler(ArraySource(raster, decode="aef"), on_missing="raise")
    with tempfile.TemporaryDirectory() as folder:
        points, out = Path(folder) / "points.parquet", Path(folder) / "features.parquet"
        write_points(points, chosen.points)
        before = peak_mib()
        start = time.perf_counter()
        report = extract(points, sampler, out, progress=False)
        seconds = time.perf_counter() - start
        peak = peak_mib()
        rows = pq.ParquetFile(out)
        asked = pq.ParquetFile(points).read_row_group(0).slice(0, 1000).to_pandas()
        found = next(rows.iter_batches(1000)).to_pandas()[sampler.get_feature_names_out()]
        if not np.array_equal(found.to_numpy(), sampler.transform(asked)):
            raise SystemExit("extract and transform differ")
        print(
            f"{report.rows} points x {BANDS} float32: {seconds:.0f} s, "
            f"{report.rows / seconds:.0f} points a second, file of {out.stat().st_size / 1e9:.2f} "
            f"GB; peak of the process {peak:.0f} MiB (to be at most 1024), {before:.0f} MiB before"
        )


if __name__ == "__main__":
    main()
