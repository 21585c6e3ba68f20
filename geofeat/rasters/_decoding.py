"""Stored numbers -> float32 values, NaN where nothing is stored: one rule a product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from geofeat.exceptions import RasterMismatchError

RULES = ("none", "scale_offset", "aef")
AEF_NODATA = -128


class BandDecoder(NamedTuple):
    """How the bands asked for become numbers.

    Either ``tables``, float32 of shape (bands, 256) by the stored byte, or ``nodata``, ``scales``
    and ``offsets`` of shape (bands,) for wider types.
    """

    tables: np.ndarray | None
    nodata: np.ndarray
    scales: np.ndarray
    offsets: np.ndarray

    def decode(self, raw: np.ndarray) -> np.ndarray:
        """Float32 values of raw numbers, shape (bands, k); what float32 cannot hold is infinite."""
        if self.tables is not None:
            index = np.ascontiguousarray(raw).view(np.uint8)
            return np.take_along_axis(self.tables, index.astype(np.intp), axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            if (self.scales == 1).all() and (self.offsets == 0).all():
                values = raw.astype(np.float32)
            else:
                exact = raw.astype(np.float64) * self.scales[:, None] + self.offsets[:, None]
                values = exact.astype(np.float32)
            # A file stores the nodata value rounded to its own type.
            stored = self.nodata.astype(raw.dtype) if raw.dtype.kind == "f" else self.nodata
        values[raw == stored[:, None]] = np.nan
        return values


def aef_table() -> np.ndarray:
    """Value of each stored AlphaEarth byte: sign(q) (q / 127.5)^2, NaN for -128; shape (256,).

    Indexed by the byte read as unsigned. Computed in float32, as the producer's tools do.
    """
    stored = np.arange(256, dtype=np.uint8).view(np.int8)
    ratio = stored.astype(np.float32) / np.float32(127.5)
    values = np.sign(ratio) * ratio**2
    values[stored == AEF_NODATA] = np.nan
    return values


def band_decoder(
    path: str,
    dtype: str,
    rule: str,
    nodata: Sequence[float | None],
    scales: Sequence[float],
    offsets: Sequence[float],
) -> BandDecoder:
    """Build the decoder of bands of one type under one of `RULES`; one entry a band.

    Raises
    ------
    RasterMismatchError
        The rule does not go with the type; ``path`` is named.
    """
    n_bands = len(nodata)
    used = (scales, offsets) if rule == "scale_offset" else (np.ones(n_bands), np.zeros(n_bands))
    empty = [np.nan if number is None else number for number in nodata]
    decoder = BandDecoder(None, *(np.array(x, dtype=np.float64) for x in (empty, *used)))
    if dtype not in ("int8", "uint8"):
        if rule == "aef":
            raise RasterMismatchError(
                path,
                f"holds {dtype} numbers, AlphaEarth's rule decodes bytes; numbers that are "
                "decoded already are read with decode='none'",
            )
        return decoder
    if rule == "aef":
        tables = np.repeat(aef_table()[None], n_bands, axis=0)
    else:
        stored = np.arange(256, dtype=np.uint8).view(dtype)
        tables = decoder.decode(np.repeat(stored[None], n_bands, axis=0))
    return decoder._replace(tables=np.ascontiguousarray(tables))
