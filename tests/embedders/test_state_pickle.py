"""The reader of pickles against the real one, and against programs that would run something."""

import argparse
import copyreg
import os
import pathlib
import pickle
import sys
import time
import tracemalloc
import types
from collections import OrderedDict, defaultdict
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from geofeat.embedders._state_pickle import _LEFT_OUT, Storage, TensorView, read_state_pickle
from geofeat.exceptions import CorruptFileError, LimitError, UnsafeFileError
from tests.embedders.archives import members_of
from tests.embedders.gadgets import EXTENSION, UNLISTED_NAMES, call, gadgets, name, text

FILE = Path("some.ckpt")
DAMAGE = (CorruptFileError, ValueError, TypeError, LookupError, LimitError, Warning)
TENSOR = name("torch._utils._rebuild_tensor_v2")


def read(program):
    return read_state_pickle(program, FILE)


def storage(kind="torch.FloatStorage", length=b"K\x08", key=None):
    return b"(" + text("storage") + name(kind) + (key or text("0")) + text("cpu") + length + b"tQ"


def tensor(offset=b"K\0", shape=b"K\2K\3\x86", strides=b"K\3K\1\x86", numbers=None):
    return call(TENSOR, numbers or storage(), offset, shape, strides, b"\x89", b"}")


def program(*parts):
    return b"\x80\x02" + b"".join(parts) + b"."


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A file that exists once a gadget has run, and what gadgets need to run."""
    canary = tmp_path / "ran"
    command = f"touch {canary}"

    class Trap:
        def __init__(self, command=None):
            if command:
                os.system(command)

        def __new__(cls, command=None):
            return super().__new__(cls) if command is None else os.system(command)

        def __setstate__(self, command):
            os.system(command)

    module = types.ModuleType("trap")
    module.Trap = Trap
    monkeypatch.setitem(sys.modules, "trap", module)
    array_file = str(tmp_path / "objects.npy")
    np.save(array_file, np.array([_Reduced(command)], dtype=object), allow_pickle=True)
    copyreg.add_extension("posix", "system", EXTENSION)
    yield canary, gadgets(command, "trap.Trap", array_file)
    copyreg.remove_extension("posix", "system", EXTENSION)


class _Reduced:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


GADGETS = sorted(gadgets("true", "trap.Trap", ""))


@pytest.mark.parametrize("about", GADGETS)
def test_what_runs_under_pickle_is_refused_and_does_not_run(canary, about):
    path, programs = canary
    with pytest.raises(UnsafeFileError, match="pickle"):
        read(programs[about])
    assert not path.exists()
    with suppress(Exception):
        pickle.loads(programs[about])
    assert path.exists(), "the gadget is no gadget"


def test_there_are_enough_gadgets():
    assert len(GADGETS) >= 40


@pytest.mark.parametrize("unlisted", UNLISTED_NAMES)
def test_names_that_are_not_listed_are_refused_by_name(unlisted):
    with pytest.raises(UnsafeFileError, match="neither imported nor called") as caught:
        read(program(b"}", text("w"), name(unlisted), b"s"))
    assert unlisted.strip() in str(caught.value)
    assert "some.ckpt" in str(caught.value)
    assert "weights_only=True" in str(caught.value)


def test_reading_imports_nothing():
    before = set(sys.modules)
    for listed in (
        "pytorch_lightning.utilities.parsing.AttributeDict",
        "numpy.core.multiarray.scalar",
    ):
        read(program(call(name(listed))))
    assert set(sys.modules) == before


def test_names_cannot_be_changed():
    for target in (b"", b")\x81"):
        filled = program(name("torch.device"), target, b"}", text("x"), b"Nsb")
        if target:
            assert read(filled) is _LEFT_OUT
        else:
            with pytest.raises(UnsafeFileError, match="changes"):
                read(filled)


def test_plain_content_is_read_as_pickle_reads_it():
    shared = [1, 2]
    content = {
        "none": None,
        "numbers": [True, False, 0, 255, 256, 65536, -1, 2**40, -(2**200), 0.1, float("inf")],
        "text": ["", "ascii", "Zürich", "北京", "\U0001f30d", "\udc80"],
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), ((1,), [2])],
        "dictionaries": [{}, {"a": 1}, {1: 2, "b": {"c": {}}}, OrderedDict(a=1)],
        "shared": [shared, shared],
    }
    found = read(pickle.dumps(content, 2))
    assert found == content
    assert found["shared"][0] is found["shared"][1]


def test_long_lists_and_dictionaries_are_read():
    content = {"list": list(range(5000)), "dict": {str(i): i for i in range(5000)}}
    assert read(pickle.dumps(content, 2)) == content


def test_harmless_objects_of_lightning_are_passed_over(monkeypatch):
    dictionaries = []
    for module in (
        "lightning.fabric.utilities.data",
        "lightning.pytorch.utilities.parsing",
        "lightning_fabric.utilities.data",
        "pytorch_lightning.utilities.parsing",
    ):
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            monkeypatch.setitem(
                sys.modules, ".".join(parts[:end]), types.ModuleType(parts[end - 1])
            )
        kind = type("AttributeDict", (dict,), {"__module__": module})
        sys.modules[module].AttributeDict = kind
        dictionaries.append(kind(legendre_polys=10))
    factories = [defaultdict(kind, {"a": kind()}) for kind in (list, dict, int, float, str)]
    harmless = [
        pathlib.PosixPath("a/b"),
        pathlib.PurePosixPath("c"),
        argparse.Namespace(x=1),
        torch.Size([1, 2]),
        torch.device("cuda:0"),
        np.float64(0.5),
        np.float32(0.5),
        np.int64(3),
        np.bool_(True),
        np.dtype("float32"),
    ]
    content = {
        "state_dict": OrderedDict(w=torch.ones(2)),
        "hyper_parameters": dictionaries,
        "factories": factories,
        "harmless": harmless,
    }
    found = read(members_of(content)["data.pkl"])
    assert found["state_dict"] == {"w": TensorView(Storage("0", "float32", 2), 0, (2,), (1,))}
    assert found["hyper_parameters"] == [{"legendre_polys": 10}] * 4
    assert found["factories"] == [dict(factory) for factory in factories]
    assert found["harmless"] == [_LEFT_OUT] * len(harmless)


def test_harmless_objects_of_other_systems_and_versions_are_passed_over():
    number = pickle.dumps(np.float64(0.5), 2)
    assert read(number.replace(b"numpy._core", b"numpy.core")) is _LEFT_OUT
    for module in ("pathlib", "pathlib._local"):
        for kind in ("PosixPath", "WindowsPath", "PurePosixPath"):
            assert read(program(call(name(f"{module}.{kind}"), text("a")))) is _LEFT_OUT


@pytest.mark.parametrize(
    "dtype",
    [
        "float64",
        "float32",
        "float16",
        "bfloat16",
        "int64",
        "int32",
        "int16",
        "int8",
        "uint8",
        "bool",
    ],
)
def test_every_dtype_names_its_storage(dtype):
    content = {"w": torch.zeros(3, dtype=getattr(torch, dtype)), "dtype": getattr(torch, dtype)}
    found = read(members_of(content)["data.pkl"])
    assert found["w"].storage == Storage("0", dtype, 3)
    assert found["dtype"].make(1) is _LEFT_OUT


def test_tensors_tell_their_layout():
    base = torch.arange(24.0).reshape(4, 6)
    content = [base[1:, ::2].T, base[2, 3], base[:0], torch.nn.Parameter(base)]
    views = read(members_of(content)["data.pkl"])
    for view, truth in zip(views, content, strict=True):
        assert view.storage == Storage("0", "float32", 24)
        assert view.offset == truth.storage_offset()
        assert (view.shape, view.strides) == (tuple(truth.shape), truth.stride())


@pytest.mark.parametrize(
    "layout",
    [
        tensor(offset=b"K\3"),
        tensor(offset=b"J\xff\xff\xff\xff"),
        tensor(offset=b"\x88"),
        tensor(offset=b"N"),
        tensor(shape=b"K\2K\6\x86"),
        tensor(shape=b"K\2J\xff\xff\xff\xff\x86"),
        tensor(shape=b"K\6\x85"),
        tensor(shape=b"]"),
        tensor(shape=b"K\2" + b"G" + bytes(8) + b"\x86"),
        tensor(strides=b"K\4K\2\x86"),
        tensor(strides=b"K\3J\xff\xff\xff\xff\x86"),
        tensor(strides=b"\x8a\x09" + b"\xff" * 8 + b"\0K\1\x86"),
        tensor(shape=b"\x8a\x09" + b"\xff" * 8 + b"\0K\1\x86"),
        tensor(shape=b"(" + b"K\1" * 100 + b"t", strides=b"(" + b"K\1" * 100 + b"t"),
        tensor(numbers=text("0")),
        tensor(numbers=storage(length=b"K\0")),
        call(TENSOR, storage()),
        call(TENSOR),
        storage(length=b"J\xff\xff\xff\xff"),
        storage(length=b"N"),
        storage(kind="torch.device"),
        storage(key=b"K\0"),
        text("storage") + b"Q",
        b"(tQ",
        b"NQ",
    ],
)
def test_tensors_outside_their_storage_are_refused(layout):
    with pytest.raises(DAMAGE):
        read(program(layout))


def test_views_that_end_with_their_storage_are_accepted():
    view = read(program(tensor(offset=b"K\2")))
    assert view.offset + 1 * 3 + 2 * 1 == view.storage.length - 1
    # An empty view reads nothing, whatever it claims.
    assert read(program(tensor(shape=b"K\0K\x63\x86"))).shape == (0, 99)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b".",
        b"\x80",
        b"\x80\x02",
        b"\x80\x02N",
        b"\x80\x02N.N",
        b"\x80\x02NN.",
        b"\x80\x02(N.",
        b"\x80\x02t.",
        b"\x80\x02e.",
        b"\x80\x02]e.",
        b"\x80\x02N(Ne.",
        b"\x80\x02a.",
        b"\x80\x02}Ns.",
        b"\x80\x02}(Nu.",
        b"\x80\x02}]Ns.",
        b"\x80\x02}(]Nu.",
        b"\x80\x02})Ns.",
        b"\x80\x02}GNNNNNNNNNs.",
        b"\x80\x02h\x00.",
        b"\x80\x02q\x00.",
        b"\x80\x02N\x86.",
        b"\x80\x02)R.",
        b"\x80\x02N)R.",
        b"\x80\x02}Nb)R.",
        b"\x80\x02Nb.",
        b"\x80\x02]Nb.",
        b"\x80\x02X\xff\xff\xff\xffa.",
        b"\x80\x02X\x02\x00\x00\x00\xff\xff.",
        b"\x80\x02U\xffabc.",
        b"\x80\x02ccollections\n.",
        b"\x80\x02ccollections\nOrderedDict\n]R.",
        b"\x80\x02ccollections\nOrderedDict\n]\x85R.",
        b"\x80\x02ccollections\nOrderedDict\n(NNNNNNNNNNNNNNNNNtR.",
        b"\xff\xfe",
    ],
)
def test_programs_without_sense_are_refused(damaged):
    with pytest.raises(DAMAGE):
        read(damaged)


def doubled(levels):
    """A tuple of the same tuple twice, and so on: its hash takes two to the power of the levels."""
    return b")" + b"q\0h\0\x86" * levels


BOMBS = {
    "long": b"]" * 1_000_001,
    "deep lists": b"]" * 400_000 + b"a" * 399_999,
    "deep tuples": b")" + b"\x85" * 500_000,
    "open marks": b"(" * 500_000,
    "hash of tuples": b"}" + doubled(60) + b"Ns",
    "hash of a storage": b"}" + storage(key=text("0" * 10_000)) + b"Ns",
    "long key": b"}" + text("k" * 5000) + b"Ns",
    "keys of equal hash": b"}("
    + b"".join(
        b"\x8a\x12" + (i * (2**61 - 1)).to_bytes(18, "little") + b"N" for i in range(200_000)
    )
    + b"u",
    "long arguments": name("torch.device")
    + b"q\1("
    + b"N" * 300_000
    + b"tq\0"
    + b"R"
    + b"h\1h\0R" * 100_000,
    "long shapes": storage()
    + b"q\1("
    + b"K\0" * 300_000
    + b"tq\0"
    + (TENSOR + b"(h\1K\0h\0h\0tR") * 50_000,
    "dictionary from a list": b"]q\0("
    + b"K\1K\2\x86" * 200_000
    + b"e"
    + (name("collections.OrderedDict") + b"h\0\x85R") * 100_000,
}


@pytest.mark.parametrize("about", BOMBS)
def test_bombs_cost_little_time_and_memory(about):
    bomb = program(BOMBS[about])
    tracemalloc.start()
    start = time.perf_counter()
    with suppress(*DAMAGE):
        read(bomb)
    seconds = time.perf_counter() - start
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 10
    assert peak < 2**28


def test_the_number_of_steps_is_bounded():
    with pytest.raises(LimitError, match="1000000 steps"):
        read(program(BOMBS["long"]))


def test_damaged_programs_give_the_stated_errors_only():
    content = {
        "state_dict": OrderedDict(a=torch.ones(2, 3), b=torch.nn.Parameter(torch.zeros(4))),
        "hyper_parameters": {"x": 1, "y": [1.5, (None, "z")], "p": pathlib.PurePosixPath("a")},
    }
    whole = members_of(content)["data.pkl"]
    rng = np.random.default_rng(11)
    outcomes = set()
    for _ in range(3000):
        damaged = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(len(damaged)))
            match rng.integers(4):
                case 0:
                    damaged[at] = rng.integers(256)
                case 1:
                    del damaged[at : at + int(rng.integers(1, 9))]
                case 2:
                    damaged[at:at] = rng.bytes(int(rng.integers(1, 9)))
                case 3:
                    other = int(rng.integers(len(damaged)))
                    damaged[at : at + 8] = damaged[other : other + 8]
        try:
            read(bytes(damaged))
            outcomes.add("read")
        except DAMAGE as error:
            outcomes.add(type(error).__name__)
    assert {"read", "UnsafeFileError", "ValueError"} <= outcomes
