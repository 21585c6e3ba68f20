"""The residual network of GeoPrior, which SINR and TTE share."""

from __future__ import annotations

from typing import Any, NamedTuple

from geofeat.embedders._layers import Dense, Layers
from geofeat.embedders._layout import Layout


class ResidualNetwork(NamedTuple):
    """A rectified layer, then blocks that add two rectified layers to what enters them."""

    first: Dense
    blocks: tuple[tuple[Dense, Dense], ...]

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.first.weight.shape[0])

    def forward(self, x: Any, layers: Layers) -> Any:
        """Run a block of rows through the network."""
        h = layers.rectified(x, self.first)
        for block in self.blocks:
            h = layers.add_rectified(h, *block)
        return h


def residual_network(layout: Layout, prefix: str, n_inputs: int) -> ResidualNetwork:
    """Take the layers ``<prefix>.0``, then ``<prefix>.2.w1`` and ``<prefix>.2.w2`` and so on."""
    first = layout.dense(f"{prefix}.0", n_inputs)
    width = first.weight.shape[0]
    blocks: list[tuple[Dense, Dense]] = []
    while (name := f"{prefix}.{2 + len(blocks)}") + ".w1.weight" in layout:
        inner = layout.dense(f"{name}.w1", width)
        blocks.append((inner, layout.dense(f"{name}.w2", inner.weight.shape[0], outputs=width)))
    return ResidualNetwork(first, tuple(blocks))
