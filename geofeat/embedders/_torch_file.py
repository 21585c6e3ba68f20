"""Files of torch.save (.ckpt, .pth, .pt): a zip archive of a pickle and of raw numbers."""

from __future__ import annotations

import io
import math
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from geofeat.embedders._state_pickle import Storage, TensorView, read_state_pickle
from geofeat.exceptions import CorruptFileError, LimitError

_MAX_MEMBERS = 10_000
_MAX_PICKLE_BYTES = 2**24
_MAX_READ = 2**22
# Tensors may share numbers, as where a network is listed twice; more often than this is a bomb.
_MAX_SHARING = 16
_MAX_ENTRIES = 100_000
_MAX_NAME = 1024
_STATE_KEYS = ("state_dict", "model_state_dict", "model")
_SETTINGS_KEYS = ("hyper_parameters", "params")


class _ModestReader(io.BufferedReader):
    """A file that zipfile reads in small pieces, save for a directory that is a bomb."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MAX_READ:
            raise LimitError(
                f"{self.name} lists its members in {size} bytes, the bound is {_MAX_READ}."
            )
        return super().read(size)


def read_torch_file(
    path: Path, wanted: Callable[[str], object]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read the state dictionary of a checkpoint, and the plain values beside it.

    Parameters
    ----------
    path : Path
        File in the zip format of torch.save.
    wanted : callable
        Whether the array of a name is read.

    Returns
    -------
    tensors : dict of str to ndarray
        Arrays that share memory where the tensors did.
    settings : dict
        Text and numbers found at the top, under "hyper_parameters" and under "params".

    Raises
    ------
    UnsafeFileError
        The pickle names anything but tensors and harmless containers.
    LimitError
        A bound would be passed.
    CorruptFileError, and what zipfile and NumPy raise
        A damaged file.
    """
    with _ModestReader(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
        members = _Members(path, archive)
        content = read_state_pickle(members.read("data.pkl", _MAX_PICKLE_BYTES).tobytes(), path)
        if not isinstance(content, dict):
            raise CorruptFileError(path, "holds no dictionary of arrays")
        inner = (content[key] for key in _STATE_KEYS if isinstance(content.get(key), dict))
        views = _named_tensors(next(inner, content), path)
        if not views:
            raise CorruptFileError(path, "holds no arrays")
        chosen = {name: view for name, view in views.items() if wanted(name)}
        return members.arrays(chosen), _settings(content)


def _named_tensors(state: dict[Any, Any], path: Path) -> dict[str, TensorView]:
    """Tensors of a state dictionary; names of dictionaries inside it are joined by dots.

    What is keyed by numbers is the state of an optimizer, and passed over.
    """
    views: dict[str, TensorView] = {}
    waiting = [("", state)]
    visited = 0
    while waiting:
        prefix, entries = waiting.pop()
        visited += len(entries)
        for key, value in entries.items():
            name = f"{prefix}{key}"
            # Dictionaries may hold themselves or each other, without an end.
            if visited > _MAX_ENTRIES or len(name) > _MAX_NAME:
                raise LimitError(
                    f"{path} has more than {_MAX_ENTRIES} entries, or names of more than "
                    f"{_MAX_NAME} characters, the bounds for checkpoints."
                )
            if isinstance(key, str) and isinstance(value, dict):
                waiting.append((f"{name}.", value))
            elif isinstance(key, str) and isinstance(value, TensorView):
                if name in views:
                    raise CorruptFileError(path, f"holds two arrays {name!r}")
                # Nor would a safetensors file take such a name.
                if not name.isprintable() or name == "__metadata__":
                    raise CorruptFileError(path, f"holds an array of the unusual name {name!r}")
                views[name] = value
    return views


def _settings(content: dict[Any, Any]) -> dict[str, Any]:
    """Text and numbers at the top of a checkpoint and in the dictionaries of its settings."""
    settings: dict[str, Any] = {}
    for entries in (content, *(content.get(key) for key in _SETTINGS_KEYS)):
        if isinstance(entries, dict):
            settings |= {
                key: value
                for key, value in entries.items()
                if isinstance(key, str) and (value is None or isinstance(value, str | int | float))
            }
    return settings


class _Members:
    """Members of an archive, checked before any is read."""

    def __init__(self, path: Path, archive: zipfile.ZipFile):
        self._path = path
        self._archive = archive
        members = archive.infolist()
        if len(members) > _MAX_MEMBERS:
            raise LimitError(f"{path} has {len(members)} members, the bound is {_MAX_MEMBERS}.")
        # All lie in one folder, named after the file that was once written.
        self._by_name = {member.filename.partition("/")[2]: member for member in members}
        folders = {member.filename.partition("/")[0] for member in members}
        if len(folders) != 1 or len(self._by_name) != len(members):
            raise CorruptFileError(path, "is a zip archive, but none of torch.save")
        if "data.pkl" not in self._by_name or "constants.pkl" in self._by_name:
            raise CorruptFileError(
                path, "is a zip archive of another kind than torch.save writes (a TorchScript?)"
            )
        if any(m.compress_type != zipfile.ZIP_STORED or m.flag_bits & 1 for m in members):
            raise CorruptFileError(path, "has compressed or encrypted members, torch writes none")
        # Members that overlap could claim many times what the file holds.
        self._n_bytes = path.stat().st_size
        if sum(member.file_size for member in members) > self._n_bytes:
            raise CorruptFileError(path, "has members that take more than the file")

    def read(self, name: str, bound: int | None = None) -> np.ndarray:
        """Return the bytes of a member; zipfile compares their CRC-32 sum at the end."""
        member = self._by_name.get(name)
        if member is None:
            raise CorruptFileError(self._path, f"lacks its member {name[:80]!r}")
        if bound is not None and member.file_size > bound:
            raise LimitError(
                f"{self._path}: {name} takes {member.file_size} bytes, the bound is {bound}."
            )
        content = np.empty(member.file_size, dtype=np.uint8)
        filled = 0
        with self._archive.open(member) as file:
            while piece := file.read(min(_MAX_READ, content.size - filled)):
                content[filled : filled + len(piece)] = np.frombuffer(piece, dtype=np.uint8)
                filled += len(piece)
        if filled != content.size:
            raise EOFError(f"{name} ends too early")
        return content

    def arrays(self, views: dict[str, TensorView]) -> dict[str, np.ndarray]:
        """Return the arrays of tensors, each storage read once."""
        storages = {view.storage.key: view.storage for view in views.values()}
        if any(storages[view.storage.key] != view.storage for view in views.values()):
            raise CorruptFileError(self._path, "takes the same numbers for two types")
        swap = sys.byteorder != "little"
        if "byteorder" in self._by_name:
            order = self.read("byteorder", 10).tobytes()
            if order not in {b"little", b"big"}:
                raise CorruptFileError(self._path, f"has the unknown byte order {order!r}")
            swap = order != sys.byteorder.encode()
        numbers = {key: self._numbers(storage, swap) for key, storage in storages.items()}
        n_bytes = sum(
            math.prod(view.shape) * numbers[view.storage.key].itemsize for view in views.values()
        )
        if n_bytes > _MAX_SHARING * self._n_bytes:
            raise LimitError(
                f"The arrays of {self._path} would take {n_bytes} bytes each on its own, the "
                f"bound is {_MAX_SHARING} times the size of the file."
            )
        return {name: _array(view, numbers[view.storage.key]) for name, view in views.items()}

    def _numbers(self, storage: Storage, swap: bool) -> np.ndarray:
        """Return the numbers of a storage."""
        content = self.read(f"data/{storage.key}")
        dtype = np.dtype("uint16" if storage.dtype == "bfloat16" else storage.dtype)
        if content.size != storage.length * dtype.itemsize:
            raise CorruptFileError(
                self._path,
                f"its storage {storage.key[:80]!r} has {content.size} bytes, expected "
                f"{storage.length} numbers of type {storage.dtype}",
            )
        if storage.dtype == "bool":
            return content != 0
        numbers = content.view(dtype)
        if swap:
            numbers.byteswap(inplace=True)
        return widened(numbers) if storage.dtype == "bfloat16" else numbers


def widened(numbers: np.ndarray) -> np.ndarray:
    """Turn bfloat16 numbers, given as uint16, into float32: they are its upper half."""
    wide = numbers.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def _array(view: TensorView, numbers: np.ndarray) -> np.ndarray:
    """Show a tensor; NumPy checks once more that it stays inside its storage."""
    size = numbers.itemsize
    if 0 in view.shape:
        return np.empty(view.shape, dtype=numbers.dtype)
    # The step along an axis of length one is never taken, and may be anything.
    strides = tuple(
        step * size if length > 1 else 0
        for length, step in zip(view.shape, view.strides, strict=True)
    )
    return np.ndarray(view.shape, numbers.dtype, numbers, view.offset * size, strides)
