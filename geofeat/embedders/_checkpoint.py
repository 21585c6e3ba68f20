"""Weights of networks, read from files of others without running anything they hold."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from geofeat.embedders._safetensors_file import read_safetensors
from geofeat.embedders._torch_file import read_torch_file
from geofeat.exceptions import CorruptFileError, GeofeatError, LimitError, UnsafeFileError

_MAX_BYTES = 2**32
_TORCH_SUFFIXES = (".ckpt", ".pth", ".pt", ".bin", ".pth.tar")
_SAFETENSORS_SUFFIXES = (".safetensors",)
# What zipfile, pickletools, JSON and NumPy raise on damaged bytes.
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    # pickletools warns of escapes in names, which has to be no error to be one where warnings are.
    Warning,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


class Checkpoint(NamedTuple):
    """What is kept of a checkpoint: its arrays by name, and the text and numbers beside them."""

    tensors: dict[str, np.ndarray]
    settings: dict[str, Any]


def read_checkpoint(path: Path, wanted: Callable[[str], object] = lambda name: True) -> Checkpoint:
    """Read the arrays of a checkpoint, without torch and without unpickling.

    Two formats are read: safetensors, and the zip archives of torch.save with default settings.
    The content decides, and the extension has to agree. Of a torch file the state dictionary is
    read: what lies under "state_dict", "model_state_dict" or "model", else the whole. The names of
    dictionaries inside it are joined by dots. States of optimizers are left out.

    Parameters
    ----------
    path : Path
        File to read.
    wanted : callable, default=all
        Takes the name of an array, and tells whether it is read.

    Returns
    -------
    checkpoint : Checkpoint
        Arrays, of the types of the file (bfloat16 becomes float32), and settings: text and numbers
        found at the top of a torch file, under its "hyper_parameters" and its "params", or the
        metadata of a safetensors file.

    Raises
    ------
    CorruptFileError
        A file that is damaged, or in another format than it should be.
    UnsafeFileError
        A file that could run code when read by torch.
    LimitError
        A bound that the file would pass: 4 GiB, and less for its lists of contents.
    OSError
        A file that cannot be opened.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise CorruptFileError(path, "is no file")
    if status.st_size > _MAX_BYTES:
        raise LimitError(
            f"{path} has {status.st_size} bytes, the bound for checkpoints is {_MAX_BYTES}. "
            "Save the arrays of the location network alone, as .safetensors."
        )
    with path.open("rb") as file:
        read = _reader(path, file.read(512))
    try:
        return Checkpoint(*read(path, wanted))
    except GeofeatError:
        raise
    except _DAMAGE as error:
        raise CorruptFileError(
            path,
            "is damaged or incomplete (was its download cut short?): "
            f"{error or type(error).__name__}",
        ) from error


def _reader(
    path: Path, start: bytes
) -> Callable[..., tuple[dict[str, np.ndarray], dict[str, Any]]]:
    """Choose what reads a file by its first bytes, and hold its name to them."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        raise CorruptFileError(path, "is empty")
    if text.startswith((b"<!doctype html", b"<html", b"<head")):
        raise CorruptFileError(path, "is a web page (a login or error page?), no checkpoint")
    if text.startswith(b"version https://git-lfs"):
        raise CorruptFileError(
            path, "is a pointer of git-lfs, not the file it points to: run git lfs pull"
        )
    # The length of the header, below 4 GiB, then its first bracket.
    if start[4:9] == b"\0\0\0\0{":
        _hold_name_to(path, "a safetensors file", _SAFETENSORS_SUFFIXES)
        return read_safetensors
    if start.startswith(b"PK\x03\x04"):
        _hold_name_to(path, "a zip archive, as torch.save writes", _TORCH_SUFFIXES)
        return read_torch_file
    if start[:1] == b"\x80" and start[1:2] in {b"\2", b"\3", b"\4", b"\5"}:
        raise UnsafeFileError(
            path,
            "is a bare pickle, as torch before 1.6 wrote and as any program may write: reading it "
            "runs what it holds, so it is never read. Where you trust it, load it with torch "
            "(torch.load(path, weights_only=True)) and save it again",
        )
    raise CorruptFileError(
        path,
        "is neither a safetensors file nor a zip archive of torch.save: it starts with "
        f"{start[:16]!r}",
    )


def _hold_name_to(path: Path, kind: str, suffixes: tuple[str, ...]) -> None:
    if not path.name.lower().endswith(suffixes):
        raise CorruptFileError(
            path, f"is {kind}, and its name does not end in {' or '.join(suffixes)}"
        )
