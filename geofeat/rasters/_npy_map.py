"""NumPy files mapped into memory, or read by ranges, after their header has been checked."""

from __future__ import annotations

import io
import mmap
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from geofeat.exceptions import CorruptFileError, LimitError, SourceError, UnsafeFileError
from geofeat.rasters._header import file_stamp
from geofeat.rasters._remote import is_remote, remote_head

MAX_BYTES = 2**31
_MAX_HEADER_BYTES = 10_000
_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {(1, 0): 2, (2, 0): 4, (3, 0): 4}
# The header is Python text. Matched rather than evaluated, damaged text raises and warns nothing.
_FIELDS = re.compile(
    r"\{\s*'descr':\s*'(?P<dtype>[<>|=](?:O|[biufc]\d{1,2}))',\s*"
    r"'fortran_order':\s*(?P<fortran>True|False),\s*"
    r"'shape':\s*\((?P<shape>[0-9, ]*)\)\s*,?\s*\}\s*",
    re.ASCII,
)


class NpyHeader(NamedTuple):
    """What a .npy file holds and where its numbers start.

    ``stamp`` is what `geofeat.rasters._header.file_stamp` tells.
    """

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int
    stamp: tuple[int, int]

    @property
    def pixel_shape(self) -> tuple[int, int]:
        """Number of pixels, the first two axes, and of the numbers of each."""
        height, width, *rest = self.shape
        return height * width, rest[0] if rest else 1


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
    with _opened(path) as (file, stamp):
        try:
            found, fortran, shape = _read_fields(file)
        except (ValueError, TypeError) as error:
            raise CorruptFileError(path, f"is no readable .npy file: {error}") from error
        offset = file.tell()
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
    if offset + n_bytes != stamp[0]:
        raise CorruptFileError(
            path, f"is {stamp[0]} bytes long, its header announces {offset + n_bytes}: truncated?"
        )
    return NpyHeader(path, shape, dtype, offset, stamp)


@contextmanager
def _opened(path: str) -> Iterator[tuple[BinaryIO, tuple[int, int]]]:
    """Give the file, or the first bytes of a remote one, and its stamp."""
    if is_remote(path):
        yield io.BytesIO(remote_head(path, _MAX_HEADER_BYTES + 12)), file_stamp(path)
        return
    with Path(path).open("rb") as file:
        yield file, _stamp(file)


def map_npy(header: NpyHeader) -> np.memmap:
    """Map an array read-only; pages are loaded when touched, and no others with them.

    Raises
    ------
    SourceError
        The file is not the one whose header was read.
    """
    try:
        with Path(header.path).open("rb") as file:
            if _stamp(file) != header.stamp:
                raise _changed(header.path)
            array = np.memmap(
                file, dtype=header.dtype, mode="r", offset=header.offset, shape=header.shape
            )
    except FileNotFoundError as error:
        raise _changed(header.path) from error
    except SourceError:
        raise
    except ValueError as error:  # cut between the two lines above
        raise CorruptFileError(header.path, f"cannot be mapped: {error}") from error
    backing = getattr(array, "_mmap", None)
    if backing is not None and hasattr(mmap, "MADV_RANDOM"):
        backing.madvise(mmap.MADV_RANDOM)
    return array


def check_unchanged(header: NpyHeader) -> None:
    """Raise a `SourceError` when a file has been written, replaced or removed in the meantime."""
    try:
        stamp = file_stamp(header.path)
    except FileNotFoundError as error:
        raise _changed(header.path) from error
    if stamp != header.stamp:
        raise _changed(header.path)


def _changed(path: str) -> SourceError:
    return SourceError(path, "has changed while it was read; sample again once it is complete")


def _stamp(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def _read_fields(file: BinaryIO) -> tuple[np.dtype, bool, tuple[int, ...]]:
    """Type, Fortran order and shape; leaves the file where the numbers start."""
    start = file.read(8)
    if len(start) < 8 or not start.startswith(_MAGIC):
        raise ValueError("it does not start as one")
    width = _LENGTH_BYTES.get((start[6], start[7]))
    if width is None:
        raise ValueError(f"its version is {start[6]}.{start[7]}")
    length = int.from_bytes(file.read(width), "little")
    if length > _MAX_HEADER_BYTES:
        raise ValueError(f"its header takes {length} bytes, the bound is {_MAX_HEADER_BYTES}")
    text = file.read(length).decode("latin-1")
    fields = _FIELDS.fullmatch(text)
    if fields is None or len(text) < length:
        raise ValueError(f"its header says {text[:100]!r}")
    shape = tuple(int(size) for size in fields["shape"].split(",") if size.strip())
    return np.dtype(fields["dtype"]), fields["fortran"] == "True", shape
