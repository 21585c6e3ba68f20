"""
What does a SatCLIP-like network see?
=====================================

Before training it sees no Earth at all, only smooth bands and spots. How wide they are is set by
the degree of its harmonics and the frequency of its first sines: with random weights in the
published layout, the vectors of two places are half alike at 1 400 km for L = 10 and at 360 km
for L = 40. A linear readout of random vectors still tells land from sea at 90 to 91 % of held-out
places for L = 4 and 10 (always answering "sea" is right at 72 %; with L = 40 it does no better),
so what training has taught an embedding is what it does better than that.

All weights on this page are **random**. The published ones need a download; the lines are at the
end.
"""

# %%
# A network without a past
# ------------------------
#
# SatCLIP's location network is small: spherical harmonics of L degrees, two layers of sines, one
# linear layer. Here it is with **random** weights, drawn as its authors draw them before
# training, but 128 columns wide instead of 512 and 256. Weights are arrays by name, so any
# network of this layout can be passed to :class:`geofeat.SatCLIPEmbedder`. The first layer
# computes sin(w0 (W x + b)) with w0 = 30; other values of w0 are had by scaling W and b.

import matplotlib.pyplot as plt
import numpy as np
from global_land_mask import globe
from matplotlib.patches import Circle
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from geofeat import (
    CartesianEncoder,
    SatCLIPEmbedder,
    SphericalHarmonicsEncoder,
    embed_grid,
)
from geofeat.plotting import pca_rgb, plot_embedding

# sphinx_gallery_thumbnail_number = 1


def random_network(n_degrees, w0=30.0, width=128, seed=0):
    rng = np.random.default_rng(seed)

    def layer(name, n_out, n_in, limit):
        return {
            f"nnet.{name}.weight": rng.uniform(-limit, limit, (n_out, n_in)),
            f"nnet.{name}.bias": rng.uniform(-limit, limit, n_out),
        }

    limit = np.sqrt(6 / width)
    weights = layer("layers.0", width, n_degrees**2, w0 / 30 / n_degrees**2)
    weights |= layer("layers.1", width, width, limit) | layer(
        "last_layer", width, width, limit
    )
    return SatCLIPEmbedder(weights=weights, dtype="float32")


network = random_network(n_degrees=10)
print(network.transform([[5.66, 51.97]]).shape)

# %%
# Its globe
# ---------
#
# :func:`geofeat.plotting.pca_rgb` turns 128 numbers into a colour: the three main components
# become red, green and blue. Places of one colour get similar vectors. One picture is a single
# call, ``plot_embedding(network, projection="globe", center=(10, 20))``; for three sides in the
# same colours we look up the places of their pixels and colour all at once.


def visible(lon0, lat0, side=250):
    """Longitude and latitude of the pixels of a globe, up to its edge and a little beyond."""
    x, y = np.meshgrid(*[(np.arange(side) + 0.5) * 2 / side - 1] * 2)
    shrink = np.maximum(np.hypot(x, y), 1)
    x, y = x / shrink, y / shrink
    z = np.sqrt(np.maximum(1 - x**2 - y**2, 0))
    sin, cos = np.sin(np.radians(lat0)), np.cos(np.radians(lat0))
    lat = np.degrees(np.arcsin(np.clip(y * cos + z * sin, -1, 1)))
    lon = lon0 + np.degrees(np.arctan2(x, z * cos - y * sin))
    return np.stack([(lon + 180) % 360 - 180, lat], axis=-1)


# The outline of land: the share of land in cells of one degree is one half.
fine = np.stack(
    np.meshgrid(np.arange(-179.875, 180, 0.25), np.arange(-89.875, 90, 0.25)), -1
)
share = (
    globe.is_land(fine[..., 1], fine[..., 0])
    .reshape(180, 4, 360, 4)
    .mean(axis=(1, 3))
)
drawn = (
    plt.figure()
    .gca()
    .contour(np.arange(-179.5, 180), np.arange(-89.5, 90), share, [0.5])
)
plt.close()


def draw_coast(ax, lon0, lat0):
    sin, cos = np.sin(np.radians(lat0)), np.cos(np.radians(lat0))
    for line in drawn.allsegs[0]:
        x, y, z = CartesianEncoder().transform(line - [lon0, 0]).T
        up, near = z * cos - x * sin, z * sin + x * cos > 0.05
        ax.plot(
            np.where(near, y, np.nan), up, color="white", linewidth=0.9, alpha=0.9
        )


centers = [(-75.0, 15.0), (15.0, 15.0), (125.0, 5.0)]
pixels = np.stack([visible(*center) for center in centers])
vectors = network.transform(pixels.reshape(-1, 2))
colours = pca_rgb(vectors, stretch=2.6).reshape(*pixels.shape[:3], 3)

fig, axes = plt.subplots(1, 3, figsize=(8, 3.1), layout="constrained")
for ax, center, image in zip(axes, centers, colours, strict=True):
    edge = Circle(
        (0, 0), 1, transform=ax.transData, fill=False, edgecolor="#22303C", lw=0.8
    )
    image = 0.32 + 0.64 * image  # a little paler
    shown = ax.imshow(
        image, extent=(-1, 1, -1, 1), origin="lower", interpolation="bilinear"
    )
    shown.set_clip_path(edge)
    ax.add_patch(edge)
    draw_coast(ax, *center)
    ax.set(xlim=(-1.02, 1.02), ylim=(-1.02, 1.02), aspect="equal")
    ax.set_axis_off()
fig.suptitle(
    "A network with RANDOM weights in SatCLIP's layout (L = 10, w0 = 30)",
    fontsize=11,
)
plt.show()

# %%
# Why bands
# ---------
#
# The bands run along the parallels because of a slip that SatCLIP was trained with: its zonal
# harmonics, those that depend on latitude alone, are larger by the factor π than they should be.
# :func:`geofeat.embed_grid` gives the vectors of a regular grid, and from them the share of their
# variance that latitude alone explains. Dividing the weights of the zonal columns by π takes the
# factor out.


def share_of_latitude(embedder):
    grid = embed_grid(embedder, bounds=(-180, -90, 180, 90), resolution=3.0)
    area = np.cos(np.radians(grid.y))
    total = (
        ((grid - grid.weighted(area).mean(("x", "y"))) ** 2).mean("x").sum("band")
    )
    rest = ((grid - grid.mean("x")) ** 2).mean("x").sum("band")
    return 1 - float((rest * area).sum() / (total * area).sum())


degrees = np.arange(10)
corrected = dict(network.weights)
corrected["nnet.layers.0.weight"] = corrected["nnet.layers.0.weight"].copy()
corrected["nnet.layers.0.weight"][:, degrees**2 + degrees] /= np.pi
print(
    f"variance explained by latitude, as published: {share_of_latitude(network):.2f}"
)
without = share_of_latitude(SatCLIPEmbedder(weights=corrected))
print(f"without the factor:                           {without:.2f}")

# %%
# Degree and frequency
# --------------------
#
# Two numbers set the texture before any training: the degrees L of the harmonics that go in, and
# w0, which says how far the sines of the first layer are driven beyond their straight part.

DEGREES, FREQUENCIES = (4, 10, 40), (30, 120, 480)
networks = {(w0, n): random_network(n, w0) for w0 in FREQUENCIES for n in DEGREES}
fig, axes = plt.subplots(3, 3, figsize=(8, 8.6), layout="constrained")
for ax, ((w0, n), embedder) in zip(axes.flat, networks.items(), strict=True):
    plot_embedding(
        embedder, projection="globe", center=(15, 15), resolution=0.8, ax=ax
    )
    ax.images[-1].set_interpolation("bilinear")
    ax.set_title(f"L = {n}, w0 = {w0}", fontsize=10)
fig.suptitle("RANDOM weights: degree and frequency set the texture", fontsize=11)
plt.show()

# %%
# Two numbers go with each globe. The first is the distance at which the similarity of vectors
# (the cosine, after subtracting the mean) has fallen to one half. The second is what a linear
# readout makes of the vectors: a ridge regression that learns land and sea from 1 500 places and
# is asked about 5 000 others.


def unit_to_lonlat(v):
    return np.degrees(
        [np.arctan2(v[:, 1], v[:, 0]), np.arcsin(np.clip(v[:, 2], -1, 1))]
    ).T


def random_units(n, seed):
    v = np.random.default_rng(seed).normal(size=(n, 3))
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def half_distance(embedder, n=400):
    """Kilometres at which the mean similarity falls to one half."""
    here, aside = random_units(n, 1), random_units(n, 2)
    aside -= np.sum(aside * here, axis=1, keepdims=True) * here
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    km = np.geomspace(50, 3200, 13)
    a = embedder.transform(unit_to_lonlat(here))
    mean = a.mean(axis=0)
    similarity = []
    for angle in km / 6371.0088:
        b = embedder.transform(
            unit_to_lonlat(np.cos(angle) * here + np.sin(angle) * aside)
        )
        norms = np.linalg.norm(a - mean) * np.linalg.norm(b - mean)
        similarity.append(np.sum((a - mean) * (b - mean)) / norms)
    return np.interp(-0.5, -np.array(similarity), km)


train, test = (
    unit_to_lonlat(random_units(1500, 3)),
    unit_to_lonlat(random_units(5000, 4)),
)
land_train, land_test = (globe.is_land(p[:, 1], p[:, 0]) for p in (train, test))


def readout(transformer):
    model = make_pipeline(
        transformer, StandardScaler(), RidgeCV(np.logspace(-2, 4, 7))
    )
    predicted = model.fit(train, 2.0 * land_train - 1).predict(test)
    return np.mean((predicted > 0) == land_test)


print("  w0   L   half similarity   land or sea")
for (w0, n), embedder in networks.items():
    print(
        f"{w0:4}  {n:2}   {half_distance(embedder):8.0f} km      {readout(embedder):6.3f}"
    )
harmonics = SphericalHarmonicsEncoder(degree=10)
print(f"121 harmonics (L = 11), no network:{readout(harmonics):8.3f}")
print(f"always sea:                        {1 - land_test.mean():8.3f}")

# %%
# Reading the table
# -----------------
#
# - At w0 = 30, where SatCLIP begins its training, the first layer hardly leaves the straight part
#   of the sine. The network then passes on the harmonics it is given, so L sets the texture: the
#   distance of half similarity falls with the degree.
# - At w0 = 480 it makes waves of its own: with L = 4 the distance falls from 1 777 km to 116 km.
#   Degree hardly matters any more, and the readout can do no better than always answer "sea".
# - Smooth random vectors are good features. The network of L = 4, which knows 16 harmonics, reads
#   out at 90.7 %, nearly as well as 121 harmonics without a network (91.3 %), because land is
#   large and 128 random smooth functions can outline it. :doc:`plot_random_features` makes a
#   method of it.
# - Fine vectors are bad features for few places: each of 1 500 places has an area of some 600 km
#   across to itself, and with L = 40 the vectors of neighbours have little in common.
#
# Training changes the weights, not the layout: it can keep fine detail where images of
# neighbouring places differ, and smooth where they don't. This page cannot show that, and a map
# of random weights must not be read as one of anything on the ground.
#
# The published network
# ---------------------
#
# These lines download the published weights at first use (MIT licence) and keep them. They were
# not run to build this page::
#
#     from geofeat import SatCLIPEmbedder
#     from geofeat.plotting import plot_embedding
#     plot_embedding(SatCLIPEmbedder("satclip-vit16-l40"), projection="globe", center=(15, 15))
#
# :func:`geofeat.list_models` lists the others, :doc:`/user_guide/embedders` says what each was
# trained on. Before you believe a score of theirs, score random weights of the same layout.
#
# References
# ----------
#
# - K. Klemmer, E. Rolf, C. Robinson, L. Mackey, M. Rußwurm, "SatCLIP: global, general-purpose
#   location embeddings with satellite imagery", AAAI 2025. arXiv:2311.17179.
# - V. Sitzmann, J. N. P. Martel, A. W. Bergman, D. B. Lindell, G. Wetzstein, "Implicit neural
#   representations with periodic activation functions", NeurIPS 2020.
# - Land mask: global-land-mask (MIT licence), from NOAA's GLOBE digital elevation model.
