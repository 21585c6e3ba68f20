"""CSPEmbedder against its definition, written out with torch, and the grid of locationencoder."""

from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from geofeat import CSPEmbedder
from geofeat.exceptions import CorruptFileError
from tests.embedders.networks import csp

POINTS = np.array([[5.7, 52.0], [-74.0, 40.7], [-180.0, -90.0], [179.999, 0.0]])


def oracle(weights, lonlat, activation, radii=(0.1, 360.0)):
    """CSP of whatever numbers it is fed."""
    w = {name: torch.from_numpy(np.asarray(values)) for name, values in weights.items()}
    act = {"gelu": nn.GELU(), "leakyrelu": nn.LeakyReLU(0.2)}[activation]
    n = w["ffn.layers.0.linear.weight"].shape[1] // 4
    code = []
    for coordinate in lonlat.T:
        for i in range(n):
            radius = radii[0] * (radii[1] / radii[0]) ** (i / (n - 1))
            code += [np.sin(coordinate / radius), np.cos(coordinate / radius)]
    h = torch.from_numpy(np.stack(code, axis=1))
    h = act(h @ w["ffn.layers.0.linear.weight"].T + w["ffn.layers.0.linear.bias"])
    if "ffn.layers.0.layernorm.weight" in w:
        scale, shift = w["ffn.layers.0.layernorm.weight"], w["ffn.layers.0.layernorm.bias"]
        h = nn.functional.layer_norm(h, scale.shape, scale, shift)
    return act(h @ w["ffn.layers.1.linear.weight"].T + w["ffn.layers.1.linear.bias"]).numpy()


@pytest.mark.parametrize(("model", "activation"), [("csp-fmow", "gelu"), ("csp-inat", "leakyrelu")])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_equals_the_definition(points, model, activation, layer_norm):
    weights = csp(n_scales=32, hidden=37, layer_norm=layer_norm)
    X = points[points[:, 0] < 180]
    embeddings = CSPEmbedder(model, weights=weights).transform(X)
    # Phases of 1800 radians hold 13 digits.
    assert_allclose(embeddings, oracle(weights, X, activation), rtol=0, atol=1e-11)


def test_normalized_units_are_fed_a_hundredth(points):
    weights = csp(n_scales=32)
    X = points[points[:, 0] < 180]
    embeddings = CSPEmbedder(units="normalized", weights=weights).transform(X)
    expected = oracle(weights, X / [180.0, 90.0], "gelu")
    assert_allclose(embeddings, expected, rtol=0, atol=1e-12)
    in_degrees = CSPEmbedder(weights=weights).transform(X)
    assert np.abs(in_degrees - embeddings).max() > 0.1


def test_a_point_at_180_degrees_is_one_at_minus_180():
    embedder = CSPEmbedder(weights=csp())
    assert_array_equal(*embedder.transform([[180.0, 5.0], [-180.0, 5.0]]))


def test_the_code_is_the_grid_of_locationencoder(golden, from_file):
    """A network that adds 9, which no sine outweighs, passes the code on."""
    n_scales, smallest, largest = golden["pe_settings"][0].tolist()
    width = int(4 * n_scales)
    weights = {
        "ffn.layers.0.linear.weight": np.eye(width),
        "ffn.layers.0.linear.bias": np.full(width, 9.0),
        "ffn.layers.1.linear.weight": np.eye(width),
        "ffn.layers.1.linear.bias": np.zeros(width),
    }
    X = golden["lonlat"]
    here = X[:, 0] < 180
    embeddings = from_file(weights, min_radius=smallest, max_radius=largest).transform(X)
    assert_allclose(embeddings[here] - 9, golden["pe_grid_a"][here], rtol=0, atol=1e-12)


@pytest.fixture
def from_file(tmp_path):
    """Make embedders that read weights and settings from a file as the authors write it."""
    return partial(embedder_of_file, tmp_path / "model_UNSUPER.pth.tar")


def embedder_of_file(path, weights, model="csp-inat", **settings):
    tensors = {
        f"{prefix}spa_enc.{name}": torch.from_numpy(np.asarray(values))
        for name, values in weights.items()
        for prefix in ("", "loc_enc.")
    }
    tensors["class_emb.weight"] = torch.ones(3, 5)
    checkpoint = {"epoch": 3, "params": settings, "state_dict": tensors, "optimizer": {}}
    torch.save(checkpoint, path)
    return CSPEmbedder(model, weights=path)


@pytest.mark.parametrize("activation", ["gelu", "leakyrelu"])
@pytest.mark.parametrize("model", ["csp-fmow", "csp-inat"])
def test_the_file_tells_activation_and_radii(from_file, activation, model):
    embedder = from_file(
        csp(),
        model,
        spa_enc_type="gridcell",
        spa_f_act=activation,
        min_radius=0.5,
        max_radius=100,
        use_layn=False,
    )
    expected = oracle(csp(), POINTS, activation, (0.5, 100))
    assert_allclose(embedder.transform(POINTS), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        {"spa_enc_type": "sphere"},
        {"spa_f_act": "tanh"},
        {"min_radius": 0.0},
        {"min_radius": 5.0, "max_radius": 2.0},
    ],
)
def test_other_encoders_are_refused(from_file, settings):
    with pytest.raises(CorruptFileError, match="CSP has 'gridcell'"):
        from_file(csp(), **settings).transform(POINTS)


@pytest.mark.parametrize(
    "change",
    [
        {"ffn.layers.0.linear.weight": np.ones((9, 4))},
        {"ffn.layers.0.linear.weight": np.ones((9, 10))},
        {"ffn.layers.2.linear.weight": np.ones((5, 5)), "ffn.layers.2.linear.bias": np.ones(5)},
        {"ffn.layers.0.layernorm.weight": np.ones(9)},
    ],
)
def test_other_layouts_are_refused(change):
    with pytest.raises(CorruptFileError):
        CSPEmbedder(weights=csp() | change).transform(POINTS)


def test_single_precision_is_close(points):
    embedder = CSPEmbedder(weights=csp(n_scales=32, hidden=64))
    X = points.astype(np.float32)
    embeddings = embedder.transform(X)
    assert embeddings.dtype == np.float32
    assert_allclose(embeddings, embedder.transform(X.astype(float)), rtol=0, atol=2e-6)


def test_the_archive_is_not_downloaded():
    with pytest.raises(ValueError, match=r"cannot be downloaded.*weights=.*UNSUPER"):
        CSPEmbedder().transform(POINTS)
