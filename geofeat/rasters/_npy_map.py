"""NumPy files mapped into memory after their header has been checked."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import NamedTuple

import numpy as np

from geofeat.exceptions import CorruptFileError, LimitError, UnsafeFileError

MAX_BYTES = 2**31


class NpyHeader(NamedTuple):
    """What a .npy file holds and where its numbers start."""

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int


def read_npy_header(path: str, dtype: np.dtype, n_dims: tuple[int, ...]) -> NpyHeader:
    """Check that a file holds a C-ordered array of one type and a permitted number of axes.

    Raises
    ------
    CorruptFileError
        Wrong format, type, order, axes, or a length that the header does not account for.
    UnsafeFileError
        The file holds Python objects.
    LimitError
        The array is larger than 2 GiB.
    """
    size = Path(path).stat().st_size
    try:
        with Path(path).open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, fortran, found = read(file)
            offset = file.tell()
    except (ValueError, KeyError, EOFError, SyntaxError, RecursionError) as error:
        raise CorruptFileError(path, f"is no readable .npy file: {error}") from error
    if found.hasobject:
        raise UnsafeFileError(path, "holds Python objects, which are never loaded")
    if found != dtype or fortran or len(shape) not in n_dims or min(shape, default=0) < 1:
        order = "Fortran" if fortran else "C"
        raise CorruptFileError(
            path,
            f"holds {found} numbers of shape {shape} in {order} order, expected {dtype} with "
            f"{' or '.join(map(str, n_dims))} axes in C order",
        )
    n_bytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if n_bytes > MAX_BYTES:
        raise LimitError(f"{path} holds {n_bytes} bytes, the bound for one array is {MAX_BYTES}.")
    if offset + n_bytes != size:
        raise CorruptFileError(
            path, f"is {size} bytes long, its header announces {offset + n_bytes}: truncated?"
        )
    return NpyHeader(path, shape, dtype, offset)


def map_npy(header: NpyHeader) -> np.memmap:
    """Map an array read-only; pages are loaded when touched, and no others with them."""
    array = np.memmap(
        header.path, dtype=header.dtype, mode="r", offset=header.offset, shape=header.shape
    )
    backing = getattr(array, "_mmap", None)
    if backing is not None and hasattr(mmap, "MADV_RANDOM"):
        backing.madvise(mmap.MADV_RANDOM)
    return array
