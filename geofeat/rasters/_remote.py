"""Remote files: what they are, and their bytes, from the cache or over the network."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from geofeat.exceptions import CorruptFileError
from geofeat.rasters import _transport
from geofeat.rasters._addresses import Address, is_remote, join_url, resolve

__all__ = ["RemoteStamp", "is_remote", "join_url", "read_ranges", "remote_stamp"]

_HEAD_BYTES = 2**14


class RemoteStamp(NamedTuple):
    """What tells one state of a remote file from another.

    Attributes
    ----------
    size : int
        In bytes.
    tag : str
        Strong entity tag, or the time of the last change; empty if the server tells neither.
    """

    size: int
    tag: str


_stamps: dict[str, tuple[RemoteStamp, bytes]] = {}


def remote_stamp(url: str) -> RemoteStamp:
    """Size and tag of a remote file."""
    return _look_at(resolve(url))[0]


def read_ranges(url: str, ranges: Sequence[tuple[int, int]], *, keep: bool = True) -> list[bytes]:
    """Read byte ranges, each (offset, length), of a remote file."""
    address = resolve(url)
    stamp, head = _look_at(address)
    for offset, length in ranges:
        if offset < 0 or length < 0 or offset + length > stamp.size:
            raise CorruptFileError(
                address.shown,
                f"has {stamp.size} bytes, and {length} from byte {offset} on are needed: it is "
                "truncated, or its header is damaged",
            )
    found = {pair: head[pair[0] : sum(pair)] for pair in ranges if sum(pair) <= len(head)}
    missing = [pair for pair in dict.fromkeys(ranges) if pair not in found]

    def fetch(pair: tuple[int, int]) -> bytes:
        part = _transport.patiently(
            lambda: _transport.get_part(address, pair[0], sum(pair), {}), address
        )
        if (part.size, part.tag) != stamp:
            _stamps.pop(address.url, None)
            raise _transport.changed(address)
        return part.body

    if len(missing) < 2:
        found.update((pair, fetch(pair)) for pair in missing)
    else:
        with ThreadPoolExecutor(
            min(len(missing), _transport.IN_FLIGHT), thread_name_prefix="geofeat"
        ) as pool:
            found.update(zip(missing, pool.map(fetch, missing), strict=True))
    return [found[pair] for pair in ranges]


_lock = threading.Lock()


def _look_at(address: Address) -> tuple[RemoteStamp, bytes]:
    if address.url not in _stamps:
        part = _transport.patiently(
            lambda: _transport.get_part(address, 0, _HEAD_BYTES, {}), address
        )
        _stamps[address.url] = RemoteStamp(part.size, part.tag), part.body
    return _stamps[address.url]
