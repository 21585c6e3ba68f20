"""
How do I bring my own weights?
==============================

Save the network in the layout of a published one and pass the file as ``weights=``. A small
location network is trained here in torch to tell land from sea, stored as SatCLIP stores its own,
converted without unpickling, and loaded into :class:`geofeat.SatCLIPEmbedder`: its features differ
from torch's by 2e-14 at most, and with the head that was trained on them they tell land from sea at
91.6% of new places, where "all sea" is right at 72.1%. A file whose pickle would run code is
refused, and the code does not run. Land and sea are the real ones, of the open land mask GLOBE as
packed by global-land-mask; the network is a toy.
"""

# %%
# A network of torch
# ------------------
# SatCLIP's location network is three steps: spherical harmonics of the place, layers of sines, of
# which the first multiplies by 30, and a linear layer. Harmonics come from geofeat, with the
# convention that SatCLIP's code has; the layers are a short class of torch.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from global_land_mask import globe
from torch import nn

from geofeat import SatCLIPEmbedder, SphericalHarmonicsEncoder, convert_weights
from geofeat.exceptions import UnsafeFileError


class Sines(nn.Module):
    """Two layers of sines and a linear one, named as SatCLIP names them."""

    def __init__(self, inputs, width, outputs):
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Linear(inputs, width), nn.Linear(width, width)]
        )
        self.last_layer = nn.Linear(width, outputs)
        bounds = [1 / inputs, (6 / width) ** 0.5, (6 / width) ** 0.5]
        for layer, bound in zip(
            [*self.layers, self.last_layer], bounds, strict=True
        ):
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.uniform_(layer.bias, -bound, bound)

    def forward(self, harmonics):
        """Embed places given by their harmonics."""
        first = torch.sin(30 * self.layers[0](harmonics))
        return self.last_layer(torch.sin(self.layers[1](first)))


# %%
# Training takes 10 000 places, uniform on the sphere, and a head of one weight a feature. It is
# judged on as many places drawn anew.

rng = np.random.default_rng(0)


def draw(n):
    """Draw places uniform on the sphere."""
    return np.column_stack(
        [rng.uniform(-180, 180, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))]
    )


torch.manual_seed(0)
torch.set_num_threads(1)  # batches this small gain nothing from more
encoder = SphericalHarmonicsEncoder(degree=14, convention="satclip")
places, others = draw(10_000), draw(10_000)
land, other_land = (globe.is_land(X[:, 1], X[:, 0]) for X in (places, others))
harmonics = torch.from_numpy(encoder.transform(places)).float()
target = torch.from_numpy(land).float()

network, head = Sines(harmonics.shape[1], 64, 16), nn.Linear(16, 1)
optimiser = torch.optim.AdamW([*network.parameters(), *head.parameters()], lr=3e-3)
for _ in range(250):
    rows = torch.randint(0, len(harmonics), (512,))
    logits = head(network(harmonics[rows]))[:, 0]
    loss = nn.functional.binary_cross_entropy_with_logits(logits, target[rows])
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
print(f"loss at the end: {loss.item():.2f}")

# %%
# Save, convert, load
# -------------------
# A checkpoint of Lightning is a dictionary with a ``state_dict``, and SatCLIP's location network
# lies there below ``model.location.nnet``. Such a file is a zip with a pickle in it.
# ``convert_weights`` reads the pickle as data: no name in it is imported, nothing is called. What
# it writes is safetensors, which holds arrays and nothing else.

folder = tempfile.TemporaryDirectory()
checkpoint = Path(folder.name) / "land.ckpt"
state = {
    f"model.location.nnet.{name}": w for name, w in network.state_dict().items()
}
torch.save({"epoch": 250, "state_dict": state}, checkpoint)
arrays = convert_weights(checkpoint, checkpoint.with_suffix(".safetensors"))

embedder = SatCLIPEmbedder(weights=arrays)
with torch.no_grad():
    expected = network.double()(torch.from_numpy(encoder.transform(others))).numpy()
features = embedder.transform(others)
difference = np.abs(features - expected).max()
print(
    "features:",
    features.shape,
    "largest difference from torch:",
    f"{difference:.1e}",
)
print(
    "the .ckpt itself:",
    np.array_equal(SatCLIPEmbedder(weights=checkpoint).transform(others), features),
)

# %%
# What the network learned
# ------------------------
# The embedder is now an ordinary transformer. The head is a logistic regression on its 16 columns,
# so its weights can be applied by hand; on the map it is evaluated at the centres of pixels of two
# degrees.

weight, bias = (p.detach().double().numpy() for p in head.parameters())
said = features @ weight[0] + bias[0] > 0
accuracy = (said == other_land).mean()
print(
    f"right at {accuracy:.1%} of places drawn anew;",
    f"'all sea' is right at {1 - other_land.mean():.1%}",
)

lon, lat = np.arange(-179.0, 180, 2), np.arange(-89.0, 90, 2)
pixels = np.stack(np.meshgrid(lon, lat), axis=-1).reshape(-1, 2)
chance = 1 / (1 + np.exp(-(embedder.transform(pixels) @ weight[0] + bias[0])))
truth = globe.is_land(pixels[:, 1], pixels[:, 0]).reshape(lat.size, lon.size)

fig, ax = plt.subplots(figsize=(8, 4.4), layout="constrained")
drawn = ax.pcolormesh(
    lon, lat, chance.reshape(truth.shape), cmap="cividis", vmin=0, vmax=1
)
ax.contour(lon, lat, truth, [0.5], colors="white", linewidths=0.9)
ax.set(xlabel="longitude (degrees)", ylabel="latitude (degrees)", aspect="equal")
ax.set_title(
    f"Weights of our own: land or sea, right at {accuracy:.0%} of new places"
)
fig.colorbar(drawn, ax=ax, label="probability of land", shrink=0.8)
plt.show()

# %%
# White lines are the true coasts. The grain within continents and on sea is the network's own:
# sines of sines reach beyond the degree of the harmonics, and 10 000 places do not tie down what
# happens between them.
#
# Back into torch
# ---------------
# ``to_torch`` gives the same function as a module that takes degrees, harmonics included, to go on
# training or to condition another network. One step, judged on the places it was made with:

module = embedder.to_torch(trainable=True)
lonlat = torch.from_numpy(others[:2000])
print(
    "the same numbers:",
    np.allclose(module(lonlat).detach().numpy(), features[:2000], atol=1e-10),
)
step = torch.optim.SGD(module.parameters(), lr=1e-2)
truth_here = torch.from_numpy(other_land[:2000]).double()
losses = []
for _ in range(2):
    logits = module(lonlat) @ torch.from_numpy(weight[0]) + bias[0]
    loss = nn.functional.binary_cross_entropy_with_logits(logits, truth_here)
    step.zero_grad()
    loss.backward()
    step.step()
    losses.append(loss.item())
print(f"loss before and after one step: {losses[0]:.4f}, {losses[1]:.4f}")

# %%
# What a hostile file gets
# ------------------------
# An object may say what is to be called when it is unpickled. This one asks for ``print``, which
# does no harm; it might ask for a shell.


class Gadget:
    """Ask the reader of a pickle to call print."""

    def __reduce__(self):
        return print, ("this line would be proof that the pickle was run",)


torch.save(
    {"state_dict": {"nnet.last_layer.bias": Gadget()}},
    Path(folder.name) / "bad.ckpt",
)
try:
    convert_weights(
        Path(folder.name) / "bad.ckpt", Path(folder.name) / "bad.safetensors"
    )
except UnsafeFileError as refusal:
    print("UnsafeFileError:", refusal.reason)

# %%
# The line of the gadget is not above: its call was found while reading and refused. Nor was a file
# written:

print(sorted(path.name for path in Path(folder.name).iterdir()))
folder.cleanup()

# %%
# What to take home
# -----------------
# - Names and shapes decide what a file is. ``weights=`` takes a file or a dictionary of arrays; the
#   degree of the harmonics and all widths are read from the shapes.
# - Train with the harmonics that will be used: ``convention="satclip"`` here, since another one
#   scales or flips columns.
# - ``dtype="float32"`` computes faster; the comparison above is in float64.
# - The licence of weights is not that of the code that reads them. ``geofeat.list_models()`` tells
#   it where the publisher does; weights fine-tuned from others carry their terms with them.
# - The figures above measure a toy of 250 steps. They say that the way is right, not that this
#   network is good.
#
# See :class:`geofeat.SatCLIPEmbedder`, :func:`geofeat.convert_weights`,
# :doc:`/user_guide/embedders` and :doc:`/user_guide/embedding_maps`.
#
# References
# ----------
# - K. Klemmer, E. Rolf, C. Robinson, L. Mackey, M. Rußwurm, "SatCLIP: global, general-purpose
#   location embeddings with satellite imagery", AAAI 2025. arXiv:2311.17179.
# - V. Sitzmann, J. Martel, A. Bergman, D. Lindell, G. Wetzstein, "Implicit neural representations
#   with periodic activation functions", NeurIPS 2020.
# - K. Karin, global-land-mask, MIT licence, https://github.com/toddkarin/global-land-mask; the mask
#   is made from the Global Land One-kilometer Base Elevation (GLOBE) model of NOAA.
