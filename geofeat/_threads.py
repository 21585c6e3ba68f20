"""How many threads a call may use, and rows cut into slabs that run on them."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import joblib
import numba

# Executors of the standard library (dask.threaded, our own).
_POOL_THREAD_NAMES = ("ThreadPoolExecutor", "geofeat")
# Those of dask.distributed, after the name of their worker: "0-Dask-Default-Threads-17218-0".
_DISTRIBUTED = "Dask-"
# Marks a thread that works off its own call's tasks: a call inside a task stays in its thread.
_caller = threading.local()


def usable_threads() -> int:
    """Threads this call may use: ``numba.get_num_threads()`` within the process's cores.

    One inside a worker thread of joblib, dask or another pool, which already fills the cores.
    """
    if in_pool_thread():
        return 1
    return max(1, min(numba.get_num_threads(), _cores()))


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity else os.cpu_count()
    return _cores_within(allowed, os.environ.get("LOKY_MAX_CPU_COUNT"))


@lru_cache(maxsize=8)
def _cores_within(allowed: int | None, ceiling: str | None) -> int:
    """Cores after joblib, which also reads the container's quota; that takes 0.1 ms a time."""
    return int(joblib.cpu_count())


def in_pool_thread() -> bool:
    """Whether the calling thread is one of several workers, here or in another pool."""
    if getattr(_caller, "working", False):
        return True
    thread = threading.current_thread()
    if thread is threading.main_thread():
        return False
    if thread.name.startswith(_POOL_THREAD_NAMES) or _DISTRIBUTED in thread.name:
        return True
    backend, _ = joblib.parallel.get_active_backend()
    return bool(getattr(backend, "nesting_level", 0))


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep the calls inside to the calling thread, whatever its name and process."""
    before = getattr(_caller, "working", False)
    _caller.working = True
    try:
        yield
    finally:
        _caller.working = before


def run_slabs(work: Callable[[int, int], Any], n_rows: int, rows_per_slab: int) -> None:
    """Call ``work(start, stop)`` for slabs of rows, on the threads the call may use."""
    starts = range(0, n_rows, rows_per_slab)
    run_tasks(lambda start: work(start, min(start + rows_per_slab, n_rows)), starts)


def run_tasks(work: Callable[[Any], Any], tasks: Iterable[Any], *, at_once: int = 1) -> None:
    """Call ``work(task)`` for every task, in the calling thread and in threads made for this call.

    The first error stops what has not begun and is raised; Ctrl-C does the same. ``at_once`` asks
    for more threads than there are cores, for work that mostly waits.
    """
    pending = deque(tasks)
    threads = min(max(usable_threads(), at_once), len(pending))
    if threads <= 1:
        for task in pending:
            work(task)
        return

    def work_off() -> None:
        try:
            while True:
                try:
                    task = pending.popleft()
                except IndexError:
                    return
                work(task)
        except BaseException:
            pending.clear()
            raise

    with ThreadPoolExecutor(threads - 1, thread_name_prefix="geofeat") as pool:
        try:
            others = [pool.submit(work_off) for _ in range(threads - 1)]
            _caller.working = True
            work_off()
            for other in others:
                other.result()
        except BaseException:
            pending.clear()
            raise
        finally:
            _caller.working = False
