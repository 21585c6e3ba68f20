"""NumPy files: damaged headers, and files that change between header and map."""

import os

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geofeat.exceptions import CorruptFileError, LimitError, SourceError, UnsafeFileError
from geofeat.rasters._npy_map import check_unchanged, map_npy, read_npy_header

INT8 = np.dtype(np.int8)


@pytest.fixture
def path(tmp_path):
    numbers = np.random.default_rng(0).integers(-127, 128, (30, 20, 8), dtype=np.int8)
    np.save(tmp_path / "a.npy", numbers)
    return tmp_path / "a.npy"


def test_a_header_tells_what_numpy_wrote(path):
    header = read_npy_header(str(path), INT8, (3,))
    assert (header.shape, header.dtype, header.offset) == ((30, 20, 8), INT8, 128)
    assert_array_equal(map_npy(header), np.load(path))
    for version in ((1, 0), (2, 0), (3, 0)):
        with path.open("wb") as file:
            np.lib.format.write_array(file, np.arange(6, dtype="<f4").reshape(2, 3), version)
        header = read_npy_header(str(path), np.dtype("<f4"), (2,))
        assert_array_equal(map_npy(header), [[0, 1, 2], [3, 4, 5]])


def test_every_bit_of_a_header_may_be_wrong(path):
    """The error of a corrupt file and no warning, or a header that still says the same."""
    whole = path.read_bytes()
    right = read_npy_header(str(path), INT8, (3,))
    unharmed = 0
    for bit in range(8 * 128):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            found = read_npy_header(str(path), INT8, (3,))
        except CorruptFileError:
            continue
        unharmed += 1
        assert found._replace(stamp=right.stamp) == right
    assert unharmed < 10


@pytest.mark.parametrize("text", ["{'descr': '|i1'", "{(", "0in", "'\\d'", "[" * 5000, "9" * 5000])
def test_text_that_python_cannot_parse_is_a_corrupt_file(path, text):
    content = text.encode()
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(content).to_bytes(2, "little") + content)
    with pytest.raises(CorruptFileError, match="no readable") as caught:
        read_npy_header(str(path), INT8, (3,))
    assert caught.value.path == str(path)


def test_cut_headers_other_versions_and_unsafe_or_large_arrays(path):
    whole = path.read_bytes()
    for length in (0, 5, 8, 9, 40, 127):
        path.write_bytes(whole[:length])
        with pytest.raises(CorruptFileError, match="no readable"):
            read_npy_header(str(path), INT8, (3,))
    path.write_bytes(whole[:6] + b"\x07\x01" + whole[8:])
    with pytest.raises(CorruptFileError, match=r"version is 7\.1"):
        read_npy_header(str(path), INT8, (3,))
    path.write_bytes(whole[:6] + b"\x02\x00" + (10**6).to_bytes(4, "little") + whole)
    with pytest.raises(CorruptFileError, match="header takes 1000000 bytes"):
        read_npy_header(str(path), INT8, (3,))
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(UnsafeFileError, match="Python objects"):
        read_npy_header(str(path), INT8, (1,))
    path.write_bytes(whole[:128].replace(b"(30, 20, 8), }", b"(30, 99999999, 8), }")[:128])
    with pytest.raises(LimitError, match="bound for one array"):
        read_npy_header(str(path), INT8, (3,))


@pytest.mark.parametrize("change", ["replaced", "truncated", "deleted", "written"])
def test_a_file_that_changes_after_its_header_was_read_is_an_error(path, change):
    header = read_npy_header(str(path), INT8, (3,))
    check_unchanged(header)
    if change == "replaced":
        np.save(path.with_name("new.npy"), np.load(path))
        path.with_name("new.npy").replace(path)
    elif change == "truncated":
        os.truncate(path, 200)
    elif change == "deleted":
        path.unlink()
    else:
        with path.open("r+b") as file:
            file.write(path.read_bytes())
    if change in ("replaced", "written"):  # clocks of file systems may be coarse
        os.utime(path, ns=(1, 1))
    for call in (map_npy, check_unchanged):
        with pytest.raises(SourceError, match="has changed") as caught:
            call(header)
        assert caught.value.path == str(path)
