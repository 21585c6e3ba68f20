"""
How do I sample ten million points?
===================================

With ``geofeat.extract``: GeoParquet in, GeoParquet out. Points are sorted by the block of the
raster that holds them, so each block is decoded once; a run that was cut off goes on when it is
called again; memory does not grow with the number of points. Here 200 000 points in random order
would change the block 174 921 times, and sorted they need 8 blocks. Features stored as float32,
float16 and int8 all took 56 bytes a point on disk. The landscape is **simulated**.
"""

# %%
# Why the order of reading matters
# --------------------------------
# The landscape is the **simulated** sample of geofeat, whose files have AlphaEarth's format. The
# points are drawn at random over it, in no order at all. This page takes 200 000 of them, so that
# it runs in seconds; ``benchmarks/bulk_extraction.py`` runs ten million, and the performance pages
# show what it measured.

import tempfile
from pathlib import Path

import dask.dataframe as dd
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from geofeat import (
    AlphaEarthSource,
    EmbeddingRasterSampler,
    SphericalHarmonicsEncoder,
    dequantize,
    extract,
)
from geofeat.datasets import load_tree_species

sample = load_tree_species()
west, south, east, north = sample.plots.total_bounds
rng = np.random.default_rng(0)
n_points = 200_000
points = pd.DataFrame(
    {
        "point": np.arange(n_points),
        "lon": rng.uniform(west, east, n_points),
        "lat": rng.uniform(south, north, n_points),
    }
)
sampler = EmbeddingRasterSampler(AlphaEarthSource(sample.alphaearth), year=2023)

# %%
# A raster is stored in compressed blocks, and one pixel costs its whole block. Which block each
# point needs is told by ``sample``; the files of the sample have blocks of 256 by 256 pixels.

lonlat = points[["lon", "lat"]]
values, info = sampler.sample(lonlat, return_info=True)
keys = pd.DataFrame(
    {
        "file": info["file"].astype(str),
        "row": info["row"] // 256,
        "col": info["col"] // 256,
    }
)
block = keys.groupby(["file", "row", "col"], sort=True).ngroup().to_numpy()
n_blocks = block.max() + 1
changes = 1 + np.count_nonzero(np.diff(block))
print(
    f"read in the order of the points: {changes} changes of block; sorted: {n_blocks} blocks"
)

okabe_ito = [
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
    "#F0E442",
    "#999999",
]
colours = np.array(okabe_ito)[block]
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
shown = slice(0, 6000)
left.scatter(points["lon"][shown], points["lat"][shown], s=2, c=colours[shown])
left.set(xlabel="longitude (degrees)", ylabel="latitude (degrees)")
left.set_title(f"{n_blocks} blocks of 2 files (simulated)", fontsize=11)
left.locator_params(axis="x", nbins=4)
some = np.sort(rng.choice(n_points, 400, replace=False))
right.plot(
    some / 1000, block[some] + 1, ".", color="0.65", ms=4, label="as they come"
)
right.plot(
    np.arange(n_points) / 1000,
    np.sort(block) + 1,
    color="#0072B2",
    lw=2.5,
    label="as extract reads",
)
right.set(xlabel="thousand points read", ylabel="block that is needed")
right.set_title(f"{changes} changes of block, or {n_blocks}", fontsize=11)
right.legend(frameon=True, fontsize=9, loc="upper left")
plt.show()

# %%
# ``transform`` groups points by block as well, but holds all of them and their features in memory.
# ``extract`` does the sorting on disk where points are many.
#
# Ask first, then read
# --------------------
# ``coverage`` tells what there is, and how many bytes lie behind it, before anything is read.

counts = sampler.coverage(lonlat)
print(counts[["points", "located", "no_coverage", "files", "blocks", "bytes"]].T)

# %%
# From file to file
# -----------------
# The points lie in a parquet file with columns ``lon`` and ``lat``; GeoParquet in any CRS goes the
# same way. The result holds the points' rows in their order, and a column ``reason`` that says why
# a row has no value, if one has none.

folder = tempfile.TemporaryDirectory()
work = Path(folder.name)
points.to_parquet(work / "points.parquet")

report = extract(
    work / "points.parquet", sampler, work / "float32.parquet", columns=["point"]
)
found = pd.read_parquet(work / "float32.parquet")
print(
    report.rows,
    "rows in",
    report.groups,
    "groups:",
    {k: n for k, n in report.counts.items() if n},
)
print("order kept:", bool((found["point"] == points["point"]).all()))
print(
    "equal to transform:",
    np.array_equal(found.filter(regex="^A").to_numpy(), values),
)

# %%
# Three types on disk
# -------------------
# ``dtype`` chooses how features are stored. "int8" keeps AlphaEarth's own bytes, and the file says
# how they become numbers; nothing is lost.

for dtype in ("float16", "int8"):
    extract(
        work / "points.parquet",
        sampler,
        work / f"{dtype}.parquet",
        dtype=dtype,
        columns=["point"],
    )
stored = pd.read_parquet(work / "int8.parquet").filter(regex="^A").to_numpy()
halves = pd.read_parquet(work / "float16.parquet").filter(regex="^A").to_numpy()
print(
    "formula:",
    pq.read_schema(work / "int8.parquet")
    .field("A00")
    .metadata[b"formula"]
    .decode(),
)
print("int8 decoded equals float32:", np.array_equal(dequantize(stored), values))
print(f"float16 is off by up to {np.abs(halves - values).max():.1e}")

types = ["float32", "float16", "int8"]
memory = [64 * np.dtype(dtype).itemsize for dtype in types]
disk = [(work / f"{dtype}.parquet").stat().st_size / n_points for dtype in types]
fig, ax = plt.subplots(figsize=(8, 3), layout="constrained")
places = np.arange(3)
for offset, sizes, colour, label in (
    (-0.2, memory, "#56B4E9", "once read into memory"),
    (0.2, disk, "#0072B2", "in the parquet file, with the number of the point"),
):
    bars = ax.barh(places + offset, sizes, 0.38, color=colour, label=label)
    ax.bar_label(bars, fmt="%.0f", padding=3, fontsize=10)
ax.set(
    yticks=places,
    yticklabels=types,
    xlabel="bytes a point of 64 bands",
    xlim=(0, 285),
)
ax.invert_yaxis()
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False, fontsize=10, loc="lower right")
ax.set_title(
    "Simulated AlphaEarth: the type counts in memory, not in the file", fontsize=11
)
plt.show()

# %%
# The file does not grow with the type, because AlphaEarth's numbers are 255 different ones:
# parquet keeps each of them once and its number for every value. So store float32 where another
# program reads the file, and int8 where the bytes are to be held in memory. TESSERA, and averages
# over windows or polygons, have no such short list: there the type counts on disk too.
#
# What an interruption costs
# --------------------------
# Nothing that was finished. To be interrupted at the same moment in every build of this page, an
# encoder takes the place of the sampler, cut off in its third call as by Ctrl-C; ``extract`` takes
# any transformer that works row by row.


class CutOff(SphericalHarmonicsEncoder):
    """Harmonics that stop in a chosen call."""

    calls, last_call = 0, 2

    def transform(self, X):
        """Count the call, or stop."""
        CutOff.calls += 1
        if CutOff.calls > CutOff.last_call:
            raise KeyboardInterrupt
        return super().transform(X)


job = (work / "points.parquet", CutOff(degree=6), work / "harmonics.parquet")
try:
    extract(*job)
except KeyboardInterrupt:
    print(
        "interrupted; beside the result:",
        [path.name for path in work.glob("*.partial")],
    )

CutOff.calls, CutOff.last_call = 0, 99
second = extract(*job)
print(
    f"second call: {second.resumed_groups} of {second.groups} groups found, {CutOff.calls} computed"
)
third = extract(*job)
print(f"third call: {third.resumed_groups} of {third.groups} groups found")
print("left beside the result:", [path.name for path in work.glob("*.partial")])

# %%
# A call that finds its own finished file reports and does nothing. One that finds the file of
# another job, of other points, another year, another type, refuses:

try:
    extract(work / "points.parquet", sampler, work / "harmonics.parquet")
except FileExistsError as refusal:
    print(type(refusal).__name__)

# %%
# In a data frame of Dask
# -----------------------
# Where a table is in Dask already, the same sampler is lazy. Partitions of points that lie together
# touch few blocks, so sort first; here by the block computed above, on your own data by
# ``spatial_shuffle(by="hilbert")`` of dask_geopandas.

table = dd.from_pandas(
    points.assign(block=block).sort_values("block", ignore_index=True),
    npartitions=4,
)
lazy = sampler.set_output(transform="pandas").transform(table[["lon", "lat"]])
print(
    type(lazy).__name__,
    lazy.npartitions,
    "partitions;",
    "first columns",
    list(lazy.columns[:3]),
)
means = lazy[["A00", "A01"]].mean().compute(scheduler="threads")
print(
    "equal to the means of the file:",
    np.allclose(means, found[["A00", "A01"]].mean(), atol=1e-6),
)

# %%
folder.cleanup()

# %%
# What to take home
# -----------------
# - One call goes from file to file; the same call again continues or does nothing.
# - ``coverage`` first: files, blocks, bytes, and how many points have no data.
# - The order of the points is kept; blocks are read in an order of their own.
# - ``extract(..., client=...)`` shares the work among the workers of a ``distributed`` cluster: the
#   points of one file go to one worker.
# - The disk needs room for about twice the features, plus 36 bytes a point and year.
# - This page shows that the numbers are right and that work is not repeated. It measures no speed
#   and no memory: that is done by ``benchmarks/bulk_extraction.py``.
#
# See :func:`geofeat.extract`, :class:`geofeat.EmbeddingRasterSampler`, and the guides
# :doc:`/user_guide/bulk` and :doc:`/user_guide/clusters`. From the shell the same is ``geofeat
# sample``, see :doc:`/user_guide/command_line`.
#
# References
# ----------
# - C. F. Brown et al., "AlphaEarth Foundations: An embedding field model for accurate and efficient
#   global mapping from sparse label data", arXiv:2507.22291, 2025.
# - GeoParquet, https://geoparquet.org.
