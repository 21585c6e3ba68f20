"""GeoCLIPEmbedder against the published encoder."""

import importlib.metadata
import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline

from geofeat import GeoCLIPEmbedder
from geofeat.exceptions import CorruptFileError


@pytest.fixture(scope="module")
def tiny(golden):
    prefix = "geoclip_tiny/sd/"
    return {k.removeprefix(prefix): v for k, v in golden.items() if k.startswith(prefix)}


@pytest.fixture(scope="module")
def lonlat(golden):
    return golden["geoclip_latlon"][:, ::-1].astype(np.float64)


def relative_error(values, expected):
    return np.abs(values - expected).max() / np.abs(expected).max()


def test_embedding_equals_the_published_one(tiny, lonlat, golden):
    """All points but those at +180: the projection cuts there, and 180 is read as -180."""
    values = GeoCLIPEmbedder(weights=tiny).transform(lonlat)
    inside = lonlat[:, 0] < 180
    assert 10 < inside.sum() < len(lonlat)
    assert relative_error(values[inside], golden["geoclip_tiny/out"][inside]) < 1e-12


def test_single_precision_is_as_good_as_it_can_be(tiny, lonlat, golden):
    inside = lonlat[:, 0] < 180
    values = GeoCLIPEmbedder(weights=tiny).transform(lonlat.astype(np.float32))
    assert values.dtype == np.float32
    assert relative_error(values[inside], golden["geoclip_tiny/out"][inside]) < 5e-6


def test_real_weights_of_the_wheel(lonlat, golden):
    """The published network itself, where the geoclip wheel is installed."""
    try:
        files = importlib.metadata.files("geoclip")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("geoclip is not installed")
    path = next(Path(f.locate()) for f in files if f.name == "location_encoder_weights.pth")
    inside = lonlat[:, 0] < 180
    double = GeoCLIPEmbedder(weights=path).transform(lonlat)[inside]
    assert relative_error(double, golden["geoclip_embedding_float64"][inside]) < 1e-12
    single = GeoCLIPEmbedder(weights=path).transform(lonlat.astype(np.float32))[inside]
    assert relative_error(single, golden["geoclip_embedding_float32"][inside]) < 5e-4
    assert relative_error(single, double) < 5e-6


def test_normalized_rows_have_length_one(tiny, lonlat):
    values = GeoCLIPEmbedder(weights=tiny).transform(lonlat)
    unit = GeoCLIPEmbedder(weights=tiny, normalize=True).transform(lonlat)
    assert_allclose(unit, values / np.linalg.norm(values, axis=1, keepdims=True), rtol=1e-13)


def test_blocks_and_threads_change_nothing_but_the_last_digits(tiny):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.uniform(-180, 180, 5000), rng.uniform(-90, 90, 5000)])
    embedder = GeoCLIPEmbedder(weights=tiny)
    whole = embedder.transform(X)
    parts = np.concatenate([embedder.transform(X[i : i + 97]) for i in range(0, 5000, 97)])
    assert_allclose(parts, whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("LocEnc1.head.0.bias"), "LocEnc1.head.0.bias"),
        (lambda w: w.update({"LocEnc0.capsule.3.weight": np.ones((32, 31))}), r"\(32, 31\)"),
        (lambda w: w.update({"LocEnc2.head.0.weight": np.ones((15, 32))}), "LocEnc2.head.0"),
        (lambda w: w.update({"LocEnc0.capsule.0.b": np.full((8, 2), np.nan)}), "not finite"),
        (lambda w: w.update({"LocEnc0.capsule.7.weight": np.ones((2, 2))}), "capsule.7.weight"),
        (lambda w: w.clear(), "no"),
    ],
)
def test_weights_that_do_not_fit_are_named(tiny, change, message):
    weights = dict(tiny)
    change(weights)
    with pytest.raises(CorruptFileError, match=message):
        GeoCLIPEmbedder(weights=weights).transform([[1.0, 2.0]])


def test_nothing_is_loaded_before_it_is_needed():
    embedder = GeoCLIPEmbedder(weights="/nowhere/geoclip.pth")
    clone(embedder).fit([[1.0, 2.0]])
    assert "nowhere" in repr(embedder)
    assert len(pickle.dumps(embedder)) < 1000
    with pytest.raises(FileNotFoundError, match="nowhere"):
        embedder.transform([[1.0, 2.0]])


def test_a_pipeline_ends_in_a_forest(tiny, points):
    labels = (points[:, 0] > 0).astype(int)
    model = make_pipeline(
        GeoCLIPEmbedder(weights=tiny), RandomForestClassifier(n_estimators=10, random_state=0)
    )
    assert model.fit(points, labels).score(points, labels) > 0.9


def test_names_count_the_columns(tiny):
    names = GeoCLIPEmbedder(weights=tiny).get_feature_names_out()
    assert_array_equal(names[[0, 15]], ["geoclip_00", "geoclip_15"])


def test_a_model_of_another_class_is_refused_before_anything_is_fetched():
    with pytest.raises(ValueError, match="model of SatCLIPEmbedder"):
        GeoCLIPEmbedder("satclip-vit16-l40").transform([[1.0, 2.0]])
