"""NumPy archives (.npz) of plain arrays, checked before they are read."""

from __future__ import annotations

import errno
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from geofeat.exceptions import CorruptFileError, LimitError, UnsafeFileError

_MAX_BYTES = 2**31
_MAX_MEMBERS = 1000
_MAX_RATIO = 200
_HEADERS: dict[tuple[int, int], Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# What zipfile, zlib and NumPy raise on damaged bytes.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    tokenize.TokenError,
    EOFError,
    MemoryError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


def is_npz(path: Path) -> bool:
    """Whether a file is a zip archive that starts with an array, as opposed to a checkpoint."""
    try:
        with _opened(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist()[:1])
    except CorruptFileError:
        return False


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of an archive.

    Raises
    ------
    CorruptFileError
        A member that is damaged or no array.
    UnsafeFileError
        A member that holds Python objects.
    LimitError
        More members or bytes than any model has.
    """
    arrays = {}
    with _opened(path) as archive:
        members = archive.infolist()
        if len(members) > _MAX_MEMBERS:
            raise LimitError(f"{path} has {len(members)} members, the bound is {_MAX_MEMBERS}.")
        for member in members:
            _check_size(path, member)
            arrays[member.filename.removesuffix(".npy")] = _read_member(path, archive, member)
    return arrays


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive; damage that shows meanwhile is a CorruptFileError."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (CorruptFileError, LimitError):
        raise
    except _DAMAGE as error:
        raise CorruptFileError(path, f"is no readable .npz archive: {error}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # of a damaged offset
            raise
        raise CorruptFileError(path, "is no readable .npz archive: an offset is wrong") from error


def _check_size(path: Path, member: zipfile.ZipInfo) -> None:
    size = member.file_size
    if size > _MAX_BYTES or size > _MAX_RATIO * max(member.compress_size, 1):
        raise LimitError(
            f"{path}: {member.filename} takes {size} bytes, the bounds are {_MAX_BYTES} bytes and "
            f"{_MAX_RATIO} times its compressed size."
        )


def _read_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Read an array whose header accounts for every byte of the member."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"{member.filename} has format version {version}")
        shape, _, dtype = _HEADERS[version](file)
        if dtype.hasobject:
            raise UnsafeFileError(path, f"{member.filename} holds Python objects, never loaded")
        if file.tell() + math.prod(shape) * dtype.itemsize != member.file_size:
            raise ValueError(f"{member.filename} is not as long as its header says")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
