"""
How do I make my own embedding database?
========================================

Map the embedder with ``embed_grid``, turn the vectors into bytes with ``quantize``, write them as a
GeoTIFF, and read it at points with the same sampler that reads AlphaEarth. A byte is a quarter of a
float32, and its error has a proven bound that no component of 1.28 million passed here. Vectors
read back at the centres of pixels are 0.73 degrees from the embedder's, at the median. The vectors
are random features of the place, which **stand in** for a pretrained network.
"""

# %%
# An embedding for all pixels
# ---------------------------
# Any encoder or embedder can be mapped. Here random features of the place stand in for a pretrained
# network, which would have to be downloaded: 64 columns whose inner products follow a Matérn
# covariance with a length scale of 300 km. ``embed_grid`` computes them at the centres of all
# pixels and returns an array of xarray.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import rasterio

from geofeat import (
    EmbeddingRasterSampler,
    EmbeddingTableSource,
    RandomFourierFeatures,
    RasterSource,
    dequantize,
    embed_grid,
    quantize,
)

bounds = (3.0, 50.0, 13.0, 55.0)
embedder = RandomFourierFeatures(
    64,
    space="sphere",
    kernel="matern",
    length_scale=300.0,
    mapping="cos-sin",
    random_state=0,
).fit([[8.0, 52.0]])
grid = embed_grid(embedder, bounds, resolution=0.05)
print(dict(grid.sizes), grid.dtype, f"{grid.nbytes / 1e6:.1f} MB")

# %%
# Bytes instead of floats
# -----------------------
# ``quantize`` knows the two forms in which published embeddings are stored. AlphaEarth's keeps the
# direction of a vector, in bytes that are finest around 0; TESSERA's keeps its length too, by a
# scale for each pixel. Both errors have a bound that can be proved: half a step.

unit = grid / np.sqrt((grid**2).sum("band"))
stored = quantize(grid, "aef", normalize=True)
scaled, scales = quantize(grid, "tessera")

error = np.abs(dequantize(stored) - unit).values
bound = (np.sqrt(np.abs(unit)) / 127.5 + 1.6e-5).values
scaled_error = np.abs(dequantize(scaled, scales) - grid).values
scaled_bound = np.broadcast_to(scales.values / 2, scaled_error.shape)

fig, (left, right) = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
shown = np.random.default_rng(0).choice(error.size, 8000, replace=False)
left.plot(
    np.abs(unit.values).ravel()[shown],
    error.ravel()[shown],
    ".",
    ms=2,
    color="#0072B2",
)
line = np.linspace(0, np.abs(unit.values).max(), 200)
left.plot(
    line,
    np.sqrt(line) / 127.5 + 1.6e-5,
    color="#D55E00",
    lw=2,
    label="proven bound",
)
left.set(xlabel="size of a component", ylabel="error of a component")
left.set_title("Random features: no error passes the bound", fontsize=11)
left.legend(frameon=False, fontsize=10, loc="upper left")
bins = np.linspace(0, 1.05, 43)
for ratio, colour, label in (
    (error / bound, "#0072B2", 'form "aef"'),
    (scaled_error / scaled_bound, "#009E73", 'form "tessera"'),
):
    print(
        f"{label}: largest error {ratio.max():.4f} of its bound, beyond it",
        (ratio > 1).sum(),
    )
    share = np.histogram(ratio, bins)[0] / ratio.size
    right.stairs(share, bins, color=colour, lw=2, label=label)
right.axvline(1, color="#D55E00", lw=2)
right.set(
    xlabel="error as a share of the bound",
    ylabel="share of components",
    ylim=(0, 0.05),
)
right.set_title("Errors fill the range below it", fontsize=11)
right.legend(frameon=False, fontsize=10, loc="lower left")
plt.show()

# %%
# The two peaks have plain reasons. TESSERA's scale makes the largest component of each vector
# exact. And most waves of random features are near their crest, which are all equally high, so that
# in AlphaEarth's form many components share one error.
#
# A file that anyone can read
# ---------------------------
# In the first form the database is an ordinary GeoTIFF of bytes, with -128 for nothing.

folder = tempfile.TemporaryDirectory()
work = Path(folder.name)
corner = [
    float(number) for number in grid.spatial_ref.attrs["GeoTransform"].split()
]
with rasterio.open(
    work / "embeddings.tif",
    "w",
    driver="GTiff",
    dtype="int8",
    nodata=-128,
    compress="zstd",
    tiled=True,
    count=stored.sizes["band"],
    height=stored.sizes["y"],
    width=stored.sizes["x"],
    crs="EPSG:4326",
    transform=rasterio.Affine.from_gdal(*corner),
) as file:
    file.write(stored.values)
    file.descriptions = tuple(stored.band.values.tolist())
np.savez_compressed(
    work / "embeddings.npz", stored=scaled.values, scales=scales.values
)
np.savez_compressed(work / "floats.npz", grid.values)
for name in ("floats.npz", "embeddings.tif", "embeddings.npz"):
    print(f"{name:15} {(work / name).stat().st_size / 1e6:5.2f} MB")

# %%
# How far bytes compress depends on the map. This one is smooth, so neighbours resemble each other;
# expect less of a real embedding. What is certain is the factor of four before compression.
#
# Reading it back
# ---------------
# The sampler reads the file as it reads AlphaEarth. At the centre of a pixel only the bytes are
# between us and the embedder; anywhere else the centre also stands for the point. The angle between
# what was read and what the embedder says tells what both cost.

sampler = EmbeddingRasterSampler(
    RasterSource(work / "embeddings.tif", decode="aef")
)


def angles(points):
    """Degrees between the vectors of the database and of the embedder."""
    read, truth = sampler.transform(points), embedder.transform(points)
    lengths = np.linalg.norm(read, axis=1) * np.linalg.norm(truth, axis=1)
    return np.degrees(
        np.arccos(np.clip((read * truth).sum(axis=1) / lengths, -1, 1))
    )


rng = np.random.default_rng(1)
centres = np.stack([rng.choice(grid.x, 3000), rng.choice(grid.y, 3000)], axis=1)
anywhere = rng.uniform(bounds[:2], bounds[2:], (3000, 2))
for label, points in (("at centres", centres), ("anywhere", anywhere)):
    found = angles(points)
    print(
        f"{label:10}: median {np.median(found):.2f} degrees, largest {found.max():.2f}"
    )

# %%
# What a database is for: to find places like a given one, without the model. Cosines are taken with
# the decoded bytes.

query = sampler.transform([[5.66, 51.97]])[0]
decoded = dequantize(stored)
norms = np.sqrt((decoded**2).sum("band")) * np.linalg.norm(query)
likeness = (decoded * query[:, None, None]).sum("band") / norms

fig, ax = plt.subplots(figsize=(7, 4.8), layout="constrained")
drawn = ax.pcolormesh(grid.x, grid.y, likeness, cmap="cividis", rasterized=True)
ax.plot(5.66, 51.97, "o", color="white", mec="black", ms=7)
ax.set(
    xlabel="longitude (degrees)",
    ylabel="latitude (degrees)",
    aspect=1 / np.cos(np.radians(52.5)),
)
ax.set_title("Likeness to one place (dot), from bytes of random features")
fig.colorbar(drawn, ax=ax, label="cosine", shrink=0.8)
plt.show()

# %%
# With random features likeness is nearness, up to the noise of 64 columns: they know where a place
# is, not what it is like. A pretrained embedder in their place changes the map and nothing in the
# code.

# %%
# A table of places instead of a raster
# -------------------------------------
# Where embeddings exist at places only, of image patches for instance, a parquet file will do: a
# row with a place and a vector. A point takes the nearest row up to ``max_distance`` metres, and
# has no value beyond.

places = rng.uniform(bounds[:2], bounds[2:], (500, 2))
table = pd.DataFrame({"lon": places[:, 0], "lat": places[:, 1]})
table["embedding"] = list(embedder.transform(places).astype(np.float32))
table.to_parquet(work / "patches.parquet")
patches = EmbeddingRasterSampler(
    EmbeddingTableSource(work / "patches.parquet", max_distance=20_000),
    on_missing="nan",
)
values, info = patches.sample(anywhere, return_info=True)
print(info["reason"].astype(str).value_counts().to_dict())
print(
    f"median distance to the row that served: {info['distance'].median() / 1000:.1f} km"
)
folder.cleanup()

# %%
# What to take home
# -----------------
# - ``embed_grid``, ``quantize``, write: three calls, a quarter of float32, and an error that is
#   known before anything is stored.
# - Choose "aef" for vectors that are compared by their direction, "tessera" where the length means
#   something.
# - Both the bytes and the size of the pixel cost exactness, and both are to be measured on your own
#   embedding: here bytes account for most of the angle, with a rougher embedding pixels will.
# - ``chunks=`` makes ``embed_grid`` lazy for maps that do not fit in memory.
# - Names of columns travel in the descriptions of the bands; the licence of the weights travels
#   with the numbers, and a file does not know it unless you write it there.
#
# See :func:`geofeat.embed_grid`, :func:`geofeat.quantize`, :class:`geofeat.EmbeddingTableSource`
# and :doc:`/user_guide/embedding_maps`.
#
# References
# ----------
# - C. F. Brown et al., "AlphaEarth Foundations: An embedding field model for accurate and efficient
#   global mapping from sparse label data", arXiv:2507.22291, 2025.
# - Z. Feng et al., "TESSERA: Temporal embeddings of surface spectra for Earth representation and
#   analysis", arXiv:2506.20380, 2025.
# - A. Rahimi, B. Recht, "Random features for large-scale kernel machines", NeurIPS 2007.
