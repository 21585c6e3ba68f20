"""Zarr stores on disk and, read by byte ranges, on servers."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from geofeat._downloads import without_secrets
from geofeat.exceptions import CorruptFileError, GeofeatError, LimitError
from geofeat.rasters._remote import is_remote, join_url, read_ranges, remote_stamp

# Indices of shards stay in memory up to this much: each serves every chunk of its shard.
_INDEX_BYTES = 2**26
_METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
_MAX_METADATA_BYTES = 2**24
# A chunk as it is stored; what it decodes to has a bound of its own.
_MAX_PART_BYTES = 2**28


def open_node(address: Any) -> Any:
    """Open the group or array of Zarr at a path or URL, or in a store of zarr-python.

    Raises
    ------
    FileNotFoundError
        There is none.
    CorruptFileError
        Its metadata cannot be read.
    """
    try:
        import zarr
    except ImportError as error:
        raise ImportError("reading Zarr needs zarr: pip install 'geofeat[zarr]'") from error
    store = address
    if isinstance(address, str | os.PathLike):
        path = os.fspath(address)
        if is_remote(path):
            store = _store_on_server()(path.rstrip("/"))
        elif not Path(path).is_dir():
            raise FileNotFoundError(f"{path} does not exist")
        else:
            store = path
    try:
        return zarr.open(store, mode="r")
    except FileNotFoundError as error:
        shown = shown_address(address)
        raise FileNotFoundError(f"{shown} holds no group or array of Zarr") from error
    except (GeofeatError, OSError):
        raise
    except Exception as error:
        shown = shown_address(address)
        raise CorruptFileError(shown, f"cannot be opened as Zarr: {error}") from error


@contextmanager
def reading_metadata(path: str) -> Iterator[None]:
    """Name the store in errors of zarr."""
    try:
        yield
    except (GeofeatError, OSError):
        raise
    except Exception as error:  # zarr and its codecs each have errors of their own
        raise CorruptFileError(path, f"cannot be read as Zarr: {error}") from error


def shown_address(address: Any) -> str:
    """Address for messages, without user names and passwords."""
    text = os.fspath(address) if isinstance(address, str | os.PathLike) else str(address)
    return without_secrets(text) if is_remote(text) else text


def looks_like_zarr(path: str) -> bool:
    """Whether a path ends in ``.zarr``, or is a folder with the metadata of a group or array."""
    if path.rstrip("/").lower().endswith(".zarr"):
        return True
    return any((Path(path) / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))


class _KeysOnServer:
    """Keys below a URL, read only: the half of a store of Zarr that needs no zarr.

    What the cache of remote files keeps is not asked for twice.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = False

    def __init__(self, url: str):
        super().__init__(read_only=True)  # type: ignore[call-arg]
        self.url = url
        self._indices: dict[tuple[str, int], asyncio.Future[bytes | None]] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _KeysOnServer) and other.url == self.url

    def __hash__(self) -> int:
        return hash(self.url)

    def __str__(self) -> str:
        return self.url

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        if hasattr(byte_range, "suffix"):
            body = await self._index(key, byte_range)
        else:
            body = await _in_thread(lambda: _read(self.url, key, byte_range))
        return None if body is None else prototype.buffer.from_bytes(body)

    async def get_partial_values(
        self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]
    ) -> list[Any]:
        return await asyncio.gather(*(self.get(k, prototype, part) for k, part in key_ranges))

    async def exists(self, key: str) -> bool:
        return await _in_thread(lambda: _read(self.url, key, None)) is not None

    async def _refuse(self, *arguments: Any) -> None:
        raise NotImplementedError(f"{self.url} is read key by key")

    set = delete = list = list_prefix = list_dir = _refuse

    async def _index(self, key: str, part: Any) -> bytes | None:
        """Read the end of a file, where shards have their index: once for all who ask."""
        name = key, part.suffix
        if name not in self._indices:
            while sum(size for _, size in [*self._indices, name]) > _INDEX_BYTES and self._indices:
                del self._indices[next(iter(self._indices))]
            self._indices[name] = asyncio.ensure_future(
                _in_thread(lambda: _read(self.url, key, part))
            )
        try:
            return await asyncio.shield(self._indices[name])
        except BaseException:
            self._indices.pop(name, None)
            raise


@cache
def _store_on_server() -> Any:
    """Class of stores over a network: it has a base that is imported when first needed."""
    from zarr.abc.store import Store

    return type("StoreOnServer", (_KeysOnServer, Store), {})


def _read(base: str, key: str, part: Any) -> bytes | None:
    """Bytes of a key, or the part of them that is asked for; None where the server has no key."""
    url = join_url(base, key)
    try:
        size = remote_stamp(url).size
        if size > _MAX_METADATA_BYTES and key.rpartition("/")[2] in _METADATA:
            raise LimitError(
                f"{without_secrets(url)} has {size} bytes, the bound of metadata is "
                f"{_MAX_METADATA_BYTES}; copy the store here."
            )
        if part is None:
            start, stop = 0, size
        elif hasattr(part, "suffix"):
            start, stop = max(size - part.suffix, 0), size
        elif hasattr(part, "offset"):
            start, stop = min(part.offset, size), size
        else:
            start, stop = part.start, min(part.end, size)
        if stop - start > _MAX_PART_BYTES:
            raise LimitError(
                f"{stop - start} bytes of {without_secrets(url)} are one chunk, the bound is "
                f"{_MAX_PART_BYTES}; copy the store here, or rewrite it with smaller chunks."
            )
        return read_ranges(url, [(start, stop - start)])[0]
    except FileNotFoundError:
        return None


async def _in_thread(work: Callable[[], bytes | None]) -> bytes | None:
    """Wait for work that blocks, in a thread of its own: none is kept, so none is left behind."""
    future: Future[bytes | None] = Future()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="geofeat-fetch", daemon=True).start()
    return await asyncio.wrap_future(future)
