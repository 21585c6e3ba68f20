"""Areas of remote rasters fetched ahead of the one that is being decoded."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import numpy as np

from geofeat.rasters._remote_raster import Area, FetchedArea, remote_raster
from geofeat.rasters._transport import IN_FLIGHT

_AHEAD_BYTES = 2**25
_AHEAD_AREAS = 32


class Place(NamedTuple):
    """Part of a remote raster to be decoded at once, with or without the mask of the file."""

    url: str
    area: Area
    masked: bool


class _Cost(NamedTuple):
    n_bytes: int
    n_chunks: int


class AreaFetcher:
    """Fetches the areas that a call will read, in their order.

    Parameters
    ----------
    bands : int64 array
        Which bands are read, from 0.
    """

    def __init__(self, bands: np.ndarray):
        self._bands = bands
        self._waiting: deque[Place] = deque()
        self._begun: dict[Place, Future[FetchedArea]] = {}
        self._ahead: dict[Place, _Cost] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._failure: Future[FetchedArea] = Future()
        self._lock = threading.Lock()

    def expect(self, places: Sequence[Place]) -> None:
        """Set what will be taken next."""
        with self._lock:
            self._waiting = deque(places)

    def take(self, wanted: Place) -> FetchedArea:
        """Give an area; those behind it are on their way when this returns."""
        with self._lock:
            if wanted not in self._begun:
                self._waiting = deque(place for place in self._waiting if place != wanted)
                self._begin(wanted)
            self._ahead.pop(wanted, None)
            self._look_ahead()
            future = self._begun.pop(wanted)
        futures: tuple[Future[Any], ...] = (future, self._failure)
        wait(futures, return_when=FIRST_COMPLETED)
        return future.result() if future.done() else self._failure.result()

    def stop(self, error: BaseException) -> None:
        """Let no thread wait any longer: the call has failed, or was interrupted."""
        with self._lock:
            if not self._failure.done():
                self._failure.set_exception(error)
            self._waiting.clear()

    def close(self) -> None:
        """Drop what nobody took; requests that hang end by themselves."""
        if self._pool is not None:
            busy = self._failure.done() or bool(self._begun)
            self._pool.shutdown(wait=not busy, cancel_futures=True)
            self._pool = None

    def _look_ahead(self) -> None:
        while self._waiting and len(self._ahead) < _AHEAD_AREAS:
            if sum(cost.n_bytes for cost in self._ahead.values()) >= _AHEAD_BYTES:
                return
            if sum(cost.n_chunks for cost in self._ahead.values()) >= IN_FLIGHT:
                return
            try:
                self._begin(self._waiting.popleft())
            except Exception:
                return

    def _begin(self, wanted: Place) -> None:
        """Start to fetch an area, and note what it costs."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_AHEAD_AREAS + 8, thread_name_prefix="geofeat")
        raster = remote_raster(wanted.url)
        chunks = raster.chunks(wanted.area, self._bands, wanted.masked)
        self._ahead[wanted] = _Cost(
            raster.stored_bytes(wanted.area, self._bands, wanted.masked),
            sum(positions.size for _, positions in chunks),
        )
        self._begun[wanted] = self._pool.submit(
            raster.fetch, wanted.area, self._bands, wanted.masked, self._failure.done
        )
