"""Files that are complete from the moment they have their names."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path


def refuse_existing(path: Path) -> None:
    """Raise FileExistsError if there is such a file."""
    if path.exists():
        raise FileExistsError(f"{path} exists; overwrite=True replaces it.")


def write_whole(path: Path, content: bytes, *, overwrite: bool = True) -> None:
    """Write beside the file, then give it its name; what fails leaves nothing behind."""
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if not overwrite:
            refuse_existing(path)
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut, where the system knows how."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
