"""SINREmbedder against the library rshf and plain formulas."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from geofeat import SINREmbedder
from geofeat.exceptions import CorruptFileError
from tests.embedders.networks import RandomWeights, draw, residual_network, sinr


@pytest.fixture
def tiny(golden):
    """The network that the golden numbers are of."""
    return {k.removeprefix("sinr_tiny/sd/"): v for k, v in golden.items() if "sinr_tiny/sd/" in k}


def test_equals_the_published_code(golden, tiny):
    embeddings = SINREmbedder(weights=tiny).transform(golden["lonlat"])
    assert_allclose(embeddings, golden["sinr_tiny/out"], rtol=1e-12, atol=1e-13)


def test_float32_is_close(golden, tiny):
    embeddings = SINREmbedder(weights=tiny).transform(golden["lonlat"].astype(np.float32))
    assert embeddings.dtype == np.float32
    assert_allclose(embeddings, golden["sinr_tiny/out"], rtol=0, atol=2e-6)


def test_the_poles_have_one_embedding():
    north, south = SINREmbedder(weights=sinr()).transform([[10.0, 90.0], [10.0, -90.0]])
    assert_allclose(north, south, rtol=1e-14)


def test_longitude_has_no_seam():
    west, east = SINREmbedder(weights=sinr()).transform([[-180.0, 7.0], [180 - 1e-9, 7.0]])
    assert_allclose(west, east, rtol=0, atol=1e-9)


def test_the_class_layer_is_left_out_and_names_count_columns():
    weights = sinr(width=11) | {"class_emb.weight": np.ones((3, 11))}
    embedder = SINREmbedder(weights=weights)
    names = embedder.fit([[5.0, 52.0]]).get_feature_names_out()
    assert names[[0, 10]].tolist() == ["sinr_00", "sinr_10"]
    assert embedder.transform([[5.0, 52.0]]).shape == (1, 11)


def test_a_network_that_takes_climate_is_refused():
    weights = draw(residual_network("feats", 24, 6, 1))
    with pytest.raises(CorruptFileError, match=r"'feats.0.weight' has shape \(6, 24\)"):
        SINREmbedder(weights=weights).transform([[5.0, 52.0]])


def test_a_block_that_lacks_a_layer_is_refused():
    weights = RandomWeights(sinr())
    del weights["feats.2.w2.bias"]
    with pytest.raises(CorruptFileError, match=r"no array 'feats.2.w2.bias'"):
        SINREmbedder(weights=weights).transform([[5.0, 52.0]])
