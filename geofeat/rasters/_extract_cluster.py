"""Groups of an extraction on the workers of a `distributed` cluster."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from geofeat.rasters._extract_rows import GroupResult, RowChunk, RowJob, TileGroup, compute_kept

_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_WITHOUT_WORKERS = 120.0
# How often a group may be lost with its worker before the group is blamed.
_ATTEMPTS = 4


@dataclass
class _Chain:
    """Groups that read the same file, first the one in work; how often it lost its worker."""

    groups: deque[int]
    losses: int = 0


def dask_client(client: Any) -> Any:
    """Return the client that ``client`` means: itself, or with "dask" the current one.

    Raises
    ------
    ImportError
        Without the package distributed.
    TypeError
        For everything else, and for asynchronous clients.
    """
    try:
        import distributed
    except ImportError as error:
        raise ImportError(
            "extract(client=...) needs dask's distributed: pip install 'geofeat[dask]'"
        ) from error
    if isinstance(client, str) and client == "dask":
        client = distributed.get_client()
    if not isinstance(client, distributed.Client) or client.asynchronous:
        raise TypeError(
            "client must be a synchronous distributed.Client, or 'dask' for the current one, got "
            f"{client!r}"
        )
    return client


def compute_on_cluster(
    client: Any,
    job: RowJob,
    chains: Iterable[list[int]],
    load: Callable[[int], TileGroup | RowChunk],
    take: Callable[[GroupResult], None],
) -> None:
    """Compute groups on workers, those of a chain one after the other on the same worker.

    A worker that is lost has its chains taken over by another one. Results come to this process,
    which alone writes them.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    job : RowJob
        What is done with the rows.
    chains : iterable of list of int
        Numbers of groups.
    load : callable
        Reads a group.
    take : callable
        Is given each result, in any order.
    """
    _Dispatcher(client, job, chains, load, take).run()


class _Dispatcher:
    """Keeps each worker busy with chains of its own."""

    def __init__(
        self,
        client: Any,
        job: RowJob,
        chains: Iterable[list[int]],
        load: Callable[[int], TileGroup | RowChunk],
        take: Callable[[GroupResult], None],
    ):
        self._client = client
        self._job = job
        self._chains = iter(chains)
        self._all_begun = False
        self._orphans: deque[tuple[_Chain, TileGroup | RowChunk]] = deque()
        self._load = load
        self._take = take
        self._busy: dict[Any, tuple[str, _Chain, TileGroup | RowChunk]] = {}
        self._seen_worker = time.monotonic()

    def run(self) -> None:
        """Work off all chains."""
        try:
            self._assign()
            while self._busy or self._orphans or not self._all_begun:
                self._wait()
                self._drop_lost()
                self._assign()
        finally:
            self._client.cancel(list(self._busy), force=True)

    def _assign(self) -> None:
        """Give every worker a chain more than it has threads, so that none waits for data."""
        workers = self._client.nthreads()
        now = time.monotonic()
        if workers:
            self._seen_worker = now
        elif now - self._seen_worker > _SECONDS_WITHOUT_WORKERS:
            raise RuntimeError(
                f"the cluster has had no worker for {_SECONDS_WITHOUT_WORKERS:g} s; what is "
                "finished is kept: call extract again"
            )
        held = [worker for worker, _, _ in self._busy.values()]
        room = {worker: n + 1 - held.count(worker) for worker, n in workers.items()}
        while any(n > 0 for n in room.values()):
            worker = max(room, key=lambda name: room[name])
            found = self._next()
            if found is None:
                return
            self._submit(worker, *found)
            room[worker] -= 1

    def _next(self) -> tuple[_Chain, TileGroup | RowChunk] | None:
        if self._orphans:
            return self._orphans.popleft()
        numbers = next(self._chains, None)
        if numbers is None:
            self._all_begun = True
            return None
        return _Chain(deque(numbers)), self._load(numbers[0])

    def _submit(self, worker: str, chain: _Chain, group: TileGroup | RowChunk) -> None:
        future = self._client.submit(
            compute_kept, self._job, group, workers=[worker], pure=False, retries=0
        )
        self._busy[future] = worker, chain, group

    def _wait(self) -> None:
        """Take the results that have come."""
        from distributed import wait

        if not self._busy:  # until a worker comes
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            return
        seconds = _SECONDS_BETWEEN_LOOKS
        try:
            with self._client.as_current():
                waited = wait(list(self._busy), timeout=seconds, return_when="FIRST_COMPLETED")
        except TimeoutError:
            return
        for future in waited.done:
            self._finish(future)

    def _finish(self, future: Any) -> None:
        from asyncio import CancelledError

        from distributed import KilledWorker

        worker, chain, _ = self._busy[future]
        if future.status in ("cancelled", "lost"):
            self._lose(future)
            return
        try:
            result = future.result(timeout=10 * _SECONDS_BETWEEN_LOOKS)
        except TimeoutError:  # the worker went before its result was fetched
            return
        except (KilledWorker, CancelledError):
            self._lose(future)
            return
        del self._busy[future]
        future.release()
        self._take(result)
        chain.groups.popleft()
        chain.losses = 0
        if chain.groups:
            self._submit(worker, chain, self._load(chain.groups[0]))

    def _drop_lost(self) -> None:
        """Take chains back from workers that are gone."""
        workers = self._client.nthreads()
        for future, (worker, _, _) in list(self._busy.items()):
            if worker not in workers:
                self._lose(future)

    def _lose(self, future: Any) -> None:
        worker, chain, group = self._busy.pop(future)
        self._client.cancel([future], force=True)
        chain.losses += 1
        if chain.losses >= _ATTEMPTS:
            raise RuntimeError(
                f"{_ATTEMPTS} workers were lost while they computed group {group.number}, the "
                f"last one {worker}; have they enough memory?"
            )
        self._orphans.append((chain, group))
