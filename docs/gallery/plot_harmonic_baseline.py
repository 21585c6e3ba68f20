"""
How far do seasons alone tell tree species apart?
=================================================

On a **simulated** forest, a random forest on the mean of each of ten bands and two indices is
right for 57 ± 3 % of the plots in blocks it has not seen; with one seasonal wave a band for 66 %,
with two for 68 %, with three for 69 %, each ± 2. The level and the waves belong together: two
amplitudes and phases without the level give 64 %. Compare an embedding with this, not with the
mean.
"""

# %%
# The series
# ----------
#
# **SIMULATED**: two years of Sentinel-2-like reflectance every fifth day, ten bands, 2 000 plots.
# Clouds hide more than half of the observations, each plot's at its own dates, and some haze is
# not flagged. Two indices are added as further bands. A gap is NaN in all of them.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import cross_val_predict, cross_val_score

from geofeat import HarmonicFeatures
from geofeat.datasets import load_tree_species
from geofeat.evaluation import SpatialBlockKFold

# sphinx_gallery_thumbnail_number = 1

forest = load_tree_species()
bands = {name: forest.series[:, :, i] for i, name in enumerate(forest.band_names)}
bands["NDVI"] = (bands["B8"] - bands["B4"]) / (bands["B8"] + bands["B4"])
bands["NDMI"] = (bands["B8"] - bands["B11"]) / (bands["B8"] + bands["B11"])
series = np.stack(list(bands.values()), axis=2)  # plots, dates, bands
print(f"{series.shape}, missing: {np.isnan(series).mean():.0%}")

# %%
# One plot a species
# ------------------
#
# Each series is fitted by least squares with a level, a slope and waves of a year, half a year and
# so on. A gap is left out of the sums, so nothing is filled in and no common calendar is needed.
# The lines are the sums of the fitted terms. ``times=`` are the dates of the columns.

order = 2
seasons = HarmonicFeatures(
    order=order,
    times=forest.times,
    n_bands=list(bands),
    outputs=("coefficients",),
    robust="huber",
)
# Columns of a flat table run by date, then by band.
fitted = seasons.set_output(transform="pandas").fit_transform(
    series.reshape(len(series), -1)
)

days = np.arange(forest.times[0], forest.times[-1]).astype(float)
years = (days - seasons.t_ref_) / 365.25
angles = 2 * np.pi * days / 365.25


def fitted_curve(row, band):
    curve = row[f"{band}_intercept"] + row[f"{band}_slope"] * years
    for k in range(1, order + 1):
        curve += row[f"{band}_cos{k}"] * np.cos(k * angles)
        curve += row[f"{band}_sin{k}"] * np.sin(k * angles)
    return curve


colours = {
    "beech": "#D55E00",
    "Scots pine": "#0072B2",
    "Japanese larch": "#009E73",
}
fig, axes = plt.subplots(3, 1, figsize=(8, 6), sharex=True, layout="constrained")
for ax, (name, colour) in zip(axes, colours.items(), strict=True):
    plot = np.flatnonzero(forest.target == name)[0]
    ax.plot(forest.times, bands["NDVI"][plot], ".", color="grey", label="observed")
    dates = days.astype("datetime64[D]")
    curve = fitted_curve(fitted.iloc[plot], "NDVI")
    ax.plot(dates, curve, color=colour, label="two waves, Huber weights")
    ax.set(ylim=(0, 1), ylabel="NDVI")
    ax.set_title(name, loc="left", fontsize=10)
axes[0].legend(loc="lower right", ncols=2)
fig.suptitle("SIMULATED series of three plots: gaps, haze, and the fitted seasons")
plt.show()

# %%
# The plots differ in what the eye sees at once: how green the winter is, how large the season is
# and when it peaks. The low outliers are haze; Huber's weights keep the curve from following them.
#
# How many waves, and which numbers of them?
# ------------------------------------------
#
# The same random forest on each set of columns, scored on blocks of one kilometre that it has not
# seen. The features learn nothing from the labels and each row stands alone, so they may be
# computed once, before the split.

trees = RandomForestClassifier(60, min_samples_leaf=2, random_state=0, n_jobs=-1)
blocks = SpatialBlockKFold(n_splits=5, block_size=1.0)


def columns_of(order, outputs=("coefficients",), robust=None):
    fit = HarmonicFeatures(
        order=order,
        times=forest.times,
        n_bands=list(bands),
        outputs=outputs,
        robust=robust,
    )
    return fit.fit_transform(series.reshape(len(series), -1))


tables = {
    "mean of each band": np.nanmean(series, axis=1),
    "1 wave": columns_of(1),
    "2 waves": columns_of(2),
    "3 waves": columns_of(3),
    "2 waves, Huber": fitted.to_numpy(),
    "2 amplitudes and phases": columns_of(2, ("amplitude", "phase_vector")),
}
scores = {}
for name, table in tables.items():
    scores[name] = cross_val_score(
        trees, table, forest.target, cv=blocks, groups=forest.plots
    )
    print(
        f"{name:24}{table.shape[1]:4} columns   accuracy {scores[name].mean():.2f} "
        f"± {scores[name].std():.2f}"
    )

# %%
fig, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
names = list(scores)[::-1]
means = [scores[name].mean() for name in names]
spread = [scores[name].std() for name in names]
bars = ax.barh(names, means, xerr=spread, color="#56B4E9", ecolor="#22303C")
for bar, value in zip(bars, means, strict=True):
    ax.text(0.01, bar.get_y() + 0.4, f"{value:.2f}", va="center")
most_common = (forest.target == forest.target_names[0]).mean()
ax.axvline(
    most_common, color="#D55E00", linestyle="--", label="most common species"
)
ax.legend(loc="upper right")
ax.set(xlim=(0, 1), xlabel="accuracy on unseen blocks, mean and deviation of 5")
ax.set_title("SIMULATED forest: the level and its waves belong together")
plt.show()

# %%
# Which species are mistaken for each other?
# ------------------------------------------

predicted = cross_val_predict(
    trees, tables["3 waves"], forest.target, cv=blocks, groups=forest.plots
)
fig, ax = plt.subplots(figsize=(8, 5.6), layout="constrained")
ConfusionMatrixDisplay.from_predictions(
    forest.target,
    predicted,
    labels=forest.target_names,
    normalize="true",
    values_format=".2f",
    cmap="Blues",
    xticks_rotation=30,
    colorbar=False,
    ax=ax,
)
plt.setp(ax.get_xticklabels(), ha="right", rotation_mode="anchor")
ax.set_title("SIMULATED forest, three waves: share of each true species")
plt.show()

# %%
# What to take home
# -----------------
#
# - Give a forest the coefficients: level, slope, cosines and sines. Amplitude and phase are the
#   same waves in other words, good for reading, and weaker without the level.
# - A phase wraps at the year's end. Where you want it, ask for ``"phase_vector"``, not ``"phase"``.
# - The differences between two and three waves, and between plain and robust fits, are about as
#   large as the deviation of the folds: on your own data, look at the paired folds.
# - Nothing here says how well seasons tell real species apart: the forest is simulated. What
#   published comparisons found is gathered in :doc:`/which_embedding`, where a harmonic baseline
#   is a column of every table.
#
# The mathematics, the treatment of short series and the conventions of other tools are described
# in :doc:`/user_guide/series`.
#
# References
# ----------
#
# - Z. Zhu, C. E. Woodcock, "Continuous change detection and classification of land cover using all
#   available Landsat data", Remote Sensing of Environment 144, 2014.
# - S. Francini et al., "Forest species mapping and area proportion estimation combining Sentinel-2
#   harmonic predictors and national forest inventory data", International Journal of Applied Earth
#   Observation and Geoinformation 131, 2024.
