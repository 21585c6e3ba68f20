"""Files in the safetensors format (.safetensors)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from geofeat.embedders._torch_file import widened
from geofeat.exceptions import CorruptFileError, LimitError

# Room for some forty thousand arrays.
_MAX_HEADER_BYTES = 2**22
_DTYPES = {"BOOL", "U8", "I8", "I16", "I32", "I64", "F16", "F32", "F64"}


def read_safetensors(
    path: Path, wanted: Callable[[str], object]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read the arrays of a file, and the text of its header.

    Parameters
    ----------
    path : Path
        File in the safetensors format.
    wanted : callable
        Whether the array of a name is read.

    Returns
    -------
    tensors : dict of str to ndarray
        Arrays; bfloat16 becomes float32.
    settings : dict of str to str
        What the header calls metadata.

    Raises
    ------
    LimitError
        A header longer than any network's.
    CorruptFileError, and what JSON raises
        A damaged file, or numbers of another type.
    """
    from safetensors import SafetensorError, safe_open

    with path.open("rb") as file:
        header_size = int.from_bytes(file.read(8), "little")
        if header_size > path.stat().st_size - 8:
            raise CorruptFileError(path, "is shorter than its header says")
        if header_size > _MAX_HEADER_BYTES:
            raise LimitError(
                f"{path} has a header of {header_size} bytes, the bound is {_MAX_HEADER_BYTES}."
            )
        header = file.read(header_size)
        try:
            # Checks that the arrays fill the file without holes and without overlap.
            content: Any = safe_open(path, framework="numpy")
        except SafetensorError as error:
            raise CorruptFileError(path, f"is damaged or incomplete: {error}") from error
        entries = json.loads(header)
        settings = entries.pop("__metadata__", {})
        if not entries:
            raise CorruptFileError(path, "holds no arrays")
        tensors = {}
        with content:
            for name in filter(wanted, entries):
                dtype = entries[name]["dtype"]
                if dtype == "BF16":
                    file.seek(8 + header_size + entries[name]["data_offsets"][0])
                    tensors[name] = _bfloat16(file, entries[name]["shape"])
                elif dtype in _DTYPES:
                    tensors[name] = content.get_tensor(name)
                else:
                    raise CorruptFileError(path, f"its array {name[:80]!r} has type {dtype}")
    return tensors, settings


def _bfloat16(file: BinaryIO, shape: list[int]) -> np.ndarray:
    """Read numbers that NumPy has no type for."""
    return widened(np.fromfile(file, "<u2", math.prod(shape)).reshape(shape))
