"""
What do AlphaEarth and TESSERA say at my points, and why is a value missing?
============================================================================

One transformer reads both at points and years in any CRS, and gives a reason for every row that
stays empty. Of 2 012 points below, surveyed in three years, NREADY have a vector; the others lie
beyond all files, fall on an empty pixel, ask for a year that was never computed, or have no
coordinate. No row is moved, dropped or filled.
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

from geofeat import EmbeddingRasterSampler, TesseraSource, dequantize
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
    geometry=[*gpd.points_from_xy(rng.uniform(east, east + 2000, 10), [north] * 10)]
    + [None, None],
    crs=plots.crs,
)
survey = pd.concat([plots, wrong], ignore_index=True)
survey.tail(3)
