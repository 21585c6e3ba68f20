"""Layers: the dense layers of a network on one block of rows, in NumPy or another namespace."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from geofeat.kernels._activations import positive_part_of_sum, sine_of_mean, sine_of_sum


class Dense(NamedTuple):
    """Weight of shape (out, in), and bias of shape (out,) or None, both in the namespace."""

    weight: Any
    bias: Any = None


def in_precision(dense: Dense, dtype: Any, xp: Any) -> Dense:
    """Convert a layer, for inputs so few that more digits cost nothing."""
    return Dense(*(xp.astype(part, dtype, copy=False) for part in dense))


class Layers:
    """Apply layers block after block; in NumPy into buffers that are used again.

    One object serves one thread. `begin` starts a block: what the layers of the block before
    returned is overwritten from then on.

    Parameters
    ----------
    xp : module
        NumPy, or an array API namespace.
    """

    def __init__(self, xp: Any):
        self.xp = xp
        self._buffers: list[np.ndarray] = []
        self._taken = 0

    def begin(self) -> Layers:
        """Take all buffers back."""
        self._taken = 0
        return self

    def buffer(self, rows: int, width: int, dtype: Any) -> np.ndarray | None:
        """Uninitialised array of shape (rows, width); None outside NumPy."""
        if self.xp is not np:
            return None
        size = rows * width
        if self._taken == len(self._buffers):
            self._buffers.append(np.empty(0, dtype))
        buffer = self._buffers[self._taken]
        if buffer.size < size or buffer.dtype != dtype:
            buffer = self._buffers[self._taken] = np.empty(size, dtype)
        self._taken += 1
        return buffer[:size].reshape(rows, width)

    def sine(self, x: Any, dense: Dense, factor: float = 1.0) -> Any:
        """Compute ``sin(factor * (x @ weight.T + bias))``."""
        product = self._product(x, dense.weight)
        if self.xp is not np:
            return self.xp.sin(factor * (product + dense.bias))
        sine_of_sum(product, dense.bias.astype(np.float64), factor)
        return product

    def rectified(self, x: Any, dense: Dense) -> Any:
        """Compute ``max(x @ weight.T + bias, 0)``."""
        product = self._product(x, dense.weight)
        if self.xp is not np:
            return self.xp.clip(product + dense.bias, 0)
        positive_part_of_sum(product, dense.bias)
        return product

    def linear(self, x: Any, dense: Dense, out: np.ndarray | None = None) -> Any:
        """Compute ``x @ weight.T + bias``, into ``out`` if it is given."""
        product = self._product(x, dense.weight, out)
        if dense.bias is not None:
            product += dense.bias
        return product

    def add_sine(self, x: Any, dense: Dense) -> Any:
        """Add ``sin(x @ weight.T + bias)`` to ``x``, in NumPy in place, and return the sum."""
        if self.xp is not np:
            return x + self.sine(x, dense)
        taken = self._taken
        x += self.sine(x, dense)
        self._taken = taken
        return x

    def add_rectified(self, x: Any, first: Dense, second: Dense) -> Any:
        """Add two rectified layers of ``x`` to ``x``, in NumPy in place, and return the sum."""
        if self.xp is not np:
            return x + self.rectified(self.rectified(x, first), second)
        taken = self._taken
        x += self.rectified(self.rectified(x, first), second)
        self._taken = taken
        return x

    def sine_of_mean(self, x: Any, dense: Dense, state: Any) -> tuple[Any, Any]:
        """Sine of the mean of ``x @ weight.T + bias`` and ``state``, and this mean.

        ``x`` and ``state`` have one shape. In NumPy both are overwritten by the results.
        """
        if self.xp is not np:
            state = (self._product(x, dense.weight) + dense.bias + state) / 2
            return self.xp.sin(state), state
        taken = self._taken
        product = self._product(x, dense.weight)
        self._taken = taken
        sine_of_mean(product, dense.bias.astype(np.float64), state, x)
        return x, state

    def deliver(self, x: Any, out: np.ndarray | None) -> Any:
        """Copy ``x`` into ``out`` if it is given; return the one that holds the result."""
        if out is None:
            return x
        out[...] = x
        return out

    def _product(self, x: Any, weight: Any, out: np.ndarray | None = None) -> Any:
        if self.xp is not np:
            return self.xp.astype(x, weight.dtype) @ weight.T
        if out is None:
            out = self.buffer(x.shape[0], weight.shape[0], weight.dtype)
        return np.matmul(x, weight.T, out=out)
