"""
How do I compute on a GPU?
==========================

Give the transformer a tensor that lies there, or keep your NumPy arrays and write
``device="cuda"``. Either way the numbers are the same to rounding: the arithmetic that runs on a
GPU, run here on a CPU, differs from the compiled kernels by 1.3e-14 at most in float64, and in
float32 by the rounding of the result itself. **The machine that built this page has no GPU.**
Speed is not the subject here, only whether the numbers agree; ``benchmarks/encoders_gpu.py`` times
both on your card.
"""

# %%
# Two kinds of arithmetic, one set of numbers
# -------------------------------------------
# Every encoder of geofeat holds its formula twice: as compiled code for the CPU, and in functions
# of the array API standard, which torch and others run on any device. ``device="cpu"`` asks torch
# for the second on this machine: line for line what ``device="cuda"`` would run. The places are
# random, uniform on the sphere.
#
# scikit-learn lets tensors in only if this variable is set before SciPy is imported, best before
# Python starts.

import os

os.environ["SCIPY_ARRAY_API"] = "1"

import matplotlib.pyplot as plt
import numpy as np
import sklearn
import torch

from geofeat import (
    MultiScaleEncoder,
    RandomFourierFeatures,
    SphericalHarmonicsEncoder,
)

rng = np.random.default_rng(0)
n_places = 20_000
X = np.column_stack(
    [
        rng.uniform(-180, 180, n_places),
        np.degrees(np.arcsin(rng.uniform(-1, 1, n_places))),
    ]
)
encoders = {
    "harmonics, degree 20": SphericalHarmonicsEncoder(20),
    "multi-scale, spherem+": MultiScaleEncoder("spherem+"),
    "random features": RandomFourierFeatures(256, random_state=0),
}
colours = ["#0072B2", "#D55E00", "#009E73"]
steps = np.logspace(-19, -4, 91)

fig, axes = plt.subplots(2, 1, figsize=(8, 5), sharex=True, layout="constrained")
for dtype, ax in zip((np.float64, np.float32), axes, strict=True):
    places = X.astype(dtype)
    for (name, encoder), colour in zip(encoders.items(), colours, strict=True):
        compiled = encoder.fit(X).transform(places.astype(np.float64))
        on_device = sklearn.base.clone(encoder).set_params(device="cpu").fit(X)
        error = np.abs(on_device.transform(places) - compiled).ravel()
        print(f"{name:22} {dtype.__name__}: largest difference {error.max():.1e}")
        counts, _ = np.histogram(np.maximum(error, steps[0]), steps)
        ax.stairs(counts / error.size, steps, color=colour, lw=1.8, label=name)
    eps = np.finfo(dtype).eps
    ax.axvline(eps, color="0.3", ls="--", lw=1, label=f"one unit at 1: {eps:.1e}")
    ax.set(xscale="log", ylabel=f"share of features\n({dtype.__name__} in)")
    ax.legend(
        frameon=False,
        fontsize=9,
        loc="upper right" if dtype == np.float64 else "upper left",
    )
axes[0].set_title(
    "The arithmetic for GPUs repeats the compiled kernels to rounding"
)
axes[1].set_xlabel(
    "|array API - compiled float64|; equal numbers stand at the left edge"
)
plt.show()

# %%
# Both panels hold the arithmetic that torch runs to the compiled kernels in float64, at the very
# same places. Most differences are below one unit in the last place of a number near 1.
#
# float32 costs something that this comparison leaves out: the places themselves are rounded. One
# step of float32 at 180 degrees is 1.5e-5 degrees, less than two metres on the ground, and an
# encoder with fine scales shows it most.

for name, encoder in encoders.items():
    moved = np.abs(
        encoder.transform(X.astype(np.float32).astype(np.float64))
        - encoder.transform(X)
    )
    print(
        f"{name:22} places rounded to float32 change features by up to {moved.max():.1e}"
    )

# %%
# Everything follows X
# --------------------
# With dispatch on, a tensor gives a tensor of its own kind, type and device. A tensor in the memory
# of the CPU is read by the compiled kernels where it lies, so here the result is equal to the last
# bit.

encoder = encoders["harmonics, degree 20"]
with sklearn.config_context(array_api_dispatch=True):
    for kind in (torch.float64, torch.float32):
        tensor = torch.from_numpy(X).to(kind)
        features = SphericalHarmonicsEncoder(20).transform(tensor)
        same = np.array_equal(
            features.numpy(),
            SphericalHarmonicsEncoder(20).transform(tensor.numpy()),
        )
        print(
            type(features).__name__,
            features.dtype,
            features.device,
            "equal to NumPy:",
            same,
        )

# %%
# On a machine with a GPU only the place of the tensor changes. This block is not run here:
#
# .. code-block:: python
#
#     places = torch.from_numpy(X).to("cuda")
#     with sklearn.config_context(array_api_dispatch=True):
#         features = SphericalHarmonicsEncoder(20).transform(places)  # stays on the GPU
#
#     SphericalHarmonicsEncoder(20, device="cuda").transform(X)  # NumPy in, NumPy out
#
# The second line needs no dispatch and no tensors of yours: coordinates, two numbers a row, go to
# the device, features come back block by block. It serves a pipeline that ends in a forest. What
# comes back is many columns wide, so for cheap encoders the transfer may cost more than the
# arithmetic saves: keep features on the device where the next step is there too.
# ``benchmarks/encoders_gpu.py`` measures both on your card.
#
# float32, and blocks
# -------------------
# Type follows X as well: float32 places halve the memory. Where even that is too much,
# ``transform_chunks`` yields block after block in one buffer, always as NumPy arrays.

wide = SphericalHarmonicsEncoder(40)
total, largest = np.zeros(wide.fit(X).get_feature_names_out().size), 0
for _rows, block in wide.transform_chunks(X.astype(np.float32)):
    total += block.sum(axis=0, dtype=np.float64)
    largest = max(largest, block.nbytes)
print(
    f"all at once: float64 {n_places * total.size * 8 / 1e6:.0f} MB, float32 half of it"
)
print(f"block by block: {largest / 1e6:.0f} MB")

# %%
# Gradients
# ---------
# Places take no gradient. ``transform`` says so rather than cutting the graph in silence:

try:
    with sklearn.config_context(array_api_dispatch=True):
        encoder.transform(torch.tensor([[5.66, 51.97]], requires_grad=True))
except TypeError as refusal:
    print(refusal)

# %%
# A network behind the encoder is trained on its features as on any others. To train the weights of
# a pretrained network itself, use ``to_torch(trainable=True)`` of an embedder, as in
# :ref:`sphx_glr_auto_gallery_plot_own_weights.py`.
#
# What to take home
# -----------------
# - ``SCIPY_ARRAY_API=1`` and ``array_api_dispatch=True`` for tensors; ``device="cuda"`` alone for
#   NumPy arrays.
# - :class:`geofeat.SphericalHarmonicsEncoder`, :class:`geofeat.MultiScaleEncoder`,
#   :class:`geofeat.RandomFourierFeatures` and the pretrained embedders all take ``device``.
# - Equality was shown here on a CPU. The order of additions differs from device to device, so
#   expect rounding on a GPU, not equal bits.
# - Rasters are read on the CPU: :class:`geofeat.EmbeddingRasterSampler` gives NumPy arrays.
#
# The rules stand in :doc:`/conventions`, the settings in :doc:`/install`.
