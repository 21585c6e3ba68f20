"""Files that are complete from the moment they have their names."""

from __future__ import annotations

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_STALE_SECONDS = 24 * 3600


def refuse_existing(path: Path) -> None:
    """Raise FileExistsError if there is such a file."""
    if path.exists():
        raise FileExistsError(f"{path} exists; overwrite=True replaces it.")


def write_whole(path: Path, content: bytes, *, overwrite: bool = True) -> None:
    """Write beside the file, then give it its name; what fails leaves nothing behind."""
    with writing_whole(path, overwrite=overwrite) as file:
        file.write(content)


@contextmanager
def writing_whole(path: Path, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Open a file beside ``path`` that gets its name when the context ends well.

    Whoever is in the context checks what was written: an error there leaves nothing behind.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if not overwrite:
            refuse_existing(path)
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink()
    sync_folder(path.parent)


def remove_stale(folder: Path) -> None:
    """Remove what processes that were killed a day ago or earlier left behind."""
    for leftover in folder.glob(".*.tmp"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
                leftover.unlink()


def explain_cache_trouble(error: OSError, folder: Path, n_bytes: int) -> OSError:
    """Say that geofeat's cache folder is meant and how to choose another one."""
    advice = "set GEOFEAT_CACHE to a folder that can be written"
    if error.errno == errno.ENOSPC:
        try:
            free = str(shutil.disk_usage(folder).free)
        except OSError:
            free = "fewer"
        message = f"no space left: {n_bytes} bytes needed, {free} free; {advice} and is larger"
        return OSError(errno.ENOSPC, message, str(folder))
    message = f"geofeat's cache folder cannot be written ({error.strerror}); {advice}"
    kind = PermissionError if error.errno == errno.EROFS else OSError
    return kind(error.errno, message, str(folder))


def sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut, where the system knows how."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
