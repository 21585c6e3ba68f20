"""Matrix products on one thread each, while blocks of rows run on threads of ours."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController

_holder = threading.Lock()


@cache
def _controller() -> ThreadpoolController:
    """Look through the loaded libraries once; that takes some milliseconds."""
    return ThreadpoolController()


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Limit NumPy's BLAS to one thread.

    The limit holds for the process: products of other threads are as right as before, and slower
    for the moment. Only one caller at a time sets it and takes it back, since a second one would
    take the first one's limit for the state to restore; others rely on it while it lasts.
    """
    if not _holder.acquire(blocking=False):
        yield
        return
    try:
        with _controller().limit(limits=1, user_api="blas"):
            yield
    finally:
        _holder.release()
