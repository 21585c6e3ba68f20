"""The table of models says what the specifications of their authors say, and nothing hostile."""

import dataclasses
import re

import pytest

import geofeat
from geofeat.embedders._registry import MODELS, PretrainedModel, find_model
from geofeat.exceptions import UnsafeFileError

MODEL = find_model("geoclip")
HOSTILE_FILES = [
    "",
    ".",
    "..",
    "../x",
    "a/../../x",
    "a/..",
    "/etc/passwd",
    "//host/x",
    "a//b",
    "a/",
    "a\\..\\b",
    "C:\\x",
    "x\0y",
    "x\ny",
    "a b",
    "~/x",
    "$HOME",
    "%2e%2e/x",
    "x?y=1",
    "x#y",
    "http://host/x",
    "é",
    "a" * 256,
    "/".join(["a" * 200] * 6),
]


def test_names_are_unique_and_found():
    assert len({model.name for model in MODELS}) == len(MODELS) == 22
    for model in MODELS:
        assert find_model(model.name) is model


@pytest.mark.parametrize(
    ("name", "embedder", "order", "n_features", "dtype"),
    [
        ("satclip-resnet18-l10", "SatCLIPEmbedder", "lon, lat", 256, "float64"),
        ("satclip-vit16-l40", "SatCLIPEmbedder", "lon, lat", 256, "float64"),
        ("satclip-vit16-l40-mvrl", "SatCLIPEmbedder", "lon, lat", 256, "float32"),
        ("geoclip", "GeoCLIPEmbedder", "lat, lon", 512, "float32"),
        ("taxabind", "GeoCLIPEmbedder", "lat, lon", 512, None),
        ("sled-s1-s2-ls", "GeoCLIPEmbedder", "lat, lon", 768, None),
        ("gair", "GeoCLIPEmbedder", "lon, lat", 768, None),
        ("mind", "MINDEmbedder", "lat, lon", 3072, "float16"),
        ("tte", "TTEEmbedder", "lat, lon", 512, None),
        ("climplicit", "ClimplicitEmbedder", "lon, lat", 256, None),
        ("sinr", "SINREmbedder", "lon, lat", 256, None),
        ("csp-inat", "CSPEmbedder", "lon, lat", 256, None),
        ("range-large", "RANGEEmbedder", "lon, lat", 1280, None),
    ],
)
def test_entries_hold_the_published_facts(name, embedder, order, n_features, dtype):
    model = find_model(name)
    facts = (model.embedder, model.column_order, model.n_features, model.dtype)
    assert facts == (embedder, order, n_features, dtype)


def test_the_six_satclip_files_are_named_as_published():
    """Repository and file as in the table of section 4 of the specification of the encoders."""
    found = {
        (model.repo, model.file) for model in MODELS if (model.repo or "").startswith("microsoft/")
    }
    assert found == {
        (f"microsoft/SatCLIP-{vision}-L{polys}", f"satclip-{vision.lower()}-l{polys}.ckpt")
        for vision in ("ResNet18", "ResNet50", "ViT16")
        for polys in (10, 40)
    }


@pytest.mark.parametrize(
    ("name", "key", "kept"),
    [
        ("satclip-vit16-l40", "model.location.nnet.layers.0.weight", "nnet.layers.0.weight"),
        ("satclip-vit16-l40", "model.nnet.last_layer.bias", "nnet.last_layer.bias"),
        ("satclip-vit16-l40", "location.nnet.layers.1.bias", "nnet.layers.1.bias"),
        ("satclip-vit16-l40", "nnet.layers.1.bias", "nnet.layers.1.bias"),
        ("satclip-vit16-l40", "model.visual.conv1.weight", None),
        ("satclip-vit16-l40", "model.logit_scale", None),
        ("geoclip", "LocEnc0.capsule.0.b", "LocEnc0.capsule.0.b"),
        ("gair", "loc_encoder.LocEnc2.head.0.bias", "LocEnc2.head.0.bias"),
        ("gair", "rs_encoder.blocks.0.weight", None),
        ("mind", "blocks.10.linear.bias", "blocks.10.linear.bias"),
        ("mind", "year_freqs", "year_freqs"),
        ("climplicit", "location_encoder.layers.15.weight", "layers.15.weight"),
        ("climplicit", "layers.15.weight", "layers.15.weight"),
        ("climplicit", "chelsa_regressor.weight", None),
        ("sinr", "feats.2.w1.weight", "feats.2.w1.weight"),
        ("sinr", "class_emb.weight", None),
        ("tte", "location.semantic_registers.norm.bias", "location.semantic_registers.norm.bias"),
        ("tte", "location.semantic_registers.img_to_logits.bias", None),
        ("csp-fmow", "loc_enc.spa_enc.ffn.layers.1.linear.weight", "ffn.layers.1.linear.weight"),
        ("csp-fmow", "spa_enc.ffn.layers.0.layernorm.bias", "ffn.layers.0.layernorm.bias"),
        ("csp-fmow", "img_dec.ffn.layers.0.linear.bias", None),
        ("range-med", "image_embeddings", "image_embeddings"),
    ],
)
def test_patterns_choose_the_location_network(name, key, kept):
    found = re.fullmatch(find_model(name).keys, key)
    assert (found[1] if found else None) == kept


def test_an_unknown_name_is_answered_with_those_spelt_alike():
    with pytest.raises(ValueError, match=r"satclip-resnet18-l40.*list_models"):
        find_model("satclip-resnet18-l41")
    with pytest.raises(ValueError, match="geoclip"):
        find_model("GeoCLIP")


@pytest.mark.parametrize("file", HOSTILE_FILES)
def test_hostile_names_are_refused(file):
    with pytest.raises(UnsafeFileError, match="geoclip"):
        dataclasses.replace(MODEL, file=file)
    with pytest.raises(UnsafeFileError):
        dataclasses.replace(MODEL, repo=f"owner/{file}" if "/" not in file else file)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../x"},
        {"name": "a/b"},
        {"repo": "no-owner"},
        {"repo": "a/b/c"},
        {"repo_type": "space"},
        {"revision": "main"},
        {"revision": "C" * 40},
        {"sha256": "0" * 63},
        {"n_bytes": 0},
        {"column_order": "x, y"},
    ],
)
def test_impossible_entries_are_refused(change):
    with pytest.raises(UnsafeFileError, match="impossible entry"):
        dataclasses.replace(MODEL, **change)


def test_list_models_shows_every_entry_and_what_is_missing():
    frame = geofeat.list_models()
    assert list(frame.index) == [model.name for model in MODELS]
    assert not {"name", "keys"} & set(frame.columns)
    assert frame.loc["satclip-resnet18-l10", "n_bytes"] == 57_201_927
    assert frame.loc["mind", "n_bytes"] == 226_980_656
    assert frame.loc["satclip-vit16-l40", ["n_bytes", "sha256", "revision"]].isna().all()
    assert frame.loc["gair", ["licence"]].isna().all()
    assert "weights=" in frame.loc["csp-fmow", "note"]
    assert frame["licence"].notna().sum() == len(frame) - 4


def test_entries_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        MODEL.repo = "someone/else"
    assert isinstance(MODEL, PretrainedModel)
