"""MINDEmbedder against its definition, written out with torch."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils._param_validation import InvalidParameterError

from geofeat import MINDEmbedder
from geofeat.exceptions import CorruptFileError
from tests.embedders.networks import mind


def oracle(weights, lonlat, year=None):
    """MIND of (lat, lon) degrees, in double precision."""
    w = {name: torch.from_numpy(np.asarray(values)) for name, values in weights.items()}
    lon, lat = (torch.deg2rad(torch.from_numpy(column.copy())) for column in lonlat.T)
    theta = torch.asin(np.sqrt(3) / 2 * torch.sin(lat))
    a1, a2, a3, a4 = 1.340264, -0.081106, 0.000893, 0.003796
    slope = a1 + 3 * a2 * theta**2 + 7 * a3 * theta**6 + 9 * a4 * theta**8
    x = 2 * np.sqrt(3) * lon * torch.cos(theta) / (3 * slope)
    y = a1 * theta + a2 * theta**3 + a3 * theta**7 + a4 * theta**9
    v = torch.stack([x, y], dim=1) * 66.50336 / 180
    if year is not None:
        angle = (year - 2021) / 4 * w["year_freqs"]
        features = torch.cat([torch.sin(angle), torch.cos(angle)])
        v = torch.cat([v, features.expand(len(v), -1)], dim=1)
    h = torch.sin(30 * (v @ w["first.linear.weight"].T + w["first.linear.bias"]))
    i = 0
    while (name := f"blocks.{i}.linear") + ".weight" in w:
        h = h + torch.sin(h @ w[f"{name}.weight"].T + w[f"{name}.bias"])
        i += 1
    return h.numpy()


@pytest.mark.parametrize("n_rows", [64, 2000])
def test_equals_the_definition(n_rows):
    rng = np.random.default_rng(2)
    X = np.column_stack([rng.uniform(-180, 180, n_rows), rng.uniform(-90, 90, n_rows)])
    weights = mind(width=37, n_blocks=4)
    embeddings = MINDEmbedder(n_components=None, weights=weights).transform(X)
    assert_allclose(embeddings, oracle(weights, X), rtol=0, atol=2e-12)


def test_special_places_equal_the_definition_but_for_the_seam(points):
    weights = mind()
    embeddings = MINDEmbedder(n_components=None, weights=weights).transform(points)
    here = points[:, 0] < 180
    assert_allclose(embeddings[here], oracle(weights, points)[here], rtol=0, atol=1e-12)
    assert_array_equal(embeddings[4], embeddings[5])  # 180 and -180 degrees


@pytest.mark.parametrize("n_components", [1, 4, 9])
def test_components_are_the_first_columns(points, n_components):
    whole = MINDEmbedder(n_components=None, weights=mind()).transform(points)
    embedder = MINDEmbedder(n_components=n_components, weights=mind())
    assert_allclose(embedder.transform(points), whole[:, :n_components], rtol=0, atol=1e-13)
    assert len(embedder.get_feature_names_out()) == n_components


def test_published_weights_of_half_precision_are_read(points):
    half = {name: values.astype(np.float16) for name, values in mind().items()}
    exact = {name: values.astype(np.float64) for name, values in half.items()}
    embeddings = MINDEmbedder(n_components=None, weights=half).transform(points[:4])
    assert embeddings.dtype == np.float64
    assert_allclose(embeddings, oracle(exact, points[:4]), rtol=0, atol=1e-12)


def test_float32_is_close_to_double_at_the_same_places(points):
    embedder = MINDEmbedder(n_components=None, weights=mind(width=64, n_blocks=6))
    X = points.astype(np.float32)
    embeddings = embedder.transform(X)
    assert embeddings.dtype == np.float32
    exact = embedder.transform(X.astype(np.float64))
    assert_allclose(embeddings, exact, rtol=0, atol=5e-6 * np.abs(exact).max())


@pytest.mark.parametrize("year", [2017, 2021, 2024.5])
def test_a_year_enters_by_its_frequencies(points, year):
    weights = mind(year_frequencies=3)
    X = points[points[:, 0] < 180]
    embeddings = MINDEmbedder(n_components=None, year=year, weights=weights).transform(X)
    assert_allclose(embeddings, oracle(weights, X, year), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("year", "frequencies"), [(2020, 0), (None, 3)])
def test_a_year_is_given_to_models_that_take_one_and_to_no_other(year, frequencies):
    embedder = MINDEmbedder(n_components=4, year=year, weights=mind(year_frequencies=frequencies))
    with pytest.raises(ValueError, match=r"the model takes (no|a) year"):
        embedder.transform([[5.0, 52.0]])


def test_more_components_than_columns_are_an_error():
    with pytest.raises(ValueError, match="n_components=64 is more than the 9 columns"):
        MINDEmbedder(weights=mind()).transform([[5.0, 52.0]])
    with pytest.raises(InvalidParameterError, match="n_components"):
        MINDEmbedder(n_components=0, weights=mind()).transform([[5.0, 52.0]])


@pytest.mark.parametrize(
    "change",
    [
        {"first.linear.weight": np.ones((9, 3))},
        {"blocks.1.linear.weight": np.ones((9, 8))},
        {"head.weight": np.ones((4, 8))},
        {"blocks.0.linear.bias": np.full(9, np.nan)},
    ],
)
def test_other_layouts_are_refused(change):
    with pytest.raises(CorruptFileError):
        MINDEmbedder(n_components=4, weights=mind() | change).transform([[5.0, 52.0]])
