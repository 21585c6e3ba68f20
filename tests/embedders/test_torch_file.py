"""Torch files against torch itself, and archives that lie about what they hold."""

import time
import tracemalloc
import zipfile
from collections import OrderedDict
from contextlib import suppress

import numpy as np
import pytest
import torch

from geofeat.embedders._checkpoint import read_checkpoint
from geofeat.exceptions import CorruptFileError, GeofeatError, LimitError, UnsafeFileError
from tests.embedders.archives import members_of, write_archive, write_directory

DTYPES = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
]


def save(path, content, **settings):
    torch.save(content, path, **settings)
    return path


def truth(tensor):
    tensor = tensor.detach()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def assert_equals_torch(path, state):
    tensors = read_checkpoint(path).tensors
    assert list(tensors) == list(state)
    for name, tensor in state.items():
        assert tensors[name].dtype == truth(tensor).dtype
        assert tensors[name].shape == tuple(tensor.shape)
        assert tensors[name].tobytes() == truth(tensor).tobytes()
    return tensors


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.ckpt"


@pytest.fixture
def members():
    """Members of an honest file: {"state_dict": {"w": 3 x 4, "b": 4}}."""
    state = {"w": torch.arange(12.0).reshape(3, 4), "b": torch.ones(4, dtype=torch.float64)}
    return members_of({"state_dict": state, "epoch": 3})


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype_equals_torch(path, dtype):
    bits = torch.from_numpy(np.random.default_rng(2).integers(0, 256, 8 * 600, dtype=np.uint8))
    numbers = bits % 2 == 1 if dtype == torch.bool else bits.view(dtype)
    # Every bit pattern of the short types, infinities and NaN of all; empty and single ones too.
    state = {
        "all": numbers,
        "matrix": numbers[:600].reshape(20, 30),
        "single": numbers[7],
        "empty": numbers[:0],
        "empty matrix": torch.zeros((3, 0, 2), dtype=dtype),
    }
    assert_equals_torch(save(path, state), state)


def test_special_bfloat16_numbers_keep_their_value(path):
    numbers = torch.tensor([0.0, -0.0, 1.0, -2.5, 3.0e38, 1e-40, torch.inf, -torch.inf, torch.nan])
    state = {"w": numbers.to(torch.bfloat16)}
    assert_equals_torch(save(path, state), state)


def test_views_equal_torch_and_share_memory_where_tensors_did(path):
    base = torch.arange(60.0).reshape(5, 12)
    state = {
        "base": base,
        "transposed": base.T,
        "strided": base[1::2, 2::3],
        "column": base[:, 3],
        "scalar": base[4, 11],
        "permuted": base.reshape(3, 4, 5).permute(2, 0, 1),
        "diagonal": base.diagonal(),
        "expanded": base[:1].expand(4, 12),
        "windows": base[0].unfold(0, 5, 2),
        "other": base.clone(),
    }
    tensors = assert_equals_torch(save(path, state), state)
    for name, values in tensors.items():
        assert np.shares_memory(values, tensors["base"]) == (name != "other")


def test_parameters_buffers_and_modules_equal_torch(path):
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    state = module.state_dict()
    assert_equals_torch(save(path, state), state)
    parameters = OrderedDict(module.named_parameters())
    assert_equals_torch(save(path, parameters), parameters)
    assert_equals_torch(save(path, module.state_dict(keep_vars=True)), state)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_state_dictionaries_are_found_beside_other_things(path, key):
    state = {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2)}
    module = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    content = {
        key: state,
        "optimizer_states": [optimizer.state_dict()],
        "optimizer": optimizer.state_dict(),
        "extra": torch.ones(7),
        "lr_schedulers": [],
        "epoch": 3,
    }
    assert_equals_torch(save(path, content), state)


def test_the_first_of_the_usual_keys_counts(path):
    state, other = {"w": torch.ones(2)}, {"v": torch.ones(3)}
    assert_equals_torch(save(path, {"model": other, "state_dict": state}), state)
    assert_equals_torch(save(path, {"model": "resnet", "w": state["w"]}), state)


def test_names_of_nested_dictionaries_are_joined_and_optimizers_left_out(path):
    module = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    content = {
        "encoder": {"layers": {"w": torch.ones(2)}, "b": torch.zeros(3)},
        "optimizer": optimizer.state_dict(),
    }
    tensors = read_checkpoint(save(path, content)).tensors
    assert {name: values.shape for name, values in tensors.items()} == {
        "encoder.layers.w": (2,),
        "encoder.b": (3,),
    }


def test_two_arrays_of_one_name_are_refused(path):
    save(path, {"a": {"b": torch.ones(1)}, "a.b": torch.ones(2)})
    with pytest.raises(CorruptFileError, match=r"two arrays 'a\.b'"):
        read_checkpoint(path)


@pytest.mark.parametrize("name", ["a\nb", "\udc80", "\x1b[2J", "__metadata__"])
def test_arrays_of_unusual_names_are_refused(path, name):
    with pytest.raises(CorruptFileError, match="unusual name"):
        read_checkpoint(save(path, {name: torch.ones(1)}))


def test_settings_are_the_text_and_numbers_beside_the_state(path):
    content = {
        "state_dict": {"w": torch.ones(1), "version": 7},
        "epoch": 3,
        "name": "x",
        "lr": 0.1,
        "amp": None,
        "callbacks": {"not": "this"},
        5: "nor this",
        "list": [1],
        "params": {"depth": 4, "input_enc": "sin_cos", "epoch": 9},
        "hyper_parameters": {"legendre_polys": 10, "flag": True, "inner": {"no": 1}},
    }
    assert read_checkpoint(save(path, content)).settings == {
        "epoch": 9,
        "name": "x",
        "lr": 0.1,
        "amp": None,
        "depth": 4,
        "input_enc": "sin_cos",
        "legendre_polys": 10,
        "flag": True,
    }


def test_only_wanted_arrays_are_read(path, members):
    del members["data/0"]
    write_archive(path, members)
    tensors = read_checkpoint(path, wanted=lambda name: name == "b").tensors
    assert list(tensors) == ["b"]
    with pytest.raises(CorruptFileError, match="lacks its member 'data/0'"):
        read_checkpoint(path)


def test_what_is_not_wanted_takes_no_memory(path):
    save(path, {"big": torch.zeros(2**22), "small": torch.ones(10)})
    tracemalloc.start()
    read_checkpoint(path, wanted=lambda name: name == "small")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20 < path.stat().st_size


@pytest.mark.parametrize("suffix", [".ckpt", ".pth", ".pt", ".bin", ".pth.tar", ".CKPT"])
def test_usual_extensions_and_folder_names_are_accepted(tmp_path, members, suffix):
    path = tmp_path / f"model{suffix}"
    for root in ("archive", "satclip vit16 (1)", "Modell für Zürich"):
        write_archive(path, members, root=root)
        assert read_checkpoint(path).tensors["w"][2, 3] == 11


def test_files_of_old_torch_without_byte_order_are_little_endian(path, members):
    for name in list(members):
        if name != "data.pkl" and not name.startswith("data/"):
            del members[name]
    assert read_checkpoint(write_archive(path, members)).tensors["w"][2, 3] == 11


def test_big_endian_files_are_turned_round(path):
    state = {
        name: torch.arange(5).to(dtype)
        for name, dtype in {"d": torch.float64, "h": torch.float16, "u": torch.uint8}.items()
    }
    state["f"] = torch.arange(5).to(torch.bfloat16)
    members = members_of(state)
    sizes = {"data/0": 8, "data/1": 2, "data/2": 1, "data/3": 2}
    for name, size in sizes.items():
        members[name] = (
            np.frombuffer(members[name], f"V{size}")
            .copy()
            .view(np.uint8)
            .reshape(-1, size)[:, ::-1]
            .tobytes()
        )
    members["byteorder"] = b"big"
    assert_equals_torch(write_archive(path, members), state)


def test_unknown_byte_orders_are_refused(path, members):
    members["byteorder"] = b"middle"
    with pytest.raises(CorruptFileError, match="byte order b'middle'"):
        read_checkpoint(write_archive(path, members))


@pytest.mark.parametrize("content", [[torch.ones(2)], torch.ones(2), 3, {}, {"a": 1}, None])
def test_files_without_named_arrays_are_refused(path, content):
    with pytest.raises(CorruptFileError, match="holds no"):
        read_checkpoint(save(path, content))


@pytest.mark.parametrize(
    "content",
    [
        torch.nn.Linear(2, 2),
        torch.ones(2, 2).to_sparse(),
        torch.ones(2, dtype=torch.complex64),
        torch.ones(2, dtype=torch.uint16),
    ],
    ids=["module", "sparse", "complex", "uint16"],
)
def test_other_objects_of_torch_are_refused_by_name(path, content):
    with pytest.raises(UnsafeFileError, match="'torch"):
        read_checkpoint(save(path, {"w": content}))


def test_programs_of_torch_are_refused(path):
    # Laid out as torch.jit.save does, which writes deprecation warnings of its own.
    members = {"data.pkl": b"\x80\x02}.", "constants.pkl": b"\x80\x02).", "code/x.py": b"pass"}
    with pytest.raises(CorruptFileError, match="TorchScript"):
        read_checkpoint(write_archive(path, members))


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_members_are_refused(path, members, compression):
    with pytest.raises(CorruptFileError, match="compressed"):
        read_checkpoint(write_archive(path, members, compression=compression))


def test_zip_archives_of_other_things_are_refused(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CorruptFileError, match="another kind"):
        read_checkpoint(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", members["data.pkl"])
        archive.writestr("b/data.pkl", members["data.pkl"])
    with pytest.raises(CorruptFileError, match="none of torch"):
        read_checkpoint(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_listed_twice_are_refused(path, members):
    write_archive(path, members)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data/0", bytes(48))
    with pytest.raises(CorruptFileError, match="none of torch"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "key", ["../x", "/etc/passwd", "..\\x", "0\0", "C:/x", "", ".", "data.pkl"]
)
def test_storages_of_hostile_names_are_only_looked_up(path, members, key):
    name = key.encode()
    members["data.pkl"] = members["data.pkl"].replace(
        b"X\1\0\0\0" + b"0", b"X" + len(name).to_bytes(4, "little") + name
    )
    with pytest.raises(CorruptFileError, match="lacks its member"):
        read_checkpoint(write_archive(path, members))


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data + b"\0", lambda _: b""]
)
def test_storages_of_the_wrong_length_are_refused(path, members, change):
    members["data/0"] = change(members["data/0"])
    with pytest.raises(CorruptFileError, match="expected 12 numbers of type float32"):
        read_checkpoint(write_archive(path, members))


def test_a_storage_has_one_type(path):
    members = members_of({"a": torch.ones(2), "b": torch.ones(2, dtype=torch.float64)})
    at = members["data.pkl"].index(b"X\1\0\0\0" + b"1")
    program = bytearray(members["data.pkl"])
    program[at : at + 6] = b"X\1\0\0\0" + b"0"
    members["data.pkl"] = bytes(program)
    with pytest.raises(CorruptFileError, match="two types"):
        read_checkpoint(write_archive(path, members))


def test_a_changed_number_is_noticed(path, members):
    write_archive(path, members)
    content = bytearray(path.read_bytes())
    at = content.index(members["data/0"])
    content[at + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match="CRC"):
        read_checkpoint(path)


def test_encrypted_members_are_refused(path, members):
    write_archive(path, members)
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\1\2")
    content[at + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match="encrypted"):
        read_checkpoint(path)


def bomb_directory(path, _):
    write_directory(path, [b"a/%d" % i for i in range(300_000)], 1)


def bomb_members(path, _):
    write_directory(path, [b"a/%d" % i for i in range(20_000)], 1)


def bomb_overlap(path, members):
    names = [b"a/data.pkl", *(b"a/data/%d" % i for i in range(100))]
    write_directory(path, names, 2**25)


def bomb_claim(path, _):
    write_directory(path, [b"a/data.pkl"], 2**31)


def bomb_pickle(path, members):
    write_archive(path, members | {"data.pkl": bytes(2**24 + 1)})


def bomb_cycle(path, _):
    cycle = {"w": torch.ones(1)}
    cycle["again"] = cycle
    save(path, cycle)


def bomb_laughs(path, _):
    nested = {"w": torch.ones(1)}
    for _ in range(40):
        nested = {"a": nested, "b": nested}
    save(path, nested)


def bomb_wide_laughs(path, _):
    many = {str(i): i for i in range(50_000)}
    save(path, {"w": torch.ones(1)} | {f"x{i}": many for i in range(50_000)})


def bomb_sharing(path, _):
    base = torch.zeros(2**20)
    save(path, {str(i): base[: 2**20 - i] for i in range(500)})


def bomb_expanded(path, _):
    save(path, {"w": torch.zeros(1).expand(2**20, 2**20)})


@pytest.mark.parametrize(
    "bomb",
    [
        bomb_directory,
        bomb_members,
        bomb_overlap,
        bomb_claim,
        bomb_pickle,
        bomb_cycle,
        bomb_laughs,
        bomb_wide_laughs,
        bomb_sharing,
        bomb_expanded,
    ],
)
def test_bombs_cost_little_time_and_memory(path, members, bomb):
    bomb(path, members)
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises((LimitError, CorruptFileError)):
        read_checkpoint(path)
    seconds = time.perf_counter() - start
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 10
    assert peak < 2**27


def damage(content, rng):
    """Flip, cut, copy, zero or insert a few bytes."""
    damaged = bytearray(content)
    at, other = (int(place) for place in rng.integers(len(damaged), size=2))
    length = int(rng.integers(1, 64))
    match rng.integers(6):
        case 0:
            damaged[at] ^= 1 << rng.integers(8)
        case 1:
            del damaged[at:]
        case 2:
            damaged[at : at + length] = damaged[other : other + length]
        case 3:
            damaged[at : at + length] = bytes(len(damaged[at : at + length]))
        case 4:
            damaged[at:at] = rng.bytes(length)
        case 5:
            damaged[at : at + 4] = int(rng.choice([0, -1, 2**31 - 1, -(2**31)])).to_bytes(
                4, "little", signed=True
            )
    return bytes(damaged)


def test_damaged_files_give_the_truth_or_the_stated_errors(path, members):
    write_archive(path, members)
    content = path.read_bytes()
    honest = read_checkpoint(path).tensors
    rng = np.random.default_rng(5)
    n_read = 0
    start = time.perf_counter()
    for _ in range(600):
        path.write_bytes(damage(content, rng))
        with suppress(CorruptFileError, LimitError):
            tensors = read_checkpoint(path).tensors
            n_read += 1
            # The archive holds a sum of every member, so what is read is right.
            for name, values in tensors.items():
                np.testing.assert_array_equal(values, honest[name])
    assert n_read > 10
    assert time.perf_counter() - start < 60


def test_damaged_pickles_in_sound_archives_give_the_stated_errors(path, members):
    rng = np.random.default_rng(6)
    outcomes = set()
    for _ in range(600):
        damaged = members | {"data.pkl": damage(members["data.pkl"], rng)}
        write_archive(path, damaged)
        try:
            read_checkpoint(path)
            outcomes.add("read")
        except GeofeatError as error:
            outcomes.add(type(error))
    assert {"read", UnsafeFileError, CorruptFileError} <= outcomes
