"""
How much does a random split flatter?
=====================================

It depends on what the model can memorise. On a **simulated** forest, a random forest that knows
only *where* a plot lies is right for 61 % of the plots of a random split and for 34 % in blocks
of 1.6 kilometres that it has not seen; always naming the most common species gives 32 %. With
embeddings the two scores are 65 % and 63 %. The split decides which of the two models looks good
enough.
"""

# %%
# Plots have neighbours
# ---------------------
#
# **SIMULATED**: 2 000 plots in parcels of some five hectares, each with one main species, so that
# neighbours often share theirs. In a random split such neighbours stand on both sides.
# :class:`geofeat.evaluation.SpatialBlockKFold` cuts the globe into blocks of equal area and deals
# whole blocks to the folds.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GroupKFold, KFold, cross_val_score

from geofeat import CartesianEncoder, EmbeddingRasterSampler
from geofeat.datasets import load_tree_species
from geofeat.evaluation import SpatialBlockKFold
from geofeat.plotting import plot_folds

# sphinx_gallery_thumbnail_number = 2

forest = load_tree_species()
plots, species = forest.plots, forest.target

fig, axes = plt.subplots(2, 1, figsize=(8, 7.2), layout="compressed")
splitters = {
    "random folds": KFold(5, shuffle=True, random_state=0),
    "blocks of 0.8 km": SpatialBlockKFold(5, block_size=0.8),
}
for ax, (name, cv) in zip(axes, splitters.items(), strict=True):
    plot_folds(cv, plots, ax=ax)
    ax.set_title(f"SIMULATED plots: {name}")
plt.show()

# %%
# Two sets of features, many splits
# ---------------------------------
#
# The place as a unit vector, and the vector of an AlphaEarth-format raster at the place. Neither
# learns anything from the plots, so both are computed once.

features = {
    "place": CartesianEncoder().transform(plots),
    "embedding": EmbeddingRasterSampler(forest.alphaearth, year=2023).transform(
        plots
    ),
}
trees = RandomForestClassifier(25, min_samples_leaf=2, random_state=0, n_jobs=-1)
sizes = (0.1, 0.2, 0.4, 0.8, 1.6)  # kilometres


def accuracy(columns, cv, groups=None):
    return cross_val_score(trees, columns, species, cv=cv, groups=groups).mean()


random, by_block = {}, {}
for name, columns in features.items():
    random[name] = accuracy(columns, splitters["random folds"])
    by_block[name] = [
        accuracy(columns, SpatialBlockKFold(5, block_size=size), plots)
        for size in sizes
    ]
    told = "  ".join(
        f"{size:g} km {score:.2f}"
        for size, score in zip(sizes, by_block[name], strict=True)
    )
    print(f"{name:10} random {random[name]:.2f}   blocks of {told}")

# %%
colours = {"place": "#D55E00", "embedding": "#0072B2"}
label_offset = {"place": -0.022, "embedding": 0.006}
fig, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
for name, colour in colours.items():
    ax.axhline(random[name], color=colour, linestyle=":")
    height = random[name] + label_offset[name]
    ax.text(1.6, height, f"{name}, random folds", color=colour, ha="right")
    ax.plot(sizes, by_block[name], "o-", color=colour, label=name)
most_common = (species == forest.target_names[0]).mean()
ax.axhline(most_common, color="#22303C", linestyle="--")
ax.text(0.1, most_common + 0.006, "always the most common species")
ax.set_xscale("log")
ax.set_xticks(sizes, [f"{size:g}" for size in sizes])
ax.minorticks_off()
ax.set(xlabel="block size (km)", ylabel="accuracy", ylim=(0.28, 0.74))
ax.set_title("SIMULATED forest: what is memorised does not travel")
ax.legend(loc="lower left", bbox_to_anchor=(0, 0.16))
plt.show()

# %%
# How large a block?
# ------------------
#
# At least as large as the distance over which the errors of the model hang together. Here parcels
# are some two hundred metres wide, and the score of the place falls as long as blocks grow. A
# group you know can serve instead, such as parcels: they score like blocks of half a kilometre
# here, for the neighbouring parcel is still known. A buffer leaves out training plots near the
# tested ones; it closes the gap at the edges of blocks, and costs plots.

print("parcels as groups:")
for name, columns in features.items():
    score = accuracy(columns, GroupKFold(5), plots["parcel"])
    print(f"  {name:10} {score:.2f}")

for buffer in (0.1, 0.3):
    cv = SpatialBlockKFold(5, block_size=0.8, buffer=buffer)
    kept = np.mean([len(train) for train, _ in cv.split(plots)])
    print(f"blocks of 0.8 km, buffer {buffer:.1f} km, {kept:.0f} training plots:")
    for name, columns in features.items():
        print(f"  {name:10} {accuracy(columns, cv, plots):.2f}")

# %%
# What to take home
# -----------------
#
# - A random split answers "how good is the model between my plots?". Blocks answer "how good is it
#   where I have none?", which is what a map is asked. Say which question you asked.
# - Look at scores over a few block sizes: where they level out, blocks are large enough. Those of
#   the embedding soon do; those of the place fall as far as this small landscape allows.
# - Features that describe a place lose little; features that name it lose nearly all they had. The
#   ranking of models can turn, not only their level.
# - Keep many more blocks than folds. The landscape here is ten by five kilometres, so 1.6 km is as
#   far as it can go.
#
# The geometry of the blocks and the case for random splits are in :doc:`/user_guide/evaluation`.
#
# References
# ----------
#
# - D. R. Roberts et al., "Cross-validation strategies for data with temporal, spatial,
#   hierarchical, or phylogenetic structure", Ecography 40, 2017.
# - H. Meyer, E. Pebesma, "Machine learning-based global maps of ecological variables and the
#   challenge of assessing them", Nature Communications 13, 2022.
