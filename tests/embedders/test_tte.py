"""TTEEmbedder against the authors' code."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.nn import functional as F

from geofeat import TTEEmbedder
from geofeat.exceptions import CorruptFileError
from tests.embedders.networks import tte

REGISTERS = "location.semantic_registers"


@pytest.fixture
def tiny(golden):
    """The network that the golden numbers are of, with its image side."""
    prefix = "tte_tiny/sd/"
    return {k.removeprefix(prefix): v for k, v in golden.items() if k.startswith(prefix)}


def oracle(weights, lonlat, *, cosine):
    """TTE of degrees, with torch in double precision, not normalised."""
    w = {name: torch.from_numpy(np.asarray(values)) for name, values in weights.items()}
    lon, lat = (torch.deg2rad(torch.from_numpy(column.copy())) for column in lonlat.T)
    place = torch.stack([lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()], dim=1)
    sites = F.normalize(w["location._directions"], dim=1)
    near = torch.softmax(place @ sites.T * torch.exp(w["location._log_tau"]), dim=1)
    site = near @ w["location._embeddings"]
    attention = w[f"{REGISTERS}.loc_to_logits.weight"]
    if cosine:
        logits = F.normalize(site, dim=1) @ F.normalize(attention, dim=1).T
    else:
        logits = site @ attention.T + w[f"{REGISTERS}.loc_to_logits.bias"]
    temperature = torch.exp(w[f"{REGISTERS}.log_temperature"]).clamp(0.01, 10)
    attended = torch.softmax(logits / temperature, dim=1) @ w[f"{REGISTERS}.registers"]
    skip = site @ w[f"{REGISTERS}.site_to_out.weight"].T + w[f"{REGISTERS}.site_to_out.bias"]
    norm = (w[f"{REGISTERS}.norm.weight"], w[f"{REGISTERS}.norm.bias"])
    h = F.layer_norm(0.5 * skip + 0.5 * attended, norm[0].shape, *norm)
    h = F.relu(F.linear(h, w["location.mlp.0.weight"], w["location.mlp.0.bias"]))
    for name in ("location.mlp.2", "location.mlp.3"):
        y = F.relu(F.linear(h, w[f"{name}.w1.weight"], w[f"{name}.w1.bias"]))
        h = h + F.relu(F.linear(y, w[f"{name}.w2.weight"], w[f"{name}.w2.bias"]))
    return (h @ w["location.mlp.4.weight"].T).numpy()


def test_equals_the_published_code(golden, tiny):
    embeddings = TTEEmbedder(normalize=False, weights=tiny).transform(golden["lonlat"])
    assert_allclose(embeddings, golden["tte_tiny/out_unnormalised"], rtol=1e-12, atol=1e-13)


def test_length_is_one_by_default(golden, tiny):
    embeddings = TTEEmbedder(weights=tiny).transform(golden["lonlat"])
    expected = golden["tte_tiny/out_unnormalised"]
    expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    assert_allclose(embeddings, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("temperature", [1e-4, 0.3, 1e6])
def test_both_kinds_of_attention_equal_the_definition(points, cosine, temperature):
    weights = tte(cosine=cosine)
    weights[f"{REGISTERS}.log_temperature"] = np.log(temperature)
    embeddings = TTEEmbedder(normalize=False, weights=weights).transform(points)
    assert_allclose(embeddings, oracle(weights, points, cosine=cosine), rtol=0, atol=1e-12)


def test_steep_sites_in_single_precision(points):
    """Slopes of 500, the steepest the authors allow, leave single precision its digits."""
    weights = tte(n_sites=500)
    weights["location._log_tau"] = np.full(500, np.log(500.0))
    embedder = TTEEmbedder(weights=weights)
    X = points.astype(np.float32)
    assert_allclose(embedder.transform(X), embedder.transform(X.astype(float)), atol=3e-6)


def test_there_is_no_seam_and_one_embedding_at_a_pole():
    embeddings = TTEEmbedder(weights=tte()).transform(
        [[-180.0, 7.0], [180 - 1e-9, 7.0], [0.0, 90.0], [77.0, 90.0]]
    )
    assert_allclose(embeddings[0], embeddings[1], rtol=0, atol=1e-9)
    assert_allclose(embeddings[2], embeddings[3], rtol=0, atol=1e-14)


def test_lengths_of_directions_do_not_count(points):
    weights = tte()
    longer = weights | {"location._directions": 7 * weights["location._directions"]}
    expected = TTEEmbedder(weights=weights).transform(points)
    assert_allclose(TTEEmbedder(weights=longer).transform(points), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        {"location._log_tau": np.zeros(29)},
        {"location._log_tau": np.full(30, 1e3)},
        {f"{REGISTERS}.site_to_out.weight": np.ones((4, 6))},
        {"location.mlp.5.weight": np.ones((5, 9))},
    ],
)
def test_other_layouts_are_refused(change):
    with pytest.raises(CorruptFileError):
        TTEEmbedder(weights=tte() | change).transform([[5.0, 52.0]])
