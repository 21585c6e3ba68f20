"""
How many random features replace a kernel?
==========================================

It depends on how rough the kernel is. On the whole globe, 256 evenly drawn features
(``scheme="qmc"``) come as near a Gaussian kernel of 3 000 km as 2 048 independent ones. For the
elevation of real airports 512 features predict as well, to a hundredth of R2, as the exact
Gaussian process with a smooth kernel (0.49 and 0.50). The rough kernel that suits elevation
better (0.66) is not replaced even by 2 048 features (0.61); 1 600 spherical harmonics with the
same covariance do better (0.65).
"""

# %%
# The kernel, and its stand-in
# ----------------------------
#
# A kernel says how alike two places are by their distance. Random Fourier features are columns
# whose dot products come near that number: the more columns, the nearer. Here the Gaussian kernel
# with a length scale of 3 000 km, on the whole globe, and three ways to draw the waves. The error
# is that of all pairs of 600 random places.

import airportsdata
import matplotlib.pyplot as plt
import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, Matern
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline

from geofeat import (
    CartesianEncoder,
    RandomFourierFeatures,
    SphericalHarmonicsEncoder,
)

# sphinx_gallery_thumbnail_number = 2

COLOURS = {"iid": "#D55E00", "orthogonal": "#009E73", "qmc": "#0072B2"}
SIZES = (32, 64, 128, 256, 512, 1024, 2048)


def waves(n, scheme="qmc", seed=0, length_scale=3000.0, **kernel):
    return RandomFourierFeatures(
        n,
        space="sphere",
        scheme=scheme,
        length_scale=length_scale,
        random_state=seed,
        **kernel,
    )


rng = np.random.default_rng(0)
places = np.degrees(
    [rng.uniform(-np.pi, np.pi, 600), np.arcsin(rng.uniform(-1, 1, 600))]
).T
exact = waves(2).fit(places).kernel_(places)


def error(n, scheme):
    """Mean absolute error of the kernel over pairs, mean of three draws."""
    features = [waves(n, scheme, seed).fit_transform(places) for seed in range(3)]
    return np.mean([np.abs(f @ f.T - exact).mean() for f in features])


errors = {scheme: [error(n, scheme) for n in SIZES] for scheme in COLOURS}
print("columns      " + "".join(f"{n:8}" for n in SIZES))
for scheme, row in errors.items():
    print(f"{scheme:12} " + "".join(f"{e:8.4f}" for e in row))

# %%
# Independent draws gain a factor of about 1.4 in accuracy for twice the columns, the square root
# of two, as any average of chances does. Even draws gain more, "qmc" nearly two: with 256 columns
# it has the error that "iid" has with more than 2 048.

angle = np.linspace(0, 90, 181)
along = np.column_stack([angle, np.zeros_like(angle)])
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.8), layout="constrained")
km = np.radians(angle) * 6371.0088
for scheme in ("iid", "qmc"):
    features = waves(256, scheme).fit_transform(along)
    left.plot(
        km,
        features @ features[0],
        color=COLOURS[scheme],
        label=f"256 columns, {scheme}",
    )
left.plot(
    km,
    waves(2).fit(along).kernel_(along)[0],
    "--",
    color="black",
    lw=1,
    label="exact",
)
left.set(xlabel="distance (km)", ylabel="kernel")
left.legend(frameon=False, fontsize=9)
left.set_title("One draw along the equator", fontsize=11)
for scheme, row in errors.items():
    right.loglog(SIZES, row, "o-", ms=4, color=COLOURS[scheme], label=scheme)
right.set(xlabel="columns", ylabel="mean error of the kernel")
right.set_xticks(SIZES[::2], SIZES[::2])
right.minorticks_off()
right.legend(frameon=False, fontsize=9)
right.set_title("Even draws need fewer columns", fontsize=11)
plt.show()

# %%
# Enough columns for what?
# ------------------------
#
# A small error of the kernel is a means. The end is a prediction as good as the exact Gaussian
# process's. The task: the elevation of airports from their coordinates alone, 1 500 airports to
# learn from and 2 500 to predict. Ridge regression on the columns, with the penalty of the exact
# process, approaches it as columns are added. Two kernels: a smooth one and a rough one.

airports = list(airportsdata.load("ICAO").values())
chosen = np.random.default_rng(0).choice(len(airports), 4000, replace=False)
lonlat = np.array([(airports[i]["lon"], airports[i]["lat"]) for i in chosen])
elevation = (
    np.array([airports[i]["elevation"] for i in chosen]) * 0.3048
)  # feet to metres
train, test = slice(0, 1500), slice(1500, None)
mean, spread = elevation[train].mean(), elevation[train].std()
target = (elevation - mean) / spread
NOISE = 0.2


def score(model, encoder=None):
    model = make_pipeline(encoder, model).fit(lonlat[train], target[train])
    return r2_score(target[test], model.predict(lonlat[test]))


KERNELS = {
    "smooth: Gaussian, 2 000 km": (
        RBF(2000 / 6371.0088),
        {"kernel": "rbf", "length_scale": 2000},
    ),
    "rough: Matérn 1/2, 2 000 km": (
        Matern(2000 / 6371.0088, nu=0.5),
        {"kernel": "matern", "nu": 0.5, "length_scale": 2000},
    ),
}
curves, limits = {}, {}
for name, (kernel, options) in KERNELS.items():
    process = GaussianProcessRegressor(kernel, alpha=NOISE, optimizer=None)
    limits[name] = score(process, CartesianEncoder())
    curves[name] = [score(Ridge(NOISE), waves(n, **options)) for n in SIZES]
harmonics = SphericalHarmonicsEncoder(
    degree=39, spectrum="matern", nu=0.5, length_scale=2000
)
harmonic_score = score(Ridge(NOISE), harmonics)

print("R2 of elevation" + "".join(f"{n:7}" for n in SIZES) + "   exact")
for name in KERNELS:
    print(
        f"{name[:6]:15}"
        + "".join(f"{r2:7.2f}" for r2 in curves[name])
        + f"{limits[name]:8.2f}"
    )
print(f"rough kernel by 1 600 harmonics: {harmonic_score:.2f}")

# %%

fig, ax = plt.subplots(figsize=(8, 3.8), layout="constrained")
for (name, row), colour in zip(curves.items(), ("#E69F00", "#0072B2"), strict=True):
    ax.semilogx(SIZES, row, "o-", color=colour, label=f"{name}, random features")
    ax.axhline(
        limits[name], color=colour, ls="--", lw=1.2, label="the same, exact process"
    )
ax.plot(
    1600,
    harmonic_score,
    "D",
    color="#CC79A7",
    ms=8,
    label="rough kernel, harmonics",
)
ax.set(xlabel="columns", ylabel="R² of elevation, held-out airports")
ax.set_xticks(SIZES, SIZES)
ax.minorticks_off()
ax.legend(frameon=False, fontsize=9, loc="lower right")
ax.set_title(
    "The smooth kernel is soon replaced; the rough one, which is better, is not"
)
plt.show()

# %%
# Why roughness matters
# ---------------------
#
# A Gaussian kernel of 2 000 km holds long waves only, and few of them tell all patches of that
# size on the globe apart. The exponential kernel (Matérn 1/2) of the same length holds waves of
# every length, down to the distance between two airports. That is why it predicts elevation
# better, since hills are rough, and why a finite number of waves cannot replace it: each random
# feature is one wave, and its frequency falls where chance has put it.
#
# :class:`geofeat.SphericalHarmonicsEncoder` with ``spectrum="matern"`` has no chance in it. To
# degree 39 it holds the covariance in full, in 1 600 columns, and cuts what is finer. Its kernel
# runs along the great circle and the other along the chord, which is the same to 1 % up to 3 000
# km.
#
# What to take home
# -----------------
#
# - Take ``scheme="qmc"``. It never needed more columns here.
# - The number of columns is a number of patches: a globe of 2 000 km patches is replaced by some
#   hundreds of features, a rough or short kernel on the whole globe by thousands.
# - With 1 500 points the exact process is affordable, and better. Features pay when points are
#   many: the ridge needs memory in proportion to points times columns, the process to points
#   squared.
# - On the globe compare with harmonics, whose columns are as few as the length scale allows.
#   Random features remain the tool for other columns than coordinates, and where the number of
#   columns must be yours to choose.
# - One draw of airports, very many of them in the USA, and one set of hyper-parameters, not
#   tuned. Held-out airports are near known ones; :doc:`plot_airports` asks farther afield.
#
# The kernels and schemes are explained in :doc:`/user_guide/random_features`; all parameters are
# those of :class:`geofeat.RandomFourierFeatures`.
#
# References
# ----------
#
# - A. Rahimi, B. Recht, "Random features for large-scale kernel machines", NIPS 2007.
# - F. X. Yu, A. T. Suresh, K. Choromanski, D. Holtmann-Rice, S. Kumar, "Orthogonal random
#   features", NIPS 2016.
# - J. Yang, V. Sindhwani, H. Avron, M. W. Mahoney, "Quasi-Monte Carlo feature maps for
#   shift-invariant kernels", ICML 2014.
# - Airports: `airportsdata <https://pypi.org/project/airportsdata/>`_ (MIT licence).
