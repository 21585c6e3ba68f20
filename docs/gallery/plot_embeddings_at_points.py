"""
What do AlphaEarth and TESSERA say at my points, and why is a value missing?
============================================================================

One transformer reads both at points and years in any CRS, and gives a reason for every row that
stays empty. Of the 2 012 **simulated** survey points below, 1 890 get a vector. 110 ask for
a year without files, 8 lie beyond all files, 2 fall on an empty pixel and 2 have no coordinate. No
row is moved, dropped or filled.
"""

# %%
# Points with a year of their own
# -------------------------------
#
# **SIMULATED**: the plots of a forest inventory across the border of two UTM zones, in the Dutch
# national grid. Most were visited in 2022 or 2023, some in 2021, for which there are no files. Ten
# plots were entered with a wrong coordinate, and two without any.

import geopandas as gpd
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import rasterio

from geofeat import EmbeddingRasterSampler, dequantize
from geofeat.datasets import load_tree_species
from geofeat.plotting import plot_coverage, plot_embedding

# sphinx_gallery_thumbnail_number = 1

forest = load_tree_species()
rng = np.random.default_rng(0)
plots = forest.plots.to_crs("EPSG:28992")
plots["year"] = rng.choice([2021, 2022, 2023], len(plots), p=[0.05, 0.45, 0.5])
east, north = plots.total_bounds[2], plots.total_bounds[1]
wrong = gpd.GeoDataFrame(
    {"plot": [f"wrong{i}" for i in range(12)], "year": 2023},
    geometry=[
        *gpd.points_from_xy(rng.uniform(east, east + 2000, 10), [north] * 10),
        None,
        None,
    ],
    crs=plots.crs,
)
survey = pd.concat([plots, wrong], ignore_index=True)
survey.tail(3)

# %%
# Before reading: what is there?
# ------------------------------
#
# ``coverage`` looks at the index only. It tells what `transform` will find and how many bytes it
# will fetch, which matters when the files lie in a bucket. The year is a column of the table.

alphaearth = EmbeddingRasterSampler(
    forest.alphaearth, year="year", on_missing="nan"
)
alphaearth.coverage(survey)[["points", "located", "no_year", "files", "bytes"]]

# %%
# Reading, with a reason a row
# ----------------------------
#
# ``transform`` gives the vectors, `sample` also says where each came from. Reasons are words.

vectors, info = alphaearth.sample(survey, return_info=True)
print(info["reason"].value_counts().loc[lambda counts: counts > 0].to_string())
info.drop(columns="file")[["reason", "year", "row", "col"]].tail(4)

# %%
ax = plot_coverage(alphaearth, survey)
ax.figure.set_size_inches(8, 3.6)
ax.set_title("SIMULATED survey: why a vector is missing")
plt.show()

# %%
# The two files of a year meet at 6 degrees east, where the zones change. Each point is read in the
# zone of its own file: nothing had to be reprojected by hand, and the border leaves no gap.
#
# From bytes to numbers
# ---------------------
#
# An AlphaEarth file holds signed bytes q. The number is sign(q) (q / 127.5)², and -128 means
# "empty". Division by 127 or 127.5, or a square without the sign, also run without an error; only
# the right formula makes vectors of length 1, to the rounding of a byte. Files are stored from the
# south, which the sampler reads off the file's own transform.

row = int(np.flatnonzero(info["reason"] == "ok")[0])
with rasterio.open(info["file"][row]) as file:
    pixel = rasterio.windows.Window(info["col"][row], info["row"][row], 1, 1)
    stored = file.read(window=pixel).ravel()
print("stored bytes  ", stored[:6], "dtype", stored.dtype)
print("sampled values", vectors[row, :6].round(4))
print("equal:", np.array_equal(dequantize(stored[None])[0], vectors[row]))
lengths = np.linalg.norm(vectors[info["reason"] == "ok"], axis=1)
print(f"lengths from {lengths.min():.3f} to {lengths.max():.3f}")

# %%
# TESSERA by the same lines
# -------------------------
#
# Only the source differs: 128 bands, int8 with a scale a pixel, tiles of 0.1 degree, zeros where
# nothing was computed. ``fallback="nearest"`` takes the nearest year where the asked one is not
# there, and tells which; without it a year is never replaced.

tessera = EmbeddingRasterSampler(
    forest.tessera, year="year", fallback="nearest", on_missing="nan"
)
values, found = tessera.sample(survey, return_info=True)
print(values.shape, found["reason"].value_counts().to_dict())
replaced = (found["year"] != survey["year"]) & (found["reason"] == "ok")
print(
    f"{replaced.sum()} rows of {survey['year'][replaced].unique()} read in another year:"
)
found["year"][replaced].value_counts()

# %%
# What a place looks like
# -----------------------
#
# A sampler is a transformer of places, so it can be drawn: here the three main components of the
# AlphaEarth-format vectors as red, green and blue. Alike colours are alike vectors. White is where
# there is no file.

west, south, east, north = forest.plots.total_bounds
fig, ax = plt.subplots(figsize=(8, 4.6), layout="compressed")
plot_embedding(
    EmbeddingRasterSampler(forest.alphaearth, year=2023, on_missing="nan"),
    bounds=(west, south, east, north),
    resolution=0.0003,
    ax=ax,
)
ax.plot(*forest.plots.get_coordinates().T.to_numpy(), "k.", markersize=1)
ax.set_title(
    "SIMULATED landscape: AlphaEarth-format vectors of 2023, and the plots"
)
plt.show()

# %%
# What to take home
# -----------------
#
# - Pass all points in one call: they are sorted by file and block, and each block is decoded once.
# - Look at ``info["reason"]`` before you impute. Rows without a year, beyond the data and under
#   water want different answers.
# - ``on_missing="raise"`` stops at the first gap; the default warns once, with counts.
# - With your own files replace ``forest.alphaearth`` by a folder or an index, or by
#   :class:`geofeat.AlphaEarthSource` and :class:`geofeat.TesseraSource` without arguments, which
#   read the published ones.
#
# Means over windows, radii and polygons, bilinear values and the rules for overlapping files are
# described in :doc:`/user_guide/rasters`.
#
# References
# ----------
#
# - C. F. Brown et al., "AlphaEarth Foundations: an embedding field model for accurate and efficient
#   global mapping from sparse label data", 2025. arXiv:2507.22291.
# - Z. Feng et al., "TESSERA: temporal embeddings of surface spectra for Earth representation and
#   analysis", 2025. arXiv:2506.20380.
