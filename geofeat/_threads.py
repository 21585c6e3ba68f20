"""How many threads a call may use, and rows cut into slabs that run on them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import joblib
import numba

# Executors of the standard library (dask.threaded, our own) and of dask.distributed.
_POOL_THREAD_NAMES = ("ThreadPoolExecutor", "Dask", "geofeat")


def usable_threads() -> int:
    """Threads this call may use: ``numba.get_num_threads()`` within the process's cores.

    One inside a worker thread of joblib, dask or another pool, which already fills the cores.
    """
    if _in_pool_thread():
        return 1
    return max(1, min(numba.get_num_threads(), joblib.cpu_count()))


def _in_pool_thread() -> bool:
    thread = threading.current_thread()
    if thread is threading.main_thread():
        return False
    if thread.name.startswith(_POOL_THREAD_NAMES):
        return True
    backend, _ = joblib.parallel.get_active_backend()
    return bool(getattr(backend, "nesting_level", 0))


def run_slabs(work: Callable[[int, int], Any], n_rows: int, rows_per_slab: int) -> None:
    """Call ``work(start, stop)`` for slabs of rows, on the threads the call may use."""
    starts = range(0, n_rows, rows_per_slab)
    run_tasks(lambda start: work(start, min(start + rows_per_slab, n_rows)), starts)


def run_tasks(work: Callable[[Any], Any], tasks: Iterable[Any]) -> None:
    """Call ``work(task)`` for every task on threads made for this call.

    The first error stops what has not begun and is raised; Ctrl-C does the same.
    """
    tasks = list(tasks)
    threads = min(usable_threads(), len(tasks))
    if threads <= 1:
        for task in tasks:
            work(task)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="geofeat") as pool:
        futures = [pool.submit(work, task) for task in tasks]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
