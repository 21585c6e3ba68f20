"""Formats by content, the golden checkpoint, and nothing but the stated errors."""

import json
import os
import pickle
import struct
import sys
import time
import types
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file

from geofeat.embedders._checkpoint import read_checkpoint
from geofeat.exceptions import CorruptFileError, LimitError, UnsafeFileError
from tests.embedders.archives import members_of, write_archive
from tests.embedders.gadgets import gadgets

GOLDEN = Path(__file__).parents[1] / "data" / "satclip-random-l10.ckpt"


@pytest.fixture
def state():
    rng = torch.Generator().manual_seed(1)
    return {"layer.weight": torch.randn(4, 3, generator=rng), "layer.bias": torch.ones(4)}


def test_the_golden_checkpoint_equals_what_torch_loads():
    truth = torch.load(GOLDEN, weights_only=True)
    checkpoint = read_checkpoint(GOLDEN)
    assert list(checkpoint.tensors) == list(truth["state_dict"])
    for name, tensor in truth["state_dict"].items():
        values = checkpoint.tensors[name]
        assert values.dtype == tensor.numpy().dtype
        assert values.shape == tuple(tensor.shape)
        assert values.tobytes() == tensor.numpy().tobytes()
    assert truth["hyper_parameters"].items() <= checkpoint.settings.items()
    assert checkpoint.settings["legendre_polys"] == 10


def test_the_golden_checkpoint_holds_its_network_twice_in_one_place():
    tensors = read_checkpoint(GOLDEN).tensors
    alone, inside = (tensors[f"model.{part}nnet.layers.0.weight"] for part in ("", "location."))
    assert np.shares_memory(alone, inside)


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "bfloat16", "int64", "int8", "bool"]
)
def test_safetensors_equal_torch(tmp_path, dtype):
    path = tmp_path / "model.safetensors"
    numbers = torch.arange(24).reshape(2, 3, 4).to(getattr(torch, dtype))
    state = {"a": numbers, "one": numbers[1, 0, 1].clone(), "none": numbers[:0].clone()}
    save_file(state, path, metadata={"order": "lon, lat"})
    checkpoint = read_checkpoint(path)
    assert checkpoint.settings == {"order": "lon, lat"}
    assert set(checkpoint.tensors) == set(state)
    for name, tensor in state.items():
        truth = (tensor.float() if dtype == "bfloat16" else tensor).numpy()
        assert checkpoint.tensors[name].dtype == truth.dtype
        assert checkpoint.tensors[name].shape == truth.shape
        np.testing.assert_array_equal(checkpoint.tensors[name], truth)


def test_only_wanted_arrays_of_safetensors_are_read(tmp_path, state):
    path = tmp_path / "model.safetensors"
    save_file(state | {"odd": torch.ones(2).to(torch.float8_e4m3fn)}, path)
    assert list(read_checkpoint(path, wanted=lambda name: "bias" in name).tensors) == ["layer.bias"]
    with pytest.raises(CorruptFileError, match="'odd' has type F8_E4M3"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html>login</html>", "web page"),
        (b"\xef\xbb\xbf<html lang='en'>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
        (b'{"error": "Repository not found"}', 'starts with b\'{"error"'),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "neither"),
        (b"\x1f\x8b" + bytes(100), "neither"),
        (b"PK\5\6" + bytes(18), "neither"),
        (b"PK\3\4" + bytes(100), "incomplete"),
        (bytes(1000), "neither"),
    ],
)
@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_other_content_is_told_in_plain_words(tmp_path, content, message, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    if content[:4] == b"PK\3\4" and suffix == ".safetensors":
        message = "name does not end"
    with pytest.raises(CorruptFileError, match=message) as caught:
        read_checkpoint(path)
    assert caught.value.path == path
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_bare_pickles_are_never_read(tmp_path, protocol):
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps({"w": [1.0]}, protocol))
    with pytest.raises(UnsafeFileError, match=r"weights_only=True"):
        read_checkpoint(path)


def test_files_of_torch_before_zip_are_refused(tmp_path, state):
    path = tmp_path / "model.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    with pytest.raises(UnsafeFileError, match=r"torch before 1\.6"):
        read_checkpoint(path)


def test_the_name_has_to_agree_with_the_content(tmp_path, state):
    for name, write in (("m.ckpt", save_file), ("m.npz", save_file), ("m", save_file)):
        write(state, tmp_path / name)
        with pytest.raises(CorruptFileError, match=r"is a safetensors file.*\.safetensors"):
            read_checkpoint(tmp_path / name)
    for name in ("m.safetensors", "m.zip", "ckpt"):
        torch.save(state, tmp_path / name)
        with pytest.raises(CorruptFileError, match=r"is a zip archive.*\.ckpt"):
            read_checkpoint(tmp_path / name)


def test_what_cannot_be_opened_keeps_its_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "missing.ckpt")
    with pytest.raises(CorruptFileError, match="is no file"):
        read_checkpoint(tmp_path)
    os.mkfifo(tmp_path / "pipe.ckpt")
    with pytest.raises(CorruptFileError, match="is no file"):
        read_checkpoint(tmp_path / "pipe.ckpt")


def test_the_size_is_bounded(tmp_path):
    path = tmp_path / "model.ckpt"
    with path.open("wb") as file:
        file.truncate(2**32 + 1)
    with pytest.raises(LimitError, match="4294967296"):
        read_checkpoint(path)


def test_the_cause_is_kept(tmp_path, state):
    path = tmp_path / "model.ckpt"
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CorruptFileError, match="cut short") as caught:
        read_checkpoint(path)
    assert type(caught.value.__cause__).__name__ == "BadZipFile"


def safetensors(header, data=b"", length=None):
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(dtype="F32", shape=(2,), begin=0, end=8):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "content",
    [
        safetensors({}),
        safetensors({"__metadata__": {"a": "b"}}),
        safetensors({"w": entry()}, bytes(7)),
        safetensors({"w": entry()}, bytes(9)),
        safetensors({"w": entry()}, bytes(8), length=2**63),
        safetensors({"w": entry()}, bytes(8), length=2**31),
        safetensors({"w": entry()}, bytes(8), length=10),
        safetensors({"w": entry(), "v": entry()}, bytes(8)),
        safetensors({"w": entry(), "v": entry(begin=4, end=12)}, bytes(12)),
        safetensors({"w": entry(), "v": entry(begin=9, end=17)}, bytes(17)),
        safetensors({"w": entry(begin=8, end=0)}, bytes(8)),
        safetensors({"w": entry(begin=-8, end=0)}, bytes(8)),
        safetensors({"w": entry(end=2**62)}, bytes(8)),
        safetensors({"w": entry(shape=[3])}, bytes(8)),
        safetensors({"w": entry(shape=[-2])}, bytes(8)),
        safetensors({"w": entry(shape=[2**32, 2**32])}, bytes(8)),
        safetensors({"w": entry(shape=[1.5])}, bytes(8)),
        safetensors({"w": entry(shape=[0, 2**63], end=0)}),
        safetensors({"w": entry(dtype="F64")}, bytes(8)),
        safetensors({"w": entry(dtype="object", shape=[1])}, bytes(8)),
        safetensors({"w": entry(dtype=8)}, bytes(8)),
        safetensors({"w": 3}),
        safetensors({"w": {}}),
        safetensors([]),
        safetensors(b'{"w":' + b"[" * 100_000, bytes(8)),
        safetensors(b'{"\xff": 1}'),
        safetensors(b'{"w": NaN}'),
        safetensors(b"{" + b" " * (2**22)),
        safetensors({"__metadata__": {"a": 1}, "w": entry()}, bytes(8)),
        safetensors({"__metadata__": 5, "w": entry()}, bytes(8)),
    ],
)
def test_safetensors_that_lie_are_refused(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises((CorruptFileError, LimitError), match=r"model\.safetensors"):
        read_checkpoint(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_a_file_cut_anywhere_is_refused(tmp_path, state, suffix):
    path = tmp_path / f"model{suffix}"
    content = save(state)
    if suffix == ".ckpt":
        torch.save(state, path)
        content = path.read_bytes()
    for end in range(0, len(content), max(1, len(content) // 200)):
        path.write_bytes(content[:end])
        with pytest.raises(CorruptFileError):
            read_checkpoint(path)


def test_damaged_safetensors_give_the_stated_errors_only(tmp_path, state):
    path = tmp_path / "model.safetensors"
    content = save(state | {"half": torch.ones(3).to(torch.bfloat16)}, metadata={"a": "b"})
    rng = np.random.default_rng(8)
    outcomes = set()
    start = time.perf_counter()
    for _ in range(1000):
        damaged = bytearray(content)
        at, length = int(rng.integers(len(content))), int(rng.integers(1, 20))
        match rng.integers(4):
            case 0:
                damaged[at] ^= 1 << rng.integers(8)
            case 1:
                del damaged[at : at + length]
            case 2:
                damaged[at : at + length] = bytes(length)
            case 3:
                damaged[at:at] = rng.bytes(length)
        path.write_bytes(damaged)
        try:
            read_checkpoint(path)
            outcomes.add("read")
        except CorruptFileError as error:
            outcomes.add(type(error).__name__)
    assert outcomes == {"read", "CorruptFileError"}
    assert time.perf_counter() - start < 60


@pytest.mark.parametrize("suffix", [".ckpt", ".pth", ".pt", ".bin", ".safetensors"])
def test_no_gadget_runs_in_any_container(tmp_path, monkeypatch, suffix):
    canary, path = tmp_path / "ran", tmp_path / f"model{suffix}"
    trap = type("Trap", (), {"__setstate__": lambda self, command: os.system(command)})
    monkeypatch.setitem(sys.modules, "trap", types.SimpleNamespace(Trap=trap))
    honest = members_of({"w": torch.ones(2)})
    for program in gadgets(f"touch {canary}", "trap.Trap", "objects.npy").values():
        path.write_bytes(program)
        with pytest.raises(CorruptFileError):
            read_checkpoint(path)
        write_archive(path, honest | {"data.pkl": program})
        with pytest.raises(CorruptFileError if suffix == ".safetensors" else UnsafeFileError):
            read_checkpoint(path)
        # Where it is but data, or nobody asks for it, it lies idle.
        with suppress(CorruptFileError):
            write_archive(path, honest | {"data/9": program, "extra.pkl": program})
            read_checkpoint(path)
        with suppress(CorruptFileError):
            header = {"w": entry(dtype="U8", shape=[len(program)], end=len(program))}
            path.write_bytes(safetensors(header, program))
            read_checkpoint(path)
    assert not canary.exists()
