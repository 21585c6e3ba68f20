"""Small networks of every published layout, with weights drawn at random, and embedders on them."""

import numpy as np

from geofeat import (
    ClimplicitEmbedder,
    CSPEmbedder,
    GeoCLIPEmbedder,
    MINDEmbedder,
    RANGEEmbedder,
    SatCLIPEmbedder,
    SINREmbedder,
    TTEEmbedder,
)


class RandomWeights(dict):
    """Arrays by name, with a repr that fits into the name of a test."""

    def __repr__(self):
        return f"<{len(self)} arrays>"


def draw(shapes, seed=0):
    """Normal numbers that keep activations of order 1."""
    rng = np.random.default_rng(seed)
    return RandomWeights(
        {
            name: np.asarray(rng.normal(size=shape) / np.sqrt(shape[-1] if len(shape) > 1 else 4))
            for name, shape in shapes.items()
        }
    )


def dense(name, outputs, inputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def sine_network(prefix, inputs, hidden, outputs, n_layers):
    shapes = dense(f"{prefix}layers.0", hidden, inputs)
    for i in range(1, n_layers):
        shapes |= dense(f"{prefix}layers.{i}", hidden, hidden)
    return shapes | dense(f"{prefix}last_layer", outputs, hidden)


def residual_network(prefix, inputs, hidden, n_blocks):
    shapes = dense(f"{prefix}.0", hidden, inputs)
    for i in range(2, 2 + n_blocks):
        shapes |= dense(f"{prefix}.{i}.w1", hidden, hidden)
        shapes |= dense(f"{prefix}.{i}.w2", hidden, hidden)
    return shapes


def satclip(degree=3, hidden=9, outputs=5):
    return draw(sine_network("nnet.", (degree + 1) ** 2, hidden, outputs, 2))


def geoclip(n_rates=4, hidden=9, outputs=5):
    shapes = {}
    for i in range(3):
        capsule = f"LocEnc{i}.capsule"
        shapes |= {f"{capsule}.0.b": (n_rates, 2)} | dense(f"{capsule}.1", hidden, 2 * n_rates)
        shapes |= dense(f"{capsule}.3", hidden, hidden) | dense(f"{capsule}.5", hidden, hidden)
        shapes |= dense(f"LocEnc{i}.head.0", outputs, hidden)
    return draw(shapes)


def sinr(width=9):
    return draw(residual_network("feats", 4, width, 2))


def climplicit(hidden=9, outputs=5):
    return draw(sine_network("", 4, hidden, outputs, 4))


def mind(width=9, n_blocks=3, year_frequencies=0):
    shapes = dense("first.linear", width, 2 + 2 * year_frequencies)
    for i in range(n_blocks):
        shapes |= dense(f"blocks.{i}.linear", width, width)
    weights = draw(shapes | dense("head", 4, width))
    weights["year_freqs"] = 2.0 ** np.arange(year_frequencies or 8)
    return weights


def tte(n_sites=30, n_inputs=6, n_registers=4, width=5, hidden=9, *, cosine=False):
    registers = "location.semantic_registers"
    shapes = {
        "location._directions": (n_sites, 3),
        "location._log_tau": (n_sites,),
        "location._embeddings": (n_sites, n_inputs),
        f"{registers}.registers": (n_registers, width),
        f"{registers}.log_temperature": (),
        f"{registers}.norm.weight": (width,),
        f"{registers}.norm.bias": (width,),
        "location.mlp.4.weight": (width, hidden),
    }
    shapes |= dense(f"{registers}.loc_to_logits", n_registers, n_inputs)
    shapes |= dense(f"{registers}.site_to_out", width, n_inputs)
    weights = draw(shapes | residual_network("location.mlp", width, hidden, 2))
    if cosine:
        del weights[f"{registers}.loc_to_logits.bias"]
    return weights


def csp(n_scales=3, hidden=9, outputs=5, *, layer_norm=False):
    shapes = dense("ffn.layers.0.linear", hidden, 4 * n_scales)
    shapes |= dense("ffn.layers.1.linear", outputs, hidden)
    if layer_norm:
        shapes |= {f"ffn.layers.0.layernorm.{part}": (hidden,) for part in ("weight", "bias")}
    return draw(shapes)


def range_database(n_places=40, n_features=5, n_image_features=7):
    rng = np.random.default_rng(1)
    z = rng.uniform(-1, 1, n_places)
    return RandomWeights(
        locs=np.column_stack([rng.uniform(-180, 180, n_places), np.degrees(np.arcsin(z))]),
        satclip_embeddings=rng.normal(size=(n_places, n_features)),
        image_embeddings=rng.normal(size=(n_places, n_image_features)),
    )


EXAMPLES = {
    "SatCLIPEmbedder": [lambda: SatCLIPEmbedder(weights=satclip())],
    "GeoCLIPEmbedder": [lambda: GeoCLIPEmbedder(weights=geoclip(), normalize=True)],
    "SINREmbedder": [lambda: SINREmbedder(weights=sinr())],
    "ClimplicitEmbedder": [
        lambda: ClimplicitEmbedder(weights=climplicit()),
        lambda: ClimplicitEmbedder(weights=climplicit(), month=7),
    ],
    "MINDEmbedder": [lambda: MINDEmbedder(weights=mind(), n_components=4)],
    "TTEEmbedder": [lambda: TTEEmbedder(weights=tte())],
    "CSPEmbedder": [
        lambda: CSPEmbedder(weights=csp()),
        lambda: CSPEmbedder("csp-inat", weights=csp(layer_norm=True), units="normalized"),
    ],
    "RANGEEmbedder": [
        lambda variant=variant: RANGEEmbedder(
            variant=variant, weights=range_database(), satclip=SatCLIPEmbedder(weights=satclip())
        )
        for variant in ("RANGE", "RANGE+")
    ],
}
