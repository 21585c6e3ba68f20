"""
Which features carry the model?
===============================

Two questions hide in this one. *What does the fitted model lean on?* Seasons: on a **simulated**
forest, shuffling their columns costs 46 of 78 points of accuracy. *What could be left out?* Any
one block: without the seasons a model fitted anew loses 5 points, without one of the embeddings
about 1.5 with a deviation over the folds of about 1, without the place nothing. Each block knows
much of what the others know.
"""

# %%
# One table, four blocks of features
# ----------------------------------
#
# **SIMULATED**: a forest inventory. Its table holds longitude, latitude and the seasonal series of
# each plot, a column a date and band, with gaps under clouds. A
# :class:`sklearn.compose.ColumnTransformer` sends the right columns to each block: the place to an
# encoder and to two samplers of embeddings, the series to harmonic regression.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from geofeat import (
    EmbeddingRasterSampler,
    HarmonicFeatures,
    SphericalHarmonicsEncoder,
)
from geofeat.datasets import load_tree_species
from geofeat.evaluation import SpatialBlockKFold, block_importance
from geofeat.plotting import plot_block_importance

# sphinx_gallery_thumbnail_number = 2

forest = load_tree_species()
n_plots, n_dates, n_bands = forest.series.shape
series = pd.DataFrame(forest.series.reshape(n_plots, -1)).add_prefix("r")
lonlat = forest.plots.get_coordinates().set_axis(["lon", "lat"], axis=1)
table = pd.concat([lonlat, series], axis=1)
place = ["lon", "lat"]

blocks = ColumnTransformer(
    [
        ("place", SphericalHarmonicsEncoder(degree=5), place),
        (
            "seasons",
            HarmonicFeatures(times=forest.times, n_bands=n_bands),
            list(series),
        ),
        ("AlphaEarth", EmbeddingRasterSampler(forest.alphaearth, year=2023), place),
        ("TESSERA", EmbeddingRasterSampler(forest.tessera, year=2023), place),
    ]
)
classifier = make_pipeline(
    StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
)
model = make_pipeline(blocks, classifier)

# %%
# What the fitted model leans on
# ------------------------------
#
# :func:`geofeat.evaluation.block_importance` takes a fitted pipeline and plots it has not seen:
# the first of five folds of blocks of one kilometre. It shuffles the columns of a block together
# among the rows and measures what the score loses.

cv = SpatialBlockKFold(n_splits=5, block_size=1.0)
train, test = next(cv.split(table, groups=forest.plots))
model.fit(table.iloc[train], forest.target[train])
importance = block_importance(
    model, table.iloc[test], forest.target[test], n_repeats=10, random_state=0
)
score = model.score(table.iloc[test], forest.target[test])
print(f"accuracy on the {len(test)} plots: {score:.2f}")
for name, mean, std in zip(
    importance.names,
    importance.importances_mean,
    importance.importances_std,
    strict=True,
):
    print(f"{name:12} shuffled: {mean:+.3f} ± {std:.3f} lost")

fig, ax = plt.subplots(figsize=(8, 3), layout="constrained")
plot_block_importance(importance, ax=ax)
ax.set_title("SIMULATED forest: what the fitted model leans on")
plt.show()

# %%
# What could be left out
# ----------------------
#
# Another model is fitted without each block, and with each alone. No feature learns from the
# labels, so all are computed once. The differences are taken fold by fold: folds differ more from
# each other than models do.

features = blocks.fit_transform(table)


def scores_of(columns):
    return cross_val_score(
        classifier, features[:, columns], forest.target, cv=cv, groups=forest.plots
    )


everything = np.arange(features.shape[1])
full = scores_of(everything)
rows = {}
for name in importance.names:
    own = everything[blocks.output_indices_[name]]
    lost = full - scores_of(np.setdiff1d(everything, own))
    alone = scores_of(own)
    rows[name] = {
        "columns": own.size,
        "alone": alone.mean(),
        "lost without it": lost.mean(),
        "deviation of folds": lost.std(),
        "folds that lose": f"{(lost > 0).sum()} of 5",
    }
print(f"all {everything.size} columns: {full.mean():.3f} ± {full.std():.3f}")
ablation = pd.DataFrame.from_dict(rows, orient="index")
ablation.round(3)

# %%
fig, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
y = np.arange(len(ablation))[::-1]
ax.barh(
    y + 0.2,
    importance.importances_mean,
    0.38,
    xerr=importance.importances_std,
    color="#E69F00",
    label="its columns shuffled, same model",
)
ax.barh(
    y - 0.2,
    ablation["lost without it"],
    0.38,
    xerr=ablation["deviation of folds"],
    color="#0072B2",
    label="left out, fitted anew",
)
ax.axvline(0, color="#22303C", linewidth=0.8)
ax.set_yticks(y, ablation.index)
ax.set(xlabel="accuracy lost")
ax.set_title("SIMULATED forest: relied upon is not the same as needed")
ax.legend(loc="lower right")
plt.show()

# %%
# Why they differ
# ---------------
#
# A shuffled block does not go silent: it tells the model things about another plot, and a model
# that trusts it is misled. Left out, its work is taken over by what the other blocks know of it.
# Two embeddings of one landscape and its seasons overlap by their nature, so each is nearly
# dispensable, and yet together they are better than any of them alone.
#
# What to take home
# -----------------
#
# - Ask for importance by block. Single columns of an embedding stand in for each other, and
#   permuting one of them shows nothing.
# - Report the ablation with paired folds when the question is what to compute or to buy; report
#   the permutation when the question is what a given model does.
# - The place is worth nothing in these blocks because they are new places; in a random split it
#   alone scores far higher, see :doc:`/auto_gallery/plot_spatial_validation`.
# - Which block wins here says nothing about real forests: the landscape is simulated.
#
# The figures are described in :doc:`/user_guide/plotting`, the folds in
# :doc:`/user_guide/evaluation`.
#
# References
# ----------
#
# - L. Breiman, "Random forests", Machine Learning 45, 2001.
# - C. Strobl et al., "Conditional variable importance for random forests", BMC Bioinformatics 9,
#   2008.
