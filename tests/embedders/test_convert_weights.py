"""Conversion: the same arrays in a file that holds nothing else, whole or not at all."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import geofeat
from geofeat.embedders._checkpoint import read_checkpoint
from geofeat.exceptions import CorruptFileError, UnsafeFileError
from tests.embedders.archives import write_archive

GOLDEN = Path(__file__).parents[1] / "data" / "satclip-random-l10.ckpt"


def test_the_golden_checkpoint_keeps_every_bit(tmp_path):
    dst = tmp_path / "satclip.safetensors"
    assert geofeat.convert_weights(str(GOLDEN), str(dst)) == dst
    truth = torch.load(GOLDEN, weights_only=True)["state_dict"]
    for tensors in (
        load_file(dst),
        {k: torch.from_numpy(v) for k, v in read_checkpoint(dst).tensors.items()},
    ):
        assert set(tensors) == set(truth)
        for name, tensor in truth.items():
            assert tensors[name].dtype == tensor.dtype
            assert torch.equal(tensors[name], tensor)


def test_views_scalars_empty_and_short_floats_are_written_as_they_look(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    state = {
        "turned": base.T,
        "strided": base[::2, 1::2],
        "scalar": base[1, 2],
        "empty": base[:0],
        "half": base.half(),
        "bool": base > 5,
        "long": base.long(),
        "bfloat": base.to(torch.bfloat16),
    }
    src = tmp_path / "model.pt"
    torch.save({"state_dict": state, "epoch": 3}, src)
    tensors = load_file(geofeat.convert_weights(src, tmp_path / "model.safetensors"))
    state["bfloat"] = state["bfloat"].float()
    assert set(tensors) == set(state)
    for name, tensor in state.items():
        assert tensors[name].dtype == tensor.dtype
        assert tensors[name].shape == tensor.shape
        assert torch.equal(tensors[name], tensor)


def test_an_existing_file_is_replaced_only_when_told(tmp_path):
    dst = tmp_path / "model.safetensors"
    dst.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        geofeat.convert_weights(GOLDEN, dst)
    assert dst.read_bytes() == b"mine"
    geofeat.convert_weights(GOLDEN, dst, overwrite=True)
    assert len(read_checkpoint(dst).tensors) == 14
    # A file may be rewritten in its own place.
    geofeat.convert_weights(dst, dst, overwrite=True)
    assert len(read_checkpoint(dst).tensors) == 14


def test_a_file_that_appears_meanwhile_is_kept(tmp_path, monkeypatch):
    dst = tmp_path / "model.safetensors"
    sync = os.fsync

    def slow(number):
        dst.write_bytes(b"mine")
        sync(number)

    monkeypatch.setattr(os, "fsync", slow)
    with pytest.raises(FileExistsError):
        geofeat.convert_weights(GOLDEN, dst)
    assert dst.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [dst]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch, failing):
    def fail(*_):
        raise OSError(28, "No space left on device")

    target = os if failing == "fsync" else Path
    monkeypatch.setattr(target, failing, fail)
    with pytest.raises(OSError, match="No space left"):
        geofeat.convert_weights(GOLDEN, tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_refused_sources_leave_nothing_behind(tmp_path):
    unsafe = write_archive(tmp_path / "bad.ckpt", {"data.pkl": b"\x80\x02cos\nsystem\n."})
    (tmp_path / "empty.ckpt").touch()
    dst = tmp_path / "model.safetensors"
    for src, error in (
        (unsafe, UnsafeFileError),
        (tmp_path / "empty.ckpt", CorruptFileError),
        (tmp_path / "missing.ckpt", FileNotFoundError),
    ):
        with pytest.raises(error):
            geofeat.convert_weights(src, dst)
    assert {path.name for path in tmp_path.iterdir()} == {"bad.ckpt", "empty.ckpt"}


@pytest.mark.parametrize("name", ["model.ckpt", "model", "model.safetensors.bak"])
def test_the_name_says_what_is_written(tmp_path, name):
    with pytest.raises(ValueError, match=r"'\.safetensors'"):
        geofeat.convert_weights(GOLDEN, tmp_path / name)


def test_converted_arrays_are_the_same_whoever_reads_them(tmp_path):
    dst = geofeat.convert_weights(GOLDEN, tmp_path / "model.safetensors")
    before, after = read_checkpoint(GOLDEN).tensors, read_checkpoint(dst).tensors
    assert before.keys() == after.keys()
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name])
