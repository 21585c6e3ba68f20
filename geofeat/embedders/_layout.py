"""Layout: the arrays of a checkpoint, taken one by one and checked against what a network needs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from geofeat.embedders._layers import Dense
from geofeat.exceptions import CorruptFileError


class Layout:
    """Take arrays by name, with their shapes checked; `finish` refuses what nobody took.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        Arrays of one network.
    source : str
        Where they come from, for messages.
    dtype : dtype
        What the arrays are converted to.
    settings : mapping
        What else the checkpoint tells of the network.
    """

    def __init__(
        self,
        tensors: Mapping[str, np.ndarray],
        source: str,
        dtype: Any,
        settings: Mapping[str, Any] = MappingProxyType({}),
    ):
        self._tensors = dict(tensors)
        self.source = source
        self.settings = settings
        self._dtype = dtype
        self._taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def array(self, name: str, *shape: int | None, dtype: Any = None) -> np.ndarray:
        """Return one array; None in ``shape`` stands for any length, as ``dtype`` for the usual."""
        if name not in self._tensors:
            held = ", ".join(sorted(self._tensors)[:8])
            raise CorruptFileError(self.source, f"holds no array {name!r}, but {held}, ...")
        values = self._tensors[name]
        fits = len(values.shape) == len(shape) and all(
            wanted is None or length == wanted
            for length, wanted in zip(values.shape, shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("any" if length is None else str(length) for length in shape)
            raise CorruptFileError(
                self.source, f"array {name!r} has shape {values.shape}, expected ({wanted})"
            )
        if values.dtype.kind != "f" or not np.isfinite(values).all():
            raise CorruptFileError(self.source, f"array {name!r} holds numbers that are not finite")
        self._taken.add(name)
        return np.ascontiguousarray(values, dtype=dtype or self._dtype)

    def dense(
        self,
        name: str,
        inputs: int | None = None,
        *,
        outputs: int | None = None,
        bias: bool = True,
    ) -> Dense:
        """Return the layer of ``name.weight`` and ``name.bias``; None takes any number."""
        weight = self.array(f"{name}.weight", outputs, inputs)
        return Dense(weight, self.array(f"{name}.bias", weight.shape[0]) if bias else None)

    def finish(self) -> None:
        """Raise CorruptFileError when an array is left that nobody took."""
        if left := sorted(self._tensors.keys() - self._taken):
            raise CorruptFileError(
                self.source,
                f"holds {len(left)} arrays that this network does not have: {', '.join(left[:8])}",
            )
