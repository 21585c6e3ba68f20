"""A small model on a hub of our own, with caches and waits of the test's own."""

import time

import numpy as np
import pytest

from geofeat.embedders import _registry, _weights
from tests.embedders import hub as local_hub

TINY = _registry.PretrainedModel(
    name="tiny",
    embedder="SatCLIPEmbedder",
    keys=_registry.find_model("satclip-vit16-l40").keys,
    repo="geofeat-tests/tiny",
    file="folder/tiny.safetensors",
    column_order="lon, lat",
    n_features=3,
)


@pytest.fixture
def network():
    """Arrays of a location network, by their own names."""
    rng = np.random.default_rng(4)
    return {
        "nnet.layers.0.weight": rng.normal(size=(5, 4)),
        "nnet.layers.0.bias": rng.normal(size=5),
        "nnet.last_layer.weight": rng.normal(size=(3, 5)).astype(np.float32),
    }


@pytest.fixture
def checkpoint(network):
    """Bytes of a checkpoint that holds the network twice, and an image encoder."""
    from safetensors.numpy import save

    tensors = {f"model.{key}": values for key, values in network.items()}
    tensors |= {f"model.location.{key}": values.copy() for key, values in network.items()}
    tensors["model.visual.conv1.weight"] = np.random.default_rng(0).normal(size=(64, 64))
    return save(tensors)


@pytest.fixture
def waits(monkeypatch):
    """Seconds that would have been slept."""
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    return waits


@pytest.fixture
def caches(monkeypatch, tmp_path):
    """Empty caches on disk and in memory, no settings of the user."""
    from huggingface_hub import constants

    for name in ("HF_HUB_OFFLINE", "GEOFEAT_OFFLINE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("GEOFEAT_CACHE", str(tmp_path / "geofeat"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    _weights._loaded.clear()
    yield tmp_path
    _weights._loaded.clear()


@pytest.fixture
def tiny(monkeypatch):
    """Register the small model; call with changes to register another entry in its place."""
    import dataclasses

    def register(**changes):
        model = dataclasses.replace(TINY, **changes)
        monkeypatch.setitem(_registry._BY_NAME, "tiny", model)
        return model

    register()
    return register


@pytest.fixture
def hub(caches, tiny, checkpoint, monkeypatch):
    """A hub that holds the small model."""
    import huggingface_hub

    hub = local_hub.Hub()
    hub.files["geofeat-tests/tiny/folder/tiny.safetensors"] = checkpoint
    with local_hub.running(hub) as address:
        monkeypatch.setenv("HF_ENDPOINT", address)
        yield hub
        huggingface_hub.close_session()
