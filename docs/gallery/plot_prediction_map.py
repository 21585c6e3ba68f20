"""
How do I turn a model into a map?
=================================

With one call: ``predict_raster`` sends every pixel of an embedding raster through a fitted
pipeline and writes a cloud-optimised GeoTIFF. The map of the **simulated** landscape below has
half a million pixels of ten metres across two UTM zones. Scored on blocks it has not seen, its
model is right for 65 % of the plots, and the probabilities tell where: above 80 % it is right for
95 %, below 40 % for 42 %.
"""

# %%
# A model, and what to expect of it
# ---------------------------------
#
# **SIMULATED** plots and a raster in AlphaEarth's file format. The pipeline begins with a sampler,
# so it is fitted on points. What the map will be worth is asked before it is drawn, on blocks of
# one kilometre without training plots.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import rasterio
from matplotlib.colors import ListedColormap
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

from geofeat import EmbeddingRasterSampler, predict_raster
from geofeat.datasets import load_tree_species
from geofeat.evaluation import SpatialBlockKFold

# sphinx_gallery_thumbnail_number = 1

forest = load_tree_species()
sampler = EmbeddingRasterSampler(forest.alphaearth, year=2023)
trees = RandomForestClassifier(100, random_state=0, n_jobs=-1)
model = make_pipeline(sampler, trees)

blocks = SpatialBlockKFold(n_splits=5, block_size=1.0)
shares = cross_val_predict(
    model, forest.plots, forest.target, cv=blocks, method="predict_proba"
)
classes = np.unique(forest.target)
right = classes[shares.argmax(axis=1)] == forest.target
print(f"right on unseen blocks: {right.mean():.1%} of {right.size} plots")

bins = pd.cut(shares.max(axis=1), [0, 0.4, 0.6, 0.8, 1.0])
table = pd.DataFrame({"right": right}).groupby(bins, observed=True)["right"]
table.agg(plots="size", right="mean").round(2)

# %%
# Two maps
# --------
#
# Fitted on all plots, the model is sent over the box of the landscape. The first call writes a
# band of class codes; the second, with ``probabilities="percent"``, a band of whole per cents a
# class. Both are written under another name first and appear whole or not at all.

model.fit(forest.plots, forest.target)
west, south, east, north = forest.plots.total_bounds
folder = tempfile.TemporaryDirectory()
species_map = predict_raster(
    model, None, (west, south, east, north), Path(folder.name) / "species.tif"
)
percent_map = predict_raster(
    model,
    None,
    (west, south, east, north),
    Path(folder.name) / "percent.tif",
    probabilities="percent",
)
for path in (species_map, percent_map):
    print(f"{path.name:12} {path.stat().st_size / 2**20:.1f} MiB")

# %%
# The files say what they hold: names of the classes stand in the metadata, 0 (or 255 per cent) is
# nodata. Any GIS opens them.

with rasterio.open(species_map) as file:
    codes = file.read(1)
    names = [file.tags(1)[f"CLASS_{k + 1}"] for k in range(len(classes))]
    left, bottom, right_edge, top = file.bounds
    print(file.crs.to_string(), codes.shape, names)
with rasterio.open(percent_map) as file:
    percent = np.ma.masked_equal(file.read(), 255).max(axis=0)
folder.cleanup()

# %%
colours = [
    "#009E73",
    "#F0E442",
    "#CC79A7",
    "#0072B2",
    "#D55E00",
    "#E69F00",
    "#56B4E9",
]
extent = np.array([left, right_edge, bottom, top]) / 1000
fig, axes = plt.subplots(2, 1, figsize=(8, 10), layout="compressed", sharex=True)
axes[0].imshow(
    np.ma.masked_equal(codes, 0),
    cmap=ListedColormap(colours),
    vmin=0.5,
    vmax=7.5,
    extent=extent,
    interpolation="nearest",
)
for name, colour in zip(names, colours, strict=True):
    axes[0].plot([], [], "s", color=colour, label=name)
axes[0].legend(
    loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=4, frameon=False
)
axes[0].set_title("SIMULATED landscape: predicted species")
image = axes[1].imshow(
    percent,
    cmap="cividis",
    vmin=20,
    vmax=100,
    extent=extent,
    interpolation="nearest",
)
fig.colorbar(
    image,
    ax=axes[1],
    location="bottom",
    label="probability of the predicted species (%)",
)
own = forest.plots.to_crs("EPSG:32631").get_coordinates().to_numpy() / 1000
axes[1].plot(*own.T, ".", color="white", markersize=1.5)
axes[1].set_title("SIMULATED landscape: how sure the forest is, and its plots")
axes[1].set_xlabel("UTM 31 east (km)")
for ax in axes:
    ax.set_ylabel("UTM 31 north (km)")
plt.show()

# %%
# How much of each?
# -----------------
#
# Counting pixels of a map is not an estimate of area: the model's mistakes do not cancel. Beech
# that is taken for oak makes the map's oak too large. The usual way is to correct the counts by
# the confusion matrix of a probability sample [1]_.

counted = np.bincount(codes.ravel(), minlength=8)[1:] / (codes > 0).sum()
plots = pd.Series(forest.target).value_counts(normalize=True).reindex(names)
pd.DataFrame({"map": counted, "plots": plots.to_numpy()}, index=names).round(3)

# %%
# The two columns differ by more than mistakes. A quarter of the simulated landscape is grassland,
# heath and water, of which the plots hold nothing: the model was never shown them and calls each of
# their pixels a tree species. The lower map gives it away: its large dark patches hold no plots.
#
# What to take home
# -----------------
#
# - Mask what the model was not made for. Give ``bounds`` as polygons of forest, and pixels outside
#   stay empty.
# - Write the probabilities beside the classes, and check on unseen blocks that they mean something.
# - The map keeps the pixels of the source and reads each block of a file once. ``crs`` and
#   ``resolution`` ask for another grid; a pixel without an embedding stays nodata.
# - Map the year that the model was fitted on. Vectors of another year need a test of their own.
#
# See :doc:`/user_guide/bulk` for grids, polygons and costs.
#
# References
# ----------
#
# .. [1] P. Olofsson et al., "Good practices for estimating area and assessing accuracy of land
#        change", Remote Sensing of Environment 148, 2014.
