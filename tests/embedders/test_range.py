"""RANGEEmbedder against the library rshf, and against its definition."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError

from geofeat import RANGEEmbedder, SatCLIPEmbedder
from geofeat.embedders import _range
from geofeat.exceptions import CorruptFileError
from tests.embedders.networks import RandomWeights, draw, range_database, satclip, sine_network


@pytest.fixture
def tiny(golden):
    """The database that the golden numbers are of."""
    prefix = "range_tiny/db_"
    return {k.removeprefix(prefix): v for k, v in golden.items() if k.startswith(prefix)}


@pytest.fixture
def query(golden, monkeypatch):
    """A SatCLIP that answers with the golden embeddings, row by row."""

    # 180 and -180 degrees are one place to RANGE, and two with queries of their own here.
    known = golden["lonlat"][:, 0] < 180

    def answer(self, network, lon, lat, layers, out):
        places = np.radians(golden["lonlat"][known])
        gap = np.abs(np.radians(lon)[:, None] - places[:, 0]) % (2 * np.pi)
        gap = np.minimum(gap, 2 * np.pi - gap) + np.abs(np.radians(lat)[:, None] - places[:, 1])
        return golden["range_tiny/query_embedding"][known][gap.argmin(axis=1)].copy()

    monkeypatch.setattr(SatCLIPEmbedder, "_forward", answer)
    # Its own network is not asked, but must have the database's width.
    return SatCLIPEmbedder(weights=satclip(outputs=6))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "out_RANGE"),
        ({"variant": "RANGE+"}, "out_RANGEplus_beta0.5"),
        ({"variant": "RANGE+", "beta": 0.0}, "out_RANGEplus_beta0"),
        ({"variant": "RANGE+", "beta": 1}, "out_RANGEplus_beta1"),
    ],
)
def test_equals_the_published_code(golden, tiny, query, settings, name, dtype):
    embedder = RANGEEmbedder(weights=tiny, satclip=query, **settings)
    here = golden["lonlat"][:, 0] < 180
    embeddings = embedder.transform(golden["lonlat"][here].astype(dtype))
    assert embeddings.dtype == dtype
    assert_allclose(embeddings, golden[f"range_tiny/{name}"][here], rtol=1e-5, atol=1e-5)


def oracle(database, query, lonlat, variant, beta):
    """RANGE as softmaxes over the whole database, with torch in double precision."""
    keys = torch.from_numpy(database["satclip_embeddings"])
    keys = torch.nn.functional.normalize(keys, dim=1)
    query = torch.nn.functional.normalize(torch.from_numpy(query), dim=1)
    images = torch.from_numpy(database["image_embeddings"])

    def vectors(degrees):
        lon, lat = np.radians(degrees).T
        return torch.from_numpy(
            np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
        )

    if variant == "RANGE":
        mean = torch.softmax(15 * query @ keys.T, dim=1) @ images
    else:
        near = torch.softmax(40 * vectors(lonlat) @ vectors(database["locs"]).T, dim=1) @ images
        mean = (1 - beta) * near + beta * torch.softmax(12 * query @ keys.T, dim=1) @ images
    return torch.cat([mean, query], dim=1).numpy()


@pytest.mark.parametrize("chunk", [7, 1024])
@pytest.mark.parametrize(("variant", "beta"), [("RANGE", 0.5), ("RANGE+", 0.3), ("RANGE+", 0)])
def test_equals_the_definition_whatever_the_chunk(points, variant, beta, chunk, monkeypatch):
    monkeypatch.setattr(_range, "_CHUNK_ROWS", chunk)
    network = SatCLIPEmbedder(weights=satclip())
    database = range_database()
    embedder = RANGEEmbedder(variant=variant, beta=beta, weights=database, satclip=network)
    expected = oracle(database, network.transform(points), points, variant, beta)
    # The database is kept in single precision.
    assert_allclose(embedder.transform(points), expected, rtol=0, atol=2e-6)


def test_places_far_from_the_whole_database_get_a_mean_all_the_same():
    database = range_database()
    database["locs"] = database["locs"] * [0.001, 0.001]
    embedder = RANGEEmbedder(
        variant="RANGE+", beta=0, weights=database, satclip=SatCLIPEmbedder(weights=satclip())
    )
    X = np.array([[180.0, 0.0], [0.0, 0.0]])
    for dtype in (np.float32, np.float64):
        embeddings = embedder.transform(X.astype(dtype))[:, :7]
        mean = database["image_embeddings"].mean(axis=0)
        assert_allclose(embeddings, np.stack([mean, mean]), rtol=0, atol=1e-4)


def test_satclip_is_an_estimator_inside_and_its_parameters_are_reached():
    embedder = RANGEEmbedder(weights=range_database(), satclip=SatCLIPEmbedder(weights=satclip()))
    copy = clone(embedder).set_params(satclip__weights=satclip(hidden=4))
    X = [[5.7, 52.0]]
    assert np.abs(copy.transform(X) - embedder.transform(X)).max() > 1e-3
    with pytest.raises(InvalidParameterError, match="harmonics"):
        copy.set_params(satclip__harmonics="wrong").transform(X)
    with pytest.raises(InvalidParameterError, match="satclip"):
        copy.set_params(satclip="satclip-vit16-l40").transform(X)


def test_a_database_of_another_model_is_refused():
    weights = draw(sine_network("nnet.", 16, 9, 4, 2))
    embedder = RANGEEmbedder(weights=range_database(), satclip=SatCLIPEmbedder(weights=weights))
    with pytest.raises(ValueError, match="embeddings of 5 columns and satclip gives 4"):
        embedder.transform([[5.7, 52.0]])


@pytest.mark.parametrize(
    "change",
    [
        {"locs": np.zeros((39, 2))},
        {"locs": np.full((40, 2), 100.0)},
        {"image_embeddings": np.full((40, 7), np.nan)},
        {"satclip_embeddings": np.zeros((40, 5))},
    ],
)
def test_other_layouts_are_refused(change):
    database = RandomWeights(range_database() | change)
    embedder = RANGEEmbedder(weights=database, satclip=SatCLIPEmbedder(weights=satclip()))
    with pytest.raises(CorruptFileError):
        embedder.transform([[5.7, 52.0]])


def test_the_database_is_read_from_an_archive(tmp_path):
    network = SatCLIPEmbedder(weights=satclip())
    np.savez(tmp_path / "range_db.npz", **range_database())
    embedder = RANGEEmbedder(weights=tmp_path / "range_db.npz", satclip=network)
    X = [[5.7, 52.0], [-74.0, 40.7]]
    expected = RANGEEmbedder(weights=range_database(), satclip=network).transform(X)
    assert_allclose(embedder.transform(X), expected, rtol=1e-12)
