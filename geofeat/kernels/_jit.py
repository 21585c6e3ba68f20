"""One way to compile kernels, with a disk cache that can never break an import."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numba

# NaN must survive, so never all of fastmath; these four leave NaN and infinities alone.
FASTMATH = {"contract", "reassoc", "arcp", "nsz"}


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a single-threaded kernel that releases the GIL and is cached on disk.

    Where no cache folder is writable the kernel is compiled in every process; a damaged cache
    file counts as absent and is written anew.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            dispatcher = numba.njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:  # numba finds no place for its cache
            return numba.njit(nogil=True, **options)(function)
        _survive_damage(dispatcher._cache)
        return dispatcher

    return decorate


def _survive_damage(cache: Any) -> None:
    load, save = cache.load_overload, cache.save_overload

    def load_overload(signature: Any, context: Any) -> Any:
        try:
            return load(signature, context)
        except Exception:
            with suppress(Exception):  # in a read-only folder the file stays as it is
                cache.flush()
            return None

    def save_overload(signature: Any, data: Any) -> None:
        with suppress(Exception):
            save(signature, data)

    cache.load_overload, cache.save_overload = load_overload, save_overload
