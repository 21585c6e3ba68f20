"""Embedders as modules of torch: the numbers of the NumPy path, gradients, saved weights."""

import copy
import io
import pickle
import sys

import numpy as np
import pytest

from geofeat import ClimplicitEmbedder, GeoCLIPEmbedder, RANGEEmbedder, SatCLIPEmbedder
from geofeat.embedders import _torch_module
from tests.embedders import networks

torch = pytest.importorskip("torch")

EMBEDDERS = [
    pytest.param(make, id=f"{name}-{i}")
    for name, makers in networks.EXAMPLES.items()
    for i, make in enumerate(makers)
]


@pytest.fixture(params=EMBEDDERS)
def embedder(request):
    return request.param()


@pytest.fixture
def places(points):
    """The special points and some of the others, longitudes of other turns too."""
    places = points[:40].copy()
    places[30:35, 0] += 360
    places[35:40, 0] -= 720
    return places


def squared_error(module, lonlat):
    return (module(lonlat) - 0.1).square().sum()


def test_a_module_returns_what_transform_returns(embedder, places):
    embeddings = embedder.to_torch()(torch.tensor(places))
    assert embeddings.dtype == torch.float64
    np.testing.assert_allclose(
        embeddings.numpy(), embedder.transform(places), rtol=1e-10, atol=1e-10
    )


def test_the_published_network_is_met(golden):
    """The numbers of the geoclip package itself, for a network of random weights."""
    prefix = "geoclip_tiny/sd/"
    weights = {k.removeprefix(prefix): v for k, v in golden.items() if k.startswith(prefix)}
    lonlat = golden["geoclip_latlon"].astype(float)[:, ::-1]
    inside = lonlat[:, 0] < 180  # 180 is read as -180, the package reads it as it is
    embeddings = GeoCLIPEmbedder(weights=weights).to_torch()(torch.tensor(lonlat[inside].copy()))
    expected = golden["geoclip_tiny/out"][inside]
    np.testing.assert_allclose(embeddings.numpy(), expected, rtol=1e-10, atol=1e-12)


def test_places_that_do_not_exist_are_nan_and_harm_no_other():
    module = SatCLIPEmbedder(weights=networks.satclip()).to_torch()
    impossible = [[np.nan, 1], [1, np.nan], [1, 90.1], [np.inf, 0], [0, -np.inf]]
    lonlat = torch.tensor([[5.0, 52.0], *impossible, [-70.0, -30.0]])
    embeddings = module(lonlat)
    assert embeddings[1:-1].isnan().all()
    np.testing.assert_allclose(embeddings[[0, -1]], module(lonlat[[0, -1]]), rtol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.bfloat16])
def test_coordinates_of_any_type_and_shape_are_read(embedder, dtype):
    lonlat = torch.tensor([[[5, 52], [-70, -30], [0, 90]], [[0, 0], [179, 1], [-180, 0]]])
    embeddings = embedder.to_torch()(lonlat.to(dtype))
    expected = embedder.transform(lonlat.reshape(-1, 2).numpy())
    assert embeddings.shape == (2, 3, expected.shape[1])
    np.testing.assert_allclose(embeddings.reshape(expected.shape), expected, rtol=1e-10, atol=1e-10)


def test_months_beside_the_places(places):
    embedder = ClimplicitEmbedder(weights=networks.climplicit(), month="column")
    months = np.arange(len(places)) % 12 + 1
    embeddings = embedder.to_torch()(torch.tensor(places), torch.tensor(months))
    expected = embedder.transform(np.column_stack([places, months]))
    np.testing.assert_allclose(embeddings, expected, rtol=1e-10, atol=1e-10)


def test_the_module_stays_near_in_single_precision(embedder, places):
    lonlat = torch.tensor(places)
    exact = embedder.transform(places)
    rounded = embedder.to_torch().float()(lonlat)
    assert rounded.dtype == torch.float32
    assert np.abs(rounded.numpy() - exact).max() < 2e-5 * np.abs(exact).max()
    module = embedder.set_params(dtype="float32").to_torch()
    assert module(lonlat).shape == rounded.shape
    # The database and the query of RANGE have precisions of their own.
    if not isinstance(embedder, RANGEEmbedder):
        assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_gradients_are_those_of_the_formula(embedder, places):
    """Against central differences along a random direction in the space of all weights."""
    module, lonlat = embedder.to_torch(trainable=True), torch.tensor(places)
    squared_error(module, lonlat).backward()
    generator = torch.Generator().manual_seed(0)
    weights = list(module.parameters())
    steps = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in weights]
    expected = sum((w.grad * step).sum() for w, step in zip(weights, steps, strict=True))
    h = 1e-7
    ends = []
    with torch.no_grad():
        for sign in (1, -2):
            for weight, step in zip(weights, steps, strict=True):
                weight += sign * h * step
            ends.append(squared_error(module, lonlat))
    np.testing.assert_allclose((ends[0] - ends[1]) / (2 * h), expected, rtol=2e-5)
    assert all(w.grad.any() for w in weights)


def test_frozen_weights_take_no_gradients_but_are_the_same(embedder, places):
    frozen, trainable = embedder.to_torch(), embedder.to_torch(trainable=True)
    assert frozen.state_dict().keys() == trainable.state_dict().keys()
    assert not any(weight.requires_grad for weight in frozen.parameters())
    assert all(weight.requires_grad for weight in trainable.parameters())
    lonlat = torch.tensor(places)
    assert not frozen(lonlat).requires_grad
    assert torch.equal(frozen(lonlat), trainable(lonlat).detach())


def test_random_frequencies_are_no_weights():
    module = GeoCLIPEmbedder(weights=networks.geoclip()).to_torch(trainable=True)
    assert [name for name, _ in module.named_buffers()] == [f"{i}.rates" for i in range(3)]


def test_no_gradient_reaches_the_coordinates(embedder, places):
    lonlat = torch.tensor(places, requires_grad=True)
    squared_error(embedder.to_torch(trainable=True), lonlat).backward()
    assert lonlat.grad is None


def test_weights_are_saved_and_loaded(places):
    trained = SatCLIPEmbedder(weights=networks.satclip()).to_torch(trainable=True)
    file = io.BytesIO()
    torch.save(trained.state_dict(), file)
    file.seek(0)
    other = {name: 2 * values for name, values in networks.satclip().items()}
    module = SatCLIPEmbedder(weights=other).to_torch()
    lonlat = torch.tensor(places)
    assert not torch.equal(module(lonlat), trained(lonlat).detach())
    module.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(module(lonlat), trained(lonlat).detach())


def test_copies_and_pickles_give_the_same_numbers_and_hold_the_weights_once(embedder, places):
    module, lonlat = embedder.to_torch(), torch.tensor(places)
    pickled = pickle.dumps(module)
    for twin in (copy.deepcopy(module), pickle.loads(pickled)):
        assert torch.equal(twin(lonlat), module(lonlat))
    assert module._embedder.weights is None
    assert module._embedder is not embedder


def test_training_leaves_the_embedder_alone(embedder, places):
    before = embedder.transform(places)
    module, lonlat = embedder.to_torch(trainable=True), torch.tensor(places)
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-4)
    loss = squared_error(module, lonlat)
    loss.backward()
    optimizer.step()
    assert squared_error(module, lonlat) < loss
    np.testing.assert_array_equal(embedder.transform(places), before)


def test_nothing_is_taken_to_the_cpu(embedder, places):
    """A tensor on the device "meta" has no numbers: whoever asks for them gets an error."""
    module = embedder.to_torch(trainable=True).to("meta")
    embeddings = module(torch.tensor(places, device="meta"))
    assert embeddings.device.type == "meta"
    assert embeddings.shape == embedder.transform(places).shape


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_module_moves_to_a_gpu(embedder, places):
    module = embedder.to_torch(trainable=True).to("cuda")
    embeddings = module(torch.tensor(places, device="cuda"))
    embeddings.sum().backward()
    np.testing.assert_allclose(
        embeddings.detach().cpu(), embedder.transform(places), rtol=1e-8, atol=1e-8
    )


def test_one_place_without_a_batch_and_other_shapes():
    module = SatCLIPEmbedder(weights=networks.satclip()).to_torch()
    assert module(torch.tensor([5.0, 52.0])).shape == (5,)
    with pytest.raises(ValueError, match=r"shape \(\.\.\., 2\), got \(4, 3\)"):
        module(torch.zeros(4, 3))


def test_the_module_shows_its_embedder():
    module = SatCLIPEmbedder(weights=networks.satclip()).to_torch()
    assert "SatCLIPEmbedder()" in repr(module)
    with pytest.raises(AttributeError, match="no attribute 'Other'"):
        _ = _torch_module.Other


def test_without_torch_an_error_tells_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    _torch_module._module_class.cache_clear()
    with pytest.raises(ImportError, match=r"to_torch needs torch: pip install 'geofeat\[torch\]'"):
        SatCLIPEmbedder(weights=networks.satclip()).to_torch()
