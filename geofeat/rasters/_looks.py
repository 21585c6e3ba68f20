"""Looks at remote files: size, tag and first bytes by one request, remembered for a day.

The published files never change under their names, and every answer tells the tag, so that a file
which was replaced after all is noticed when it is read on.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections import OrderedDict
from typing import NamedTuple

from geofeat._downloads import downloads_are_off
from geofeat.exceptions import DownloadError, SourceError
from geofeat.rasters import _block_cache
from geofeat.rasters._addresses import Address
from geofeat.rasters._credentials import get_part

HEAD_BYTES = 2**14
_TRUSTED_SECONDS = 24 * 3600
_DEAD_SECONDS = 600
_REMEMBERED_BYTES = 2**25


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


class Look(NamedTuple):
    """What a look at a file showed: stamp, first bytes, and when it was, in seconds."""

    stamp: RemoteStamp
    head: bytes
    time: float

    def is_enough(self, n_bytes: int, *, any_age: bool) -> bool:
        fresh = any_age or abs(time.time() - self.time) < _TRUSTED_SECONDS
        return fresh and len(self.head) >= min(n_bytes, self.stamp.size)


class _Memory:
    """Looks of one process, and a lock for each file being looked at.

    Of files not used for long, the first bytes are forgotten; stamps are small and stay.
    """

    def __init__(self) -> None:
        self.process = os.getpid()
        self._looks: OrderedDict[str, Look] = OrderedDict()
        self._without_head: dict[str, Look] = {}
        self._bytes = 0
        self._lock = threading.Lock()
        self._busy: dict[str, threading.Lock] = {}

    def get(self, url: str) -> Look | None:
        with self._lock:
            if url in self._looks:
                self._looks.move_to_end(url)
                return self._looks[url]
            return self._without_head.get(url)

    def put(self, url: str, look: Look) -> None:
        with self._lock:
            self._drop(url)
            self._looks[url] = look
            self._bytes += len(look.head)
            while self._bytes > _REMEMBERED_BYTES:
                oldest = next(iter(self._looks))
                stamp_only = self._looks[oldest]._replace(head=b"")
                self._drop(oldest)
                self._without_head[oldest] = stamp_only

    def drop(self, url: str) -> None:
        with self._lock:
            self._drop(url)

    def turn(self, url: str) -> threading.Lock:
        """Lock whose holder alone looks at a file."""
        with self._lock:
            if len(self._busy) > 2**14:
                self._busy = {u: lock for u, lock in self._busy.items() if lock.locked()}
            return self._busy.setdefault(url, threading.Lock())

    def _drop(self, url: str) -> None:
        self._without_head.pop(url, None)
        look = self._looks.pop(url, None)
        self._bytes -= 0 if look is None else len(look.head)


_memory = _Memory()


def forget() -> None:
    """Forget what this process knows of remote files; what lies on disk stays."""
    global _memory  # noqa: PLW0603 - one a process
    _memory = _Memory()


def replaced(address: Address) -> SourceError:
    """Error of a file that is not the one that was looked at; the next look is a new one."""
    _process_memory().drop(address.url)
    _block_cache.write_entry(_look_key(address), b"")
    return SourceError(
        address.shown, "has changed since the source looked at it; make the source anew"
    )


def _process_memory() -> _Memory:
    """Give the memory of this process: one made by fork starts anew."""
    if _memory.process != os.getpid():
        forget()
    return _memory


def look_at(address: Address, n_bytes: int) -> Look:
    """Stamp and at least ``n_bytes`` first bytes of a file, from memory, disk or server."""
    memory = _process_memory()
    any_age = downloads_are_off()
    look = memory.get(address.url)
    if look is not None and look.is_enough(n_bytes, any_age=any_age):
        return look
    with memory.turn(address.url):
        look = memory.get(address.url)
        if look is not None and look.is_enough(n_bytes, any_age=any_age):
            return look
        look = _kept_look(address) or look
        if look is None or not look.is_enough(n_bytes, any_age=any_age):
            look = _ask(address, max(n_bytes, HEAD_BYTES), look)
        memory.put(address.url, look)
    return look


def _ask(address: Address, n_bytes: int, before: Look | None) -> Look:
    """Look at a file on its server; a server out of reach leaves what was seen before."""
    try:
        part = get_part(address, 0, n_bytes)
    except DownloadError as error:
        if error.status is None and before is not None and before.is_enough(n_bytes, any_age=True):
            # Not asked again for each block that is read.
            return before._replace(time=time.time() - _TRUSTED_SECONDS + _DEAD_SECONDS)
        raise
    look = Look(RemoteStamp(part.size, part.tag), part.body, time.time())
    facts = {"size": part.size, "tag": part.tag, "time": look.time}
    _block_cache.write_entry(_look_key(address), json.dumps(facts).encode() + b"\n" + part.body)
    _block_cache.close_in_thread()
    return look


def _kept_look(address: Address) -> Look | None:
    """Look that the cache on disk holds; None if it holds none."""
    kept = _block_cache.read_entry(_look_key(address))
    _block_cache.close_in_thread()
    if not kept:
        return None
    facts, _, head = kept.partition(b"\n")
    try:
        told = json.loads(facts)
        return Look(RemoteStamp(int(told["size"]), str(told["tag"])), head, float(told["time"]))
    except (ValueError, KeyError, TypeError):  # written by another version
        return None


def _look_key(address: Address) -> str:
    return key_of("look", address.url)


def key_of(*parts: object) -> str:
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=20).hexdigest()
