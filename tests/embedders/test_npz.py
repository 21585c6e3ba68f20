"""Archives of arrays give the right arrays or the stated error, whatever bytes they hold."""

import io
import os
import time
import zipfile

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from geofeat.embedders._weights import load_weights
from geofeat.exceptions import CorruptFileError, LimitError, UnsafeFileError


def npz(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


@pytest.fixture
def database(caches, tiny):
    tiny(keys="(locs)")
    path = caches / "db.npz"

    def load(content):
        path.write_bytes(content)
        os.utime(path, ns=(0, time.monotonic_ns()))
        return load_weights("tiny", weights=path).tensors["locs"]

    return load


@pytest.mark.parametrize("order", ["C", "F"])
def test_archives_of_arrays_are_read(database, order):
    locs = np.random.default_rng(1).normal(size=(50, 2)).astype(np.float32, order=order)
    assert_array_equal(database(npz(locs=locs)), locs)


def test_python_objects_in_an_archive_are_refused(database):
    with pytest.raises(UnsafeFileError, match="Python objects"):
        database(npz(locs=np.array([{}, []], dtype=object)))


def test_a_bomb_in_an_archive_is_refused(database):
    with pytest.raises(LimitError, match="200 times"):
        database(npz(locs=np.zeros(1_000_000)))


def test_a_header_that_promises_more_than_the_file_holds(database):
    member = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (2**40,)}
    np.lib.format.write_array_header_1_0(member, header)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("locs.npy", member.getvalue() + b"0" * 80)
    with pytest.raises(CorruptFileError, match="as long as its header says"):
        database(file.getvalue())


def test_damaged_archives_give_an_error_or_the_right_arrays(database):
    locs = np.random.default_rng(1).normal(size=(50, 2))
    content = npz(locs=locs)
    rng = np.random.default_rng(2)
    for _ in range(300):
        damaged = bytearray(content)
        if rng.random() < 0.3:
            del damaged[rng.integers(len(damaged)) :]
        else:
            for position in rng.integers(len(damaged), size=rng.integers(1, 4)):
                damaged[position] = rng.integers(256)
        try:
            assert_array_equal(database(bytes(damaged)), locs)
        except (CorruptFileError, LimitError):
            continue
