"""SatCLIPEmbedder against the published code, with a checkpoint of the published layout."""

import pickle
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from geofeat import SatCLIPEmbedder
from geofeat.exceptions import CorruptFileError
from tests.embedders.networks import satclip

CHECKPOINT = Path(__file__).parents[1] / "data" / "satclip-random-l10.ckpt"
HARMONICS = ["exact", "published"]
# Latitudes, and how far embeddings by published and by exact harmonics may be from the published
# code with 40 degrees, relative to the largest value. The former is how far that code is from
# itself when other instructions compute its powers.
BANDS = [
    (0, 30, 1e-10, 3e-9),
    (30, 45, 1e-7, 3e-6),
    (45, 60, 2e-5, 4e-4),
    (60, 75, 3e-4, 8e-3),
    (75, 91, 1e-3, 4e-2),
]


def relative_error(values, expected):
    return abs(values - expected).max() / abs(expected).max()


@pytest.fixture(scope="module")
def arrays():
    """Arrays of the checkpoint as torch reads them, under all the names that it has for them."""
    state = torch.load(CHECKPOINT, weights_only=True)["state_dict"]
    return {name: tensor.numpy() for name, tensor in state.items()}


@pytest.fixture(scope="module")
def deep():
    """A network on 40 degrees, drawn as the published code draws its first weights."""
    rng = np.random.default_rng(0)
    widths = {"layers.0": (512, 1600), "layers.1": (512, 512), "last_layer": (256, 512)}
    weights = {}
    for name, shape in widths.items():
        bound = 1 / 1600 if name == "layers.0" else np.sqrt(6 / shape[1])
        weights[f"nnet.{name}.weight"] = rng.uniform(-bound, bound, shape)
        weights[f"nnet.{name}.bias"] = rng.uniform(-bound, bound, shape[0])
    return weights


def through_network(weights, harmonics):
    """The network on harmonics that are given."""
    w, b = ([weights[f"nnet.layers.{i}.{part}"] for i in (0, 1)] for part in ("weight", "bias"))
    h = np.sin(30 * (harmonics @ w[0].T + b[0]))
    h = np.sin(h @ w[1].T + b[1])
    return h @ weights["nnet.last_layer.weight"].T + weights["nnet.last_layer.bias"]


@pytest.mark.parametrize(("harmonics", "tolerance"), [("exact", 2e-11), ("published", 1e-12)])
def test_checkpoint_gives_the_published_embeddings(golden, harmonics, tolerance):
    embedder = SatCLIPEmbedder(weights=CHECKPOINT, harmonics=harmonics)
    embeddings = embedder.transform(golden["lonlat"])
    assert embeddings.shape == (64, 256)
    assert relative_error(embeddings, golden["satclip_ckpt_embedding"]) < tolerance


def test_exact_harmonics_give_the_embeddings_of_exact_harmonics(golden):
    embeddings = SatCLIPEmbedder(weights=CHECKPOINT).transform(golden["lonlat"])
    assert relative_error(embeddings, golden["satclip_ckpt_embedding_exact_sh"]) < 1e-12


@pytest.mark.parametrize("harmonics", HARMONICS)
def test_float32_is_close(golden, harmonics):
    points = golden["lonlat"].astype(np.float32)
    embedder = SatCLIPEmbedder(weights=CHECKPOINT, harmonics=harmonics)
    single, double = embedder.transform(points), embedder.transform(points.astype(float))
    assert single.dtype == np.float32
    assert 0 < relative_error(single, double) < 5e-6


@pytest.mark.parametrize(("low", "high", "noise", "exact_error"), BANDS)
def test_40_degrees_are_as_near_the_published_code_as_it_is_to_itself(
    golden, deep, low, high, noise, exact_error
):
    published = golden["sh_satclip_L40"]
    points = golden["lonlat"][: len(published)]
    rows = (abs(points[:, 1]) >= low) & (abs(points[:, 1]) < high)
    expected = through_network(deep, published[rows])
    errors = {
        harmonics: relative_error(
            SatCLIPEmbedder(weights=deep, harmonics=harmonics).transform(points[rows]), expected
        )
        for harmonics in HARMONICS
    }
    assert errors["published"] <= noise
    assert noise < errors["exact"] <= exact_error


@pytest.mark.parametrize("harmonics", HARMONICS)
def test_zonal_harmonics_carry_the_factor_pi(golden, arrays, harmonics):
    weights = {k: v for k, v in arrays.items() if k.startswith("model.nnet")}
    zonal = np.arange(10) * np.arange(1, 11)
    without = golden["sh_exact_L10"].copy()
    own = {k.removeprefix("model."): v for k, v in weights.items()}
    embeddings = SatCLIPEmbedder(weights=weights, harmonics=harmonics).transform(golden["lonlat"])
    assert relative_error(through_network(own, without), embeddings) > 0.1
    without[:, zonal] *= np.pi
    assert relative_error(through_network(own, without), embeddings) < 2e-11


def test_arrays_and_file_and_path_as_text_are_one(golden, arrays):
    from_file = SatCLIPEmbedder(weights=str(CHECKPOINT)).transform(golden["lonlat"])
    assert_array_equal(SatCLIPEmbedder(weights=arrays).transform(golden["lonlat"]), from_file)


@pytest.mark.parametrize("harmonics", HARMONICS)
def test_blocks_and_threads_change_nothing_but_the_last_digits(arrays, harmonics):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.uniform(-180, 180, 5000), rng.uniform(-90, 90, 5000)])
    embedder = SatCLIPEmbedder(weights=arrays, harmonics=harmonics)
    whole = embedder.transform(X)
    parts = np.concatenate([embedder.transform(X[i : i + 97]) for i in range(0, 5000, 97)])
    assert_allclose(parts, whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("harmonics", HARMONICS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_device_gives_the_same_numbers(arrays, points, harmonics, dtype):
    X = points.astype(dtype)
    embedder = SatCLIPEmbedder(weights=arrays, harmonics=harmonics)
    moved = clone(embedder).set_params(device="cpu").transform(X)
    assert moved.dtype == dtype
    assert relative_error(moved, embedder.transform(X)) < (1e-11 if dtype == np.float64 else 5e-6)


@pytest.mark.parametrize("harmonics", HARMONICS)
def test_rows_that_miss_a_coordinate_are_nan_and_touch_no_other(arrays, points, harmonics):
    embedder = SatCLIPEmbedder(weights=arrays, harmonics=harmonics)
    holed = points.copy()
    holed[3, 0] = holed[70, 1] = np.nan
    embeddings = embedder.transform(holed)
    missing = np.isnan(holed).any(axis=1)
    assert np.isnan(embeddings[missing]).all()
    assert_array_equal(embeddings[~missing], embedder.transform(points)[~missing])


@pytest.mark.parametrize("harmonics", HARMONICS)
def test_longitude_has_no_seam_and_poles_have_one_embedding(arrays, harmonics):
    embedder = SatCLIPEmbedder(weights=arrays, harmonics=harmonics)
    west, east = embedder.transform([[-180.0, 30.0], [180.0, 30.0]])
    assert_array_equal(west, east)
    north = embedder.transform([[0.0, 90.0], [123.0, 90.0]])
    assert_allclose(north[0], north[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("harmonics", HARMONICS)
def test_a_pipeline_maps_temperatures_of_made_up_stations(arrays, harmonics):
    rng = np.random.default_rng(8)
    lon, lat = rng.uniform(-180, 180, 400), np.degrees(np.arcsin(rng.uniform(-1, 1, 400)))
    stations = pd.DataFrame({"lon": lon, "lat": lat})
    warmth = 30 * np.cos(np.radians(lat)) ** 2 + 3 * np.sin(np.radians(lon)) + rng.normal(size=400)
    model = make_pipeline(SatCLIPEmbedder(weights=arrays, harmonics=harmonics), Ridge(1.0))
    assert cross_val_score(model, stations, warmth).min() > 0.85
    names = model[0].set_output(transform="pandas").fit_transform(stations).columns
    assert list(names[[0, 255]]) == ["satclip_000", "satclip_255"]


def test_a_pipeline_maps_air_temperature(test_data):
    """Distance from the equator alone explains 0.81."""
    table = pd.read_csv(test_data / "air_temperature_stations.csv")
    model = make_pipeline(SatCLIPEmbedder(weights=CHECKPOINT), Ridge(1e-3))
    order = np.random.default_rng(0).permutation(len(table))
    train, test = (table.iloc[part] for part in np.array_split(order, 2))
    model.fit(train[["Lon", "Lat"]], train["meanT"])
    assert model.score(test[["Lon", "Lat"]], test["meanT"]) > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("nnet.layers.1.bias"), "nnet.layers.1.bias"),
        (lambda w: w.pop("nnet.layers.0.weight"), "nnet.layers.0.weight"),
        (lambda w: w.pop("nnet.last_layer.weight"), "nnet.last_layer.weight"),
        (lambda w: w.update({"nnet.layers.0.weight": np.ones((9, 17))}), "17 inputs"),
        (lambda w: w.update({"nnet.layers.1.weight": np.ones((9, 8))}), r"\(9, 8\)"),
        (lambda w: w.update({"nnet.last_layer.bias": np.ones(4)}), r"\(4,\)"),
        (lambda w: w.update({"nnet.layers.0.bias": np.full(9, np.inf)}), "not finite"),
        (lambda w: w.update({"nnet.layers.3.bias": np.ones(9)}), "nnet.layers.3.bias"),
        (lambda w: w.clear(), "holds no network"),
    ],
)
def test_weights_that_do_not_fit_are_named(change, message):
    weights = satclip()
    change(weights)
    with pytest.raises(CorruptFileError, match=message):
        SatCLIPEmbedder(weights=weights).transform([[5.0, 52.0]])


def test_published_harmonics_end_where_the_published_models_do():
    weights = satclip(degree=40)
    assert SatCLIPEmbedder(weights=weights).transform([[5.0, 52.0]]).shape == (1, 5)
    with pytest.raises(ValueError, match="up to degree 39, not 40"):
        SatCLIPEmbedder(weights=weights, harmonics="published").transform([[5.0, 52.0]])


def test_nothing_is_read_or_fetched_before_it_is_needed(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    registered = SatCLIPEmbedder("satclip-vit16-l40", harmonics="published")
    assert "satclip-vit16-l40" in repr(clone(registered).fit([[5.0, 52.0]]))
    missing = SatCLIPEmbedder(weights="/nowhere/satclip.ckpt")
    clone(missing).fit([[5.0, 52.0]])
    assert "nowhere" in repr(missing)
    assert len(pickle.dumps(missing)) < 1000
    with pytest.raises(FileNotFoundError, match="nowhere"):
        missing.transform([[5.0, 52.0]])


def test_a_network_on_other_harmonics_is_refused(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "closed.safetensors"
    arrays = {key: np.ascontiguousarray(value) for key, value in satclip().items()}
    save_file(arrays, path, metadata={"harmonics_calculation": "closed-form"})
    with pytest.raises(CorruptFileError, match="'closed-form'"):
        SatCLIPEmbedder(weights=path).transform([[1.0, 2.0]])
    save_file(arrays, path, metadata={"harmonics_calculation": "analytic"})
    SatCLIPEmbedder(weights=path).transform([[1.0, 2.0]])
