"""Products of every column of one table with every column of another, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np

from geofeat.kernels._jit import njit


def row_products(left: Any, right: Any, xp: Any, *, out: np.ndarray | None = None) -> Any:
    """Outer product of the rows of two tables, shape (n, n_left * n_right).

    Column ``a * n_right + b`` is ``left[:, a] * right[:, b]``.

    Parameters
    ----------
    left, right : array of shape (n, n_left), (n, n_right)
        In namespace ``xp``.
    xp : module
        NumPy for the compiled kernel, else an array API namespace.
    out : ndarray of shape (n, n_left * n_right), optional
        Filled and returned. NumPy only.
    """
    if xp is not np:
        return xp.reshape(left[:, :, None] * right[:, None, :], (left.shape[0], -1))
    if out is None:
        out = np.empty((left.shape[0], left.shape[1] * right.shape[1]), dtype=left.dtype)
    _row_products_cpu(left, right, out)
    return out


@njit()
def _row_products_cpu(left: Any, right: Any, out: Any) -> None:
    width = right.shape[1]
    for i in range(out.shape[0]):
        for a in range(left.shape[1]):
            for b in range(width):
                out[i, a * width + b] = left[i, a] * right[i, b]
