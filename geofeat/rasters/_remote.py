"""Remote files: what they are, and their bytes, from the cache or over the network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from geofeat.exceptions import CorruptFileError
from geofeat.rasters import _block_cache
from geofeat.rasters._addresses import Address, is_remote, join_url, resolve
from geofeat.rasters._credentials import get_part
from geofeat.rasters._file_download import fetch_file
from geofeat.rasters._looks import RemoteStamp, forget, key_of, look_at, replaced
from geofeat.rasters._transport import IN_FLIGHT, Halted, refuse_offline

__all__ = [
    "RemoteStamp",
    "fetch_file",
    "forget",
    "is_remote",
    "join_url",
    "read_ranges",
    "remote_head",
    "remote_stamp",
]


def remote_stamp(url: str) -> RemoteStamp:
    """Size and tag of a remote file.

    Parameters
    ----------
    url : str
        Address, of the schemes https, s3 or gs.

    Raises
    ------
    FileNotFoundError
        The server says that there is no such file.
    OfflineError
        Downloads are switched off, and the file was never looked at.
    DownloadError
        The server cannot be reached, refuses, or sends something else.
    """
    return look_at(resolve(url), 0).stamp


def remote_head(url: str, n_bytes: int) -> bytes:
    """First bytes of a remote file, at least so many where it has them; remembered."""
    return look_at(resolve(url), n_bytes).head


def read_ranges(
    url: str,
    ranges: Sequence[tuple[int, int]],
    *,
    keep: bool = True,
    halted: Halted | None = None,
) -> list[bytes]:
    """Read byte ranges of a remote file, many at a time.

    Parameters
    ----------
    url : str
        Address, of the schemes https, s3 or gs.
    ranges : sequence of (int, int)
        Offset and number of bytes of each; each missing one costs one request.
    keep : bool
        Whether to keep each range as an entry of the cache on disk.
    halted : callable
        Whether nobody waits for the bytes any more; asked before each new attempt.

    Returns
    -------
    parts : list of bytes
        In the order of ``ranges``, each of exactly the length asked for.

    Raises
    ------
    CorruptFileError
        A range reaches beyond the end of the file.
    SourceError
        The file was replaced since it was first looked at.
    FileNotFoundError, OfflineError, DownloadError
        As in `remote_stamp`.
    """
    address = resolve(url)
    look = look_at(address, 0)
    for offset, length in ranges:
        if offset < 0 or length < 0 or offset + length > look.stamp.size:
            raise CorruptFileError(
                address.shown,
                f"has {look.stamp.size} bytes, and {length} from byte {offset} on are needed: it "
                "is truncated, or its header is damaged",
            )
    found: dict[tuple[int, int], bytes] = {}
    for pair in dict.fromkeys(ranges):
        if sum(pair) <= len(look.head):
            found[pair] = look.head[pair[0] : sum(pair)]
        elif pair[1] == 0:
            found[pair] = b""
    try:
        # With size and tag in the key, files of one name are never mixed up.
        keys = {
            pair: key_of("range", address.url, *look.stamp, *pair)
            for pair in ranges
            if pair not in found
        }
        for pair, key in keys.items():
            if (kept := _block_cache.read_entry(key)) is not None and len(kept) == pair[1]:
                found[pair] = kept
        missing = [pair for pair in keys if pair not in found]
        fetched = _fetch_all(address, look.stamp, missing, halted)
        found.update(fetched)
        if keep:
            for pair, body in fetched.items():
                _block_cache.write_entry(keys[pair], body)
    finally:
        _block_cache.close_in_thread()
    return [found[pair] for pair in ranges]


def _fetch_all(
    address: Address,
    stamp: RemoteStamp,
    missing: list[tuple[int, int]],
    halted: Halted | None,
) -> dict[tuple[int, int], bytes]:
    """Fetch ranges on threads made for the call; the first error ends it."""
    if not missing:
        return {}
    refuse_offline(address)
    stop = threading.Event()

    def over() -> bool:
        return stop.is_set() or (halted is not None and halted())

    def fetch(pair: tuple[int, int]) -> bytes:
        part = get_part(address, pair[0], sum(pair), bulk=True, halted=over, expected=stamp)
        if (part.size, part.tag) != stamp:
            raise replaced(address)
        return part.body

    return dict(zip(missing, _on_threads(fetch, missing, stop), strict=True))


def _on_threads(
    fetch: Callable[[tuple[int, int]], bytes],
    missing: list[tuple[int, int]],
    stop: threading.Event,
) -> list[bytes]:
    if len(missing) == 1:
        return [fetch(missing[0])]
    pool = ThreadPoolExecutor(min(len(missing), IN_FLIGHT), thread_name_prefix="geofeat")
    try:
        bodies = list(pool.map(fetch, missing))
    except BaseException as error:
        # Requests that wait for bytes end by themselves; nobody waits for them after Ctrl-C.
        stop.set()
        pool.shutdown(wait=isinstance(error, Exception), cancel_futures=True)
        raise
    pool.shutdown()
    return bodies
